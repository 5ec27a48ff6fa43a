"""`mar-train train dense` and `mar-train train spiking`: what a run starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax

from mar_training import params as parameters
from mar_training.config import ModelConfig
from mar_training.data.batches import Packer
from mar_training.data.shards import Shard, open_with_tokenizer
from mar_training.errors import MarError
from mar_training.files import sha256
from mar_training.model import forward
from mar_training.train import checkpoint, objective
from mar_training.train.loop import Teacher, Trainer
from mar_training.train.recipe import Recipe


def train_dense(recipe: Recipe, data: Path, folder: Path, *, init: Path | None = None, quiet: bool = False) -> dict:
    """Trains the dense network from random weights, or from those of the checkpoint `init`."""
    train, val, tokenizer = open_with_tokenizer(data)
    given = recipe.model.get("vocab_size", tokenizer.get_vocab_size())
    if given != tokenizer.get_vocab_size():
        raise MarError(f"[model] vocab_size {given} is not the tokenizer's {tokenizer.get_vocab_size()}")
    recipe = replace(recipe, model=recipe.model | {"vocab_size": tokenizer.get_vocab_size()})
    config = recipe.student()
    if init:
        start, info = checkpoint.load_params(checkpoint.resolve(init))
        _same_tokenizer(info, train, init)
    else:
        start = parameters.init(config, jax.random.key(recipe.train.seed))
    trainer = Trainer(recipe, config, start, (train, val), folder, tokenizer_sha256=train.tokenizer_sha256, quiet=quiet)
    return trainer.run()


def train_spiking(
    recipe: Recipe, data: Path, teacher_path: Path, folder: Path, *, init: Path | None = None, quiet: bool = False
) -> dict:
    """Trains the spiking student of a dense teacher, from the teacher's weights or from the checkpoint `init`."""
    train, val, _ = open_with_tokenizer(data)
    path = checkpoint.resolve(teacher_path)
    weights, info = checkpoint.load_params(path)
    _same_tokenizer(info, train, path)
    if info["config"].neuron != "dense":
        raise MarError(f"{path} is a spiking network; stage 2 needs a dense teacher")
    teacher = Teacher(weights, info["config"], sha256(path))
    config = recipe.student(teacher.config)
    if init:
        start, init_info = checkpoint.load_params(checkpoint.resolve(init))
        _same_tokenizer(init_info, train, init)
        if init_info["config"].neuron == "dense":
            start = calibrated(start, init_info["config"], train, recipe)
    else:
        start = calibrated(weights, teacher.config, train, recipe)
    trainer = Trainer(
        recipe,
        config,
        start,
        (train, val),
        folder,
        tokenizer_sha256=train.tokenizer_sha256,
        teacher=teacher,
        quiet=quiet,
    )
    return trainer.run()


def calibrated(weights: dict, dense: ModelConfig, shard: Shard, recipe: Recipe) -> dict:
    """Adds thresholds to dense weights, from the mean |I| of each neuron over one batch of training data."""
    packer = Packer(shard, recipe.data.seq_len, recipe.train.seed, recipe.data.weights)
    batch = packer.batch(0, recipe.train.rows)
    run = replace(objective.options(recipe), currents=True)
    measure = jax.jit(lambda params: forward(params, batch.tokens, batch.segment, dense, run).currents)
    return parameters.with_thresholds(weights, measure(weights), recipe.sparsity.threshold_init)


def _same_tokenizer(info: dict, shard: Shard, path: Path) -> None:
    if info["tokenizer_sha256"] != shard.tokenizer_sha256:
        raise MarError(f"{path} was trained with another tokenizer than this data folder's")

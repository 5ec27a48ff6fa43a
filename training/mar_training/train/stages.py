"""`mar-train train dense`, `train convert` and `train spiking`: what a run starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jax
from tokenizers import Tokenizer

from mar_training import params as parameters
from mar_training.config import ModelConfig
from mar_training.data.batches import Packer
from mar_training.data.shards import Shard, open_with_tokenizer, tokenizer_hash
from mar_training.data.tokenizer import load_tokenizer
from mar_training.errors import MarError
from mar_training.export.reader import dequantised, read_packed
from mar_training.files import read_json, sha256
from mar_training.teacher import llama
from mar_training.teacher.llama import LlamaConfig
from mar_training.teacher.rotate import rotated
from mar_training.teacher.store import WEIGHTS, is_teacher, load_teacher
from mar_training.teacher.trim import widened_embed
from mar_training.train import checkpoint, objective
from mar_training.train.convert import converted, hybrid_config, without_window
from mar_training.train.gptq import rounded, with_scales, without_scales
from mar_training.train.loop import Teacher, Trainer
from mar_training.train.memory import run_within_memory
from mar_training.train.recipe import Recipe
from mar_training.train.thresholds import calibrated, finer


def train_dense(recipe: Recipe, *given, **options) -> dict:
    """Trains the dense network; arguments as of `dense_trainer`."""
    return run_within_memory(lambda smaller: dense_trainer(smaller, *given, **options), recipe)


def train_convert(recipe: Recipe, *given, **options) -> dict:
    """Stage 1: trains the dense student of a Llama; arguments as of `convert_trainer`."""
    return run_within_memory(lambda smaller: convert_trainer(smaller, *given, **options), recipe)


def train_spiking(recipe: Recipe, *given, **options) -> dict:
    """Stage 2: trains the spiking student of a dense teacher; arguments as of `spiking_trainer`."""
    return run_within_memory(lambda smaller: spiking_trainer(smaller, *given, **options), recipe)


def dense_trainer(
    recipe: Recipe, data: Path, folder: Path, *, init: Path | None = None, quiet: bool = False
) -> Trainer:
    """A run of the dense network, from random weights or from those of the checkpoint `init`."""
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
    return _trainer(recipe, config, start, (train, val), folder, None, quiet)


def convert_trainer(
    recipe: Recipe, data: Path, teacher_path: Path, folder: Path, *, init: Path | None = None, quiet: bool = False
) -> Trainer:
    """A run of stage 1, from the Llama's own weights or from the checkpoint `init`.

    A recipe with window = 0 drops the window branch of a hybrid `init`.
    """
    train, val, _ = open_with_tokenizer(data)
    if not is_teacher(teacher_path):
        raise MarError(f"{teacher_path} is no Llama; stage 1 needs one: mar-train teacher import")
    teacher = open_teacher(teacher_path, recipe, train)
    if init:
        start, found = _dense_start(init, recipe, train)
        if found.window and recipe.model.get("window") == 0:
            start, found = without_window(start, found)
        config = recipe.student(found, hybrid=True)
    else:
        config = recipe.student(hybrid_config(teacher.config, recipe.convert.layers), hybrid=True)
        start = _converted(teacher, config, train, recipe)
    return _trainer(recipe, config, start, (train, val), folder, teacher, quiet)


def spiking_trainer(
    recipe: Recipe, data: Path, teacher_path: Path, folder: Path, *, init: Path | None = None, quiet: bool = False
) -> Trainer:
    """A run of stage 2.

    The teacher is a dense run or a Llama. The student starts from `init`, a checkpoint, dense or spiking, or a model
    directory, or from the teacher's weights; of a Llama that is the untrained hybrid. A model directory whose
    vocabulary was trimmed from this Llama's takes the tokens that it lacks from there.
    """
    train, val, tokenizer = open_with_tokenizer(data)
    teacher = open_teacher(teacher_path, recipe, train)
    if init:
        start, dense = _start(init, recipe, train)
        start, dense = _with_all_tokens(start, dense, init, teacher, tokenizer)
        config = recipe.student(replace(dense, neuron="dense", weights=("float",) * 4, embed_weights="float"))
    elif isinstance(teacher.config, LlamaConfig):
        config = recipe.student(hybrid_config(teacher.config, recipe.convert.layers), hybrid=True)
        dense = replace(config, neuron="dense")
        start = _converted(teacher, dense, train, recipe)
    else:
        start, dense = teacher.params, teacher.config
        config = recipe.student(dense)
    resumes = checkpoint.latest(folder) is not None
    if dense.neuron == "dense":
        start = calibrated(start, dense, config, train, recipe)
    else:
        start = finer(start, recipe.sparsity.finer)
    if recipe.quantise.rounding == "gptq":
        # A run that resumes takes its scales from the checkpoint: any of the right shape will do.
        start = with_scales(start, config) if resumes else rounded(start, config, train, recipe)
    return _trainer(recipe, config, start, (train, val), folder, teacher, quiet)


def open_teacher(path: Path, recipe: Recipe, shard: Shard) -> Teacher:
    """A Llama's folder, rotated as the recipe says, or a dense checkpoint of this trainer."""
    if is_teacher(path):
        if recipe.distill.features in ("post", "both"):
            raise MarError(
                f'{recipe.name}: [distill] features of a Llama are "pre" or "none"; its blocks end without a norm'
            )
        weights, config, tokenizer = load_teacher(path)
        if tokenizer_hash(tokenizer) != shard.tokenizer_sha256:
            raise MarError(f"{path} has another tokenizer than this data folder's; make it with --tokenizer from there")
        if recipe.convert.rotate >= 0:
            weights = rotated(weights, config, recipe.convert.rotate, recipe.convert.rotate_tolerance)
        return Teacher(weights, config, sha256(path / WEIGHTS))
    path = checkpoint.resolve(path)
    weights, info = checkpoint.load_params(path)
    _same_tokenizer(info, shard, path)
    if info["config"].neuron != "dense":
        raise MarError(f"{path} is a spiking network; stage 2 needs a dense teacher")
    return Teacher(weights, info["config"], sha256(path))


def _converted(teacher: Teacher, config: ModelConfig, shard: Shard, recipe: Recipe) -> dict:
    packer = Packer(shard, recipe.data.seq_len, recipe.train.seed, recipe.data.weights)
    batch = packer.batch(0, recipe.train.rows)
    run = replace(objective.options(recipe), currents="mean")
    measure = jax.jit(lambda p: llama.forward(p, batch.tokens, batch.segment, teacher.config, run).currents)
    return converted(teacher.params, teacher.config, config, measure(teacher.params), recipe.convert.layers)


def _start(init: Path, recipe: Recipe, shard: Shard) -> tuple[dict, ModelConfig]:
    """Weights and config of a checkpoint in the basis of the recipe, or of a model directory as floats."""
    if (init / "manifest.json").exists():
        packed, config = read_packed(init)
        metrics = init / "metrics.json"
        _same_basis(read_json(metrics).get("convert") if metrics.exists() else None, recipe, init)
        weights, floats = dequantised(packed, config)
        return (weights if config.weights == recipe.quantise.weights else without_scales(weights)), floats
    path = checkpoint.resolve(init)
    weights, info = checkpoint.load_params(path)
    _same_tokenizer(info, shard, path)
    _same_basis(info.get("recipe", {}).get("convert"), recipe, path)
    return weights, info["config"]


def _with_all_tokens(
    start: dict, config: ModelConfig, init: Path, teacher: Teacher, tokenizer: Tokenizer
) -> tuple[dict, ModelConfig]:
    """`start` with an embedding row for each of the data's tokens."""
    if not (init / "manifest.json").exists():
        return start, config  # a checkpoint, which names its tokenizer itself
    own = load_tokenizer(init / "tokenizer.json")
    if tokenizer_hash(own) == tokenizer_hash(tokenizer):
        return start, config
    if not isinstance(teacher.config, LlamaConfig):
        raise MarError(f"{init} has another tokenizer than this data folder's")
    embed = widened_embed(start["embed"], own, teacher.params["embed"], tokenizer)
    return start | {"embed": embed}, config.replace(vocab_size=len(embed))


def _same_basis(before: dict | None, recipe: Recipe, path: Path) -> None:
    """Refuses weights that were trained on another rotation or other layers of the teacher than the recipe's."""
    for key in ("rotate", "rotate_tolerance", "layers") if before else ():
        now = getattr(recipe.convert, key)
        if before[key] != (list(now) if isinstance(now, tuple) else now):
            raise MarError(f"{path} was trained with [convert] {key} = {before[key]}, this recipe says {now}")


def _dense_start(init: Path, recipe: Recipe, shard: Shard) -> tuple[dict, ModelConfig]:
    weights, config = _start(init, recipe, shard)
    if config.neuron != "dense":
        raise MarError(f"{init} is a spiking network; stage 1 trains a dense one")
    return weights, config


def _trainer(recipe, config, start, shards, folder, teacher, quiet) -> Trainer:
    return Trainer(
        recipe,
        config,
        start,
        shards,
        folder,
        tokenizer_sha256=shards[0].tokenizer_sha256,
        teacher=teacher,
        quiet=quiet,
    )


def _same_tokenizer(info: dict, shard: Shard, path: Path) -> None:
    if info["tokenizer_sha256"] != shard.tokenizer_sha256:
        raise MarError(f"{path} was trained with another tokenizer than this data folder's")

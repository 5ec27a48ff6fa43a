"""`mar-train export`: a whole model directory from a finished run, and the proof that it is the trained network."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from mar_training import params as parameters
from mar_training.config import ModelConfig
from mar_training.data.batches import source_weight
from mar_training.data.shards import Shard, open_with_tokenizer
from mar_training.data.tokenizer import save_tokenizer
from mar_training.errors import MarError
from mar_training.evaluate.choices import read_items
from mar_training.evaluate.replies import conversations
from mar_training.evaluate.report import evaluate, print_comparison
from mar_training.export.card import model_card
from mar_training.export.layout import NAME_PATTERN
from mar_training.export.parts import WEIGHTS, split_weights
from mar_training.export.reader import check_manifest, read_packed
from mar_training.export.writer import pack_params, write_manifest, write_weights
from mar_training.files import sha256, write_atomically, write_json
from mar_training.model import forward, lm_head
from mar_training.teacher.store import WEIGHTS as TEACHER_WEIGHTS
from mar_training.teacher.store import is_teacher, load_teacher
from mar_training.train import checkpoint

TOLERANCE = 1e-5
"""Largest difference allowed between a logit of the trainer and of the files read back."""

STATED = ("licence", "teacher", "description")
"""What `metrics.json` repeats of the card's text, where it is there: menus show it beside the figures."""


def export(
    name: str,
    run: Path,
    dense: Path,
    data: Path,
    models: Path,
    story_path: Path,
    rows: int | None = None,
    questions: tuple[Path, int | None] | None = None,
) -> dict:
    """Writes `models/name/` from the spiking run `run` and its dense teacher; returns `metrics.json`'s content.

    `story_path` is a TOML file with what no measurement can say: summary, can, cannot, commands, and if there are any
    licence (SPDX), teacher (its name) and description (a sentence for menus). Evaluates both networks on the first
    `rows` validation rows, or all, and on `questions` (folder, how many of each file).
    """
    try:
        story = tomllib.loads(story_path.read_text(encoding="utf-8"))
        missing = {"summary", "can", "cannot", "commands"} - set(story)
    except (OSError, tomllib.TOMLDecodeError) as e:
        raise MarError(f"cannot read the card's text {story_path}: {e}") from e
    if missing:
        raise MarError(f"{story_path}: missing {', '.join(sorted(missing))}")
    train, val, tokenizer = open_with_tokenizer(data)
    params, info = checkpoint.load_params(checkpoint.resolve(run))
    config = info["config"]
    weights = pack_params(params, config)
    dense_path, dense_params, dense_info = _open_dense(dense, info)
    if info["tokenizer_sha256"] != train.tokenizer_sha256:
        raise MarError(f"{run} was trained with another tokenizer than that of {data}")
    if info["teacher_sha256"] != sha256(dense_path):
        raise MarError(f"{dense_path} is not the teacher that {run} was trained from")
    if not re.fullmatch(NAME_PATTERN, name):
        raise MarError(f"a model's name is 1 to 64 of a-z, 0-9, '.', '_' and '-', not {name!r}")
    folder = models / f".{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    write_weights(weights, config, name, folder)
    save_tokenizer(tokenizer, folder)

    packed, packed_config = read_packed(folder)
    if packed_config != config:
        raise MarError(f"{folder / 'config.json'} does not read back as the trained config")
    difference = largest_difference(params, packed, config, val)
    if not difference <= TOLERANCE:  # so written, NaN fails too
        raise MarError(f"the exported logits differ from the trainer's by {difference:.2e}, over {TOLERANCE}")

    items = read_items(questions[0], tokenizer, questions[1]) if questions else None
    teacher = (dense_params, dense_info["config"])
    dense_result = evaluate(*teacher, val, tokenizer, rows=rows, items=items)
    tasks = dense_result.get("tasks")
    spiking_result = evaluate(
        packed, config, val, tokenizer, rows=rows, teacher=teacher, items=items, teacher_tasks=tasks
    )
    print_comparison({"dense teacher": dense_result, name: spiking_result})

    weights_bytes = (folder / WEIGHTS).stat().st_size
    metrics = metrics_json(spiking_result, dense_result, info, dense_info, weights_bytes)
    metrics["parameters"] = parameters.count(params)
    metrics["largest_logit_difference"] = difference
    metrics |= {key: story[key] for key in STATED if key in story}
    if is_teacher(dense):
        # Whoever trains on from these weights needs the teacher in the same basis.
        metrics["convert"] = info["recipe"]["convert"]
    write_json(folder / "metrics.json", metrics)
    story["sources"] = used_sources(train, dense_info["recipe"]["data"]["weights"])
    story["chats"] = conversations(packed, config, tokenizer)
    card = model_card(name, config, metrics, story)
    write_atomically(folder / "README.md", lambda path: path.write_text(card, encoding="utf-8"))
    split_weights(folder)
    write_manifest(folder)
    check_manifest(folder)
    _put_in_place(folder, models / name)
    print(f"wrote {models / name}: {weights_bytes:,} bytes of weights, logits within {difference:.1e}")
    return metrics


def _open_dense(dense: Path, info: dict) -> tuple[Path, dict, dict]:
    """(file, parameters, info) of the teacher of the run with `info`: a dense run, or a Llama nobody trained here."""
    if not is_teacher(dense):
        path = checkpoint.resolve(dense)
        return path, *checkpoint.load_params(path)
    params, config, _ = load_teacher(dense)
    return dense / TEACHER_WEIGHTS, params, {"config": config, "tokens": 0, "step": 0, "recipe": info["recipe"]}


def _put_in_place(built: Path, folder: Path) -> None:
    """Replaces a model directory by the one just built, which is whole and checked."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    try:
        if folder.exists():
            folder.rename(old)
        built.rename(folder)
    except OSError as e:
        raise MarError(f"cannot put {built} in the place of {folder}: {e.strerror}") from e
    shutil.rmtree(old, ignore_errors=True)


def largest_difference(params: dict, packed: dict, config: ModelConfig, val: Shard) -> float:
    """Largest |difference| of any logit between trainer and files, over the first 256 validation tokens."""
    tokens = jnp.asarray(np.array(val.tokens[:256], np.int32))[None]
    segment = jnp.zeros_like(tokens)
    with jax.default_matmul_precision("highest"):
        logits = [lm_head(p, forward(p, tokens, segment, config).hidden, config) for p in (params, packed)]
    return float(jnp.abs(logits[0] - logits[1]).max())


def metrics_json(spiking: dict, dense: dict, info: dict, dense_info: dict, weights_bytes: int) -> dict:
    """`metrics.json`: the card's figures as data."""

    def by_place(key: str) -> dict:
        per_layer = spiking[f"{key}_per_layer"]
        return {"mean": float(np.mean(per_layer)), "per_site": spiking[key], "per_layer": per_layer}

    same = ("ac_per_token", "mac_per_token", "mul_per_token", "dense_mac_per_token", "energy_pj_per_token")
    also = ("perplexity", "bits_per_byte", "distinct_1", "distinct_2", "repetition", "val_tokens")
    measured = ("teacher_kl", "teacher_top1_agreement", "retention", "retention_above_chance", "tasks")
    return {
        "bytes": weights_bytes,
        "tokens_trained": {"dense": dense_info["tokens"], "spiking": info["tokens"]},
        "steps_trained": {"dense": dense_info["step"], "spiking": info["step"]},
        "dense_val_loss": dense["val_loss"],
        "dense_val_reply_loss": dense["val_reply_loss"],
        "dense_bits_per_byte": dense["bits_per_byte"],
        "spiking_val_loss": spiking["val_loss"],
        "spiking_val_reply_loss": spiking["val_reply_loss"],
        "firing_rate": by_place("rate"),
        "active": by_place("active"),
        **{key: spiking[key] for key in (*same, *also)},
        **{key: spiking[key] for key in measured if key in spiking},
        **({"teacher_tasks": dense["tasks"]} if "tasks" in dense else {}),
    }


def used_sources(shard: Shard, weights: dict[str, float]) -> list[dict]:
    """The training sources by name, each with its licence and the weight it was trained with."""
    by_name = sorted(shard.sources, key=lambda source: source["name"])
    return [source | {"weight": source_weight(weights, source["name"])} for source in by_name]

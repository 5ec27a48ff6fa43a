"""`mar-train eval`: every number about a network in one table and one JSON."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from mar_training import params as parameters
from mar_training.config import SITES, ModelConfig
from mar_training.data.shards import Shard
from mar_training.evaluate.choices import USEFUL, Item, retention, score
from mar_training.evaluate.energy import dense_operations, energy_table, picojoules
from mar_training.evaluate.loss import validation
from mar_training.evaluate.replies import diversity, sampled_replies
from mar_training.export.reader import read_packed
from mar_training.model import Options
from mar_training.teacher.llama import LlamaConfig
from mar_training.teacher.store import is_teacher, load_teacher
from mar_training.train import checkpoint
from mar_training.train.devices import DataParallel


def load_network(path: Path) -> tuple[dict, ModelConfig | LlamaConfig]:
    """(parameters, config) of a checkpoint, a run folder, an exported model directory or a Llama's folder."""
    if is_teacher(path):
        return load_teacher(path)[:2]
    if (path / "manifest.json").exists():
        return read_packed(path)
    params, info = checkpoint.load_params(checkpoint.resolve(path))
    return params, info["config"]


def evaluate(
    params,
    config: ModelConfig,
    val: Shard,
    tokenizer: Tokenizer,
    *,
    seq_len: int = 512,
    rows: int | None = None,
    sample: bool = True,
    teacher: tuple | None = None,
    items: list[Item] | None = None,
    teacher_tasks: dict | None = None,
) -> dict:
    """What `validation` measures, perplexity, operations and energy of a token, and replies in numbers.

    With `teacher` (parameters, config) also the distance to it; with `items` the `tasks` of multiple choice, and with
    the teacher's own `teacher_tasks` what is retained of them. A Llama is not sampled.
    """
    result = validation(
        params,
        config,
        val,
        seq_len=seq_len,
        rows=rows,
        batch_rows=8,
        options=Options(),
        devices=DataParallel(),
        teacher=teacher,
    )
    result["perplexity"] = math.exp(result["val_loss"])
    if items:
        result["tasks"] = score(params, config, items)
        if teacher_tasks:
            result |= retention(result["tasks"], teacher_tasks)
    if isinstance(config, LlamaConfig):
        return result
    if config.neuron == "dense":
        dense = dense_operations(config)
        result["mac_per_token"] = dense["mac"]
        result["energy_pj_per_token"] = {"dense": round(picojoules(dense))}
    else:
        result |= energy_table(config, result["rate_per_layer"])
    if sample:
        replies = sampled_replies(params, config, tokenizer)
        result |= diversity([reply for _, reply in replies])
        result["replies"] = [{"prompt": prompt, "reply": reply} for prompt, reply in replies]
    if "embed" in params:
        result["parameters"] = parameters.count(params)
    return result


def print_comparison(columns: dict[str, dict]) -> None:
    """A table with a column for each network, of what `evaluate` returned."""
    table = Table("", *columns)
    rows = {
        "validation loss, nats a token": ("val_loss", "{:.4f}"),
        "… of the replies": ("val_reply_loss", "{:.4f}"),
        "perplexity": ("perplexity", "{:.2f}"),
        "bits per byte": ("bits_per_byte", "{:.4f}"),
        "KL to the teacher, nats a token": ("teacher_kl", "{:.4f}"),
        "same first choice as the teacher": ("teacher_top1_agreement", "{:.1%}"),
        "retention": ("retention", "{:.1%}"),
        "retention above chance": ("retention_above_chance", "{:.1%}"),
        "AC a token": ("ac_per_token", "{:,.0f}"),
        "MAC a token": ("mac_per_token", "{:,.0f}"),
        "distinct-1": ("distinct_1", "{:.3f}"),
        "distinct-2": ("distinct_2", "{:.3f}"),
        "replies that repeat": ("repetition", "{:.0%}"),
    }
    for title, (key, form) in rows.items():
        table.add_row(title, *[form.format(c[key]) if key in c else "–" for c in columns.values()])
    for key, title in (("rate", "firing rate"), ("active", "neurons that fire")):
        for index, site in enumerate(SITES):
            cells = [f"{c[key][index]:.3f}" if key in c else "–" for c in columns.values()]
            table.add_row(f"{title}, {site}", *cells)
    for task, (figure, _) in USEFUL.items():
        found = [c.get("tasks", {}).get(task) for c in columns.values()]
        if any(found):
            table.add_row(f"{task}, {figure}", *[f"{one[figure]:.1%}" if one else "–" for one in found])
    for key in ("spiking", "dense"):
        energies = [c.get("energy_pj_per_token", {}) for c in columns.values()]
        cells = [f"{energy[key] / 1e6:.2f}" if key in energy else "–" for energy in energies]
        table.add_row(f"µJ a token, {key} (estimate)", *cells)
    Console().print(table)

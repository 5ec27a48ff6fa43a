"""A recipe: everything a run depends on but the data itself, as one TOML file."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from mar_training.config import ModelConfig, from_dict
from mar_training.errors import MarError


@dataclass(frozen=True)
class DataRecipe:
    """`[data]`: rows of `seq_len` tokens; `weights` by source as `Packer` takes them."""

    seq_len: int = 512
    loss_on: str = "all"
    weights: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerRecipe:
    """`[optimizer]`: `adamw`, or `muon` for the projections with AdamW at `adam_lr` for the rest.

    `schedule`: `cosine`, `wsd` (constant, then linear to `final_lr` over the last `decay_fraction`) or `constant`;
    `final_lr` is a fraction of the peak. `ema` 0 switches the average of the weights off. `vector_scale` multiplies the
    rate of gains, thresholds and all else that is neither projection nor embedding.
    """

    name: str = "adamw"
    lr: float = 1e-3
    adam_lr: float = 0.0
    schedule: str = "cosine"
    warmup_steps: int = 50
    decay_fraction: float = 0.3
    final_lr: float = 0.1
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    ema: float = 0.0
    vector_scale: float = 1.0


@dataclass(frozen=True)
class TrainRecipe:
    """`[train]`: a step is `rows` x `accumulate` rows; `dtype` is what the projections multiply in.

    `head_chunk`: tokens of each row whose logits exist at a time.
    """

    steps: int = 1000
    rows: int = 8
    accumulate: int = 1
    chunk: int = 64
    dtype: str = "float32"
    remat: bool = False
    seed: int = 0
    log_every: int = 10
    eval_every: int = 100
    eval_rows: int = 64
    checkpoint_every: int = 200
    head_chunk: int = 32


@dataclass(frozen=True)
class DistillRecipe:
    """`[distill]`, for stage 2 and the end-to-end part of a conversion: SBDS with weights `alpha` and `beta`.

    `end`, where given, are alpha and beta of the last step: they go there linearly from the first step on.
    `features`: none, pre, post or both; `ce` adds cross-entropy on the data, which the paper does not.
    """

    alpha: float = 0.2
    beta: float = 0.7
    end: tuple[float, ...] = ()
    features: str = "pre"
    feature_weight: float = 1.0
    ce: float = 0.0


@dataclass(frozen=True)
class SparsityRecipe:
    """`[sparsity]`, off by default: `weight` x how far each site's share of firing neurons exceeds `active_target`.

    `threshold_init` is where each site's thresholds start, as a multiple of each neuron's mean |I|; 0 takes, for every
    layer, the multiple whose counts are nearest to the currents. `threshold_power` p below 1 narrows a layer's spread
    of thresholds: they start as multiples of m·(mean |I| / m)^p, m the layer's median; loud neurons then fire more
    often, and the rows of the folded weights differ less in size, which is what few bits need. Over the first `anneal`
    of the steps the counts take over from the currents themselves, linearly. `finer` divides each site's thresholds
    where a run takes on a spiking network: twice as many spikes for the same current, and the same integers.
    """

    weight: float = 0.0
    active_target: tuple[float, ...] = (0.35, 0.35, 0.35, 0.35)
    threshold_init: tuple[float, ...] = (1.0,) * 4
    threshold_power: float = 1.0
    anneal: float = 0.0
    finer: tuple[float, ...] = (1.0,) * 4


@dataclass(frozen=True)
class QuantiseRecipe:
    """`[quantise]`: the types of the four projections and the embedding, in force after `after` of the steps.

    `rounding`: "nearest" takes each channel's scale from its weights, at every step; "gptq" rounds the weights once,
    before the first step, so that errors make up for one another (`train/gptq.py`), and learns the scales from there.
    """

    weights: tuple[str, ...] = ("float",) * 4
    embed_weights: str = "float"
    after: float = 0.6
    rounding: str = "nearest"


@dataclass(frozen=True)
class ConvertRecipe:
    """`[convert]`, where the teacher is a Llama.

    `objective`: `blocks` aligns each mixer with the teacher's attention on the teacher's own inputs (stage 1a, and of a
    spiking student before stage 2), `logits` distils end to end (1b, 2). `trains`: `all`, or `scan`, the Mamba-2 branch
    alone, with all else as it is.

    `windows` shrink the window: each is in force for an equal share of the steps, and at its end the weights are kept
    with their distance to the teacher, so that quality can say which to take; 0, at the end, drops the window branch.
    `layers` keeps only these layers of the teacher. `rotate` is the seed of the rotation of the residual stream (-1:
    none), among channels whose last gain is within a factor 1 + `rotate_tolerance`.
    """

    objective: str = "logits"
    trains: str = "all"
    windows: tuple[int, ...] = ()
    layers: tuple[int, ...] = ()
    rotate: int = -1
    rotate_tolerance: float = 0.1


STUDENT_KEYS = ("neuron", "steps", "tau", "precharge")
"""What a spiking recipe's `[model]` may say; all else is the teacher's."""

WINDOW_KEYS = ("window", "sinks")
"""What `[model]` may say besides of a student that has a window branch already: how far it sees takes no weights."""

HYBRID_KEYS = (*WINDOW_KEYS, "n_groups", "d_state", "d_conv")
"""What it may say besides where the teacher is a Llama."""


@dataclass(frozen=True)
class Recipe:
    """A whole run. For `convert` and `spiking`, `model` holds only what differs from the teacher."""

    name: str
    stage: str
    model: dict[str, Any]
    data: DataRecipe = DataRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    train: TrainRecipe = TrainRecipe()
    distill: DistillRecipe = DistillRecipe()
    sparsity: SparsityRecipe = SparsityRecipe()
    quantise: QuantiseRecipe = QuantiseRecipe()
    convert: ConvertRecipe = ConvertRecipe()

    def student(self, teacher: ModelConfig | None = None, *, hybrid: bool = False) -> ModelConfig:
        """The network this run trains, checked, before quantisation. `hybrid`: `teacher` was made from a Llama."""
        base = dataclasses.asdict(teacher) if teacher else {}
        neuron = {"neuron": "atmn"} if self.stage == "spiking" else {}
        has_window = not hybrid and teacher is not None and teacher.window > 0
        allowed = (
            (STUDENT_KEYS if self.stage == "spiking" else ())
            + (HYBRID_KEYS if hybrid else ())
            + (WINDOW_KEYS if has_window else ())
        )
        if self.stage != "dense" and (others := set(self.model) - set(allowed)):
            raise MarError(
                f"{self.name}: [model] {min(others)} comes from the teacher; "
                f"this stage sets {', '.join(allowed) or 'nothing'}"
            )
        config = from_dict(ModelConfig, base | neuron | self.model, f"{self.name}: [model]").checked()
        if has_window and not config.window:
            raise MarError(f"{self.name}: [model] window = 0 drops the window branch, which only stage 1 does")
        if (config.neuron == "dense") != (self.stage != "spiking"):
            raise MarError(f"{self.name}: [model] neuron {config.neuron!r} is not of stage {self.stage!r}")
        return config

    def continues(self, earlier: dict[str, Any]) -> None:
        """Raises `MarError` where a run begun with the recipe `earlier` cannot go on with this one, naming the key."""
        now, earlier = as_json(self), completed(earlier)
        may_change = {
            ("train", key) for key in ("log_every", "eval_every", "eval_rows", "checkpoint_every", "head_chunk")
        }
        if _step_rows(now) == _step_rows(earlier):
            # The same rows in other micro-batches: as memory allows.
            may_change |= {("train", "rows"), ("train", "accumulate")}
        if self.stage == "dense":
            # In stage 2 the number of steps decides when the weights become integers.
            may_change |= {("train", "steps"), ("optimizer", "decay_fraction")}
        for table, values in now.items():
            before = earlier.get(table)
            if not isinstance(values, dict):
                values, before = {"": values}, {"": before}
            for key in values | before:
                if values.get(key) != before.get(key) and (table, key) not in may_change:
                    raise MarError(
                        f"the run was begun with {f'{table}.{key}'.rstrip('.')} = {before.get(key)!r}, not "
                        f"{values.get(key)!r}; use another --out, or the recipe it was begun with"
                    )


def _step_rows(recipe: dict[str, Any]) -> int:
    return recipe["train"]["rows"] * recipe["train"]["accumulate"]


def as_json(value: Any) -> Any:
    """A dataclass as JSON has it, where tuples are lists, so that it compares with what is read."""
    return json.loads(json.dumps(dataclasses.asdict(value)))


def completed(earlier: dict[str, Any]) -> dict[str, Any]:
    """A recipe as an earlier run wrote it: a key that is younger than the run had its default then."""
    return earlier | {table: as_json(of()) | earlier.get(table, {}) for table, of in _TABLES.items()}


_TABLES = {
    "data": DataRecipe,
    "optimizer": OptimizerRecipe,
    "train": TrainRecipe,
    "distill": DistillRecipe,
    "sparsity": SparsityRecipe,
    "quantise": QuantiseRecipe,
    "convert": ConvertRecipe,
}
_CHOICES = {
    ("optimizer", "name"): ("adamw", "muon"),
    ("optimizer", "schedule"): ("cosine", "wsd", "constant"),
    ("train", "dtype"): ("float32", "bfloat16"),
    ("distill", "features"): ("none", "pre", "post", "both"),
    ("quantise", "rounding"): ("nearest", "gptq"),
    ("data", "loss_on"): ("all", "assistant"),
    ("convert", "objective"): ("blocks", "logits"),
    ("convert", "trains"): ("all", "scan"),
}
_RANGES = {
    ("data", "seq_len"): (2, 1_000_000),
    ("train", "steps"): (1, 1_000_000_000),
    ("train", "rows"): (1, 1_000_000),
    ("train", "accumulate"): (1, 1_000_000),
    ("train", "chunk"): (1, 1_000_000),
    ("train", "log_every"): (1, 1_000_000_000),
    ("train", "eval_every"): (1, 1_000_000_000),
    ("train", "eval_rows"): (1, 1_000_000),
    ("train", "checkpoint_every"): (1, 1_000_000_000),
    ("optimizer", "lr"): (0.0, 1.0),
    ("optimizer", "adam_lr"): (0.0, 1.0),
    ("optimizer", "warmup_steps"): (0, 1_000_000),
    ("optimizer", "decay_fraction"): (0.0, 1.0),
    ("optimizer", "final_lr"): (0.0, 1.0),
    ("optimizer", "clip"): (1e-6, 1e6),
    ("optimizer", "ema"): (0.0, 0.999999),
    ("optimizer", "vector_scale"): (0.0, 1000.0),
    ("quantise", "after"): (0.0, 0.999999),
    ("train", "head_chunk"): (1, 1_000_000),
    ("sparsity", "anneal"): (0.0, 1.0),
    ("convert", "rotate_tolerance"): (0.0, 10.0),
}


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Reads a recipe; each override is `table.key=value`, the value as TOML writes it."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise MarError(f"cannot read recipe {path}: {e.strerror}") from e
    except tomllib.TOMLDecodeError as e:
        raise MarError(f"recipe {path} is not valid TOML: {e}") from e
    for override in overrides or []:
        _override(raw, override)
    return recipe_from_dict(raw, str(path))


def recipe_from_dict(raw: dict[str, Any], where: str) -> Recipe:
    """Builds and checks a recipe from its tables."""
    built = {
        key: from_dict(_TABLES[key], value, f"{where}: [{key}]") if key in _TABLES else value
        for key, value in raw.items()
    }
    recipe = from_dict(Recipe, built, where)
    if recipe.stage not in ("dense", "convert", "spiking"):
        raise MarError(f"{where}: stage must be 'dense', 'convert' or 'spiking', not {recipe.stage!r}")
    for (table, key), allowed in _CHOICES.items():
        value = getattr(getattr(recipe, table), key)
        if value not in allowed:
            raise MarError(f"{where}: [{table}] {key} must be one of {', '.join(allowed)}, not {value!r}")
    for key in ("active_target", "threshold_init", "finer"):
        if len(getattr(recipe.sparsity, key)) != 4:
            raise MarError(f"{where}: [sparsity] {key} needs one number for each of the four sites")
    if len(recipe.distill.end) not in (0, 2):
        raise MarError(f"{where}: [distill] end needs two numbers, alpha and beta of the last step")
    if min(recipe.distill.alpha, recipe.distill.beta, *recipe.distill.end) < 0:
        raise MarError(f"{where}: [distill] alpha and beta are weights, so they must be at least 0")
    if recipe.distill.end and (recipe.stage == "dense" or recipe.convert.objective == "blocks"):
        raise MarError(f"{where}: [distill] end is of a distillation end to end, which this run is not")
    windows = recipe.convert.windows
    if any(later >= earlier for earlier, later in pairwise(windows)) or min(windows, default=0) < 0:
        raise MarError(f"{where}: [convert] windows must shrink, to 0 at the least, not {list(windows)}")
    if min(recipe.sparsity.finer) <= 0:
        raise MarError(f"{where}: [sparsity] finer divides thresholds, so it must be above 0")
    if recipe.convert.trains == "scan" and recipe.optimizer.weight_decay:
        raise MarError(f'{where}: [convert] trains = "scan" leaves the projections as they are; set weight_decay = 0')
    for (table, key), (low, high) in _RANGES.items():
        value = getattr(getattr(recipe, table), key)
        if not low <= value <= high:
            raise MarError(f"{where}: [{table}] {key} must be from {low} to {high}, not {value}")
    return recipe


def _override(raw: dict[str, Any], text: str) -> None:
    try:
        path, value = text.split("=", 1)
        parsed = tomllib.loads(f"value = {value}")["value"]
        *tables, key = path.strip().split(".")
    except (ValueError, tomllib.TOMLDecodeError) as e:
        raise MarError(f"--set {text!r}: write it as table.key=value, with strings in quotes") from e
    for table in tables:
        raw = raw.setdefault(table, {})
        if not isinstance(raw, dict):
            raise MarError(f"--set {text!r}: {table!r} is a value, not a table")
    raw[key] = parsed

"""The ablation study: for each seed a small dense teacher, and spiking students that differ in one thing.

Everything else is equal: the teacher, the calibrated weights a student starts from, the data and its order,
and the number of steps. `run` trains what is not there yet; `write_report` makes tables of what is.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mar_training import ablate_report
from mar_training import params as parameters
from mar_training.ablate_report import Row, Table
from mar_training.data.shards import Shard, open_with_tokenizer
from mar_training.errors import MarError
from mar_training.files import read_json, write_atomically, write_json
from mar_training.train import checkpoint, devices, stages
from mar_training.train.recipe import Recipe, as_json, completed, load_recipe

KL = {
    "forward": {"alpha": 1.0, "beta": 0.0},
    "reverse": {"alpha": 0.0, "beta": 1.0},
    "both": {"alpha": 0.2, "beta": 0.7},
    "forward to reverse": {"alpha": 1.0, "beta": 0.0, "end": (0.0, 1.0)},
    "reverse to forward": {"alpha": 0.0, "beta": 1.0, "end": (1.0, 0.0)},
}
"""SBDS's alpha and beta: weights of the forward and the reverse divergence, which may change as a run goes."""

SPARSITY_WEIGHT = 10.0
"""Of the sparsity term where a variant has one, as in recipes/smalltalk_spiking.toml."""

DENSE = "dense"
BEGIN, END = "<!-- ablation:begin -->", "<!-- ablation:end -->"


@dataclass(frozen=True)
class Variant:
    """One student. The defaults are the base, which every one-factor table varies in one field."""

    neuron: str = "atmn"
    kl: str = "both"
    features: str = "pre"
    steps: int = 4
    tau: float = 1.0
    precharge: float = 0.0
    weights: str = "float"
    active: float | None = None
    """The share of neurons that the sparsity term lets fire at each site; None leaves the term out."""
    anneal: float = 0.0
    """Over this share of the steps the counts take over from the currents."""

    @property
    def name(self) -> str:
        """Neuron, divergence and features, then what else is not as in the base: `atmn-both-pre-t8`."""
        base = Variant()
        parts = [self.neuron, self.kl.replace(" ", "-"), self.features]
        parts += [f"t{self.steps}"] * (self.steps != base.steps)
        parts += [f"tau{self.tau:g}"] * (self.tau != base.tau)
        parts += [f"precharge{self.precharge:g}"] * (self.precharge != base.precharge)
        parts += [self.weights] * (self.weights != base.weights)
        parts += [f"active{self.active}"] * (self.active != base.active)
        parts += [f"anneal{self.anneal:g}"] * (self.anneal != base.anneal)
        return "-".join(parts)

    def recipe(self, base: Recipe) -> Recipe:
        """The spiking recipe with this variant's settings; what a variant does not name stays as it is."""
        neuron = {
            "neuron": self.neuron,
            "steps": [self.steps] * 4,
            "tau": self.tau,
            "precharge": self.precharge,
        }
        sparsity = replace(base.sparsity, anneal=self.anneal)
        if self.active is not None:
            sparsity = replace(sparsity, weight=SPARSITY_WEIGHT, active_target=(self.active,) * 4)
        return replace(
            base,
            name=f"ablation {self.name}",
            model=base.model | neuron,
            distill=replace(base.distill, **KL[self.kl], features=self.features),
            quantise=replace(base.quantise, weights=(self.weights,) * 4, embed_weights="float"),
            sparsity=sparsity,
        )


def _row(label: str, paper: float | None = None, **changes) -> Row:
    return Row(label, Variant(**changes).name, paper)


def _label(value: float | str | None) -> str:
    if value is None:
        return "no target"
    return value if isinstance(value, str) else f"{value:g}"


_LADDER = [
    ("binary, forward KL", 46.28, {"neuron": "binary", "kl": "forward", "features": "none"}),
    ("ATMN, forward KL", 55.20, {"kl": "forward", "features": "none"}),
    ("ATMN, reverse KL", 55.46, {"kl": "reverse", "features": "none"}),
    ("ATMN, both (0.2, 0.7)", 56.40, {"features": "none"}),
    ("ATMN, both, pre-norm features", 57.20, {}),
    ("ATMN, both, post-norm features", 56.75, {"features": "post"}),
    ("ATMN, both, pre- and post-norm features", 56.08, {"features": "both"}),
]
_FACTORS: dict[str, tuple[str, list]] = {
    "Alpha and beta that change as a run goes, pre-norm features": ("kl", list(KL)),
    "Micro-steps T": ("steps", [1, 2, 4, 8]),
    "Leak tau": ("tau", [1.0, 2.0]),
    "Precharge": ("precharge", [0.0, 0.5]),
    "Weights of the projections": ("weights", ["float", "int8", "int4", "ternary"]),
    "Gradual spiking: the share of the steps that it takes": ("anneal", [0.0, 0.25, 0.5, 1.0]),
    "Sparsity: the share of neurons that may fire": ("active", [None, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05]),
}
TABLES = [
    Table(
        "The paper's ladder",
        "The paper's column is the zero-shot average of its 1.4 B model over six tasks, in %. "
        "Its table of alpha and beta gives reverse KL 55.92.",
        [_row(label, paper, **changes) for label, paper, changes in _LADDER],
    ),
    Table("Neuron", "Forward KL, no features.", [_row(*step[:2], **step[2]) for step in _LADDER[:2]]),
    Table(
        "Direction of the KL",
        "No features. The paper's column is its table of alpha and beta.",
        [
            _row("forward (1, 0)", 55.20, kl="forward", features="none"),
            _row("reverse (0, 1)", 55.92, kl="reverse", features="none"),
            _row("both (0.2, 0.7)", 56.40, kl="both", features="none"),
        ],
    ),
    Table(
        "Features",
        "Both KL (0.2, 0.7).",
        [
            _row("none", 56.40, features="none"),
            _row("pre", 57.20, features="pre"),
            _row("post", 56.75, features="post"),
            _row("pre and post", 56.08, features="both"),
        ],
    ),
    *(Table(title, "", [_row(_label(v), **{field: v}) for v in values]) for title, (field, values) in _FACTORS.items()),
]
VARIANTS = {
    variant.name: variant
    for variant in (
        *(Variant(**changes) for _, _, changes in _LADDER),
        *(Variant(**{field: value}) for field, values in _FACTORS.values() for value in values),
    )
}
"""Every student once, by name, the ladder first."""


def run(
    data: Path,
    folder: Path,
    *,
    seeds: list[int],
    only: list[str] | None,
    dense_recipe: Path,
    spiking_recipe: Path,
) -> None:
    """Trains each seed's teacher, then its students, into `folder/<seed>/<name>`; prints a line for each.

    `only` names the students to train (or `dense`, the teachers alone). The same command goes on after an
    interruption: finished runs are read, the interrupted one continues from its checkpoint. A folder with
    runs of other recipes or other data is refused.
    """
    names = _chosen(only)
    seeds = list(dict.fromkeys(seeds))
    if not seeds or min(seeds) < 0:
        raise MarError(f"the study needs seeds of 0 or more, not {seeds}")
    dense, spiking = load_recipe(dense_recipe), load_recipe(spiking_recipe)
    for recipe, path, stage in ((dense, dense_recipe, "dense"), (spiking, spiking_recipe, "spiking")):
        if recipe.stage != stage:
            raise MarError(f"{path}: the study needs a recipe of stage {stage!r} here, not {recipe.stage!r}")
    train, _, _ = open_with_tokenizer(data)
    runs = _Runs(folder, train, total=len(seeds) * (1 + len(names)))
    with devices.compiled_once(folder / "compiled"):
        for seed in seeds:
            _run_seed(runs, data, seed, names, _seeded(dense, seed), _seeded(spiking, seed))


def _seeded(recipe: Recipe, seed: int) -> Recipe:
    return replace(recipe, train=replace(recipe.train, seed=seed))


def _run_seed(runs: _Runs, data: Path, seed: int, names: list[str], dense: Recipe, spiking: Recipe) -> None:
    teacher = runs.folder / str(seed) / DENSE
    found = runs.once(seed, DENSE, dense, lambda folder: stages.train_dense(dense, data, folder, quiet=True))
    start = None

    def student(folder: Path, recipe: Recipe) -> dict:
        nonlocal start
        start = start or _start(teacher, runs.train, spiking)
        return stages.train_spiking(recipe, data, teacher, folder, init=start, quiet=True)

    for name in names:
        recipe = VARIANTS[name].recipe(spiking)
        train = partial(student, recipe=recipe)
        runs.once(seed, name, recipe, train, dense_val_loss=found["val_loss"])


def _chosen(only: list[str] | None) -> list[str]:
    for name in only or []:
        if name not in (*VARIANTS, DENSE):
            near = difflib.get_close_matches(name, VARIANTS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join((DENSE, *VARIANTS))}"
            raise MarError(f"the study has no variant {name!r}; {hint}")
    return [name for name in VARIANTS if only is None or name in only]


def _start(teacher: Path, train: Shard, recipe: Recipe) -> Path:
    """Saves the teacher's weights with calibrated thresholds, where all its students start."""
    weights, info = checkpoint.load_params(checkpoint.resolve(teacher))
    student = recipe.student(info["config"])
    start = stages.calibrated(weights, info["config"], student, train, recipe)
    path = teacher / "calibrated.safetensors"
    origin = {"step": 0, "tokenizer_sha256": info["tokenizer_sha256"]}
    checkpoint.save(path, {"params": start}, student, origin)
    return path


class _Runs:
    """Runs each thing once: its folder says what it was (`run.json`) and what came out (`result.json`)."""

    def __init__(self, folder: Path, train: Shard, total: int) -> None:
        self.folder, self.train, self.total, self.count = folder, train, total, 0
        self.data = {"tokenizer_sha256": train.tokenizer_sha256, "train_tokens": len(train.tokens)}

    def once(self, seed: int, name: str, recipe: Recipe, train: Callable[[Path], dict], **extra: float) -> dict:
        """The result of the run, from its folder or from `train(folder)`; `extra` goes into the result."""
        self.count += 1
        folder = self.folder / str(seed) / name
        identity = {"recipe": as_json(recipe), "data": self.data}
        if (folder / "run.json").exists():
            earlier = read_json(folder / "run.json")
            if earlier | {"recipe": completed(earlier["recipe"])} != identity:
                raise MarError(
                    f"{folder} was run with another recipe or other data; use another folder, or delete that one"
                )
        if (folder / "result.json").exists():
            result = read_json(folder / "result.json")
            self._tell(result, "(done before)")
            return result
        write_json(folder / "run.json", identity)
        since = time.monotonic()
        measured = train(folder)
        seconds = time.monotonic() - since
        weights, info = checkpoint.load_params(folder / "final.safetensors")
        result = {
            "variant": name,
            "seed": seed,
            **{key: measured[key] for key in ("val_loss", "val_reply_loss", "val_tokens")},
            **extra,
            "tokens": info["tokens"],
            "seconds": seconds,
            "parameters": parameters.count(weights),
        }
        if "rate" in measured:
            for key in ("rate", "active"):
                result |= {key: float(np.mean(measured[key])), f"{key}_by_site": measured[key]}
        write_json(folder / "result.json", result)
        for step in folder.glob("step-*.safetensors"):
            step.unlink()
        self._tell(result, f"{seconds:.0f} s")
        return result

    def _tell(self, result: dict, end: str) -> None:
        parts = [
            f"{self.count}/{self.total} {result['variant']} seed {result['seed']}",
            f"val {result['val_loss']:.3f}",
        ]
        if "dense_val_loss" in result:
            parts[-1] += f" (dense {result['dense_val_loss']:.3f})"
            parts += [f"{key} {result[key]:.2f}".replace(" 0.", " .") for key in ("rate", "active")]
        print("  ".join([*parts, end]), flush=True)


def write_report(folder: Path, out: Path) -> None:
    """Writes the tables of `folder`'s results between the markers in `out`, or at its end without markers."""
    results = [read_json(path) for path in sorted(folder.glob("*/*/result.json"))]
    if not results:
        raise MarError(f"{folder} holds no finished run of the study; run it first")
    section = f"{BEGIN}\n{ablate_report.section(TABLES, results)}\n{END}"
    try:
        text = out.read_text(encoding="utf-8") if out.exists() else ""
    except (OSError, UnicodeDecodeError) as e:
        raise MarError(f"cannot read {out}: {e}") from e
    if BEGIN in text or END in text:
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            raise MarError(f"{out} has only one of the markers {BEGIN} and {END}, or has them in the wrong order")
        text = before + section + after
    else:
        text = f"{text.rstrip()}\n\n{section}\n".lstrip()
    write_atomically(out, lambda temporary: temporary.write_text(text, encoding="utf-8"))

"""`mar-train convert-run`: a teacher becomes a spiking model in the minutes there are; resumes after any interruption.

Each step gets its share of the time that is left, so what one step takes too long is taken from all later ones alike.
`plan.json` in the run's folder says which steps are done and how long each has taken so far.
"""

from __future__ import annotations

import dataclasses
import json
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp

from mar_training.data.prepare import prepare
from mar_training.errors import MarError
from mar_training.export.directory import export
from mar_training.files import join_file, read_json, split_file, write_json
from mar_training.teacher.generate import Writer, generate
from mar_training.teacher.gguf_file import read_gguf
from mar_training.teacher.store import is_teacher, load_teacher, save_teacher
from mar_training.train.devices import compiled_once
from mar_training.train.loop import Trainer
from mar_training.train.memory import halved, run_within_memory
from mar_training.train.recipe import Recipe, load_recipe
from mar_training.train.stages import convert_trainer, spiking_trainer

SHARES = {"import": 1, "generate": 15, "tokenise": 9, "blocks": 10, "logits": 30, "spiking": 30, "finish": 5}
"""Steps in order, each with its share of the time."""

PIECE_BYTES = 15 << 20
"""Of the pieces that results are carried home in."""

CHECKPOINT_SECONDS = 120.0
TICK_SECONDS = 5.0
EVALUATIONS = 4
"""How often a stage is evaluated on the way."""

MIN_STEPS = 2


@dataclass
class Run:
    """What a run is made from, and where it goes."""

    gguf: Path
    train: list[Path]
    val: list[Path]
    out: Path
    recipes: Path
    name: str
    minutes: float
    prompts: Path | None = None
    questions: tuple[Path, int | None] | None = None
    rows: int = 256
    eval_rows: int | None = 64
    dtype: str = "bfloat16"
    overrides: list[str] = field(default_factory=list)

    @property
    def teacher(self) -> Path:
        """The imported teacher."""
        return self.out / "teacher"

    @property
    def data(self) -> Path:
        """Tokenised chats."""
        return self.out / "data"


class Clock:
    """The time told, shared out; kept in `plan.json`, so that an interrupted run knows what is spent."""

    def __init__(self, folder: Path, minutes: float) -> None:
        """Continues the clock of an earlier start of the same run."""
        self.path = folder / "plan.json"
        old = read_json(self.path) if self.path.exists() else {}
        self.total = 60.0 * minutes
        self.spent: dict[str, float] = old.get("spent", {})
        self.done: list[str] = old.get("done", [])
        self.plans: dict[str, dict] = old.get("plans", {})
        self._since = time.monotonic()
        self._step = ""
        self._lock = threading.Lock()

    def start(self, step: str) -> float:
        """Begins a step; returns the seconds it may take: its share of all that is left.

        The last step, which brings the model home, is never refused.
        """
        self._step, self._since = step, time.monotonic()
        waiting = sum(share for name, share in SHARES.items() if name not in self.done)
        left = self.total - sum(self.spent.values())
        if left <= 0 and step != list(SHARES)[-1]:
            spent = sum(self.spent.values()) / 60
            raise MarError(f"no time is left for {step}: {spent:.1f} minutes are spent; give it more --minutes")
        return max(0.0, left) * SHARES[step] / waiting

    def tick(self) -> None:
        """Books the time since the last tick to the running step."""
        with self._lock:
            now = time.monotonic()
            self.spent[self._step] = self.spent.get(self._step, 0.0) + now - self._since
            self._since = now
            write_json(self.path, {"spent": self.spent, "done": self.done, "plans": self.plans})

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Books time every few seconds, so that a run that is killed has its time booked too."""
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(TICK_SECONDS):
                self.tick()

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.tick()

    def finish(self) -> None:
        """Ends the running step."""
        self.done.append(self._step)
        self.tick()


def launch(run: Run) -> dict:
    """Runs every step that is not done; returns the exported model's metrics."""
    run.out.mkdir(parents=True, exist_ok=True)
    clock = Clock(run.out, run.minutes)
    with compiled_once(run.out / "compiled"):
        for step in SHARES:
            if step in clock.done:
                continue
            seconds = clock.start(step)
            print(f"== {step}: {seconds:,.0f} s", flush=True)
            with clock.ticking():
                STEPS[step](run, clock, seconds)
            clock.finish()
    return read_json(run.out / "models" / run.name / "metrics.json")


def _import(run: Run, clock: Clock, seconds: float) -> None:
    del clock, seconds
    if not is_teacher(run.teacher):
        save_teacher(*read_gguf(join_file(run.gguf)), run.teacher)


def _generate(run: Run, clock: Clock, seconds: float) -> None:
    """Half of the time for answers to prompts, where there are any, and the rest for chats out of nothing."""
    del clock
    params, config, tokenizer = load_teacher(run.teacher)
    out = run.out / "written.jsonl"
    # A line cut short by an interruption.
    if out.exists() and (written := out.read_bytes()) and not written.endswith(b"\n"):
        out.write_bytes(written.rpartition(b"\n")[0] + b"\n")
    started = time.monotonic()
    seed = time.time_ns() % (1 << 30)  # so that after an interruption other chats are written
    writer = Writer(params, config, tokenizer, rows=run.rows, seed=seed, dtype=jnp.dtype(run.dtype))
    if run.prompts:
        generate(writer, out, prompts=run.prompts, seconds=seconds / 2)
    generate(writer, out, turns=2, seconds=max(0.0, seconds - (time.monotonic() - started)))


def _tokenise(run: Run, clock: Clock, seconds: float) -> None:
    del clock, seconds
    written = run.out / "written.jsonl"
    more = [written] if written.exists() and written.stat().st_size else []
    prepare(
        [*run.train, *more],
        run.val,
        run.data,
        vocab_size=0,
        tokenizer_path=run.teacher / "tokenizer.json",
        tokenizer_records=0,
        continuations=False,
    )


def _blocks(run: Run, clock: Clock, seconds: float) -> None:
    _train(run, clock, "blocks", seconds, convert_trainer)


def _logits(run: Run, clock: Clock, seconds: float) -> None:
    _train(run, clock, "logits", seconds, convert_trainer, init=run.out / "blocks")


def _spiking(run: Run, clock: Clock, seconds: float) -> None:
    _train(run, clock, "spiking", seconds, spiking_trainer, init=run.out / "logits")


def _train(run: Run, clock: Clock, name: str, seconds: float, make, init: Path | None = None) -> None:
    """Trains one stage for `seconds`, or on to the number of steps that it was planned with."""
    recipe = load_recipe(run.recipes / f"gpu_{name}.toml", run.overrides)
    if name not in clock.plans:
        clock.plans[name] = _planned(run, recipe, name, seconds, make, init)
        clock.tick()
    plan = clock.plans[name]
    print(f"{name}: {plan}", flush=True)

    def trainer(recipe: Recipe) -> Trainer:
        return make(recipe, run.data, run.teacher, run.out / name, init=init)

    run_within_memory(trainer, _with_train(recipe, **plan))


def _planned(run: Run, recipe: Recipe, name: str, seconds: float, make, init: Path | None) -> dict:
    """The steps that fit, by timing a few; where memory is too small for the rows, in smaller micro-batches."""
    started = time.monotonic()
    while True:
        try:
            trainer = make(recipe, run.data, run.teacher, run.out / f"{name}-timing", init=init, quiet=True)
            compiling, each = trainer.timed()
            evaluated = time.monotonic()
            trainer.evaluate(recipe.train.eval_rows)
            evaluating = time.monotonic() - evaluated
            break
        except jax.errors.JaxRuntimeError as e:
            recipe = halved(recipe, e)
    # A stage whose weights become integers on the way is compiled twice.
    compiling *= 2 if recipe.quantise.after > 0 and "float" not in recipe.quantise.weights else 1
    left = seconds - (time.monotonic() - started) - compiling - EVALUATIONS * evaluating
    steps = max(MIN_STEPS, int(left / each))
    often = max(1, int(CHECKPOINT_SECONDS / each))
    return {
        "steps": steps,
        "rows": recipe.train.rows,
        "accumulate": recipe.train.accumulate,
        "log_every": max(1, steps // 50),
        "eval_every": max(1, steps // EVALUATIONS),
        "checkpoint_every": often,
    }


def _with_train(recipe: Recipe, **changes) -> Recipe:
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **changes))


def _finish(run: Run, clock: Clock, seconds: float) -> None:
    """Export with evaluation, and everything that goes home in pieces."""
    del seconds
    given = (run.out / "spiking", run.teacher, run.data, run.out / "models", run.recipes / "gpu_card.toml")
    export(run.name, *given, run.eval_rows, run.questions)
    archive = run.out / "results.tar"
    for old in run.out.glob("results.tar*"):
        old.unlink()
    with tarfile.open(archive, "w") as tar:
        tar.add(run.out / "models" / run.name, f"models/{run.name}")
        for name in ("blocks", "logits", "spiking"):
            tar.add(run.out / name / "log.jsonl", f"{name}.jsonl")
        clock.tick()
        tar.add(clock.path, "plan.json")
    pieces = split_file(archive, PIECE_BYTES)
    print(f"{len(pieces)} pieces of at most {PIECE_BYTES >> 20} MiB: {pieces[0]} …; {json.dumps(clock.spent)}")


STEPS = {
    "import": _import,
    "generate": _generate,
    "tokenise": _tokenise,
    "blocks": _blocks,
    "logits": _logits,
    "spiking": _spiking,
    "finish": _finish,
}

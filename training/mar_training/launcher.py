"""`mar-train convert-run`: a teacher becomes a spiking model in the minutes there are; resumes after any interruption.

From an exported model (`init`) it goes on with stage 2 in that model's vocabulary.

Each step gets its share of the time that is left, so what one step takes too long is taken from all later ones alike.
`plan.json` in the run's folder says which steps are done, how many seconds each was given and has taken so far, and how
many steps of training were planned.
"""

from __future__ import annotations

import dataclasses
import json
import tarfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp

from mar_training.data.batches import Packer
from mar_training.data.prepare import prepare
from mar_training.errors import MarError
from mar_training.export.directory import export
from mar_training.export.reader import read_config
from mar_training.files import join_file, read_json, split_file, write_json
from mar_training.teacher.generate import Writer, generate
from mar_training.teacher.gguf_file import read_gguf
from mar_training.teacher.store import is_teacher, load_teacher, save_teacher
from mar_training.teacher.trim import trim, trim_alike
from mar_training.train.devices import compiled_once
from mar_training.train.loop import Trainer
from mar_training.train.memory import halved, run_within_memory
from mar_training.train.recipe import Recipe, load_recipe
from mar_training.train.stages import convert_trainer, spiking_trainer

SHARES = {
    "import": 1,
    "generate": 15,
    "tokenise": 5,
    "trim": 5,
    "blocks": 10,
    "logits": 29,
    "spiking": 30,
    "finish": 5,
}
"""Steps in order, each with its share of the time."""

FROM_TEACHER = ("trim", "blocks", "logits")
"""Steps that a run from an exported model does without."""

FROM_MODEL = ('quantise.rounding="nearest"',)
"""What such a run overrides in the recipe of stage 2: GPTQ would round the integers anew."""

PIECE_BYTES = 15 << 20
"""Of the pieces that results are carried home in."""

CHECKPOINT_SECONDS = 120.0
TICK_SECONDS = 5.0
EVALUATIONS = 4
"""How often a stage is evaluated, its end included."""

MIN_STEPS = 2


@dataclass
class Run:
    """What a run is made from, and where it goes. `vocab_size` = 0 keeps the teacher's whole vocabulary."""

    gguf: Path
    train: list[Path]
    val: list[Path]
    out: Path
    recipes: Path
    name: str
    minutes: float
    init: Path | None = None
    vocab_size: int = 0
    prompts: Path | None = None
    questions: tuple[Path, int | None] | None = None
    rows: int = 256
    eval_rows: int | None = 64
    dtype: str = "bfloat16"
    overrides: list[str] = field(default_factory=list)

    @property
    def whole(self) -> Path:
        """The imported teacher with all its vocabulary; it writes the chats."""
        return self.out / "teacher-whole"

    @property
    def counted(self) -> Path:
        """Chats in the whole vocabulary."""
        return self.out / "data-whole"

    @property
    def teacher(self) -> Path:
        """The teacher with the student's vocabulary; it trains the student."""
        return self.out / "teacher" if self.init or self.vocab_size else self.whole

    @property
    def data(self) -> Path:
        """Chats in the student's vocabulary."""
        return self.out / "data" if self.init or self.vocab_size else self.counted

    @property
    def shares(self) -> dict[str, int]:
        """The steps of this run in order, each with its share of the time."""
        left_out = FROM_TEACHER if self.init else () if self.vocab_size else ("trim",)
        return {step: share for step, share in SHARES.items() if step not in left_out}

    @property
    def begun_with(self) -> dict[str, str | int | None]:
        """The options that a second start must repeat."""
        return {"init": str(self.init.resolve()) if self.init else None, "vocab-size": self.vocab_size or None}


class Clock:
    """The time told, shared out; kept in `plan.json`, so that an interrupted run knows what is spent."""

    def __init__(
        self, folder: Path, minutes: float, shares: dict[str, int] = SHARES, begun_with: dict | None = None
    ) -> None:
        """Continues the clock of an earlier start of the same run: with the same `Run.begun_with`, or `MarError`."""
        self.path, self.shares = folder / "plan.json", shares
        self.begun_with = begun_with or {}
        old = read_json(self.path) if self.path.exists() else {"begun_with": self.begun_with}
        if "begun_with" not in old:
            raise MarError(f"{self.path} was written by another version of mar-train; use another --out")
        before = old["begun_with"]
        for option, now in self.begun_with.items():
            if before.get(option) != now:
                was, asked = (
                    f"--{option} {value}" if value else f"no --{option}" for value in (before.get(option), now)
                )
                raise MarError(f"{folder} was begun with {was}, not {asked}; use another --out")
        self.total = 60.0 * minutes
        self.given: dict[str, float] = old.get("given", {})
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
        waiting = sum(share for name, share in self.shares.items() if name not in self.done)
        left = self.total - sum(self.spent.values())
        if left <= 0 and step != list(self.shares)[-1]:
            spent = sum(self.spent.values()) / 60
            raise MarError(f"no time is left for {step}: {spent:.1f} minutes are spent; give it more --minutes")
        self.given[step] = max(0.0, left) * self.shares[step] / waiting
        return self.given[step]

    def tick(self) -> None:
        """Books the time since the last tick to the running step."""
        with self._lock:
            now = time.monotonic()
            self.spent[self._step] = self.spent.get(self._step, 0.0) + now - self._since
            self._since = now
            write_json(self.path, self._state())

    def _state(self) -> dict:
        named = {
            "begun_with": self.begun_with,
            "given": self.given,
            "spent": self.spent,
            "done": self.done,
            "plans": self.plans,
        }
        return {"minutes": self.total / 60, **named}

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Books time every few seconds, so that a run that is killed has its time booked too."""
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(TICK_SECONDS):
                with suppress(MarError):  # said at the step's end, where it still cannot be written
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
    if run.init:
        if run.vocab_size:
            raise MarError("--vocab-size is for a run without --init: that model has its own vocabulary")
        read_config(run.init)  # so that a wrong folder shows now and not at stage 2
    run.out.mkdir(parents=True, exist_ok=True)
    clock = Clock(run.out, run.minutes, run.shares, run.begun_with)
    with compiled_once(run.out / "compiled"):
        for step in run.shares:
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
    if not is_teacher(run.whole):
        save_teacher(*read_gguf(join_file(run.gguf)), run.whole)
    if run.init and not is_teacher(run.teacher):
        trim_alike(run.whole, run.init, run.teacher)


def _generate(run: Run, clock: Clock, seconds: float) -> None:
    """Half of the time for answers to prompts, where there are any, and the rest for chats out of nothing."""
    del clock
    params, config, tokenizer = load_teacher(run.whole)
    out = run.out / "written.jsonl"
    started = time.monotonic()
    writer = Writer(params, config, tokenizer, rows=run.rows, dtype=jnp.dtype(run.dtype))
    if run.prompts:
        generate(writer, out, prompts=run.prompts, seconds=seconds / 2)
    generate(writer, out, turns=2, seconds=max(0.0, seconds - (time.monotonic() - started)))


def _tokenise(run: Run, clock: Clock, seconds: float) -> None:
    """In the vocabulary that is there by now: of the model to start from, or the whole one, which may be trimmed."""
    del clock, seconds
    if run.init:
        _prepare(run, run.teacher, run.data)
    else:
        _prepare(run, run.whole, run.counted)


def _trim(run: Run, clock: Clock, seconds: float) -> None:
    """The tokens that the chats use most, and the chats again in those."""
    del clock, seconds
    kept, of, share = trim(run.whole, run.counted, run.vocab_size, run.teacher)
    print(f"trimmed to {kept:,} of {of:,} tokens, which are {share:.2%} of the text", flush=True)
    _prepare(run, run.teacher, run.data)


def _prepare(run: Run, teacher: Path, out: Path) -> None:
    """Tokenises the given chats and the written ones for `teacher`; plain texts become documents that fill a row."""
    row = load_recipe(run.recipes / "gpu_spiking.toml", run.overrides).data.seq_len
    written = run.out / "written.jsonl"
    more = [written] if written.exists() and written.stat().st_size else []
    prepare(
        [*run.train, *more],
        run.val,
        out,
        vocab_size=0,
        tokenizer_path=teacher / "tokenizer.json",
        tokenizer_records=0,
        continuations=False,
        text_tokens=row,
    )


def _blocks(run: Run, clock: Clock, seconds: float) -> None:
    _train(run, clock, "blocks", seconds, convert_trainer)


def _logits(run: Run, clock: Clock, seconds: float) -> None:
    _train(run, clock, "logits", seconds, convert_trainer, init=run.out / "blocks")


def _spiking(run: Run, clock: Clock, seconds: float) -> None:
    """From stage 1, or from a model's integers, whose own scales then go on."""
    more = FROM_MODEL if run.init else ()
    _train(run, clock, "spiking", seconds, spiking_trainer, run.init or run.out / "logits", more)


def _train(
    run: Run, clock: Clock, name: str, seconds: float, make, init: Path | None = None, overrides: Sequence[str] = ()
) -> None:
    """Trains one stage for `seconds`, or on to the number of steps that it was planned with."""
    recipe = load_recipe(run.recipes / f"gpu_{name}.toml", [*overrides, *run.overrides])
    if name not in clock.plans:
        clock.plans[name] = _planned(run, recipe, name, seconds, make, init)
        clock.tick()
    plan = clock.plans[name]
    print(f"{name}: {plan}", flush=True)

    def trainer(recipe: Recipe) -> Trainer:
        return make(recipe, run.data, run.teacher, run.out / name, init=init)

    run_within_memory(trainer, _with_train(recipe, **plan))


def _planned(run: Run, recipe: Recipe, name: str, seconds: float, make, init: Path | None) -> dict:
    """The steps that fit, by timing a few; where memory is too small for the rows, in smaller micro-batches.

    What is left for them: all but the time to make the run once more, to evaluate it on its way, and at its end on all
    rows.
    """
    started = time.monotonic()
    while True:
        try:
            begun = time.monotonic()
            trainer = make(recipe, run.data, run.teacher, run.out / f"{name}-timing", init=init, quiet=True)
            making = time.monotonic() - begun
            compiling, each = trainer.timed()
            trainer.evaluate(recipe.train.eval_rows)  # compiles
            begun = time.monotonic()
            trainer.evaluate(recipe.train.eval_rows)
            evaluating = time.monotonic() - begun
            break
        except jax.errors.JaxRuntimeError as e:
            recipe = halved(recipe, e)
        # Else the next one's weights would lie beside those of the one that failed.
        trainer = None
    rows = len(Packer(trainer.val_shard, recipe.data.seq_len, seed=0).rows_of_epoch(0))
    evaluations = EVALUATIONS - 1 + rows / min(rows, recipe.train.eval_rows)
    # The run finds compiled what was compiled here, but not the network of a stage whose weights become integers later.
    again = compiling if recipe.quantise.after > 0 and "float" not in recipe.quantise.weights else 0.0
    left = seconds - (time.monotonic() - started) - making - again - evaluations * evaluating
    steps = max(MIN_STEPS, int(left / each))
    often = max(1, int(CHECKPOINT_SECONDS / each))
    return {
        "steps": steps,
        "rows": recipe.train.rows,
        "accumulate": recipe.train.accumulate,
        "log_every": max(1, steps // 50),
        "eval_every": -(-steps // EVALUATIONS),
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
        for name in clock.plans:
            tar.add(run.out / name / "log.jsonl", f"{name}.jsonl")
        clock.tick()
        tar.add(clock.path, "plan.json")
    pieces = split_file(archive, PIECE_BYTES)
    print(f"{len(pieces)} pieces of at most {PIECE_BYTES >> 20} MiB: {pieces[0]} …; {json.dumps(clock.spent)}")


STEPS = {
    "import": _import,
    "generate": _generate,
    "tokenise": _tokenise,
    "trim": _trim,
    "blocks": _blocks,
    "logits": _logits,
    "spiking": _spiking,
    "finish": _finish,
}

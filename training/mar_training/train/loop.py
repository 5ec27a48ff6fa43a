"""The loop that both stages share: steps, evaluation, checkpoints, and stopping at any moment without loss."""

from __future__ import annotations

import dataclasses
import math
import signal
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mar_training import params as parameters
from mar_training.config import ModelConfig
from mar_training.data.batches import Batch, Packer
from mar_training.data.shards import Shard
from mar_training.errors import MarError
from mar_training.evaluate.loss import validation
from mar_training.flops import peak_flops, step_flops
from mar_training.model import PADDING
from mar_training.teacher.llama import LlamaConfig
from mar_training.train import checkpoint, objective
from mar_training.train.branch import only_scan
from mar_training.train.convert import without_window_columns
from mar_training.train.devices import DataParallel, on_any_host
from mar_training.train.log import RunLog
from mar_training.train.optimizer import optimizer
from mar_training.train.recipe import Recipe


@dataclass
class Teacher:
    """The network that a student learns from."""

    params: dict
    config: ModelConfig | LlamaConfig
    sha256: str


class Interrupted(Exception):
    """The run was asked to stop; its state is in the last checkpoint."""


class Trainer:
    """One run in one folder: `log.jsonl`, `step-*.safetensors` while it goes, `final.safetensors` at its end."""

    def __init__(
        self,
        recipe: Recipe,
        config: ModelConfig,
        params: dict,
        shards: tuple[Shard, Shard],
        folder: Path,
        *,
        tokenizer_sha256: str,
        teacher: Teacher | None = None,
        devices: DataParallel | None = None,
        quiet: bool = False,
    ) -> None:
        """`params` are where a new run starts; a folder that holds a checkpoint goes on from that instead."""
        self.recipe, self.teacher, self.folder = recipe, teacher, folder
        self.config = config
        self.config_at(recipe.train.steps)  # so that a mistake in [quantise] shows now and not at the switch
        self.devices = devices or DataParallel()
        self.devices.check_rows(recipe.train.rows)
        _check_windows(recipe, config)
        self.packer = Packer(
            shards[0], recipe.data.seq_len, recipe.train.seed, recipe.data.weights, recipe.data.loss_on
        )
        self.val_shard = shards[1]
        self.tokenizer_sha256 = tokenizer_sha256
        self.optimizer = optimizer(recipe.optimizer, recipe.train.steps)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise MarError(f"cannot make the run folder {folder}: {e.strerror}") from e
        self.log = RunLog(folder, recipe.train.steps, quiet=quiet)
        self.step = 0
        self.tokens = 0
        parameters.check(params, config)
        self.state = {"params": params, "optimizer": self.optimizer.init(params)}
        if recipe.optimizer.ema:
            self.state["ema"] = params
        self._resume()
        # A copy: the step gives its arguments' memory away, and the caller's may be in use elsewhere.
        self.state = self.devices.replicate(jax.tree.map(jnp.array, self.state))
        self.teacher_params = self.devices.replicate(teacher.params) if teacher else None
        self._steps = {}

    @property
    def quantised_from(self) -> int:
        """The first step that runs with integer weights."""
        return int(self.recipe.train.steps * self.recipe.quantise.after)

    def config_at(self, step: int) -> ModelConfig:
        """The network as it runs at a step: of stage 1 with its window by then, of stage 2 with float weights first,
        then with those of `[quantise]`."""
        recipe = self.recipe
        if recipe.stage == "convert" and (windows := recipe.convert.windows):
            window = windows[min(step * len(windows) // recipe.train.steps, len(windows) - 1)]
            return self.config.replace(window=window, sinks=self.config.sinks if window else 0)
        if recipe.stage != "spiking" or step < self.quantised_from:
            return self.config
        return self.config.replace(weights=recipe.quantise.weights, embed_weights=recipe.quantise.embed_weights)

    def _resume(self) -> None:
        path = checkpoint.latest(self.folder)
        if path is None:
            return
        info = checkpoint.read_info(path)
        if info["tokenizer_sha256"] != self.tokenizer_sha256:
            raise MarError(f"{path} was trained with another tokenizer than this data")
        self.recipe.continues(info["recipe"])
        if info["teacher_sha256"] != (self.teacher.sha256 if self.teacher else None):
            raise MarError(f"{path} was trained from another teacher")
        self._drop_window_for(info["config"])
        self.state = checkpoint.restore(path, self.state)
        self.step, self.tokens = info["step"], info["tokens"]
        self.log.write({"step": self.step, "resumed": path.name})

    def _drop_window_for(self, config: ModelConfig) -> None:
        """Takes the window branch's weights out of the state, where the network that runs next has none."""
        if self.config.window and not config.window:
            self.state = without_window_columns(self.state, self.config)
            self.config = self.config.replace(window=0, sinks=0)

    def _compiled(self, config: ModelConfig):
        if config not in self._steps:
            self._steps[config] = jax.jit(partial(self._train_step, config), donate_argnums=0)
        return self._steps[config]

    def _train_step(self, config: ModelConfig, state, batch: Batch, teacher, now: objective.Schedule):
        """One update from batches [accumulate, rows, l]; gradients add up to those of one large batch."""
        denominator = jnp.maximum(batch.weight.sum(), 1.0)

        def loss_of(params, micro):
            if self.recipe.convert.trains == "scan":
                params = only_scan(params, config)
            if self.recipe.stage == "dense":
                return objective.dense_loss(params, micro, denominator, config, self.recipe)
            given = (params, micro, denominator, config, self.recipe, teacher, self.teacher.config)
            if self._aligns_blocks:
                return objective.align_loss(*given)
            return objective.distill_loss(*given, now)

        grad = jax.grad(loss_of, has_aux=True)
        if self.recipe.train.accumulate == 1:
            grads, metrics = grad(state["params"], first(batch))
        else:

            def add(total, micro):
                return jax.tree.map(jnp.add, total, grad(state["params"], micro)), None

            zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(grad, state["params"], first(batch)))
            (grads, metrics), _ = jax.lax.scan(add, zeros, batch)
        metrics["grad_norm"] = optax.tree.norm(grads)
        updates, new_optimizer = self.optimizer.update(grads, state["optimizer"], state["params"])
        new = {"params": optax.apply_updates(state["params"], updates), "optimizer": new_optimizer}
        if "ema" in state:
            decay = self.recipe.optimizer.ema
            new["ema"] = jax.tree.map(lambda e, p: decay * e + (1 - decay) * p, state["ema"], new["params"])
        return new, metrics

    def _batch(self, step: int) -> tuple[Batch, int]:
        train = self.recipe.train
        flat = self.packer.batch(step, train.rows * train.accumulate)
        shaped = jax.tree.map(lambda x: x.reshape(train.accumulate, train.rows, -1), flat)
        return self.devices.split_rows(shaped, axis=1), int((flat.segment < PADDING).sum())

    def run(self) -> dict:
        """Trains to the recipe's last step; returns the final validation and writes `final.safetensors`.

        Raises `Interrupted` after SIGINT or SIGTERM, with a checkpoint of the last whole step, and `MarError` when
        the loss is no longer a number, leaving the last checkpoint as it was.
        """
        stop = []
        handlers = {s: signal.signal(s, lambda *_: stop.append(1)) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._loop(stop)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        result = self.evaluate(rows=None)
        self.log.write({"step": self.step, "tokens": self.tokens, **result})
        self._save(self.folder / "final.safetensors", result)
        return result

    def _loop(self, stop: list) -> None:
        train = self.recipe.train
        if self.step < train.steps and jax.process_index() == 0:
            # Of an earlier, shorter run: whoever asks for this run's weights must not be given those.
            (self.folder / "final.safetensors").unlink(missing_ok=True)
        pending, since, tokens_then = [], time.monotonic(), self.tokens
        while self.step < train.steps:
            batch, tokens = self._batch(self.step)
            config = self.config_at(self.step)
            self._drop_window_for(config)
            step_fn = self._compiled(config)
            self.state, metrics = step_fn(
                self.state, batch, self.teacher_params, objective.schedule(self.recipe, self.step)
            )
            pending.append(metrics)
            self.step += 1
            self.tokens += tokens
            due = {
                key: self.step % every == 0 or self.step == train.steps
                for key, every in (
                    ("log", train.log_every),
                    ("eval", train.eval_every),
                    ("save", train.checkpoint_every),
                )
            }
            stopping = on_any_host(bool(stop))  # all at the same step, or those that go on wait for ever
            if stopping or any(due.values()):
                means = self._means(pending)
                elapsed = time.monotonic() - since
                entry = {"step": self.step, "tokens": self.tokens, **means}
                self.log.write(entry | self._speed((self.tokens - tokens_then) / elapsed))
                pending = []
            shrinks = self.step < train.steps and self.config_at(self.step).window < config.window
            if shrinks:
                # For who chooses a window by what it costs; before the checkpoint, from which it would not come again.
                self._save(
                    self.folder / f"window-{config.window:04d}.safetensors", self._validate(window=config.window)
                )
            if due["save"] or stopping:
                self._checkpoint()
            if stopping:
                raise Interrupted(f"stopped at step {self.step}; the same command goes on from there")
            if due["eval"] and not shrinks and self.step < train.steps:
                self._validate()
            if not pending:
                since, tokens_then = time.monotonic(), self.tokens

    def _validate(self, **more) -> dict:
        """Figures of the recipe's validation rows, which go into the log with `more`."""
        result = self.evaluate(self.recipe.train.eval_rows)
        self.log.write({"step": self.step, "tokens": self.tokens, **more, **result})
        return result

    def _speed(self, tokens_per_second: float) -> dict:
        """Tokens a second and, on hardware whose peak is known, the share of it that they take."""
        peak, teacher = peak_flops(), self.teacher.config if self.teacher else None
        flops = step_flops(self.config, teacher, self.recipe.data.seq_len, blocks=self._aligns_blocks)
        mfu = {"mfu": tokens_per_second * flops / peak} if peak else {}
        return {"tokens_per_second": tokens_per_second, **mfu}

    def timed(self, steps: int = 2) -> tuple[float, float]:
        """(seconds to compile and take the first step, seconds of each of `steps` more); the run's state is spent."""
        seconds = []
        for step in range(steps + 1):
            started = time.monotonic()
            given = (self._batch(step)[0], self.teacher_params, objective.schedule(self.recipe, step))
            self.state, metrics = self._compiled(self.config_at(step))(self.state, *given)
            jax.block_until_ready(metrics)
            seconds.append(time.monotonic() - started)
        return seconds[0], min(seconds[1:])

    def _means(self, pending: list) -> dict:
        pending = jax.device_get(pending)
        means = {key: np.mean([m[key] for m in pending], axis=0).tolist() for key in pending[0]}
        if not math.isfinite(means["loss"]) or not math.isfinite(means["grad_norm"]):
            last = checkpoint.latest(self.folder)
            raise MarError(
                f"the loss is no longer a number at step {self.step}; "
                f"the last good checkpoint is {last or 'none yet'}. Try a lower [optimizer] lr, or a smaller clip"
            )
        return means

    def best_params(self):
        """The averaged weights where the recipe keeps them, else the current ones."""
        return self.state.get("ema", self.state["params"])

    def evaluate(self, rows: int | None) -> dict:
        """Losses and rates on the first `rows` validation rows, or on all."""
        return validation(
            self.best_params(),
            self.config_at(max(self.step - 1, 0)),
            self.val_shard,
            seq_len=self.recipe.data.seq_len,
            rows=rows,
            batch_rows=self.recipe.train.rows,
            options=objective.options(self.recipe),
            devices=self.devices,
            teacher=(self.teacher_params, self.teacher.config) if self._watches_teacher else None,
        )

    @property
    def _aligns_blocks(self) -> bool:
        """Whether mixers are aligned one by one, which needs a Llama's attention."""
        return self._watches_teacher and self.recipe.convert.objective == "blocks"

    @property
    def _watches_teacher(self) -> bool:
        """Whether validation measures the distance to the teacher too: where the teacher is a pretrained one."""
        return self.teacher is not None and isinstance(self.teacher.config, LlamaConfig)

    def _info(self) -> dict:
        return {
            "tokens": self.tokens,
            "tokenizer_sha256": self.tokenizer_sha256,
            "recipe": dataclasses.asdict(self.recipe),
            "teacher_sha256": self.teacher.sha256 if self.teacher else None,
        }

    def _checkpoint(self) -> None:
        if jax.process_index() == 0:
            checkpoint.save_step(self.folder, self.step, self.state, self.config_at(self.step - 1), self._info())

    def _save(self, path: Path, result: dict) -> None:
        if jax.process_index() == 0:
            config = self.config_at(self.step - 1)
            info = self._info() | {"step": self.step, "result": result}
            checkpoint.save(path, {"params": self.best_params()}, config, info)


def _check_windows(recipe: Recipe, config: ModelConfig) -> None:
    """Refuses windows that the network cannot have, or that the steps never reach."""
    windows = recipe.convert.windows
    if max(windows, default=0) > 0 and not config.window:
        raise MarError(f"{recipe.name}: [convert] windows = {list(windows)}, but this network has no window branch")
    if len(windows) > recipe.train.steps:
        raise MarError(f"{recipe.name}: {len(windows)} [convert] windows need as many [train] steps at least")


def first(batch: Batch) -> Batch:
    """The first micro-batch."""
    return jax.tree.map(lambda x: x[0], batch)

"""Smaller micro-batches where the device's memory is too small for those of the recipe; the steps stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax

from mar_training.errors import MarError
from mar_training.memory import is_short
from mar_training.train.loop import Trainer
from mar_training.train.recipe import Recipe


def run_within_memory(make: Callable[[Recipe], Trainer], recipe: Recipe) -> dict:
    """Makes a run and runs it; where memory is short goes on from its last checkpoint with half the rows, twice."""
    while True:
        try:
            return make(recipe).run()
        except jax.errors.JaxRuntimeError as e:
            recipe = halved(recipe, e)


def halved(recipe: Recipe, error: jax.errors.JaxRuntimeError) -> Recipe:
    """The recipe with half the rows and twice as many micro-batches a step, if `error` says that memory was short.

    Raises `error` itself if it says something else, and `MarError` where rows cannot be halved again.
    """
    if not is_short(error):
        raise error
    train = recipe.train
    if train.rows < 2 or train.rows % 2 or train.rows // 2 % jax.device_count():
        raise MarError(
            f"too little device memory for {recipe.name!r}, even with {train.rows} rows at a time"
        ) from error
    train = replace(train, rows=train.rows // 2, accumulate=train.accumulate * 2)
    print(f"{recipe.name}: out of memory; now {train.rows} rows x {train.accumulate}", flush=True)
    return replace(recipe, train=train)

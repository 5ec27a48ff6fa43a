"""Learning-rate schedule and optimiser of a recipe."""

from __future__ import annotations

from functools import partial

import jax
import optax
from optax.contrib import MuonDimensionNumbers, muon

from mar_training.config import SITES
from mar_training.train.recipe import OptimizerRecipe


def schedule(recipe: OptimizerRecipe, steps: int, peak: float) -> optax.Schedule:
    """Learning rate by step: linear warm-up, then cosine, constant, or constant and a linear end (`wsd`)."""
    warmup = min(recipe.warmup_steps, steps // 2)
    rest = max(steps - warmup, 1)
    if recipe.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, rest, alpha=recipe.final_lr)
    elif recipe.schedule == "wsd":
        decay = max(int(rest * recipe.decay_fraction), 1)
        after = optax.join_schedules(
            [optax.constant_schedule(peak), optax.linear_schedule(peak, peak * recipe.final_lr, decay)],
            [rest - decay],
        )
    else:
        after = optax.constant_schedule(peak)
    return optax.join_schedules([optax.linear_schedule(peak / max(warmup, 1), peak, warmup), after], [warmup])


def is_projection(path: tuple) -> bool:
    """Whether a parameter's tree path is one of the four projections: what Muon takes and weight decay shrinks."""
    return getattr(path[-1], "key", None) in SITES


def optimizer(recipe: OptimizerRecipe, steps: int) -> optax.GradientTransformation:
    """Clipping, then AdamW, or Muon for the projections (stacked over layers, each its own matrix)."""

    def decayed(params):
        return jax.tree_util.tree_map_with_path(lambda path, _: is_projection(path), params)

    if recipe.name == "adamw":
        update = optax.adamw(
            schedule(recipe, steps, recipe.lr),
            recipe.beta1,
            recipe.beta2,
            weight_decay=recipe.weight_decay,
            mask=decayed,
        )
    else:

        def matrices(params):
            axes = MuonDimensionNumbers(reduction_axis=1, output_axis=2)
            return jax.tree_util.tree_map_with_path(lambda path, _: axes if is_projection(path) else None, params)

        update = muon(
            schedule(recipe, steps, recipe.lr),
            weight_decay=recipe.weight_decay,
            adam_b1=recipe.beta1,
            adam_b2=recipe.beta2,
            adam_learning_rate=schedule(recipe, steps, recipe.adam_lr or recipe.lr),
            muon_weight_dimension_numbers=matrices,
            # An update as large as AdamW's, so that one learning rate suits both (arXiv 2502.16982).
            consistent_rms=0.2,
        )
    parts = [optax.clip_by_global_norm(recipe.clip), update]
    if recipe.vector_scale != 1.0:
        parts.append(optax.stateless(partial(_scale_vectors, recipe.vector_scale)))
    return optax.chain(*parts)


def _scale_vectors(scale: float, updates, params):
    """Updates of all but projections and embedding times `scale`."""
    del params

    def one(path, update):
        matrix = is_projection(path) or getattr(path[-1], "key", None) == "embed"
        return update if matrix else scale * update

    return jax.tree_util.tree_map_with_path(one, updates)

"""Where thresholds start: from the currents of a calibration pass."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp

from mar_training import params as parameters
from mar_training.config import SITES, ModelConfig
from mar_training.data.batches import Packer
from mar_training.data.shards import Shard
from mar_training.model import PADDING, Options, forward
from mar_training.neuron import COUNTS
from mar_training.train import objective
from mar_training.train.recipe import Recipe

MULTIPLES = tuple(0.125 * 2 ** (step / 4) for step in range(21))
"""Thresholds that are tried, as multiples of the mean |I|: an eighth to four, four in a doubling."""

SAMPLE_TOKENS = 1024
"""Tokens whose currents are kept whole for the search."""


def calibrated(weights: dict, dense: ModelConfig, student: ModelConfig, shard: Shard, recipe: Recipe) -> dict:
    """Adds thresholds to dense weights, from the currents of one batch of training data.

    Each neuron's V is a multiple of its mean |I|, narrowed by `threshold_power`: the recipe's multiple or, where that
    says 0, the one of `MULTIPLES` with the smallest Σ (I - V·c)² over its layer's neurons.
    """
    packer = Packer(shard, recipe.data.seq_len, recipe.train.seed, recipe.data.weights)
    batch = packer.batch(0, recipe.train.rows)
    run = objective.options(recipe)
    given = recipe.sparsity.threshold_init
    measure = jax.jit(lambda params: forward(params, batch.tokens, batch.segment, dense, replace(run, currents="mean")))
    mean = {site: narrowed(m, recipe.sparsity.threshold_power) for site, m in measure(weights).currents.items()}
    if not all(given):
        rows = max(1, SAMPLE_TOKENS // recipe.data.seq_len)
        nearest = _nearest(weights, batch.tokens[:rows], batch.segment[:rows], dense, student, run, mean)
        given = [multiple or nearest[site] for site, multiple in zip(SITES, given, strict=True)]
    return parameters.with_thresholds(weights, mean, given)


def narrowed(mean: jax.Array, power: float) -> jax.Array:
    """m·(mean / m)^power, m the median of each layer of `mean` [L, inputs]; power 1 changes nothing."""
    if power == 1.0:
        return mean
    median = jnp.maximum(jnp.median(mean, axis=-1, keepdims=True), 1e-8)
    return median * (mean / median) ** power


@partial(jax.jit, static_argnames=("dense", "student", "run"))
def _nearest(weights, tokens, segment, dense: ModelConfig, student: ModelConfig, run: Options, mean):
    """Of each site the best multiple of each layer [L, 1]."""
    currents = forward(weights, tokens, segment, dense, replace(run, currents="all")).currents
    valid = (segment < PADDING)[..., None]
    best = {}
    for site, steps in zip(SITES, student.steps, strict=True):

        def error(multiple, site=site, steps=steps):
            v = jnp.maximum(multiple * parameters.floored(mean[site]), 1e-8)[:, None, None]
            counts = COUNTS[student.neuron](currents[site] / v, steps, student.tau, student.precharge)
            return jnp.sum(jnp.where(valid, (currents[site] - v * counts) ** 2, 0.0), axis=(1, 2, 3))

        errors = jax.lax.map(error, jnp.array(MULTIPLES))  # [multiples, L]
        best[site] = jnp.array(MULTIPLES)[jnp.argmin(errors, axis=0)][:, None]
    return best


def finer(weights: dict, divisors: tuple[float, ...]) -> dict:
    """Thresholds of a spiking network divided, site by site, and learned scales with them, so that the integers stay:
    a neuron sends more spikes for the same current, each worth less, and T should grow as much."""
    layers = dict(weights["layers"])
    for site, divisor in zip(SITES, divisors, strict=True):
        for name in (f"log_threshold_{site}", f"log_scale_{site}"):
            if name in layers:
                layers[name] = layers[name] - jnp.log(divisor)
    return weights | {"layers": layers}

"""Rounding a trained network's weights so that their errors make up for one another, before training goes on.

GPTQ (arXiv 2210.17323): a matrix is rounded input by input, the loudest first, and what an input's rounding does to the
outputs is taken back by the inputs that are still to come. The inputs are spike counts, of a calibration pass.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from mar_training.config import QMAX, SITES, ModelConfig
from mar_training.data.batches import Packer
from mar_training.data.shards import Shard
from mar_training.errors import MarError
from mar_training.model import PADDING, forward
from mar_training.neuron import COUNTS
from mar_training.train import objective
from mar_training.train.recipe import Recipe

BATCHES = 8
"""Batches of training data whose counts are measured."""

CLIPS = np.linspace(0.15, 1.0, 18, dtype=np.float32)
"""Scales that are tried for a channel: those that clip at this share of its largest weight."""

DAMPING = 0.01
"""Added to the counts' second moments, as a share of their mean, so that they can be inverted."""

LEAN = 0.4
"""How far from its integer a weight may start, towards where it was: weights that training can move must not all begin
in the middle of their steps, nor at the edge."""

BLOCK = 64
"""Inputs that are rounded before the rest of the matrix hears of it, in one product."""


def rounded(weights: dict, config: ModelConfig, shard: Shard, recipe: Recipe) -> dict:
    """The spiking network's `weights`, each moved to where it is rounded to the integer that GPTQ chose for it, with
    scales to learn (`log_scale_*`)."""
    kinds = recipe.quantise.weights
    if "float" in kinds:
        raise MarError('[quantise] rounding = "gptq" needs an integer type for each of the four weights')
    moments = _moments(weights, config, shard, recipe)
    layers = {name: np.array(value) for name, value in weights["layers"].items()}
    for site, kind in zip(SITES, kinds, strict=True):
        scales = []
        for layer in range(config.n_layers):
            threshold = np.exp(layers[f"log_threshold_{site}"][layer])[:, None]
            folded = threshold * layers[site][layer]
            q, scale = gptq(folded, moments[site][layer], QMAX[kind])
            layers[site][layer] = np.clip(folded / scale, q - LEAN, q + LEAN) * scale / threshold
            scales.append(np.log(scale))
        layers[f"log_scale_{site}"] = np.stack(scales)
    return weights | {"layers": {name: jnp.asarray(value) for name, value in layers.items()}}


def with_scales(weights: dict, config: ModelConfig) -> dict:
    """`weights` with scales of 1: what a checkpoint of a rounded network is read into."""
    scales = {f"log_scale_{site}": jnp.zeros((config.n_layers, out)) for site, (_, out) in config.site_shapes.items()}
    return weights | {"layers": weights["layers"] | scales}


def without_scales(weights: dict) -> dict:
    """`weights` without learned scales: those of one integer type say nothing about another's."""
    layers = {name: value for name, value in weights["layers"].items() if not name.startswith("log_scale_")}
    return weights | {"layers": layers}


def _moments(weights: dict, config: ModelConfig, shard: Shard, recipe: Recipe) -> dict[str, np.ndarray]:
    """Of each site the mean of c·cᵀ over tokens, [L, inputs, inputs]."""
    packer = Packer(shard, recipe.data.seq_len, recipe.train.seed, recipe.data.weights)
    run = replace(objective.options(recipe), currents="all")

    @jax.jit
    def measure(params, tokens, segment):
        currents = forward(params, tokens, segment, config, run).currents
        valid = (segment < PADDING)[..., None]
        sums = {}
        for site, steps in zip(SITES, config.steps, strict=True):
            r = currents[site] * jnp.exp(-params["layers"][f"log_threshold_{site}"])[:, None, None]
            counts = COUNTS[config.neuron](r, steps, config.tau, config.precharge) * valid
            sums[site] = jnp.einsum("ltsi,ltsj->lij", counts, counts)
        return sums, valid.sum()

    total, tokens = {}, 0
    for index in range(BATCHES):
        batch = packer.batch(index, recipe.train.rows)
        sums, valid = jax.device_get(measure(weights, batch.tokens, batch.segment))
        total = {site: total.get(site, 0) + value for site, value in sums.items()}
        tokens += int(valid)
    return {site: value / max(tokens, 1) for site, value in total.items()}


def gptq(w: np.ndarray, moments: np.ndarray, qmax: int) -> tuple[np.ndarray, np.ndarray]:
    """(integers [inputs, outputs], scale [outputs]) of w with a small E|c·w - c·q·s|², where `moments` is E[c·cᵀ]."""
    scale = _scale(w, np.diag(moments), qmax)
    order = np.argsort(-np.diag(moments), kind="stable")
    left = w[order].astype(np.float32)
    second = moments[np.ix_(order, order)].astype(np.float64)
    second[np.diag_indices_from(second)] += DAMPING * np.mean(np.diag(second)) + 1e-6
    # Row i of this triangle, over its diagonal, is how later inputs make up for input i.
    upper = np.linalg.cholesky(np.linalg.inv(second)).T.astype(np.float32)
    inputs = len(left)
    q = np.zeros_like(left)
    for begin in range(0, inputs, BLOCK):
        end = min(begin + BLOCK, inputs)
        errors = np.zeros((end - begin, left.shape[1]), np.float32)
        for i in range(begin, end):
            q[i] = np.clip(np.round(left[i] / scale), -qmax, qmax)
            errors[i - begin] = (left[i] - q[i] * scale) / upper[i, i]
            left[i + 1 : end] -= np.outer(upper[i, i + 1 : end], errors[i - begin])
        left[end:] -= upper[begin:end, end:].T @ errors
    in_place = np.zeros_like(q)
    in_place[order] = q
    return in_place, scale


def _scale(w: np.ndarray, weight: np.ndarray, qmax: int) -> np.ndarray:
    """Of each column the scale with the smallest squared error, an input's counted by its `weight` [inputs]."""
    top = np.maximum(np.abs(w).max(axis=0), 1e-12)
    weight = weight[:, None] + 1e-6
    best = np.full(w.shape[1], np.inf)
    scale = top / qmax
    for clip in CLIPS:
        s = top * clip / qmax
        q = np.clip(np.round(w / s), -qmax, qmax)
        error = (weight * (w - q * s) ** 2).sum(axis=0)
        scale = np.where(error < best, s, scale)
        best = np.minimum(error, best)
    return scale.astype(np.float32)

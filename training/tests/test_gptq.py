"""Rounding by GPTQ: errors that make up for one another, on inputs that hang together."""

import jax.numpy as jnp
import numpy as np
import pytest

from mar_training.train.gptq import gptq
from mar_training.train.thresholds import narrowed


def layer(inputs=48, outputs=20, rank=12, seed=0):
    """(weights, counts of 400 tokens, their second moments): a few causes behind all inputs, some inputs loud."""
    rng = np.random.default_rng(seed)
    counts = np.round(rng.normal(0, 2, (400, rank)) @ rng.normal(0, 1, (rank, inputs)))
    counts = (counts * np.exp(rng.normal(0, 1, inputs))).astype(np.float32)
    return rng.normal(0, 1, (inputs, outputs)).astype(np.float32), counts, counts.T @ counts / len(counts)


@pytest.mark.parametrize("qmax", [1, 7, 127])
def test_its_outputs_are_much_nearer_than_those_of_rounding_alone(qmax):
    w, counts, moments = layer()
    q, scale = gptq(w, moments, qmax)
    nearest = np.clip(np.round(w / scale), -qmax, qmax)

    def error(integers):
        return np.sum((counts @ w - counts @ integers * scale) ** 2)

    assert error(q) < 0.5 * error(nearest)
    np.testing.assert_array_equal(q, np.round(q))
    assert np.abs(q).max() <= qmax


def test_uncorrelated_inputs_are_rounded_to_the_nearest():
    w, _, _ = layer()
    q, scale = gptq(w, np.eye(len(w), dtype=np.float32), 7)
    np.testing.assert_array_equal(q, np.clip(np.round(w / scale), -7, 7))


def test_silent_inputs_and_columns_of_zeros_have_finite_integers_and_scales():
    w, _, moments = layer()
    w[:, 3] = 0.0
    moments[5] = moments[:, 5] = 0.0
    q, scale = gptq(w, moments, 7)
    assert np.isfinite(q).all()
    assert (scale > 0).all()
    assert not q[:, 3].any()


def test_a_narrowed_spread_keeps_the_median_and_the_order():
    mean = jnp.array([[1.0, 2.0, 4.0, 8.0, 1024.0]])
    half = narrowed(mean, 0.5)
    assert half[0, 2] == 4.0
    np.testing.assert_allclose(half[0, 4] / half[0, 2], 16.0, rtol=1e-5)
    assert (jnp.diff(half[0]) > 0).all()
    np.testing.assert_array_equal(narrowed(mean, 1.0), mean)

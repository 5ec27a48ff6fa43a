"""Integer weights: ranges, scales, the straight-through gradient, and sums without rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mar_training.config import QMAX
from mar_training.quant import learned, quantise, straight_through

KINDS = tuple(QMAX)


def weights(shape=(64, 24), seed=0):
    """Random weights with a column of zeros, one of equal values, and one with an outlier."""
    w = np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)
    w[:, 0], w[:, 1], w[3, 2] = 0.0, -0.25, 40.0
    return jnp.asarray(w)


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("kind", KINDS)
def test_integers_stay_in_range_and_scales_are_positive(kind, axis):
    q, s = quantise(weights(), kind, axis)
    np.testing.assert_array_equal(q, np.round(q))
    assert jnp.abs(q).max() == QMAX[kind]
    assert s.shape[axis] == 1
    assert jnp.all(s > 0)
    assert jnp.all(jnp.isfinite(s))


@pytest.mark.parametrize("kind", KINDS)
def test_a_column_of_zeros_stays_zero(kind):
    q, s = quantise(jnp.zeros((8, 3)), kind)
    np.testing.assert_array_equal(q * s, jnp.zeros((8, 3)))


def test_int8_is_within_half_a_step_of_every_weight():
    w = weights()
    q, s = quantise(w, "int8")
    assert jnp.all(jnp.abs(q * s - w) <= 0.5001 * s)


def test_int4_clips_an_outlier_instead_of_losing_the_others():
    q, s = quantise(weights(), "int4")
    assert q[3, 2] == 7
    assert s[0, 2] < 40 / 7


@pytest.mark.parametrize("kind", KINDS)
def test_straight_through_has_the_value_of_quantise_and_the_gradient_of_the_identity(kind):
    w = weights()
    probe = jax.random.normal(jax.random.key(0), w.shape)

    def probed(w):
        q, s = straight_through(w, kind)
        return jnp.sum(q * s * probe)

    for got, want in zip(straight_through(w, kind), quantise(w, kind), strict=True):
        np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(jax.grad(probed)(w), probe, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_learned_scale_has_the_gradient_of_learned_step_size(kind):
    top = QMAX[kind]
    w = jnp.array([[0.3, -0.6, 2.0 * top, -3.0 * top]]).T
    scale = jnp.array([[0.5]])

    def total(w, scale):
        q, s = learned(w, kind, scale)
        return jnp.sum(q * s)

    ratio = w / scale
    inside = jnp.abs(ratio) <= top
    to_w, to_scale = jax.grad(total, argnums=(0, 1))(w, scale)
    np.testing.assert_array_equal(to_w, inside.astype(jnp.float32))
    q = jnp.clip(jnp.round(ratio), -top, top)
    np.testing.assert_allclose(to_scale, jnp.sum(jnp.where(inside, q - ratio, q), keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(learned(w, kind, scale)[0], q)


@pytest.mark.parametrize(
    ("kind", "width", "steps"), [("int8", 1040, 127), ("int4", 18872, 127), ("ternary", 132104, 127)]
)
def test_sums_of_folded_integers_are_exact_up_to_2_to_the_24(kind, width, steps):
    """float32 holds them in any order; each width is the last that keeps the bound."""
    top = QMAX[kind]
    assert width * steps * top <= 1 << 24 < (width + 1) * steps * top
    rng = np.random.default_rng(0)
    counts = rng.integers(-steps, steps + 1, (3, width))
    q = rng.integers(-top, top + 1, (width, 4))
    counts[0], q[:, 0] = steps, top
    counts[1], q[:, 1] = -steps, top
    got = jnp.matmul(counts.astype(np.float32), q.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(got, np.int64), counts @ q)

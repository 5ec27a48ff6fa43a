"""The spiking neurons: their counts by the paper's equations, and their gradients by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mar_training.neuron import binary_count, fire, fires_at_all, ternary_count

F32 = np.float32
STEPS = (1, 2, 4, 7)
TAUS = (1.0, 2.0)
PRECHARGES = (0.0, 0.25, 0.5)


def paper_count(r, steps, tau, precharge, lowest=-1):
    """ATMN as the paper writes it, one neuron, V = 1: inject, leak, fire, soft reset."""
    current, u, count = F32(r), F32(0), 0
    for t in range(steps):
        h = current + F32(precharge) * np.sign(current) if t == 0 else u / F32(tau)
        spike = 1 if h >= 1 else -1 if h <= -1 else 0
        spike = max(spike, lowest)
        u = h - F32(spike)
        count += spike
    return count


def neighbours(centres):
    """Each value with the float32 just under and just over it."""
    centres = np.asarray(centres, F32)
    up, down = np.nextafter(centres, F32(np.inf)), np.nextafter(centres, F32(-np.inf))
    return np.unique(np.concatenate([centres, up, down]))


def inputs():
    """Inputs on, beside and between every threshold, in units of V, of both signs; zeros; huge ones."""
    edges = np.concatenate([np.arange(9) - p for p in PRECHARGES] + [2.0 ** np.arange(5)])
    random = np.random.default_rng(0).normal(0, 3, 200)
    r = np.concatenate([neighbours(edges), random, [1e-30, 1e6, 1e30]]).astype(F32)
    return np.concatenate([r, -r, F32([0.0, -0.0])])


@pytest.mark.parametrize("precharge", PRECHARGES)
@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("steps", STEPS)
def test_counts_follow_the_papers_equations(steps, tau, precharge):
    r = inputs()
    ternary = ternary_count(jnp.asarray(r), steps, tau, precharge)
    np.testing.assert_array_equal(ternary, [paper_count(x, steps, tau, precharge) for x in r])
    binary = binary_count(jnp.asarray(r), steps, tau, precharge)
    np.testing.assert_array_equal(binary, [paper_count(max(x, 0), steps, tau, precharge, lowest=0) for x in r])


@pytest.mark.parametrize("precharge", [*PRECHARGES, 0.1, 0.3])
def test_fires_at_all_is_a_count_other_than_zero(precharge):
    r = jnp.asarray(np.concatenate([inputs(), neighbours([1 - precharge, precharge - 1])]))
    for tau in TAUS:
        fired = ternary_count(r, 4, tau, precharge) != 0
        np.testing.assert_array_equal(fires_at_all(r, jnp.float32(precharge)), fired)


def test_fires_at_all_pulls_only_near_the_threshold():
    r = jnp.asarray([0.1, 0.75, 1.6, 1.76, -0.75, -1.76])
    slope = jax.grad(lambda r: fires_at_all(r, jnp.float32(0.25)).sum())(r)
    np.testing.assert_allclose(slope, [0.35, 1.0, 0.15, 0.0, -1.0, 0.0], atol=1e-6)


@pytest.mark.parametrize(("neuron", "low"), [("atmn", -4.0), ("binary", 0.0)])
def test_gradient_is_straight_through_inside_the_range_and_zero_outside(neuron, low):
    r = jnp.linspace(-6, 6, 49)
    slope = jax.grad(lambda r: fire(r, neuron, 4, 1.0, 0.5).sum())(r)
    np.testing.assert_array_equal(slope, (r >= low) & (r <= 4))


def projected(current, threshold, steps, precharge):
    """y = V·c(I / V), as the layer computes it."""
    return threshold * fire(current / threshold, "atmn", steps, 1.0, precharge)


def slopes(y, current, threshold, eps=1e-3):
    """(dy/dI, dy/dV) by central differences."""
    return (
        (y(current + eps, threshold) - y(current - eps, threshold)) / (2 * eps),
        (y(current, threshold + eps) - y(current, threshold - eps)) / (2 * eps),
    )


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("sign", [1, -1])
def test_saturated_neuron_has_the_true_gradient(steps, sign):
    current, threshold = sign * 0.7 * (steps + 1.5), 0.7
    by_grad = jax.grad(projected, argnums=(0, 1))(current, threshold, steps, 0.5)
    by_difference = slopes(lambda i, v: projected(i, v, steps, 0.5), current, threshold)
    np.testing.assert_allclose(by_grad, [0.0, sign * steps], atol=1e-6)
    np.testing.assert_allclose(by_difference, [0.0, sign * steps], atol=2e-3)


@pytest.mark.parametrize("r", [0.3, 1.2, 2.9, -0.6, -3.1])
@pytest.mark.parametrize("precharge", PRECHARGES)
def test_gradient_inside_the_range_is_that_of_learned_step_size(r, precharge):
    """There the rounding c - r is a constant and V scales both: y = V·(I / V + (c - r))."""
    threshold = 0.7
    rounding = paper_count(r, 4, 1.0, precharge) - r
    by_grad = jax.grad(projected, argnums=(0, 1))(r * threshold, threshold, 4, precharge)
    frozen = slopes(lambda i, v: v * (i / v + rounding), r * threshold, threshold)
    np.testing.assert_allclose(by_grad, frozen, atol=1e-4)

"""ATMN, the adaptive ternary multi-step neuron, and the binary neuron it is compared with.

Both work in units of the threshold: r = I / V. A spike train is summed to a count c, so that the projection
behind it reads y = (V ⊙ c) · W. Source: paper, section 3.2; `precharge` is ours (h_0 = r + precharge·sign(r)).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp


def ternary_count(r: jax.Array, steps: int, tau: float, precharge: float) -> jax.Array:
    """Signed spikes of ATMN in `steps` micro-steps, for inputs r = I / V of any shape; floats in [-T, T].

    With tau = 1 the soft reset takes one threshold a step, which is `trunc`, exactly also in floating point:
    h - 1 loses no bit when h >= 1.
    """
    h = r + precharge * jnp.sign(r)
    if tau == 1.0:
        return jnp.clip(jnp.trunc(h), -steps, steps)
    # Multiplied by the rounded reciprocal, as the format fixes it: a division may or may not be turned into one.
    leak = jnp.float32(1.0 / tau)
    count = jnp.zeros_like(h)
    for _ in range(steps):
        spike = (h >= 1.0).astype(h.dtype) - (h <= -1.0).astype(h.dtype)
        count += spike
        h = (h - spike) * leak
    return count


def binary_count(r: jax.Array, steps: int, tau: float, precharge: float) -> jax.Array:
    """Spikes of the same neuron without the negative sign: floats in [0, T]."""
    return ternary_count(jnp.maximum(r, 0.0), steps, tau, precharge)


COUNTS = {"atmn": ternary_count, "binary": binary_count}


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3, 4))
def fire(r: jax.Array, neuron: str, steps: int, tau: float, precharge: float) -> jax.Array:
    """Spike counts with a straight-through gradient: dc/dr = 1 where |r| <= T (binary: 0 <= r <= T), else 0.

    With V folded into the weights and r = I·exp(-a), automatic differentiation then gives the threshold the
    gradient of learned-step-size quantisation: dy/da = V·(c - r) inside the range and V·c outside.
    """
    return COUNTS[neuron](r, steps, tau, precharge)


def _fire_fwd(r, neuron, steps, tau, precharge):
    low = -steps if neuron == "atmn" else 0.0
    return fire(r, neuron, steps, tau, precharge), (r >= low) & (r <= steps)


def _fire_bwd(neuron, steps, tau, precharge, inside, grad):
    del neuron, steps, tau, precharge
    return (jnp.where(inside, grad, 0.0),)


fire.defvjp(_fire_fwd, _fire_bwd)


@jax.custom_vjp
def fires_at_all(r: jax.Array, precharge: jax.Array) -> jax.Array:
    """1 where at least one spike leaves, else 0; the sum is the neuron's own, so that both round alike.

    Its gradient is a triangle of height 1 and half-width 1 around the threshold: neurons near it feel the
    pull of the sparsity term, those far above or below do not.
    """
    return (jnp.abs(r) + precharge >= 1.0).astype(r.dtype)


def _fires_fwd(r, precharge):
    return fires_at_all(r, precharge), (r, precharge)


def _fires_bwd(res, grad):
    r, precharge = res
    slope = jnp.maximum(0.0, 1.0 - jnp.abs(jnp.abs(r) + precharge - 1.0)) * jnp.sign(r)
    return grad * slope, jnp.zeros_like(precharge)


fires_at_all.defvjp(_fires_fwd, _fires_bwd)

"""Integer weights per output channel, and the straight-through form the trainer uses."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mar_training.config import QMAX

_TINY = 1e-12


def scale_of(w: jax.Array, kind: str, axis: int) -> jax.Array:
    """Scale s > 0 of each channel, so that w ≈ s·q; `axis` is the one that a channel runs along.

    int8 covers the largest weight. int4 clips at three standard deviations: the few larger weights that the
    folded thresholds make would otherwise cost all others their resolution. ternary takes the mean of |w|, as
    BitNet b1.58 does.
    """
    top = jnp.max(jnp.abs(w), axis=axis, keepdims=True)
    if kind == "int8":
        s = top / QMAX[kind]
    elif kind == "int4":
        rms = jnp.sqrt(jnp.mean(w * w, axis=axis, keepdims=True))
        s = jnp.minimum(top, 3.0 * rms) / QMAX[kind]
    else:
        s = jnp.mean(jnp.abs(w), axis=axis, keepdims=True)
    return jnp.maximum(s, _TINY)


def learned(w: jax.Array, kind: str, scale: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(q, s) as `straight_through`, with a scale that is a parameter itself: learned step size (arXiv 1902.08153).

    Of s·q, the gradient with respect to w is 1 inside the range and 0 beyond it; with respect to s it is q - w/s inside
    and q beyond.
    """
    s = jnp.maximum(scale, _TINY)
    ratio = w / s
    q = jnp.clip(jnp.round(jax.lax.stop_gradient(ratio)), -QMAX[kind], QMAX[kind])
    inside = jnp.abs(ratio) <= QMAX[kind]
    return q + jnp.where(inside, ratio - jax.lax.stop_gradient(ratio), 0.0), s


def quantise(w: jax.Array, kind: str, axis: int = -2) -> tuple[jax.Array, jax.Array]:
    """(q, s): integers, as floats in [-qmax, qmax], and scales with `axis` kept as 1; both without gradient."""
    w = jax.lax.stop_gradient(w)
    s = scale_of(w, kind, axis)
    q = jnp.clip(jnp.round(w / s), -QMAX[kind], QMAX[kind])
    return q, s


def straight_through(w: jax.Array, kind: str, axis: int = -2) -> tuple[jax.Array, jax.Array]:
    """As `quantise`, but the gradient of s·q with respect to w is the identity.

    Kept as a pair: counts · q sums integers, which float32 does exactly in any order, and the scale comes after.
    """
    q, s = quantise(w, kind, axis)
    return q + (w - jax.lax.stop_gradient(w)) / s, s

"""Matrix products in a narrower type than their sums, in both directions.

Processors multiply bfloat16 many times as fast as float32 (tensor cores, AMX) and add in float32. Left to itself,
automatic differentiation would multiply a float32 cotangent with a bfloat16 operand, at float32's speed or below.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def product(x: jax.Array, w: jax.Array, dtype: Any, axis: int = 0) -> jax.Array:
    """x [..., k] times the matrix w, whose `axis` is k, to [..., m] in float32; operands are rounded to `dtype`.

    Counts up to 256 and integer weights of 8 bits or fewer are bfloat16 numbers, so their products and sums stay exact.
    """
    return _dot(x, w, dtype, ((x.ndim - 1,), (axis,)))


def _dot(a, b, dtype, contract):
    return jax.lax.dot_general(
        a.astype(dtype), b.astype(dtype), (contract, ((), ())), preferred_element_type=jnp.float32
    )


def _forward(x, w, dtype, axis):
    return product(x, w, dtype, axis), (x, w)


def _backward(dtype, axis, residual, cotangent):
    x, w = residual
    lead = tuple(range(x.ndim - 1))
    to_x = _dot(cotangent, w, dtype, ((cotangent.ndim - 1,), (1 - axis,)))
    first, second = (x, cotangent) if axis == 0 else (cotangent, x)
    to_w = _dot(first, second, dtype, (lead, lead))
    return to_x.astype(x.dtype), to_w.astype(w.dtype)


product.defvjp(_forward, _backward)

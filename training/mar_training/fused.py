"""A loss over a large vocabulary without its logits in memory: by chunks, the gradient made on the way forward.

Logits of a chunk of tokens are used at once for value and gradient, and dropped. So the head costs three products, as
if nothing were chunked, and its memory is that of one chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp


@partial(jax.custom_vjp, nondiff_argnums=(0, 5))
def chunked_sum(fn: Callable, shared: Any, hidden: jax.Array, constant: Any, tokens: Any, chunk: int):
    """The sum over chunks of fn(shared, hidden chunk, constant, tokens chunk) = (loss, metrics), both sums over tokens.

    hidden [b, l, d] and every leaf of `tokens` [b, l, …] are cut along l into chunks of at most `chunk` that divide l.
    Gradients reach `shared` and `hidden`; the metrics, `constant` and `tokens` have none.
    """
    parts = _cut((hidden, tokens), chunk)

    def add(total, part):
        return jax.tree.map(jnp.add, total, fn(shared, part[0], constant, part[1])), None

    first = jax.tree.map(lambda x: x[0], parts)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(fn, shared, first[0], constant, first[1])
    )
    return jax.lax.scan(add, zeros, parts)[0]


def _cut(tree: Any, chunk: int) -> Any:
    """[b, l, …] to [l / c, b, c, …]."""

    def cut(x):
        length = x.shape[1]
        size = next(c for c in range(min(chunk, length), 0, -1) if length % c == 0)
        return x.reshape(x.shape[0], length // size, size, *x.shape[2:]).swapaxes(0, 1)

    return jax.tree.map(cut, tree)


def _forward(fn, shared, hidden, constant, tokens, chunk):
    parts = _cut((hidden, tokens), chunk)
    gradient = jax.value_and_grad(fn, argnums=(0, 1), has_aux=True)

    def add(total, part):
        value, (to_shared, to_hidden) = gradient(shared, part[0], constant, part[1])
        return jax.tree.map(jnp.add, total, (value, to_shared)), to_hidden

    first = jax.tree.map(lambda x: x[0], parts)
    values, _ = jax.eval_shape(gradient, shared, first[0], constant, first[1])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (values, shared))
    (value, to_shared), to_hidden = jax.lax.scan(add, zeros, parts)
    to_hidden = to_hidden.swapaxes(0, 1).reshape(hidden.shape)
    nothing = jax.tree.map(jnp.zeros_like, constant), jax.tree.map(_no_gradient, tokens)
    return value, (to_shared, to_hidden, nothing)


def _no_gradient(x: jax.Array):
    return jnp.zeros_like(x) if jnp.issubdtype(x.dtype, jnp.floating) else None


def _backward(fn, chunk, residual, cotangent):
    del fn, chunk
    to_shared, to_hidden, (to_constant, to_tokens) = residual
    scale = cotangent[0]
    return *jax.tree.map(lambda g: g * scale, (to_shared, to_hidden)), to_constant, to_tokens


chunked_sum.defvjp(_forward, _backward)

"""The window branch: grouped-query attention over the last W tokens and the first S, in constant memory.

Rotary positions are the rotate-half form (as in Llama) and count from the document's first token.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def rotary(x: jax.Array, position: jax.Array, theta: float) -> jax.Array:
    """Rotates x [..., heads, width] by its position [...]; pairs are (j, j + width/2)."""
    half = x.shape[-1] // 2
    frequency = theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    angle = position[..., None, None].astype(jnp.float32) * frequency
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    left, right = x[..., :half], x[..., half:]
    return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)


def window_attention(q, k, v, position, segment, window: int, sinks: int, dtype=jnp.float32) -> jax.Array:
    """Attention over whole rows: q [b, l, heads, w], k and v [b, l, kv heads, w], already rotated,
    multiplied in `dtype`.

    A token sees those of its own document at most `window` - 1 positions back, and the first `sinks`.
    Returns [b, l, heads·w].
    """
    rows, length, heads, width = q.shape
    kv_heads = k.shape[2]
    q = q.reshape(rows, length, kv_heads, heads // kv_heads, width)
    q, k, v = (part.astype(dtype) for part in (q, k, v))
    scores = jnp.einsum("bikgw,bjkw->bkgij", q, k, preferred_element_type=jnp.float32) * width**-0.5
    index = jnp.arange(length)
    causal = index[:, None] >= index[None, :]
    near = index[:, None] - index[None, :] < window
    sees = causal & (near | (position < sinks)[:, None, :]) & (segment[:, :, None] == segment[:, None, :])
    weights = jax.nn.softmax(jnp.where(sees[:, None, None], scores, -jnp.inf), axis=-1)
    out = jnp.einsum("bkgij,bjkw->bikgw", weights.astype(dtype), v, preferred_element_type=jnp.float32)
    return out.reshape(rows, length, heads * width)


def ring_slot(position: jax.Array, window: int, sinks: int) -> jax.Array:
    """Where the ring buffer of `sinks` + `window` slots keeps the token at `position`."""
    return jnp.where(position < sinks, position, sinks + (position - sinks) % window)


def window_attention_step(q, ring_k, ring_v, position) -> jax.Array:
    """One token against the ring, its own key and value already written.

    q [b, heads, w]; ring_k and ring_v [b, sinks + window, kv heads, w]; position [b], of this token.
    """
    rows, heads, width = q.shape
    slots, kv_heads = ring_k.shape[1:3]
    slot = jnp.arange(slots)
    # The ring fills in order, so a slot is in use when the token that would first take it has been seen.
    used = slot[None, :] <= position[:, None]
    q = q.reshape(rows, kv_heads, heads // kv_heads, width)
    scores = jnp.einsum("bkgw,bskw->bkgs", q, ring_k) * width**-0.5
    weights = jax.nn.softmax(jnp.where(used[:, None, None], scores, -jnp.inf), axis=-1)
    return jnp.einsum("bkgs,bskw->bkgw", weights, ring_v).reshape(rows, heads * width)

"""The selective scan of Mamba-2, in its chunked form (state space duality) and as one step.

Both compute, for every head, state_t = exp(Δ_t·A)·state_{t-1} + Δ_t·B_t ⊗ x_t and y_t = C_t · state_t
(Dao and Gu, arXiv 2405.21060, section 6). A row may hold several documents: `segment` numbers them, and the
state never crosses from one into the next.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def ssd_chunked(x, dt, a_neg, b_in, c_out, segment, chunk: int):
    """The scan over whole rows, quadratic inside a chunk and linear across chunks.

    x [b, l, h, p], dt [b, l, h] (after softplus), a_neg [h] (A, negative), b_in and c_out [b, l, g, n],
    segment [b, l] non-decreasing integers; l is a multiple of `chunk`.
    Returns y [b, l, h, p] and the state after the last token [b, h, p, n].
    """
    rows, length, heads, p = x.shape
    groups, n = b_in.shape[2:]
    chunks, per_group = length // chunk, heads // groups
    # [b, c, g, k, q, ·]: groups and heads-in-a-group lead, so that every product below is a plain batched matmul.
    x = x.reshape(rows, chunks, chunk, groups, per_group, p).transpose(0, 1, 3, 4, 2, 5)
    dt = dt.reshape(rows, chunks, chunk, groups, per_group).transpose(0, 1, 3, 4, 2)
    b_in = b_in.reshape(rows, chunks, chunk, groups, n).transpose(0, 1, 3, 2, 4)
    c_out = c_out.reshape(rows, chunks, chunk, groups, n).transpose(0, 1, 3, 2, 4)
    segment = segment.reshape(rows, chunks, chunk)

    log_decay = jnp.cumsum(dt * a_neg.reshape(groups, per_group, 1), axis=-1)  # [b, c, g, k, q]
    causal = jnp.tril(jnp.ones((chunk, chunk), bool))
    same = segment[..., :, None] == segment[..., None, :]
    mask = (causal & same)[:, :, None, None]
    # Masked before exp: above the diagonal the difference is positive and would overflow.
    decay = jnp.exp(jnp.where(mask, log_decay[..., :, None] - log_decay[..., None, :], -jnp.inf))
    scores = jnp.einsum("bcgin,bcgjn->bcgij", c_out, b_in)
    mixing = scores[:, :, :, None] * decay * dt[..., None, :]
    y = jnp.einsum("bcgkij,bcgkjp->bcgkip", mixing, x)

    last = segment[..., -1:]
    keeps = (segment == last)[:, :, None, None]
    to_end = jnp.where(keeps, jnp.exp(log_decay[..., -1:] - log_decay) * dt, 0.0)
    added = jnp.einsum("bcgkqp,bcgqn->bcgkpn", x * to_end[..., None], b_in)

    previous = jnp.concatenate([segment[:, :1, :1], last[:, :-1]], axis=1)  # segment the carried state belongs to
    carries = (last == previous)[:, :, None, None]
    through = jnp.where(carries, jnp.exp(log_decay[..., -1:]), 0.0)

    state = jnp.zeros((rows, groups, per_group, p, n), x.dtype)
    entering = []
    for c in range(chunks):
        entering.append(state)
        state = through[:, c, ..., None] * state + added[:, c]
    entering = jnp.stack(entering, axis=1)

    from_start = jnp.where((segment == previous)[:, :, None, None], jnp.exp(log_decay), 0.0)
    y += jnp.einsum("bcgqn,bcgkpn->bcgkqp", c_out, entering) * from_start[..., None]
    y = y.transpose(0, 1, 4, 2, 3, 5).reshape(rows, length, heads, p)
    return y, state.reshape(rows, heads, p, n)


def ssd_step(state, x, dt, a_neg, b_in, c_out):
    """One token: state [b, h, p, n], x [b, h, p], dt [b, h], b_in and c_out [b, g, n].

    Returns y [b, h, p] and the new state.
    """
    per_group = x.shape[1] // b_in.shape[1]
    b_in = jnp.repeat(b_in, per_group, axis=1)
    c_out = jnp.repeat(c_out, per_group, axis=1)
    decay = jnp.exp(dt * a_neg)
    state = decay[..., None, None] * state + (dt[..., None] * x)[..., None] * b_in[:, :, None, :]
    return jnp.einsum("bhpn,bhn->bhp", state, c_out), state


@jax.custom_vjp
def causal_conv(x: jax.Array, weight: jax.Array, bias: jax.Array, segment: jax.Array) -> jax.Array:
    """Depthwise causal convolution: x [b, l, c], weight [k, c] with the newest tap last, bias [c], segment [b, l].

    Taps that reach into an earlier document, or before the row, read zero. The gradient is written out: it is the
    same few shifted products, where automatic differentiation makes a padded copy of x for every tap.
    """
    y = x * weight[-1] + bias
    for back in range(1, weight.shape[0]):
        y += _reaches(segment, back) * _shift(x, back) * weight[-1 - back]
    return y


def _shift(x: jax.Array, back: int) -> jax.Array:
    """x [b, l, c] moved `back` tokens later (earlier where negative), zeros moving in."""
    return jax.lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (back, -back, 0), (0, 0, 0)))


def _reaches(segment: jax.Array, back: int) -> jax.Array:
    """1 where the token `back` before is of the same document, else 0: [b, l, 1]."""
    earlier = jax.lax.pad(segment, jnp.full((), -1, segment.dtype), ((0, 0, 0), (back, -back, 0)))
    return (earlier == segment)[..., None].astype(jnp.float32)


def _conv_fwd(x, weight, bias, segment):
    return causal_conv(x, weight, bias, segment), (x, weight, segment)


def _conv_bwd(res, grad):
    x, weight, segment = res
    dx = grad * weight[-1]
    dw = [jnp.sum(grad * x, axis=(0, 1))]
    for back in range(1, weight.shape[0]):
        reached = grad * _reaches(segment, back)
        dx += _shift(reached, -back) * weight[-1 - back]
        dw.insert(0, jnp.sum(reached * _shift(x, back), axis=(0, 1)))
    return dx, jnp.stack(dw), jnp.sum(grad, axis=(0, 1)), None


causal_conv.defvjp(_conv_fwd, _conv_bwd)

"""The scan and the convolution: fast forms against slow ones, and no leak between documents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mar_training.ssd import causal_conv, ssd_chunked, ssd_step

HEADS, WIDTH, STATE = 4, 3, 5
chunked = jax.jit(ssd_chunked, static_argnames="chunk")


def scan_operands(length, groups, rows=2, seed=0):
    """x, Δ, A, B, C of random values."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    dt = jax.nn.softplus(normal(rows, length, HEADS))
    inner = (rows, length, groups, STATE)
    return normal(rows, length, HEADS, WIDTH), dt, -jnp.exp(normal(HEADS)), normal(*inner), normal(*inner)


@jax.jit
def stepwise(x, dt, a_neg, b_in, c_out, segment):
    """The same scan by `ssd_step`, the state emptied where a document begins."""
    begins = jnp.pad(segment[:, 1:] != segment[:, :-1], ((0, 0), (1, 0)))

    def step(state, token):
        x, dt, b_in, c_out, begins = token
        state = jnp.where(begins[:, None, None, None], 0.0, state)
        y, state = ssd_step(state, x, dt, a_neg, b_in, c_out)
        return state, y

    by_time = jax.tree.map(lambda v: jnp.swapaxes(v, 0, 1), (x, dt, b_in, c_out, begins))
    state, y = jax.lax.scan(step, jnp.zeros((x.shape[0], HEADS, WIDTH, STATE)), by_time)
    return jnp.swapaxes(y, 0, 1), state


SEGMENTS = {
    "one document": [0] * 21,
    "ends at a chunk's edge": [0] * 7 + [1] * 14,
    "inside a chunk": [0] * 3 + [1] * 10 + [2] * 8,
    "several in a chunk, one token long": [0] + [1] + [2] * 3 + [3] + [4] * 15,
}


@pytest.mark.parametrize("segment", SEGMENTS.values(), ids=SEGMENTS)
@pytest.mark.parametrize("groups", [1, 2, HEADS])
def test_chunked_scan_equals_steps_in_outputs_and_last_state(groups, segment):
    operands = scan_operands(21, groups)
    check(operands, jnp.broadcast_to(jnp.asarray(segment), (2, 21)), chunk=7)


@pytest.mark.parametrize("chunk", [1, 3, 21])
def test_the_chunk_changes_nothing(chunk):
    check(scan_operands(21, 2, seed=1), jnp.broadcast_to(jnp.asarray([0] * 4 + [1] * 17), (2, 21)), chunk)


def check(operands, segment, chunk):
    """Compares the two forms."""
    for got, want in zip(chunked(*operands, segment, chunk), stepwise(*operands, segment), strict=True):
        np.testing.assert_allclose(got, want, atol=2e-5)


def test_strong_decay_over_a_long_chunk_gives_no_nan_in_values_or_gradients():
    x, dt, a_neg, b_in, c_out = scan_operands(32, 1)
    segment = jnp.zeros((2, 32), jnp.int32)

    def total(dt):
        return ssd_chunked(x, dt, 100 * a_neg, b_in, c_out, segment, 32)[0].sum()

    value, slope = jax.jit(jax.value_and_grad(total))(10 * dt)
    assert jnp.isfinite(value)
    assert jnp.all(jnp.isfinite(slope))


def naive_conv(x, weight, bias, segment):
    """One output at a time, straight from the definition."""
    taps = weight.shape[0]
    rows = []
    for b in range(x.shape[0]):
        row = []
        for t in range(x.shape[1]):
            y = bias
            for back in range(min(taps, t + 1)):
                if segment[b, t - back] == segment[b, t]:
                    y = y + weight[taps - 1 - back] * x[b, t - back]
            row.append(y)
        rows.append(jnp.stack(row))
    return jnp.stack(rows)


@pytest.mark.parametrize("taps", [2, 4])
def test_convolution_and_its_written_out_gradient_equal_the_naive_ones(taps):
    rng = np.random.default_rng(0)
    x, probe = (jnp.asarray(rng.normal(size=(2, 9, 3)), jnp.float32) for _ in range(2))
    weight, bias = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((taps, 3), (3,)))
    segment = np.array([[0] * 9, [0, 0, 1, 2, 2, 2, 2, 2, 3]])

    def value_and_gradient(conv, segment):
        def probed(*operands):
            y = conv(*operands, segment)
            return jnp.sum(y * probe), y

        return jax.jit(jax.grad(probed, argnums=(0, 1, 2), has_aux=True))(x, weight, bias)

    got, want = value_and_gradient(causal_conv, jnp.asarray(segment)), value_and_gradient(naive_conv, segment)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, atol=1e-5)


def test_nothing_leaks_into_the_next_document():
    """Whatever the first document holds, the second comes out bit for bit the same."""
    segment = jnp.asarray([[0] * 6 + [1] * 6])
    first_only = (jnp.arange(12) < 6)[None, :, None]
    x, dt, a_neg, b_in, c_out = scan_operands(12, 1, rows=1)
    changed = jnp.where(first_only[..., None], 1e3, x)
    y, state = chunked(x, dt, a_neg, b_in, c_out, segment, 4)
    other_y, other_state = chunked(changed, dt, a_neg, b_in, c_out, segment, 4)
    assert jnp.any(y[:, :6] != other_y[:, :6])
    np.testing.assert_array_equal(y[:, 6:], other_y[:, 6:])
    np.testing.assert_array_equal(state, other_state)
    weight, bias = jnp.ones((4, WIDTH)), jnp.zeros(WIDTH)
    flat = x[:, :, 0]
    np.testing.assert_array_equal(
        causal_conv(flat, weight, bias, segment)[:, 6:],
        causal_conv(jnp.where(first_only, 1e3, flat), weight, bias, segment)[:, 6:],
    )

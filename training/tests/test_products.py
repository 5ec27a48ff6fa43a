"""Products in a narrower type: their values, their gradients, and what stays exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mar_training.products import product


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5)])
def test_gradients_are_those_of_a_plain_product(axis, shape):
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    x, w = jax.random.normal(keys[0], shape), jax.random.normal(keys[1], (5, 7) if axis == 0 else (7, 5))
    weight = jax.random.normal(keys[2], (*shape[:-1], 7))

    def plain(x, w):
        return (x @ (w if axis == 0 else w.T) * weight).sum()

    def ours(dtype, x, w):
        return (product(x, w, dtype, axis) * weight).sum()

    expected = jax.grad(plain, argnums=(0, 1))(x, w)
    for dtype, tolerance in ((jnp.float32, 1e-6), (jnp.bfloat16, 2e-2)):
        found = jax.grad(lambda x, w, dtype=dtype: ours(dtype, x, w), argnums=(0, 1))(x, w)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == jnp.float32
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, atol=tolerance * float(jnp.abs(b).max()))


def test_counts_times_integers_are_exact_in_bfloat16():
    rng = np.random.default_rng(0)
    counts, q = rng.integers(-127, 128, (4, 576)), rng.integers(-127, 128, (576, 33))
    found = product(jnp.asarray(counts, jnp.float32), jnp.asarray(q, jnp.float32), jnp.bfloat16)
    np.testing.assert_array_equal(np.asarray(found), counts @ q)

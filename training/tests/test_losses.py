"""The losses, against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mar_training import losses
from mar_training.model import Output


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def kl(p, q):
    """KL(p‖q) over the last axis."""
    return np.sum(p * (np.log(p) - np.log(q)), axis=-1)


def softmax(logits):
    e = np.exp(logits.astype(np.float64))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(("alpha", "beta"), [(0.2, 0.7), (1.0, 0.0), (0.0, 1.0)])
def test_bidirectional_kl_is_alpha_forward_and_beta_reverse(alpha, beta):
    teacher, student = normal(2, 3, 11), normal(2, 3, 11, seed=1)
    p, q = softmax(teacher), softmax(student)
    got = losses.bidirectional_kl(teacher, student, alpha, beta)
    np.testing.assert_allclose(got, alpha * kl(p, q) + beta * kl(q, p), rtol=1e-4)


def test_bidirectional_kl_is_zero_for_equal_distributions():
    logits = normal(2, 3, 11)
    np.testing.assert_allclose(losses.bidirectional_kl(logits, logits + 5.0, 0.2, 0.7), 0.0, atol=1e-5)


def test_the_teacher_gets_no_gradient():
    teacher, student = normal(2, 11), normal(2, 11, seed=1)
    slope = jax.grad(lambda t, s: losses.bidirectional_kl(t, s, 0.2, 0.7).sum(), argnums=(0, 1))(teacher, student)
    assert jnp.all(slope[0] == 0)
    assert jnp.any(slope[1] != 0)


def test_cross_entropy_is_minus_the_targets_log_softmax():
    logits = normal(2, 3, 11)
    target = np.array([[0, 10, 4], [7, 7, 1]])
    want = -np.take_along_axis(np.log(softmax(logits)), target[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(losses.cross_entropy(logits, target), want, rtol=1e-4)


def test_cross_entropy_survives_huge_logits():
    logits = jnp.asarray([[[1e4, 0.0, -1e4]]])
    np.testing.assert_allclose(losses.cross_entropy(logits, jnp.asarray([[2]])), 2e4)


def test_feature_distance_is_the_root_mean_square_difference():
    teacher, student = normal(2, 3, 4, 5, 8), normal(2, 3, 4, 5, 8, seed=1)
    want = np.linalg.norm(teacher - student, axis=-1).mean((0, 1)) / np.sqrt(8)
    got = losses.feature_distance(teacher, student)
    assert got.shape == (4, 5)
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_feature_distance_of_equal_features_has_a_finite_gradient():
    same = normal(1, 1, 2, 3, 4)
    slope = jax.grad(lambda s: losses.feature_distance(same, s).sum())(same)
    np.testing.assert_array_equal(slope, jnp.zeros_like(same))


@pytest.mark.parametrize(
    ("active", "want"),
    [([[0.1, 0.2, 0.3, 0.4]] * 2, 0.0), ([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 1.2]], 0.1)],
)
def test_sparsity_counts_only_what_is_over_the_target(active, want):
    empty = jnp.zeros(0)
    output = Output(hidden=empty, rate=empty, active=jnp.asarray(active), features=empty, currents={})
    np.testing.assert_allclose(losses.sparsity(output, (0.1, 0.2, 0.3, 0.4)), want, atol=1e-6)

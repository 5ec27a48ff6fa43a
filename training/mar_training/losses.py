"""What training minimises: cross-entropy, SBDS, and the sparsity terms.

Every per-token term is summed with the batch's weights and divided by `denominator`, the sum of weights over the
whole step, so that micro-batches and devices add up to exactly the loss of one large batch.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mar_training.model import Output


def cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    """-log q(target) per token [b, l], in nats."""
    # A comparison instead of a gather: its gradient is element-wise, where a gather's is a scatter over [b, l, v].
    is_target = jnp.arange(logits.shape[-1]) == target[..., None]
    chosen = jnp.sum(jnp.where(is_target, logits, 0.0), axis=-1)
    return jax.nn.logsumexp(logits, axis=-1) - chosen


def bidirectional_kl(
    teacher: jax.Array, student: jax.Array, alpha: float | jax.Array, beta: float | jax.Array
) -> jax.Array:
    """L1 of SBDS per token [b, l]: Σ_k [α·p(k) - β·q(k)]·[log p(k) - log q(k)] = α·KL(p‖q) + β·KL(q‖p).

    Paper, SBDS; `teacher` and `student` are logits [b, l, v].
    """
    log_p = jax.nn.log_softmax(jax.lax.stop_gradient(teacher), axis=-1)
    log_q = jax.nn.log_softmax(student, axis=-1)
    return jnp.sum((alpha * jnp.exp(log_p) - beta * jnp.exp(log_q)) * (log_p - log_q), axis=-1)


def feature_distance(teacher: jax.Array, student: jax.Array) -> jax.Array:
    """L2 of SBDS per token [b, l]: the distance of two feature stacks [L, m, b, l, d], averaged over L and m.

    The paper has ‖·‖₂; here it is divided by √d, so that its weight means the same at every width.
    """
    squares = jnp.mean((jax.lax.stop_gradient(teacher) - student) ** 2, axis=-1)
    return jnp.mean(jnp.sqrt(squares + 1e-8), axis=(0, 1))


def sparsity(output: Output, active_target: tuple[float, ...]) -> jax.Array:
    """How far each layer's and site's share of firing neurons is above its target, averaged; 0 when none is."""
    return jnp.mean(jax.nn.relu(output.active - jnp.asarray(active_target)))

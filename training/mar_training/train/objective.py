"""The loss of a stage, per batch: cross-entropy for the teacher, SBDS and sparsity for the spiking student."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp

from mar_training import losses
from mar_training.config import ModelConfig
from mar_training.data.batches import Batch
from mar_training.model import Options, forward, lm_head
from mar_training.train.recipe import Recipe


def options(recipe: Recipe) -> Options:
    """How the recipe runs the network."""
    return Options(chunk=recipe.train.chunk, compute_dtype=jnp.dtype(recipe.train.dtype), remat=recipe.train.remat)


def dense_loss(params, batch: Batch, denominator, config: ModelConfig, recipe: Recipe):
    """Cross-entropy on the data. Returns (loss, metrics)."""
    run = options(recipe)
    out = forward(params, batch.tokens, batch.segment, config, run)
    ce = losses.cross_entropy(lm_head(params, out.hidden, config, run.compute_dtype), batch.target)
    loss = jnp.sum(ce * batch.weight) / denominator
    return loss, {"loss": loss}


def spiking_loss(params, batch: Batch, denominator, config: ModelConfig, recipe: Recipe, teacher, teacher_config):
    """SBDS against the dense teacher (paper), with optional cross-entropy and sparsity. Returns (loss, metrics)."""
    distill = recipe.distill
    run = replace(options(recipe), features=distill.features)
    target = forward(teacher, batch.tokens, batch.segment, teacher_config, run)
    target_logits = jax.lax.stop_gradient(lm_head(teacher, target.hidden, teacher_config, run.compute_dtype))
    out = forward(params, batch.tokens, batch.segment, config, run)
    logits = lm_head(params, out.hidden, config, run.compute_dtype)

    def mean(per_token):
        return jnp.sum(per_token * batch.weight) / denominator

    kl = mean(losses.bidirectional_kl(target_logits, logits, distill.alpha, distill.beta))
    loss = kl
    # Means over the micro-batch, so they take its share of the step's tokens as their weight.
    share = jnp.sum(batch.weight) / denominator
    metrics = {"kl": kl, "rate": share * out.rate.mean(0), "active": share * out.active.mean(0)}
    if distill.features != "none":
        metrics["features"] = mean(losses.feature_distance(target.features, out.features))
        loss += distill.feature_weight * metrics["features"]
    if distill.ce:
        metrics["ce"] = mean(losses.cross_entropy(logits, batch.target))
        loss += distill.ce * metrics["ce"]
    if recipe.sparsity.weight:
        loss += recipe.sparsity.weight * share * losses.sparsity(out, recipe.sparsity.active_target)
    return loss, metrics | {"loss": loss}

"""The loss of a stage, per batch: cross-entropy, blocks aligned to the teacher's, or SBDS with sparsity."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from mar_training import losses, network
from mar_training.config import ModelConfig
from mar_training.data.batches import Batch
from mar_training.fused import chunked_sum
from mar_training.model import Options, embedding, forward, head_logits, mixer, positions, project, rms_norm
from mar_training.train.recipe import Recipe


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Schedule:
    """What changes from step to step without another network."""

    sbds: jax.Array | np.ndarray
    """[2], alpha and beta."""
    spiking: jax.Array | np.float32 | None
    """The share of the counts that a step lets through; None where that is all."""


def schedule(recipe: Recipe, step: int) -> Schedule:
    """Weights of the divergences and share of the counts at a step of a run, counted from 0."""
    distill, steps = recipe.distill, recipe.train.steps
    start = np.float32([distill.alpha, distill.beta])
    end = np.float32(distill.end or start)
    # Stage 1 has no counts.
    length = recipe.sparsity.anneal * steps if recipe.stage == "spiking" else 0
    return Schedule(
        sbds=start + (end - start) * np.float32(step / max(steps - 1, 1)),
        spiking=np.float32(min(1.0, step / length)) if length else None,
    )


def options(recipe: Recipe) -> Options:
    """How the recipe runs the network."""
    return Options(chunk=recipe.train.chunk, compute_dtype=jnp.dtype(recipe.train.dtype), remat=recipe.train.remat)


def dense_loss(params, batch: Batch, denominator, config: ModelConfig, recipe: Recipe):
    """Cross-entropy on the data. Returns (loss, metrics)."""
    run = options(recipe)
    out = forward(params, batch.tokens, batch.segment, config, run)

    def head_loss(head, hidden, constant, part):
        del constant
        ce = losses.cross_entropy(head_logits(*head, hidden, run.compute_dtype), part["target"])
        return jnp.sum(ce * part["weight"]), {}

    head = embedding(params, config)
    part = {"target": batch.target, "weight": batch.weight}
    total, _ = chunked_sum(head_loss, head, out.hidden, (), part, recipe.train.head_chunk)
    loss = total / denominator
    return loss, {"loss": loss}


def align_loss(params, batch: Batch, denominator, config: ModelConfig, recipe: Recipe, teacher, teacher_config):
    """Stage 1a: each layer's mixer against the teacher's attention, on the teacher's own inputs, all layers at once.

    The squared error of a layer's output, as a share of the output's own mean square, averaged over layers.
    """
    run = replace(options(recipe), features="blocks")
    target = network.run(teacher, batch.tokens, batch.segment, teacher_config, run).features
    target = jax.lax.stop_gradient(_kept(target, recipe))
    position = positions(batch.segment)
    chunk = math.gcd(run.chunk, batch.tokens.shape[1])

    def layer_error(layer, pair):
        def site(name, current):
            return project(current, layer, name, config, run.compute_dtype)[0]

        pre_mixer = rms_norm(pair[0], layer["norm_mixer"], config.norm_eps)
        out = mixer(pre_mixer, layer, batch.segment, position, config, chunk, site, run.compute_dtype)
        square = jnp.mean((out - pair[1]) ** 2, axis=-1)
        size = jnp.mean(pair[1] ** 2, axis=-1)
        return jnp.sum(square * batch.weight), jnp.sum(size * batch.weight)

    if run.remat:
        layer_error = jax.checkpoint(layer_error)
    _, (squares, sizes) = jax.lax.scan(lambda _, x: (None, layer_error(*x)), None, (params["layers"], target))
    # Every micro-batch has its own sizes, so that it can count with its share of the step's tokens.
    share = jnp.sum(batch.weight) / denominator
    per_layer = squares / jnp.maximum(sizes, 1e-12)
    loss = share * jnp.mean(per_layer)
    return loss, {"loss": loss, "align": share * per_layer}


def distill_loss(
    params, batch: Batch, denominator, config: ModelConfig, recipe: Recipe, teacher, teacher_config, now: Schedule
):
    """SBDS against the teacher (paper), with optional cross-entropy and sparsity. Returns (loss, metrics).

    Of a dense student (stage 1b) as of a spiking one (stage 2).
    """
    distill = recipe.distill
    run = replace(options(recipe), features=distill.features)
    target = network.run(teacher, batch.tokens, batch.segment, teacher_config, run)
    out = forward(params, batch.tokens, batch.segment, config, run, now.spiking)

    def head_loss(head, hidden, constant, part):
        teacher_head, (alpha, beta) = constant
        target_logits = head_logits(*teacher_head, part["target_hidden"], run.compute_dtype)
        logits = head_logits(*head, hidden, run.compute_dtype)
        kl = losses.bidirectional_kl(target_logits, logits, alpha, beta)
        metrics = {"kl": jnp.sum(kl * part["weight"])}
        loss = metrics["kl"]
        if distill.ce:
            metrics["ce"] = jnp.sum(losses.cross_entropy(logits, part["target"]) * part["weight"])
            loss += distill.ce * metrics["ce"]
        return loss, metrics

    part = {"target_hidden": target.hidden, "target": batch.target, "weight": batch.weight}
    constant = embedding(teacher, teacher_config), now.sbds
    total, sums = chunked_sum(head_loss, embedding(params, config), out.hidden, constant, part, recipe.train.head_chunk)
    loss = total / denominator
    # Means over the micro-batch, so they take its share of the step's tokens as their weight.
    share = jnp.sum(batch.weight) / denominator
    metrics = {key: value / denominator for key, value in sums.items()}
    metrics |= {"rate": share * out.rate.mean(0), "active": share * out.active.mean(0)}
    if distill.features != "none":
        distance = losses.feature_distance(_kept(target.features, recipe), out.features)
        metrics["features"] = jnp.sum(distance * batch.weight) / denominator
        loss += distill.feature_weight * metrics["features"]
    if recipe.sparsity.weight:
        loss += recipe.sparsity.weight * share * losses.sparsity(out, recipe.sparsity.active_target)
    return loss, metrics | {"loss": loss}


def _kept(features, recipe: Recipe):
    """The teacher's features [L, …] of the layers that the student has."""
    return features[np.array(recipe.convert.layers)] if recipe.convert.layers else features

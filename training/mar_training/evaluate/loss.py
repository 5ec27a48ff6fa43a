"""Validation loss and firing rates over packed rows."""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mar_training import losses, network
from mar_training.config import ModelConfig
from mar_training.data.batches import Batch, Packer
from mar_training.data.shards import Shard
from mar_training.fused import chunked_sum
from mar_training.memory import first_rows
from mar_training.model import PADDING, Options, embedding, head_logits

HEAD_CHUNK = 64
"""Tokens of each row whose logits exist at a time."""


@partial(jax.jit, static_argnames=("config", "options", "teacher_config"))
def _sums(params, batch: Batch, config, options: Options, teacher=None, teacher_config=None):
    with jax.default_matmul_precision("highest"):
        out = network.run(params, batch.tokens, batch.segment, config, options)
        part = {"target": batch.target, "weight": batch.weight, "reply": batch.reply}
        teacher_head = ()
        if teacher is not None:
            target = network.run(teacher, batch.tokens, batch.segment, teacher_config, options)
            part["target_hidden"], teacher_head = target.hidden, embedding(teacher, teacher_config)

        def of_chunk(head, hidden, teacher_head, part):
            logits = head_logits(*head, hidden, options.compute_dtype)
            ce = losses.cross_entropy(logits, part["target"])
            sums = {"reply_loss": jnp.sum(ce * part["reply"])}
            if teacher is not None:
                target = head_logits(*teacher_head, part["target_hidden"], options.compute_dtype)
                kl = losses.bidirectional_kl(target, logits, 1.0, 0.0)
                same = jnp.argmax(target, axis=-1) == jnp.argmax(logits, axis=-1)
                target_ce = losses.cross_entropy(target, part["target"])
                sums["teacher_kl"] = jnp.sum(kl * part["weight"])
                sums["teacher_top1_agreement"] = jnp.sum(same * part["weight"])
                sums["teacher_loss"] = jnp.sum(target_ce * part["weight"])
            return jnp.sum(ce * part["weight"]), sums

        loss, sums = chunked_sum(of_chunk, embedding(params, config), out.hidden, teacher_head, part, HEAD_CHUNK)
    tokens = batch.weight.sum()
    valid = (batch.segment < PADDING).sum()
    return {
        **sums,
        "loss": loss,
        "tokens": tokens,
        "reply_tokens": batch.reply.sum(),
        "valid": valid,
        "rate": out.rate * valid,
        "active": out.active * valid,
    }


def _text_bytes(shard: Shard, rows: list[list[int]], seq_len: int) -> float:
    docs = np.array([doc for row in rows for doc in row])
    lengths = np.diff(shard.starts)[docs]
    return float(np.sum(shard.text_bytes[docs] * np.minimum(lengths, seq_len) / lengths))


def validation(
    params,
    config: ModelConfig,
    shard: Shard,
    *,
    seq_len: int,
    rows: int | None,
    batch_rows: int,
    options: Options,
    devices,
    teacher: tuple | None = None,
) -> dict:
    """Losses in nats a token over the first `rows` rows, or all: always the same rows in the same order.

    `batch_rows` of them are computed at a time, or as few as memory has room for.

    Returns val_loss (all tokens), val_reply_loss (the assistant's), val_tokens, bits_per_byte (of all predicted
    tokens, the template's included, over the bytes of text alone; of a document cut to a row, its share of them) and,
    where the network spikes, rate and active: four numbers each, averaged over layers; rate_per_layer and
    active_per_layer have the same as [L][4]. With `teacher` (parameters, config): teacher_kl, the mean KL(p‖q) of its
    distribution p to the network's q; teacher_top1_agreement, how often both rate the same token first; teacher_loss.
    """
    packer = Packer(shard, seq_len, seed=0)
    chosen = packer.rows_of_epoch(0)[:rows]
    each = devices.mesh.size
    batch_rows = -(-batch_rows // each) * each

    def sums_of(part: list[list[int]], size: int) -> dict[str, np.ndarray]:
        # Short of a whole batch the rest are empty rows, so that one shape is compiled.
        batch = packer.assemble(part + [[]] * (size - len(part)))
        return jax.device_get(_sums(params, devices.split_rows(batch, axis=0), config, options, *(teacher or ())))

    total: dict[str, np.ndarray] = {}
    left = chosen
    while left:
        sums, batch_rows = first_rows(sums_of, left, batch_rows, "the evaluation", each)
        total = {key: total.get(key, 0) + np.asarray(value, np.float64) for key, value in sums.items()}
        left = left[batch_rows:]
    result = {
        "val_loss": float(total["loss"] / total["tokens"]),
        "val_reply_loss": float(total["reply_loss"] / max(total["reply_tokens"], 1)),
        "val_tokens": int(total["tokens"]),
        "bits_per_byte": float(total["loss"] / math.log(2) / _text_bytes(shard, chosen, seq_len)),
    }
    for key in ("teacher_kl", "teacher_top1_agreement", "teacher_loss"):
        if key in total:
            result[key] = float(total[key] / total["tokens"])
    if config.neuron != "dense":
        for key in ("rate", "active"):
            per_layer = total[key] / total["valid"]
            result[key] = per_layer.mean(axis=0).tolist()
            result[f"{key}_per_layer"] = per_layer.tolist()
    return result

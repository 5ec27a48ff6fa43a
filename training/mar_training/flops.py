"""Floating point operations of training, and the share of the hardware's peak that they are (MFU)."""

from __future__ import annotations

import jax

from mar_training.config import ModelConfig
from mar_training.evaluate.energy import dense_operations
from mar_training.teacher.llama import LlamaConfig

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12}
"""Dense bfloat16 operations a second, by a part of the device's name (the makers' data sheets)."""


def forward_flops(config: ModelConfig | LlamaConfig, length: int) -> int:
    """Of one token in a row of `length`, without the head: two for each multiply-accumulate."""
    if isinstance(config, LlamaConfig):
        d = config.d_model
        layer = d * (d + 2 * config.kv_dim) + d * d + 3 * d * config.d_ffn + d * length
        return 2 * config.n_layers * layer
    return 2 * dense_operations(config)["mac"] - head_flops(config)


def head_flops(config: ModelConfig | LlamaConfig) -> int:
    """Of one token's logits."""
    return 2 * config.vocab_size * config.d_model


def mixer_flops(config: ModelConfig, length: int) -> int:
    """Of one token in all layers' mixers alone, without the feed-forward networks."""
    feed_forward = sum(inputs * outputs for inputs, outputs in list(config.site_shapes.values())[2:])
    return forward_flops(config, length) - 2 * config.n_layers * feed_forward


def step_flops(student: ModelConfig, teacher: ModelConfig | LlamaConfig | None, length: int, *, blocks: bool) -> int:
    """Of one token in training: forward and twice that backward, and the teacher's forward.

    With `blocks`, as stage 1a has it, the student is its mixers, and nobody needs logits. What is computed again under
    remat does not count, as is the custom with MFU.
    """
    if blocks:
        return 3 * mixer_flops(student, length) + forward_flops(teacher, length)
    networks = [(3, student), *([(1, teacher)] if teacher else [])]
    return sum(times * (forward_flops(of, length) + head_flops(of)) for times, of in networks)


def peak_flops() -> float | None:
    """Of all devices together; None where the device is not in `PEAK`."""
    kind = jax.devices()[0].device_kind
    known = next((peak for name, peak in PEAK.items() if name in kind), None)
    return known * jax.device_count() if known else None

"""Floating point operations of training, and the share of the hardware's peak that they are (MFU)."""

from __future__ import annotations

import jax

from mar_training.config import ModelConfig
from mar_training.evaluate.energy import dense_operations
from mar_training.teacher.llama import LlamaConfig

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12}
"""Dense bfloat16 operations a second, by a part of the device's name (the makers' data sheets)."""


def forward_flops(config: ModelConfig | LlamaConfig, length: int) -> int:
    """Of one token in a row of `length`: two for each multiply-accumulate."""
    if isinstance(config, LlamaConfig):
        d = config.d_model
        layer = d * (d + 2 * config.kv_dim) + d * d + 3 * d * config.d_ffn + d * length
        return 2 * (config.n_layers * layer + config.vocab_size * d)
    return 2 * dense_operations(config)["mac"]


def step_flops(student: ModelConfig, teacher: ModelConfig | LlamaConfig | None, length: int) -> int:
    """Of one token in training: forward and twice that backward, and the teacher's forward.

    What is computed again under remat does not count, as is the custom with MFU.
    """
    return 3 * forward_flops(student, length) + (forward_flops(teacher, length) if teacher else 0)


def peak_flops() -> float | None:
    """Of all devices together; None where the device is not in `PEAK`."""
    kind = jax.devices()[0].device_kind
    known = next((peak for name, peak in PEAK.items() if name in kind), None)
    return known * jax.device_count() if known else None

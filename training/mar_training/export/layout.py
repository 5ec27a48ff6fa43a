"""Names, types and shapes of every tensor in `model.safetensors`. `models/FORMAT.md`, section "Tensors"."""

from __future__ import annotations

import numpy as np

from mar_training.config import SITES, ModelConfig
from mar_training.export.packing import row_bytes

FORMAT_VERSION = 1
DTYPES = {"U8": np.uint8, "F32": np.float32}
NAME_PATTERN = r"[a-z0-9._-]{1,64}"


def tensors(config: ModelConfig) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Every tensor of a model of this config: name to (safetensors dtype, shape)."""
    d, v = config.d_model, config.vocab_size
    table: dict[str, tuple[str, tuple[int, ...]]] = {
        "embed.weight": ("U8", (v, row_bytes(d, config.embed_weights))),
        "embed.scale": ("F32", (v,)),
        "final_norm.weight": ("F32", (d,)),
    }
    for layer in range(config.n_layers):
        at = f"layers.{layer}"
        table |= {
            f"{at}.norm_mixer.weight": ("F32", (d,)),
            f"{at}.conv.weight": ("F32", (config.d_conv, config.conv_dim)),
            f"{at}.conv.bias": ("F32", (config.conv_dim,)),
            f"{at}.dt_bias": ("F32", (config.n_heads,)),
            f"{at}.A": ("F32", (config.n_heads,)),
            f"{at}.D": ("F32", (config.n_heads,)),
            f"{at}.norm_gated.weight": ("F32", (config.d_inner,)),
            f"{at}.norm_ffn.weight": ("F32", (d,)),
        }
        for site, kind in zip(SITES, config.weights, strict=True):
            inputs, outputs = config.site_shapes[site]
            table |= {
                f"{at}.{site}.inv_threshold": ("F32", (inputs,)),
                f"{at}.{site}.weight": ("U8", (inputs, row_bytes(outputs, kind))),
                f"{at}.{site}.scale": ("F32", (outputs,)),
            }
    return table

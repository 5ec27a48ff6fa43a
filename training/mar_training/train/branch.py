"""The Mamba-2 branch apart from the rest of a network, for a stage that trains it alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mar_training.config import ModelConfig
from mar_training.params import Params

_OWN = ("conv_weight", "conv_bias", "dt_bias", "A_log", "D", "norm_gated")
_SHARED = ("in_proj", "log_scale_in_proj")


def only_scan(params: Params, config: ModelConfig) -> Params:
    """The same parameters, but only those of the scan get a gradient: its own, and its columns of in_proj, which come
    before the window branch's q, k and v."""
    window = sum(width for name, width in config.in_proj_parts.items() if name in ("q", "k", "v"))

    def columns(value: jax.Array) -> jax.Array:
        own, others = jnp.split(value, [value.shape[-1] - window], axis=-1)
        return jnp.concatenate([own, jax.lax.stop_gradient(others)], axis=-1)

    frozen = jax.lax.stop_gradient(params)
    layers = dict(frozen["layers"])
    for name in _OWN:
        layers[name] = params["layers"][name]
    for name in _SHARED:
        if name in layers:
            layers[name] = columns(params["layers"][name])
    return frozen | {"layers": layers}

"""The network's parameters: their shapes, how they start, and thresholds from measured currents."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from mar_training.config import SITES, ModelConfig
from mar_training.errors import MarError

Params = dict
"""`{"embed", "final_norm", "layers": {name: [L, …]}}`; `shapes` lists every name."""


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of one layer's every parameter. Projections are input-major: [inputs, outputs]."""
    table = {
        "norm_mixer": (config.d_model,),
        "conv_weight": (config.d_conv, config.conv_dim),
        "conv_bias": (config.conv_dim,),
        "dt_bias": (config.n_heads,),
        "A_log": (config.n_heads,),
        "D": (config.n_heads,),
        "norm_gated": (config.d_inner,),
        "norm_ffn": (config.d_model,),
    }
    for site, (inputs, outputs) in config.site_shapes.items():
        table[site] = (inputs, outputs)
        if config.neuron != "dense":
            table[f"log_threshold_{site}"] = (inputs,)
    return table


def init(config: ModelConfig, key: jax.Array) -> Params:
    """Random parameters: projections by fan-in, those into the residual stream smaller by √(2L), Δ and A as Mamba-2."""
    layers: dict[str, jax.Array] = {}
    count = config.n_layers
    for name, shape in shapes(config).items():
        key, sub = jax.random.split(key)
        full = (count, *shape)
        if name in SITES:
            std = shape[0] ** -0.5
            if name in ("out_proj", "down"):
                std /= math.sqrt(2 * count)
            layers[name] = std * jax.random.normal(sub, full)
        elif name == "conv_weight":
            bound = config.d_conv**-0.5
            layers[name] = jax.random.uniform(sub, full, minval=-bound, maxval=bound)
        elif name == "dt_bias":
            dt = jnp.exp(jax.random.uniform(sub, full, minval=math.log(1e-3), maxval=math.log(1e-1)))
            layers[name] = dt + jnp.log(-jnp.expm1(-dt))  # the inverse of softplus
        elif name == "A_log":
            layers[name] = jnp.log(jax.random.uniform(sub, full, minval=1.0, maxval=16.0))
        elif name.startswith("norm") or name == "D":
            layers[name] = jnp.ones(full)
        else:
            layers[name] = jnp.zeros(full)
    embed = 0.02 * jax.random.normal(key, (config.vocab_size, config.d_model))
    return {"embed": embed, "final_norm": jnp.ones(config.d_model), "layers": layers}


def check(params: Params, config: ModelConfig) -> None:
    """Raises `MarError` where parameters are not those of a network of this config, with or without learned scales."""
    expected = {f"layers/{name}": (config.n_layers, *shape) for name, shape in shapes(config).items()}
    expected |= {"embed": (config.vocab_size, config.d_model), "final_norm": (config.d_model,)}
    found = {f"layers/{name}": value.shape for name, value in params.get("layers", {}).items()}
    found |= {name: value.shape for name, value in params.items() if name != "layers"}
    for site, (_, outputs) in config.site_shapes.items():
        if f"layers/log_scale_{site}" in found:
            expected[f"layers/log_scale_{site}"] = (config.n_layers, outputs)
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) != found.get(name):
            raise MarError(
                f"the weights to start from do not fit the recipe's [model]: {name} is "
                f"{found.get(name, 'missing')}, it should be {expected.get(name, 'absent')}"
            )


def count(params: Params) -> int:
    """How many numbers are learnt."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def floored(mean: jax.Array) -> jax.Array:
    """Mean |I| [L, inputs], none under a twentieth of its layer's mean.

    Neurons that hardly ever see current would start with a threshold near zero and fire at noise.
    """
    return jnp.maximum(mean, 0.05 * mean.mean(axis=-1, keepdims=True))


def with_thresholds(params: Params, mean_current: dict[str, jax.Array], multiples) -> Params:
    """Adds thresholds V = its site's of `multiples` x each neuron's mean |I|; `mean_current[site]` is [L, inputs].

    A multiple is a number, or one a layer [L, 1].
    """
    layers = dict(params["layers"])
    for site, mean in mean_current.items():
        multiple = multiples[SITES.index(site)]
        layers[f"log_threshold_{site}"] = jnp.log(multiple * floored(mean) + 1e-8)
    return params | {"layers": layers}

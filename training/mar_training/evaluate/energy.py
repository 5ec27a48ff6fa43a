"""Operations of one decoded token, counted, and what they would cost by the paper's prices.

An estimate of arithmetic on a hypothetical 45 nm chip, not a measurement, and without the cost of moving data
(Horowitz, ISSCC 2014, as the paper uses it).
"""

from __future__ import annotations

from collections import Counter

from mar_training.config import SITES, ModelConfig

PICOJOULES = {"mac": 4.6, "mul": 3.7, "ac": 0.9}
"""Energy of one 32-bit floating point operation: multiply-accumulate, multiply, accumulate."""


def shared_operations(config: ModelConfig) -> Counter:
    """What spiking and dense network alike do for a token, all but the four projections: {"mac", "mul"}.

    Convolution, scan, norms, gates, the window branch and the head. Exponentials and divisions are left out, as the
    paper leaves them out.
    """
    i, d, f = config.d_inner, config.d_model, config.d_ffn
    state = config.n_heads * config.head_dim * config.d_state
    layer = Counter(
        # conv taps; decay·state + (Δx)⊗B, then C·state; D·x; sums of squares of the three norms
        mac=config.d_conv * config.conv_dim + 2 * state + i + 2 * d + i,
        # Δ·x and its outer product with B; norm scale and weight; silu, its gate; silu(gate)·up
        mul=i + state + 2 * (2 * d + i) + config.conv_dim + 2 * i + 2 * f,
    )
    if config.window:
        layer["mac"] += 2 * i * (config.window + config.sinks)
        layer["mul"] += 2 * (i + config.attn_kv_heads * config.attn_head_dim)
    total = Counter({name: n * config.n_layers for name, n in layer.items()})
    total["mac"] += config.vocab_size * d + d
    total["mul"] += 2 * d
    return total


def dense_operations(config: ModelConfig) -> Counter:
    """The dense twin: every projection is a full matrix-vector product."""
    macs = sum(inputs * outputs for inputs, outputs in config.site_shapes.values())
    return shared_operations(config) + Counter(mac=macs * config.n_layers)


def spiking_operations(config: ModelConfig, rate_per_layer: list[list[float]]) -> Counter:
    """The spiking network at the given rates [L][4] (spikes per neuron and micro-step).

    Each spike adds one weight row; each current is multiplied by 1/V and each output by its scale.
    """
    spiking: Counter = Counter()
    for rates in rate_per_layer:
        for site, steps, rate in zip(SITES, config.steps, rates, strict=True):
            inputs, outputs = config.site_shapes[site]
            spiking["ac"] += rate * steps * inputs * outputs
            spiking["mul"] += inputs + outputs
    return shared_operations(config) + spiking


def picojoules(operations: Counter) -> float:
    """The price of some operations."""
    return sum(PICOJOULES[name] * n for name, n in operations.items())


def energy_table(config: ModelConfig, rate_per_layer: list[list[float]]) -> dict:
    """Operations and energy of a token, spiking and dense."""
    spiking, dense = spiking_operations(config, rate_per_layer), dense_operations(config)
    return {
        "ac_per_token": round(spiking["ac"]),
        "mac_per_token": round(spiking["mac"]),
        "mul_per_token": round(spiking["mul"]),
        "dense_mac_per_token": round(dense["mac"]),
        "energy_pj_per_token": {"spiking": round(picojoules(spiking)), "dense": round(picojoules(dense))},
    }

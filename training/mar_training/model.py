"""The network over whole rows, as training and evaluation run it; `decode.py` has its one-token form.

One layer (paper, section 3; Mamba-2 as state-spaces/mamba defines it):

    x ─ rmsnorm ─ fire ─ in_proj ─┬─ z ──────────────────────────────────┐
                                  ├─ x B C ─ conv ─ silu ─ scan ─ gated rmsnorm ─(+ window)─ fire ─ out_proj ─ + x
                                  └─ dt ─ softplus ─┘
    x ─ rmsnorm ─ fire ─ gate_up ─ silu(gate)·up ─ fire ─ down ─ + x
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from mar_training import quant
from mar_training.config import SITES, ModelConfig
from mar_training.neuron import fire, fires_at_all
from mar_training.params import Params
from mar_training.products import product
from mar_training.ssd import causal_conv, ssd_chunked
from mar_training.window import rotary, window_attention

PADDING = 1 << 20
"""Segment number of padding tokens; they read and write nothing that another token sees."""


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: none of it changes the network."""

    chunk: int = 64
    compute_dtype: Any = jnp.float32
    features: str = "none"
    remat: bool = False
    currents: str = "none"


@jax.tree_util.register_dataclass
@dataclass
class Output:
    """What a forward pass gives.

    hidden [b, l, d] after the final norm; rate, active [L, 4]: spikes per neuron and micro-step, and the share of
    neurons with a count other than 0, over valid tokens; features [L, m, b, l, d] (m = 0, 2 or 4, by
    `Options.features`); currents, where asked for: of each site the "mean" |I| [L, inputs], or "all" [L, b, l, inputs].
    """

    hidden: jax.Array
    rate: jax.Array
    active: jax.Array
    features: jax.Array
    currents: dict[str, jax.Array]


def rms_norm(x: jax.Array, weight: jax.Array, eps: float, groups: int = 1) -> jax.Array:
    """x / rms(x) · weight over the last axis, in `groups` equal parts each with its own rms."""
    parts = x.reshape(*x.shape[:-1], groups, -1)
    parts = parts * jax.lax.rsqrt(jnp.mean(parts * parts, axis=-1, keepdims=True) + eps)
    return parts.reshape(x.shape) * weight


def project(current, layer: Params, site: str, config: ModelConfig, dtype=jnp.float32, spiking=None):
    """One spike site and its projection: current I [..., inputs] to (y [..., outputs], counts or None, fires or None).

    Spiking, y = (c · q)·s: q are the integers of W with the threshold folded in, so the sum over neurons is exact.
    While weights are floats y = (c·V) · W, which spares a pass over the weights.
    `spiking` below 1 lets only that share of the counts through, and the current itself, I / V, for the rest.
    """
    if config.neuron == "dense":
        y = product(current, layer[site], dtype)
        return y, None, None
    index = SITES.index(site)
    floats = f"{site}_q" not in layer and config.weights[index] == "float"
    if floats:
        log_v = layer[f"log_threshold_{site}"]
        inv_threshold, weight, scale = jnp.exp(-log_v), layer[site], None
    else:
        inv_threshold, weight, scale = site_weights(layer, site, config)
    r = current * inv_threshold
    counts = fire(r, config.neuron, config.steps[index], config.tau, config.precharge)
    sign_free = r if config.neuron == "atmn" else jnp.maximum(r, 0.0)
    fires = fires_at_all(sign_free, jnp.float32(config.precharge))
    sent = counts if spiking is None else spiking * counts + (1.0 - spiking) * r
    if floats:
        sent = sent * jnp.exp(log_v)
    y = product(sent, weight, dtype)
    return (y if scale is None else y * scale), counts, fires


def site_weights(layer: Params, site: str, config: ModelConfig):
    """(1/V [inputs], integers [inputs, outputs] with V folded in, scale [outputs]).

    From parameters in training, or as they are from a packed model (`export/reader.py`).
    """
    if f"{site}_q" in layer:
        return layer[f"{site}_inv_threshold"], layer[f"{site}_q"], layer[f"{site}_scale"]
    log_v = layer[f"log_threshold_{site}"]
    folded = jnp.exp(log_v)[:, None] * layer[site]
    kind = config.weights[SITES.index(site)]
    if f"log_scale_{site}" in layer:
        q, s = quant.learned(folded, kind, jnp.exp(layer[f"log_scale_{site}"])[None])
    else:
        q, s = quant.straight_through(folded, kind)
    return jnp.exp(-log_v), q, s[0]


def split_in_proj(y: jax.Array, config: ModelConfig) -> dict[str, jax.Array]:
    """in_proj's output by name: z, x, B, C, dt and, with a window branch, q, k, v."""
    parts = config.in_proj_parts
    return dict(zip(parts, jax.lax.split(y, tuple(parts.values()), axis=y.ndim - 1), strict=True))


def embedding(params: Params, config: ModelConfig) -> tuple[jax.Array, jax.Array | None]:
    """(rows [v, d], scale [v, 1] or None): integers and their scale where the config says so."""
    if "embed_q" in params:
        return params["embed_q"], params["embed_scale"][:, None]
    if config.embed_weights == "float":
        return params["embed"], None
    return quant.straight_through(params["embed"], config.embed_weights, axis=-1)


def embed(params: Params, tokens: jax.Array, config: ModelConfig) -> jax.Array:
    """Token rows [..., d]."""
    rows, scale = embedding(params, config)
    return rows[tokens] if scale is None else rows[tokens] * scale[tokens]


def lm_head(params: Params, hidden: jax.Array, config: ModelConfig, dtype=jnp.float32) -> jax.Array:
    """Logits [..., v] from the final hidden state; the head is the embedding."""
    rows, scale = embedding(params, config)
    return head_logits(rows, scale, hidden, dtype)


def head_logits(rows, scale, hidden, dtype=jnp.float32) -> jax.Array:
    """Logits [..., v] by the head that `embedding` gave."""
    logits = product(hidden, rows, dtype, 1)
    return logits if scale is None else logits * scale[:, 0]


def positions(segment: jax.Array) -> jax.Array:
    """Each token's place in its own document, [b, l]."""
    index = jnp.arange(segment.shape[1])
    new = jnp.pad(segment[:, 1:] != segment[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    return index - jax.lax.cummax(jnp.where(new, index, 0), axis=1)


def scan_inputs(parts, conv_out, layer, config: ModelConfig):
    """The scan's operands from in_proj's dt and the convolved x, B, C: x, Δ, A, B, C, any leading shape."""
    lead = conv_out.shape[:-1]
    i, gn = config.d_inner, config.n_groups * config.d_state
    x, b_in, c_out = jax.lax.split(jax.nn.silu(conv_out), (i, gn, gn), axis=conv_out.ndim - 1)
    x = x.reshape(*lead, config.n_heads, config.head_dim)
    b_in = b_in.reshape(*lead, config.n_groups, config.d_state)
    c_out = c_out.reshape(*lead, config.n_groups, config.d_state)
    dt = jax.nn.softplus(parts["dt"] + layer["dt_bias"])
    a_neg = layer["A"] if "A" in layer else -jnp.exp(layer["A_log"])
    return x, dt, a_neg, b_in, c_out


def gate(y, x, z, layer, config: ModelConfig):
    """The scan's output y plus its skip D·x, gated by z and normed: the current of site 2, [..., i]."""
    y = y + layer["D"][:, None] * x
    y = y.reshape(*y.shape[:-2], config.d_inner) * jax.nn.silu(z)
    return rms_norm(y, layer["norm_gated"], config.norm_eps, config.n_groups)


def swiglu(gate_up: jax.Array, config: ModelConfig) -> jax.Array:
    """silu(gate)·up, the current of site 4, [..., f]."""
    gate_half, up_half = jax.lax.split(gate_up, (config.d_ffn, config.d_ffn), axis=gate_up.ndim - 1)
    return jax.nn.silu(gate_half) * up_half


def qkv(parts, config: ModelConfig, position):
    """The window branch's rotated queries and keys, and its values: [..., heads, width]."""
    lead = parts["q"].shape[:-1]
    shape = {"q": config.attn_heads, "k": config.attn_kv_heads, "v": config.attn_kv_heads}
    q, k, v = (parts[name].reshape(*lead, heads, config.attn_head_dim) for name, heads in shape.items())
    return rotary(q, position, config.rope_theta), rotary(k, position, config.rope_theta), v


def mixer(pre_mixer, layer, segment, position, config: ModelConfig, chunk: int, site, dtype=jnp.float32) -> jax.Array:
    """The first half of a layer, from the normed stream [b, l, d] to what is added to it; l is a multiple of `chunk`.

    `site(name, current)` is the spike site `name` with its projection.
    """
    parts = split_in_proj(site("in_proj", pre_mixer), config)
    xbc = jnp.concatenate([parts["x"], parts["B"], parts["C"]], axis=-1)
    conv_out = causal_conv(xbc, layer["conv_weight"], layer["conv_bias"], segment)
    scan_x, dt, a_neg, b_in, c_out = scan_inputs(parts, conv_out, layer, config)
    y, _ = ssd_chunked(scan_x, dt, a_neg, b_in, c_out, segment, chunk)
    mixed = gate(y, scan_x, parts["z"], layer, config)
    if config.window:
        q, k, v = qkv(parts, config, position)
        mixed += window_attention(q, k, v, position, segment, config.window, config.sinks, dtype)
    return site("out_proj", mixed)


def forward(params: Params, tokens, segment, config: ModelConfig, options: Options = Options(), spiking=None) -> Output:
    """Runs whole rows: tokens and segment [b, l] (padding has segment `PADDING`); any l. `spiking`: see `project`."""
    length = tokens.shape[1]
    chunk = min(options.chunk, length)
    short = -length % chunk
    if short:
        tokens = jnp.pad(tokens, ((0, 0), (0, short)))
        segment = jnp.pad(segment, ((0, 0), (0, short)), constant_values=PADDING)
    valid = (segment < PADDING).astype(jnp.float32)
    position = positions(segment) if config.window else None
    dtype = options.compute_dtype

    def share(per_neuron):
        return jnp.sum(jnp.mean(per_neuron, axis=-1) * valid) / jnp.maximum(valid.sum(), 1.0)

    def block(x, layer):
        rates, actives, currents = [], [], {}

        def site(name, current):
            y, counts, fires = project(current, layer, name, config, dtype, spiking)
            if counts is not None:
                rates.append(share(jnp.abs(counts)) / config.steps[SITES.index(name)])
                actives.append(share(fires))
            if options.currents == "all":
                currents[name] = current[:, :length]
            elif options.currents == "mean":
                weighted = jnp.abs(current) * valid[..., None]
                currents[name] = weighted.sum((0, 1)) / jnp.maximum(valid.sum(), 1.0)
            return y

        pre_mixer = rms_norm(x, layer["norm_mixer"], config.norm_eps)
        mixer_out = mixer(pre_mixer, layer, segment, position, config, chunk, site, dtype)
        x = x + mixer_out

        pre_ffn = rms_norm(x, layer["norm_ffn"], config.norm_eps)
        ffn_out = site("down", swiglu(site("gate_up", pre_ffn), config))
        x = x + ffn_out

        features = []
        if options.features in ("pre", "both"):
            features += [pre_mixer, pre_ffn]
        if options.features in ("post", "both"):
            features += [rms_norm(out, jnp.float32(1.0), config.norm_eps) for out in (mixer_out, ffn_out)]
        stacked = jnp.stack(features)[:, :, :length] if features else jnp.zeros((0,))
        zeros = jnp.zeros(4)
        return x, (
            jnp.stack(rates) if rates else zeros,
            jnp.stack(actives) if actives else zeros,
            stacked,
            currents,
        )

    if options.remat:
        block = jax.checkpoint(block)
    # A short stack is unrolled, which XLA schedules better; a tall one is a loop, which compiles in bounded time.
    unroll = config.n_layers if config.n_layers <= 8 else 1
    x, (rate, active, features, currents) = jax.lax.scan(
        block, embed(params, tokens, config), params["layers"], unroll=unroll
    )
    hidden = rms_norm(x, params["final_norm"], config.norm_eps)[:, :length]
    return Output(hidden=hidden, rate=rate, active=active, features=features, currents=currents)

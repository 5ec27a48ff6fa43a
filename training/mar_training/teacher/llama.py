"""The Llama architecture over whole packed rows: what a pretrained teacher computes.

x ─ rmsnorm ─ q,k,v ─ rotary ─ grouped-query attention ─ o ─ + x
x ─ rmsnorm ─ gate_up ─ silu(gate)·up ─ down ─ + x
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from mar_training.errors import MarError
from mar_training.model import PADDING, Options, Output, positions, rms_norm
from mar_training.products import product
from mar_training.window import rotary, window_attention


@dataclass(frozen=True)
class LlamaConfig:
    """Shape of a Llama with tied embeddings: `n_heads` query heads and `n_kv_heads` of key and value."""

    vocab_size: int
    d_model: int
    n_layers: int
    d_ffn: int
    n_heads: int
    n_kv_heads: int
    norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    context: int = 2048

    neuron = "dense"
    embed_weights = "float"

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def kv_dim(self) -> int:
        """Width of all keys of a token."""
        return self.n_kv_heads * self.head_dim

    def checked(self) -> LlamaConfig:
        """Itself, or a `MarError` that names what cannot be."""
        for name in ("vocab_size", "d_model", "n_layers", "d_ffn", "n_heads", "n_kv_heads", "context"):
            if getattr(self, name) < 1:
                raise MarError(f"teacher config: {name} must be at least 1, not {getattr(self, name)}")
        if self.d_model % self.n_heads or self.n_heads % self.n_kv_heads:
            raise MarError(
                f"teacher config: {self.n_heads} heads must divide d_model {self.d_model}, "
                f"and {self.n_kv_heads} key-value heads must divide the heads"
            )
        return self


def shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Shape of one layer's every parameter; projections are input-major and q, k, v share one matrix."""
    d, f = config.d_model, config.d_ffn
    return {
        "norm_mixer": (d,),
        "qkv": (d, d + 2 * config.kv_dim),
        "o": (d, d),
        "norm_ffn": (d,),
        "gate_up": (d, 2 * f),
        "down": (f, d),
    }


def init(config: LlamaConfig, key: jax.Array) -> dict:
    """Random parameters, for tests: matrices by fan-in, gains near 1."""
    layers = {}
    for name, shape in shapes(config).items():
        key, sub = jax.random.split(key)
        noise = jax.random.normal(sub, (config.n_layers, *shape))
        layers[name] = 1.0 + 0.1 * noise if name.startswith("norm") else noise * shape[0] ** -0.5
    embed = 0.3 * jax.random.normal(key, (config.vocab_size, config.d_model))
    return {"embed": embed, "final_norm": jnp.ones(config.d_model), "layers": layers}


def split_qkv(y, position, config: LlamaConfig):
    """qkv's output to rotated queries and keys, and values: [..., heads, width]."""
    lead = y.shape[:-1]
    parts = jax.lax.split(y, (config.d_model, config.kv_dim, config.kv_dim), axis=y.ndim - 1)
    q, k, v = (
        part.reshape(*lead, heads, config.head_dim)
        for part, heads in zip(parts, (config.n_heads, config.n_kv_heads, config.n_kv_heads), strict=True)
    )
    return rotary(q, position, config.rope_theta), rotary(k, position, config.rope_theta), v


def feed_forward(x, layer, config: LlamaConfig, dtype):
    """down(silu(gate)·up) of a normed stream."""
    gate_half, up_half = jnp.split(product(x, layer["gate_up"], dtype), 2, axis=-1)
    return product(jax.nn.silu(gate_half) * up_half, layer["down"], dtype)


_DEFAULT = Options()


def forward(
    params, tokens, segment, config: LlamaConfig, options: Options = _DEFAULT, window: int = 0, sinks: int = 0
) -> Output:
    """Runs whole rows, as `model.forward` does: tokens and segment [b, l], padding has segment `PADDING`.

    `window` above 0 cuts attention to the last `window` tokens and the first `sinks`: what a hybrid student starts as.
    Features: "pre" as of `model.forward`; "blocks" [L, 2, b, l, d] are each mixer's input, the residual stream, and
    output. With `Options.currents`, `currents["mixer_gram"]` [L, d, d] is the mean of I·Iᵀ, `currents["mixer_mean"]`
    [L, d] that of I, the normed stream, and `currents["attention"]` [L, d] the root mean square before o.
    """
    position = positions(segment)
    valid = (segment < PADDING).astype(jnp.float32)
    count = jnp.maximum(valid.sum(), 1.0)
    dtype = options.compute_dtype
    length = tokens.shape[1]

    def block(x, layer):
        pre_mixer = rms_norm(x, layer["norm_mixer"], config.norm_eps)
        q, k, v = split_qkv(product(pre_mixer, layer["qkv"], dtype), position, config)
        attended = window_attention(q, k, v, position, segment, window or length, sinks, dtype)
        mixer_out = product(attended, layer["o"], dtype)
        after = x + mixer_out
        pre_ffn = rms_norm(after, layer["norm_ffn"], config.norm_eps)
        currents = {}
        if options.currents != "none":
            seen = pre_mixer * valid[..., None]
            currents = {
                "mixer_gram": jnp.einsum("bld,ble->de", seen, pre_mixer) / count,
                "mixer_mean": seen.sum((0, 1)) / count,
                "attention": jnp.sqrt((attended**2 * valid[..., None]).sum((0, 1)) / count),
            }
        features = {"none": [], "pre": [pre_mixer, pre_ffn], "blocks": [x, mixer_out]}[options.features]
        stacked = jnp.stack(features) if features else jnp.zeros((0,))
        return after + feed_forward(pre_ffn, layer, config, dtype), (stacked, currents)

    if options.remat:
        block = jax.checkpoint(block)
    x, (features, currents) = jax.lax.scan(block, params["embed"][tokens], params["layers"])
    hidden = rms_norm(x, params["final_norm"], config.norm_eps)
    zeros = jnp.zeros((config.n_layers, 4))
    return Output(hidden=hidden, rate=zeros, active=zeros, features=features, currents=currents)

"""The network one token at a time, with its constant-size state, and batched sampling on top of it."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mar_training import model
from mar_training.config import SITES, ModelConfig
from mar_training.params import Params
from mar_training.ssd import ssd_step
from mar_training.window import ring_slot, window_attention_step

RECENT = 64
"""Tokens that the repetition penalty looks back on; the engine's number."""


def initial_state(config: ModelConfig, rows: int) -> dict[str, jax.Array]:
    """The state before the first token.

    conv [L, b, k-1, conv_dim]: the newest inputs of the convolution, oldest first; ssm [L, b, h, p, n];
    ring_k, ring_v [L, b, sinks + window, kv heads, width] with a window branch; position [b].
    """
    layers = config.n_layers
    state = {
        "conv": jnp.zeros((layers, rows, config.d_conv - 1, config.conv_dim)),
        "ssm": jnp.zeros((layers, rows, config.n_heads, config.head_dim, config.d_state)),
        "position": jnp.zeros(rows, jnp.int32),
    }
    if config.window:
        ring = (layers, rows, config.sinks + config.window, config.attn_kv_heads, config.attn_head_dim)
        state |= {"ring_k": jnp.zeros(ring), "ring_v": jnp.zeros(ring)}
    return state


def step(params: Params, state, tokens, config: ModelConfig):
    """Feeds one token to each row: tokens [b].

    Returns (logits [b, v], new state, trace): the trace has `hidden` [L, b, d], the residual stream after each
    layer, `final` [b, d] after the last norm, and `counts_<site>` [L, b, inputs] where the network spikes.
    """
    position = state["position"]
    per_layer = {name: value for name, value in state.items() if name != "position"}

    def block(x, inputs):
        layer, old = inputs
        new, trace = {}, {}

        def site(name, current):
            y, counts, _ = model.project(current, layer, name, config)
            if counts is not None:
                trace[f"counts_{name}"] = counts
            return y

        parts = model.split_in_proj(site("in_proj", model.rms_norm(x, layer["norm_mixer"], config.norm_eps)), config)
        xbc = jnp.concatenate([parts["x"], parts["B"], parts["C"]], axis=-1)
        taps = jnp.concatenate([old["conv"], xbc[:, None]], axis=1)
        new["conv"] = taps[:, 1:]
        conv_out = jnp.sum(taps * layer["conv_weight"], axis=1) + layer["conv_bias"]
        scan_x, dt, a_neg, b_in, c_out = model.scan_inputs(parts, conv_out, layer, config)
        y, new["ssm"] = ssd_step(old["ssm"], scan_x, dt, a_neg, b_in, c_out)
        mixed = model.gate(y, scan_x, parts["z"], layer, config)
        if config.window:
            q, k, v = model.qkv(parts, config, position)
            row = jnp.arange(x.shape[0])
            slot = ring_slot(position, config.window, config.sinks)
            new["ring_k"] = old["ring_k"].at[row, slot].set(k)
            new["ring_v"] = old["ring_v"].at[row, slot].set(v)
            mixed += window_attention_step(q, new["ring_k"], new["ring_v"], position)
        x = x + site("out_proj", mixed)
        gate_up = site("gate_up", model.rms_norm(x, layer["norm_ffn"], config.norm_eps))
        x = x + site("down", model.swiglu(gate_up, config))
        trace["hidden"] = x
        return x, (new, trace)

    x, (new_state, trace) = jax.lax.scan(block, model.embed(params, tokens, config), (params["layers"], per_layer))
    trace["final"] = model.rms_norm(x, params["final_norm"], config.norm_eps)
    logits = model.lm_head(params, trace["final"], config)
    return logits, new_state | {"position": position + 1}, trace


def _penalised(logits, recent, penalty):
    """Logits [b, v] with those of the tokens `recent` [b, n] divided by `penalty`, or multiplied where negative."""
    chosen = jnp.take_along_axis(logits, recent, axis=-1)
    rows = jnp.arange(logits.shape[0])[:, None]
    return logits.at[rows, recent].set(jnp.where(chosen > 0, chosen / penalty, chosen * penalty))


def _pick(logits, key, temperature, top_p):
    """Samples [b] from logits [b, v]: temperature, then the smallest set of tokens that holds `top_p`."""
    greedy = jnp.argmax(logits, axis=-1)
    scaled = logits / jnp.maximum(temperature, 1e-6)
    ordered = jnp.sort(scaled, axis=-1)[:, ::-1]
    before = jnp.cumsum(jax.nn.softmax(ordered, axis=-1), axis=-1) - jax.nn.softmax(ordered, axis=-1)
    cutoff = jnp.min(jnp.where(before < top_p, ordered, jnp.inf), axis=-1, keepdims=True)
    sampled = jax.random.categorical(key, jnp.where(scaled >= cutoff, scaled, -jnp.inf))
    return jnp.where(temperature <= 0.0, greedy, sampled)


@partial(jax.jit, static_argnames=("config", "length"))
def _generate(params, prompt, prompt_length, key, temperature, top_p, penalty, end, config, length):
    rows = prompt.shape[0]

    def body(carry, index):
        state, token, recent, key, done = carry
        logits, state, trace = step(params, state, token, config)
        recent = recent.at[:, index % RECENT].set(token)
        key, sub = jax.random.split(key)
        chosen = _pick(_penalised(logits, recent, penalty), sub, temperature, top_p)
        forced = index + 1 < prompt_length
        upcoming = jnp.where(forced, prompt[:, jnp.minimum(index + 1, prompt.shape[1] - 1)], chosen)
        upcoming = jnp.where(done, end, upcoming)
        done |= ~forced & (upcoming == end)
        del trace
        return (state, upcoming, recent, key, done), upcoming

    # A place that has no token yet holds the first one, which is penalised anyway.
    recent = jnp.broadcast_to(prompt[:, :1], (rows, RECENT))
    start = (initial_state(config, rows), prompt[:, 0], recent, key, jnp.zeros(rows, bool))
    _, tokens = jax.lax.scan(body, start, jnp.arange(length))
    return tokens.T


def generate(
    params: Params,
    config: ModelConfig,
    prompts: list[list[int]],
    *,
    end: int,
    max_new: int = 64,
    temperature: float = 0.0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
) -> list[list[int]]:
    """Continues each prompt until `end` or `max_new` tokens; returns the new tokens, without the end token."""
    lengths = np.array([len(p) for p in prompts])
    widest = -(-int(lengths.max()) // 32) * 32  # rounded up, so that few shapes are compiled
    padded = np.zeros((len(prompts), widest), np.int32)
    for row, prompt in enumerate(prompts):
        padded[row, : len(prompt)] = prompt
    out = np.asarray(
        _generate(
            params,
            jnp.asarray(padded),
            jnp.asarray(lengths),
            jax.random.key(seed),
            jnp.float32(temperature),
            jnp.float32(top_p),
            jnp.float32(repetition_penalty),
            end,
            config,
            widest + max_new - 1,
        )
    )
    replies = []
    for row, length in enumerate(lengths):
        tokens = out[row, length - 1 : length - 1 + max_new].tolist()
        replies.append(tokens[: tokens.index(end)] if end in tokens else tokens)
    return replies


def site_counts(trace) -> dict[str, jax.Array]:
    """The counts of a `step` trace by site."""
    return {site: trace[f"counts_{site}"] for site in SITES if f"counts_{site}" in trace}

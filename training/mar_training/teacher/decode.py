"""A Llama one token at a time, many rows at once, with a cache of keys and values."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from mar_training.model import PADDING, positions, rms_norm
from mar_training.products import product
from mar_training.teacher.llama import LlamaConfig, feed_forward, split_qkv
from mar_training.window import window_attention, window_attention_step


def prefill(params, tokens, lengths, slots: int, config: LlamaConfig, dtype=jnp.float32):
    """Reads prompts [b, l], each `lengths` long and padded on the right.

    Returns (hidden [b, d] of each prompt's last token, cache): keys and values [L, b, slots, kv heads, w]. What padding
    wrote is overwritten before a later token may see it.
    """
    rows, length = tokens.shape
    segment = jnp.where(jnp.arange(length) < lengths[:, None], 0, PADDING)
    position = positions(segment)

    def block(x, layer):
        pre = rms_norm(x, layer["norm_mixer"], config.norm_eps)
        q, k, v = split_qkv(product(pre, layer["qkv"], dtype), position, config)
        attended = window_attention(q, k, v, position, segment, length, 0, dtype)
        x = x + product(attended, layer["o"], dtype)
        x = x + feed_forward(rms_norm(x, layer["norm_ffn"], config.norm_eps), layer, config, dtype)
        room = ((0, 0), (0, slots - length), (0, 0), (0, 0))
        return x, (jnp.pad(k.astype(dtype), room), jnp.pad(v.astype(dtype), room))

    x, cache = jax.lax.scan(block, params["embed"][tokens], params["layers"])
    return rms_norm(x, params["final_norm"], config.norm_eps)[jnp.arange(rows), lengths - 1], cache


def step(params, cache, tokens, position, config: LlamaConfig, dtype=jnp.float32):
    """Feeds a token to each row, tokens and position [b]; returns (hidden [b, d], cache)."""
    row = jnp.arange(tokens.shape[0])

    def block(x, inputs):
        layer, k_cache, v_cache = inputs
        pre = rms_norm(x, layer["norm_mixer"], config.norm_eps)
        q, k, v = split_qkv(product(pre, layer["qkv"], dtype), position, config)
        k_cache = k_cache.at[row, position].set(k.astype(dtype))
        v_cache = v_cache.at[row, position].set(v.astype(dtype))
        attended = window_attention_step(q, k_cache.astype(jnp.float32), v_cache.astype(jnp.float32), position)
        x = x + product(attended, layer["o"], dtype)
        x = x + feed_forward(rms_norm(x, layer["norm_ffn"], config.norm_eps), layer, config, dtype)
        return x, (k_cache, v_cache)

    x, cache = jax.lax.scan(block, params["embed"][tokens], (params["layers"], *cache))
    return rms_norm(x, params["final_norm"], config.norm_eps), cache


def pick(logits, key, temperature, min_p):
    """Samples [b] from logits [b, v]: temperature, then tokens at least `min_p` times as likely as the likeliest.

    Temperature 0 is greedy.
    """
    scaled = logits / jnp.maximum(temperature, 1e-6)
    allowed = scaled >= scaled.max(axis=-1, keepdims=True) + jnp.log(jnp.maximum(min_p, 1e-30))
    sampled = jax.random.categorical(key, jnp.where(allowed, scaled, -jnp.inf))
    return jnp.where(temperature <= 0.0, jnp.argmax(logits, axis=-1), sampled)


@partial(jax.jit, static_argnames=("max_new", "config", "dtype"))
def _continue(params, prompts, lengths, key, temperature, min_p, ends, max_new: int, config: LlamaConfig, dtype):
    rows, width = prompts.shape
    head = params["embed"].T
    hidden, cache = prefill(params, prompts, lengths, width + max_new, config, dtype)

    def choose(hidden, index):
        return pick(product(hidden, head, dtype), jax.random.fold_in(key, index), temperature, min_p)

    def is_end(token):
        return jnp.any(token[:, None] == ends, axis=1)

    def goes_on(carry):
        index, _, _, _, done, _ = carry
        return (index < max_new) & ~jnp.all(done)

    def body(carry):
        index, cache, token, position, done, out = carry
        hidden, cache = step(params, cache, token, position, config, dtype)
        chosen = jnp.where(done, ends[0], choose(hidden, index))
        out = out.at[:, index].set(chosen)
        return index + 1, cache, chosen, position + 1, done | is_end(chosen), out

    token = choose(hidden, 0)
    out = jnp.full((rows, max_new), ends[0]).at[:, 0].set(token)
    return jax.lax.while_loop(goes_on, body, (jnp.int32(1), cache, token, lengths, is_end(token), out))[-1]


def continue_prompts(
    params,
    config: LlamaConfig,
    prompts: list[list[int]],
    *,
    ends: tuple[int, ...],
    max_new: int,
    temperature: float = 0.0,
    min_p: float = 0.0,
    seed: int = 0,
    dtype=jnp.float32,
) -> list[tuple[list[int], bool]]:
    """Of each prompt (the new tokens without the end token, whether one of `ends` came within `max_new`)."""
    lengths = np.array([len(prompt) for prompt in prompts])
    width = -(-int(lengths.max()) // 64) * 64  # rounded up, so that few shapes are compiled
    padded = np.zeros((len(prompts), width), np.int32)
    for row, prompt in enumerate(prompts):
        padded[row, : len(prompt)] = prompt
    given = (jnp.asarray(padded), jnp.asarray(lengths), jax.random.key(seed), jnp.float32(temperature))
    out = _continue(params, *given, jnp.float32(min_p), jnp.asarray(ends), max_new, config, dtype)
    results = []
    for tokens in np.asarray(out).tolist():
        end = next((index for index, token in enumerate(tokens) if token in ends), None)
        results.append((tokens[:end], end is not None))
    return results

"""From a Llama to the hybrid student: what stage 1 starts from, without any training.

Every layer keeps the teacher's attention as its window branch. Beside it is a Mamba-2 branch whose matrices come from
the same attention: C from the query, B from the key, x from the value weights (MOHAWK, arXiv 2408.10189). The branch is
silent at first, by `norm_gated` = 0 in the format's  I = rmsnorm_g(y·silu(z))·norm_gated + window_attention:  its
gradient is not zero, so it learns to speak.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mar_training.config import ModelConfig
from mar_training.errors import MarError
from mar_training.teacher.llama import LlamaConfig

WINDOW, SINKS = 64, 4
"""The window and sinks of a student whose recipe does not say: 0.13 nats from full attention on chats of 512 tokens."""

MEMORY = (32.0, 1024.0)
"""Tokens after which a head's state has decayed to 1 / e: the first and the last head's, the others between."""

GATE = 2.0
"""What z starts near, for every token: silu(2) = 1.76, open and far from flat."""

RIDGE = 1e-2
"""Ridge of the regression that makes z constant, as a share of the mean square of the normed stream."""


def hybrid_config(teacher: LlamaConfig, layers: tuple[int, ...] = ()) -> ModelConfig:
    """The dense hybrid with the teacher's shape: a head of Mamba-2 for each attention head, each with a group of its
    own and a state as wide as the head. `layers`: those that are kept, or all."""
    if layers and not set(layers) <= set(range(teacher.n_layers)):
        raise MarError(f"[convert] layers must be from 0 to {teacher.n_layers - 1}, not {list(layers)}")
    return ModelConfig(
        vocab_size=teacher.vocab_size,
        d_model=teacher.d_model,
        n_layers=len(layers) or teacher.n_layers,
        d_ffn=teacher.d_ffn,
        n_heads=teacher.n_heads,
        head_dim=teacher.head_dim,
        d_state=teacher.head_dim,
        n_groups=teacher.n_heads,
        norm_eps=teacher.norm_eps,
        window=WINDOW,
        sinks=SINKS,
        attn_heads=teacher.n_heads,
        attn_kv_heads=teacher.n_kv_heads,
        rope_theta=teacher.rope_theta,
    ).checked()


def converted(
    params: dict, teacher: LlamaConfig, config: ModelConfig, statistics: dict, layers: tuple[int, ...] = ()
) -> dict:
    """The student's parameters from the teacher's.

    `statistics`: `Output.currents` of `llama.forward`. With `config.window` = 0, the pure form, there is no attention
    to lean on, and `norm_gated` gives the branch the size of the attention's output instead of silence.
    """
    kept = np.array(layers or range(teacher.n_layers))
    old = {name: np.asarray(value)[kept] for name, value in params["layers"].items()}
    statistics = {name: np.asarray(value)[kept] for name, value in statistics.items()}
    count, d, w = len(kept), teacher.d_model, teacher.head_dim
    heads, groups = config.n_heads, config.n_groups
    q, k, v = np.split(old["qkv"], [d, d + teacher.kv_dim], axis=2)
    share = teacher.n_heads // teacher.n_kv_heads
    by_head = {
        "C": q.reshape(count, d, heads, w),
        "B": np.repeat(k.reshape(count, d, -1, w), share, axis=2),
        "x": np.repeat(v.reshape(count, d, -1, w), share, axis=2),
    }
    columns = {
        "z": np.repeat(_constant_gate(statistics)[:, :, None], config.d_inner, axis=2),
        "x": by_head["x"].reshape(count, d, -1),
        "B": _grouped(by_head["B"], groups, config.d_state),
        "C": _grouped(by_head["C"], groups, config.d_state),
        "dt": np.zeros((count, d, heads)),
        "q": q,
        "k": k,
        "v": v,
    }
    conv = np.zeros((count, config.d_conv, config.conv_dim))
    conv[:, -1] = 1.0
    # With Δ = 1 the state decays by exp(A) a token.
    memory = np.geomspace(*MEMORY, heads)
    per_head = np.ones((count, 1))
    new = {
        "norm_mixer": old["norm_mixer"],
        "conv_weight": conv,
        "conv_bias": np.zeros((count, config.conv_dim)),
        "dt_bias": per_head * np.full(heads, np.log(np.expm1(1.0))),
        "A_log": per_head * np.log(1.0 / memory),
        "D": per_head * np.zeros(heads),
        "norm_gated": np.zeros((count, config.d_inner)) if config.window else statistics["attention"],
        "norm_ffn": old["norm_ffn"],
        "in_proj": np.concatenate([columns[name] for name in config.in_proj_parts], axis=2),
        "out_proj": old["o"],
        "gate_up": old["gate_up"],
        "down": old["down"],
    }
    layers_ = {name: jnp.asarray(value, jnp.float32) for name, value in new.items()}
    return {"embed": jnp.asarray(params["embed"]), "final_norm": jnp.asarray(params["final_norm"]), "layers": layers_}


def _grouped(by_head: np.ndarray, groups: int, state: int) -> np.ndarray:
    """[L, d, heads, w] to [L, d, groups·state]: the mean over a group's heads, cut or padded to the state's width."""
    count, d, heads, w = by_head.shape
    mean = by_head.reshape(count, d, groups, heads // groups, w).mean(axis=3)[..., :state]
    return np.pad(mean, ((0, 0),) * 3 + ((0, max(0, state - w)),)).reshape(count, d, -1)


def _constant_gate(statistics: dict) -> np.ndarray:
    """Columns u [L, d] with I·u ≈ `GATE` for every token: the projection has no bias, so one is regressed."""
    gram = statistics["mixer_gram"].astype(np.float64)
    d = gram.shape[-1]
    ridge = RIDGE * np.trace(gram, axis1=1, axis2=2)[:, None, None] / d * np.eye(d)
    return np.linalg.solve(gram + ridge, GATE * statistics["mixer_mean"][..., None])[..., 0]


def without_window(params: dict, config: ModelConfig) -> tuple[dict, ModelConfig]:
    """The pure form of a trained hybrid: its window branch, and in_proj's columns for it, are dropped."""
    return without_window_columns(params, config), config.replace(window=0, sinks=0)


def without_window_columns(tree: Any, config: ModelConfig) -> Any:
    """Any tree of a hybrid's weights, an optimiser's moments for instance, without in_proj's columns for the window."""
    width = sum(config.replace(window=0, sinks=0).in_proj_parts.values())

    def narrow(path, leaf):
        return leaf[..., :width] if "in_proj" in {getattr(key, "key", None) for key in path} else leaf

    return jax.tree_util.tree_map_with_path(narrow, tree)

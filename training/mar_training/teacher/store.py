"""The teacher's folder, in Hugging Face's layout: `config.json`, `model.safetensors`, the tokenizer's files."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from mar_training.data.tokenizer import load_tokenizer, save_tokenizer
from mar_training.errors import MarError
from mar_training.files import read_json, write_atomically, write_json
from mar_training.teacher.llama import LlamaConfig

_CONFIG = {
    "vocab_size": "vocab_size",
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "d_ffn": "intermediate_size",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "context": "max_position_embeddings",
}
"""Our names to Hugging Face's."""

WEIGHTS = "model.safetensors"


def is_teacher(folder: Path) -> bool:
    """Whether a folder holds a Llama rather than a run of this trainer."""
    path = folder / "config.json"
    return path.is_file() and "LlamaForCausalLM" in read_json(path).get("architectures", ())


def save_teacher(params: dict, config: LlamaConfig, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes the folder, weights in float32 under Hugging Face's names."""
    split = {"qkv": ("q_proj", "k_proj", "v_proj"), "gate_up": ("gate_proj", "up_proj")}
    widths = {"qkv": [config.d_model, config.d_model + config.kv_dim], "gate_up": [config.d_ffn]}
    named = {"model.embed_tokens.weight": params["embed"], "model.norm.weight": params["final_norm"]}
    for index in range(config.n_layers):
        at = f"model.layers.{index}"
        layer = {name: np.asarray(value[index]) for name, value in params["layers"].items()}
        named[f"{at}.input_layernorm.weight"] = layer["norm_mixer"]
        named[f"{at}.post_attention_layernorm.weight"] = layer["norm_ffn"]
        named[f"{at}.self_attn.o_proj.weight"] = layer["o"].T
        named[f"{at}.mlp.down_proj.weight"] = layer["down"].T
        for ours, theirs in split.items():
            block = "self_attn" if ours == "qkv" else "mlp"
            for name, part in zip(theirs, np.split(layer[ours], widths[ours], axis=1), strict=True):
                named[f"{at}.{block}.{name}.weight"] = part.T
    named = {name: np.ascontiguousarray(value, np.float32) for name, value in named.items()}
    # Of an earlier teacher: while the new one is written the folder is not whole.
    (folder / "config.json").unlink(missing_ok=True)
    write_atomically(folder / WEIGHTS, lambda path: save_file(named, path, {"format": "pt"}))
    fields = {theirs: getattr(config, ours) for ours, theirs in _CONFIG.items()}
    head = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": True}
    save_tokenizer(tokenizer, folder)
    # Last: it is what says that the folder is whole.
    write_json(folder / "config.json", head | fields)


def _refuse_variants(raw: dict, path: Path) -> None:
    """Raises `MarError` for what a Llama may have and `llama.forward` has not, rather than compute something else."""
    width = raw["hidden_size"] // raw["num_attention_heads"]
    variants = {
        "tie_word_embeddings": (raw.get("tie_word_embeddings", False), True),
        "attention_bias": (raw.get("attention_bias", False), False),
        "mlp_bias": (raw.get("mlp_bias", False), False),
        "rope_scaling": (raw.get("rope_scaling"), None),
        "hidden_act": (raw.get("hidden_act", "silu"), "silu"),
        "head_dim": (raw.get("head_dim") or width, width),
    }
    for key, (found, understood) in variants.items():
        if found != understood:
            raise MarError(f"{path}: {key} is {found!r}; only Llamas with {understood!r} there can be teachers")


def load_teacher(folder: Path) -> tuple[dict, LlamaConfig, Tokenizer]:
    """(parameters, config, tokenizer) of a folder that `mar-train teacher import`, or Hugging Face, wrote."""
    if not is_teacher(folder):
        raise MarError(f"{folder} holds no Llama; make it with: mar-train teacher import")
    raw_config = read_json(folder / "config.json")
    missing = [theirs for theirs in _CONFIG.values() if theirs not in raw_config]
    if missing:
        raise MarError(f"{folder / 'config.json'}: the key {missing[0]} is missing")
    config = LlamaConfig(**{ours: raw_config[theirs] for ours, theirs in _CONFIG.items()}).checked()
    _refuse_variants(raw_config, folder / "config.json")
    path = folder / WEIGHTS
    try:
        raw = load_file(path)
    except (OSError, SafetensorError) as e:
        raise MarError(f"cannot read the teacher's weights {path}: {e}") from e

    def tensor(name: str) -> np.ndarray:
        if name not in raw:
            raise MarError(f"{path}: the tensor {name} is missing")
        return raw[name].astype(np.float32)

    def stacked(*names: str) -> jnp.ndarray:
        def one(index: int) -> np.ndarray:
            parts = [tensor(f"model.layers.{index}.{name}.weight") for name in names]
            return np.concatenate(parts).T if parts[0].ndim == 2 else parts[0]

        return jnp.asarray(np.stack([one(index) for index in range(config.n_layers)]))

    params = {
        "embed": jnp.asarray(tensor("model.embed_tokens.weight")),
        "final_norm": jnp.asarray(tensor("model.norm.weight")),
        "layers": {
            "norm_mixer": stacked("input_layernorm"),
            "qkv": stacked("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            "o": stacked("self_attn.o_proj"),
            "norm_ffn": stacked("post_attention_layernorm"),
            "gate_up": stacked("mlp.gate_proj", "mlp.up_proj"),
            "down": stacked("mlp.down_proj"),
        },
    }
    return params, config, load_tokenizer(folder / "tokenizer.json")

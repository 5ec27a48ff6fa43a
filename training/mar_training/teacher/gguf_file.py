"""GGUF → float weights, config and tokenizer. The `gguf` package reads and dequantises; this knows Llama's layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from mar_training.errors import MarError
from mar_training.teacher.llama import LlamaConfig

_CONTROL = 3
"""GGUF's type of tokens that are not text."""


def read_gguf(path: Path) -> tuple[dict, LlamaConfig, Tokenizer]:
    """(parameters as `llama.init` makes them, config, tokenizer) of a Llama in a GGUF file."""
    from gguf import GGUFReader, dequantize

    if not path.exists():
        raise MarError(f"no GGUF file at {path}")
    try:
        reader = GGUFReader(path)
    except (ValueError, OSError, IndexError) as e:
        raise MarError(f"{path} is not a GGUF file that can be read: {e}") from e
    fields = {name: field.contents for name, field in reader.fields.items()}

    def field(name: str):
        if name not in fields:
            raise MarError(f"{path}: the key {name} is missing")
        return fields[name]()

    if (architecture := field("general.architecture")) != "llama":
        raise MarError(f"{path} is a network of architecture {architecture!r}; only 'llama' can be a teacher")
    config = LlamaConfig(
        vocab_size=len(field("tokenizer.ggml.tokens")),
        d_model=field("llama.embedding_length"),
        n_layers=field("llama.block_count"),
        d_ffn=field("llama.feed_forward_length"),
        n_heads=field("llama.attention.head_count"),
        n_kv_heads=field("llama.attention.head_count_kv"),
        # Written as float32; as a Python float it would be 9.999999747378752e-06.
        norm_eps=float(f"{field('llama.attention.layer_norm_rms_epsilon'):.6g}"),
        rope_theta=float(field("llama.rope.freq_base")),
        context=field("llama.context_length"),
    ).checked()
    raw = {tensor.name: tensor for tensor in reader.tensors}
    if "output.weight" in raw:
        raise MarError(f"{path} has a head of its own (output.weight); the teacher must tie it to the embedding")

    def tensor(name: str, *shape: int) -> np.ndarray:
        if name not in raw:
            raise MarError(f"{path}: the tensor {name} is missing")
        value = dequantize(raw[name].data, raw[name].tensor_type).astype(np.float32)
        if value.shape != shape:
            raise MarError(f"{path}: {name} has shape {value.shape}, the config makes it {shape}")
        return value

    d, kv, f = config.d_model, config.kv_dim, config.d_ffn
    layers: dict[str, list[np.ndarray]] = {}
    for index in range(config.n_layers):
        at = f"blk.{index}"
        q = unpermuted(tensor(f"{at}.attn_q.weight", d, d), config.n_heads)
        k = unpermuted(tensor(f"{at}.attn_k.weight", kv, d), config.n_kv_heads)
        gate, up = tensor(f"{at}.ffn_gate.weight", f, d), tensor(f"{at}.ffn_up.weight", f, d)
        one = {
            "norm_mixer": tensor(f"{at}.attn_norm.weight", d),
            "qkv": np.concatenate([q, k, tensor(f"{at}.attn_v.weight", kv, d)]).T,
            "o": tensor(f"{at}.attn_output.weight", d, d).T,
            "norm_ffn": tensor(f"{at}.ffn_norm.weight", d),
            "gate_up": np.concatenate([gate, up]).T,
            "down": tensor(f"{at}.ffn_down.weight", d, f).T,
        }
        for name, value in one.items():
            layers.setdefault(name, []).append(value)
    params = {
        "embed": tensor("token_embd.weight", config.vocab_size, d),
        "final_norm": tensor("output_norm.weight", d),
        "layers": {name: np.stack(values) for name, values in layers.items()},
    }
    kind = (field("tokenizer.ggml.model"), field("tokenizer.ggml.pre"))
    if kind != ("gpt2", "smollm"):
        raise MarError(f"{path}: the tokenizer is {kind}; only byte-level BPE with single digits (smollm) is known")
    tokens, types, merges = (field(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type", "merges"))
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    return params, config, byte_level_bpe(tokens, merges, special)


def unpermuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k [heads·w, d] from GGUF's order, pairs (2j, 2j + 1) for interleaved rotary, to rotate-half's."""
    out, d = weight.shape
    return weight.reshape(heads, out // heads // 2, 2, d).swapaxes(1, 2).reshape(out, d)


def byte_level_bpe(tokens: list[str], merges: list[str], special: list[str]) -> Tokenizer:
    """SmolLM's tokenizer: digits stand alone, then GPT-2's byte-level BPE."""
    added = [
        {"id": tokens.index(text), "content": text, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for text in special
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
        },
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in merges],
        },
    }
    return Tokenizer.from_str(json.dumps(whole))

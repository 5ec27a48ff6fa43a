"""From trained parameters to a model directory."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from mar_training import model
from mar_training.config import SITES, ModelConfig
from mar_training.errors import MarError
from mar_training.export.layout import DTYPES, FORMAT_VERSION, tensors
from mar_training.export.packing import pack
from mar_training.files import write_atomically, write_json

CHUNK_BYTES = 1 << 20


def pack_params(params: dict, config: ModelConfig) -> dict[str, np.ndarray]:
    """The tensors of `model.safetensors`, quantised by the trainer's own code."""
    if config.neuron != "atmn" or not config.quantised:
        raise MarError("only a spiking (atmn) network with integer weights can be exported: train with [quantise]")
    q, scale = model.embedding(params, config)
    out = {
        "embed.weight": pack(np.asarray(q), config.embed_weights),
        "embed.scale": np.asarray(scale[:, 0]),
        "final_norm.weight": np.asarray(params["final_norm"]),
    }
    for index in range(config.n_layers):
        layer = {name: value[index] for name, value in params["layers"].items()}
        at = f"layers.{index}"
        for ours, theirs in PLAIN.items():
            out[f"{at}.{theirs}"] = np.asarray(layer[ours])
        out[f"{at}.A"] = np.asarray(-jnp.exp(layer["A_log"]))
        for site, kind in zip(SITES, config.weights, strict=True):
            inv_threshold, q, scale = model.site_weights(layer, site, config)
            out[f"{at}.{site}.inv_threshold"] = np.asarray(inv_threshold)
            out[f"{at}.{site}.weight"] = pack(np.asarray(q), kind)
            out[f"{at}.{site}.scale"] = np.asarray(scale)
    _check(out, config)
    return out


PLAIN = {
    "norm_mixer": "norm_mixer.weight",
    "conv_weight": "conv.weight",
    "conv_bias": "conv.bias",
    "dt_bias": "dt_bias",
    "D": "D",
    "norm_gated": "norm_gated.weight",
    "norm_ffn": "norm_ffn.weight",
}
"""Parameters stored as they are: the trainer's name to the file's."""


def _check(out: dict[str, np.ndarray], config: ModelConfig) -> None:
    expected = tensors(config)
    if set(out) != set(expected):
        raise MarError(f"tensors differ from the layout: {sorted(set(out) ^ set(expected))[:3]}")
    for name, value in out.items():
        dtype, shape = expected[name]
        if value.shape != shape or value.dtype != DTYPES[dtype]:
            raise MarError(f"{name}: {value.dtype} {value.shape}, the layout says {dtype} {shape}")
        if dtype == "F32" and not np.isfinite(value).all():
            raise MarError(f"{name} holds a value that is not finite")


def config_json(name: str, config: ModelConfig) -> dict[str, Any]:
    """What `config.json` says: the format, then every field of the config."""
    fields = dataclasses.asdict(config)
    return {"format": "mar", "format_version": FORMAT_VERSION, "name": name, **fields}


def write_weights(tensors_: dict[str, np.ndarray], config: ModelConfig, name: str, folder: Path) -> None:
    """Writes `model.safetensors` and `config.json`."""
    metadata = {"format": "mar", "format_version": str(FORMAT_VERSION)}
    write_atomically(folder / "model.safetensors", lambda path: save_file(tensors_, path, metadata))
    write_json(folder / "config.json", config_json(name, config))


def write_manifest(folder: Path) -> dict[str, Any]:
    """Hashes every other file of the directory; must come last."""
    files = []
    for path in sorted(folder.iterdir()):
        if path.name == "manifest.json":
            continue
        data = path.read_bytes()
        chunks = [data[i : i + CHUNK_BYTES] for i in range(0, len(data), CHUNK_BYTES)]
        files.append(
            {
                "path": path.name,
                "bytes": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "chunks": [hashlib.sha256(chunk).hexdigest() for chunk in chunks],
            }
        )
    manifest = {"format": "mar-manifest", "format_version": 1, "chunk_bytes": CHUNK_BYTES, "files": files}
    write_json(folder / "manifest.json", manifest)
    return manifest

"""A model directory read back: what golden vectors, evaluation and the export check run on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from mar_training.config import SITES, ModelConfig, from_dict
from mar_training.errors import MarError
from mar_training.export.layout import DTYPES, FORMAT_VERSION, NAME_PATTERN, tensors
from mar_training.export.packing import unpack
from mar_training.export.parts import WEIGHTS, weights_bytes
from mar_training.export.writer import PLAIN
from mar_training.files import read_json


def read_config(folder: Path) -> ModelConfig:
    """The checked config of a model directory."""
    path = folder / "config.json"
    raw = read_json(path)
    if not isinstance(raw, dict) or raw.get("format") != "mar":
        raise MarError(f"{path} is not the config of a MAR model")
    if raw.get("format_version") != FORMAT_VERSION:
        raise MarError(f"{path} is of format version {raw.get('format_version')}; this reads {FORMAT_VERSION}")
    expected = {f.name for f in dataclasses.fields(ModelConfig)} | {"format", "format_version", "name"}
    if missing := expected - set(raw):
        raise MarError(f"{path}: missing key {min(missing)!r}")
    if not isinstance(raw["name"], str) or not re.fullmatch(NAME_PATTERN, raw["name"]):
        raise MarError(f"{path}: name must be 1 to 64 of a-z, 0-9, '.', '_' and '-', not {raw['name']!r}")
    fields = {k: v for k, v in raw.items() if k not in ("format", "format_version", "name")}
    config = from_dict(ModelConfig, fields, str(path)).checked()
    if config.neuron != "atmn" or not config.quantised:
        raise MarError(f"{path}: a model directory holds an atmn network with integer weights")
    return config


def read_packed(folder: Path) -> tuple[dict, ModelConfig]:
    """(packed parameters, config): integers as floats, their scales and 1/V, as `model.site_weights` takes them."""
    config = read_config(folder)
    path = folder / WEIGHTS
    whole = weights_bytes(folder)
    try:
        raw = load(whole)
        header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    except SafetensorError as e:
        raise MarError(f"cannot read {path}: {e}") from e
    metadata = header.get("__metadata__", {})
    if metadata != {"format": "mar", "format_version": str(FORMAT_VERSION)}:
        raise MarError(f"{path}: its metadata does not say format mar, version {FORMAT_VERSION}: {metadata}")
    expected = tensors(config)
    if set(raw) != set(expected):
        raise MarError(f"{path}: tensors missing or unknown: {', '.join(sorted(set(raw) ^ set(expected))[:3])}")
    for name, (dtype, shape) in expected.items():
        if (raw[name].dtype, raw[name].shape) != (DTYPES[dtype], shape):
            raise MarError(f"{path}: {name} is {raw[name].dtype} {raw[name].shape}, its config says {dtype} {shape}")
        if raw[name].dtype == np.float32 and not np.isfinite(raw[name]).all():
            raise MarError(f"{path}: {name} holds a value that is not finite")
        positive, negative = name.endswith((".scale", ".inv_threshold")), name.endswith(".A")
        if (positive and raw[name].min() <= 0) or (negative and raw[name].max() >= 0):
            raise MarError(f"{path}: {name} must be {'above' if positive else 'below'} 0 everywhere")
    layers: dict[str, list] = {}
    for index in range(config.n_layers):
        at = f"layers.{index}"
        one = {ours: raw[f"{at}.{theirs}"] for ours, theirs in PLAIN.items()}
        one["A"] = raw[f"{at}.A"]
        for site, kind in zip(SITES, config.weights, strict=True):
            one[f"{site}_q"] = unpack(raw[f"{at}.{site}.weight"], config.site_shapes[site][1], kind).astype(np.float32)
            one[f"{site}_scale"] = raw[f"{at}.{site}.scale"]
            one[f"{site}_inv_threshold"] = raw[f"{at}.{site}.inv_threshold"]
        for name, value in one.items():
            layers.setdefault(name, []).append(value)
    packed = {
        "embed_q": jnp.asarray(unpack(raw["embed.weight"], config.d_model, config.embed_weights), jnp.float32),
        "embed_scale": jnp.asarray(raw["embed.scale"]),
        "final_norm": jnp.asarray(raw["final_norm.weight"]),
        "layers": {name: jnp.asarray(np.stack(values)) for name, values in layers.items()},
    }
    return packed, config


def dequantised(packed: dict, config: ModelConfig) -> tuple[dict, ModelConfig]:
    """(parameters, config) to train on from, with float weights and their scales, learned ones from here on: so the
    integers are the same until training moves them."""
    layers = dict(packed["layers"])
    layers["A_log"] = jnp.log(-layers.pop("A"))
    for site in SITES:
        inv_threshold = layers.pop(f"{site}_inv_threshold")
        scale = layers.pop(f"{site}_scale")
        layers[f"log_scale_{site}"] = jnp.log(scale)
        folded = layers.pop(f"{site}_q") * scale[:, None, :]
        layers[site] = folded * inv_threshold[:, :, None]
        layers[f"log_threshold_{site}"] = -jnp.log(inv_threshold)
    embed = packed["embed_q"] * packed["embed_scale"][:, None]
    params = {"embed": embed, "final_norm": packed["final_norm"], "layers": layers}
    return params, config.replace(weights=("float",) * 4, embed_weights="float")


def check_manifest(folder: Path) -> None:
    """Raises `MarError` unless every file of the directory is in its manifest, with the right size and hashes."""
    manifest = read_json(folder / "manifest.json")
    if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("format_version")) != (
        "mar-manifest",
        1,
    ):
        raise MarError(f"{folder / 'manifest.json'} is not a manifest of version 1")
    listed = {entry["path"]: entry for entry in manifest["files"]}
    present = {p.name for p in folder.iterdir()} - {"manifest.json"}
    if present != set(listed):
        raise MarError(f"{folder}: manifest and files differ: {', '.join(sorted(present ^ set(listed)))}")
    for name, entry in listed.items():
        data = (folder / name).read_bytes()
        size = manifest["chunk_bytes"]
        chunks = [hashlib.sha256(data[i : i + size]).hexdigest() for i in range(0, len(data), size)]
        if (len(data), hashlib.sha256(data).hexdigest(), chunks) != (entry["bytes"], entry["sha256"], entry["chunks"]):
            raise MarError(f"{folder / name} is not the file the manifest describes")

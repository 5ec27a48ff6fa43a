"""Checkpoints: one safetensors file each, so that a checkpoint is either whole or not there.

Arrays are named by their path ("params/layers/in_proj", "optimizer/…"); the file's metadata holds a JSON with the
step, the model's config and whatever the caller adds.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mar_training.config import ModelConfig, from_dict
from mar_training.errors import MarError
from mar_training.files import write_atomically

KEEP = 2
"""How many checkpoints of a run stay on disk."""


def _named(tree) -> dict[str, jax.Array]:
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in p): v for p, v in flat}


def save(path: Path, arrays: dict[str, Any], config: ModelConfig, info: dict[str, Any], *, half: bool = False) -> None:
    """Writes the tree `arrays` atomically; `half` stores float32 as bfloat16, for weights that travel."""
    named = {}
    for name, value in _named(arrays).items():
        value = np.asarray(value)
        named[name] = value.astype(jnp.bfloat16) if half and value.dtype == np.float32 else value
    metadata = {"mar": json.dumps({"config": dataclasses.asdict(config), **info})}
    write_atomically(path, lambda temporary: save_file(named, temporary, metadata))


def read_info(path: Path) -> dict[str, Any]:
    """A checkpoint's JSON; its `config` is already a `ModelConfig`."""
    try:
        with safe_open(path, framework="numpy") as f:
            info = json.loads(f.metadata()["mar"])
    except (OSError, SafetensorError, TypeError, KeyError, ValueError) as e:
        raise MarError(f"{path} is not a checkpoint of mar-train: {e}") from e
    info["config"] = from_dict(ModelConfig, info["config"], f"{path}: config").checked()
    return info


def load_params(path: Path, part: str = "params") -> tuple[dict, dict[str, Any]]:
    """(parameters, info) of a checkpoint, in float32; `part` may be "ema"."""
    info = read_info(path)
    tree: dict[str, Any] = {}
    with safe_open(path, framework="numpy") as f:
        for name in f.keys():  # noqa: SIM118 - not a dict
            if name.startswith(part + "/"):
                *folders, leaf = name.split("/")[1:]
                node = tree
                for folder in folders:
                    node = node.setdefault(folder, {})
                node[leaf] = jnp.asarray(f.get_tensor(name)).astype(jnp.float32)
    if not tree:
        raise MarError(f"{path} holds no {part!r}")
    return tree, info


def restore(path: Path, template: Any) -> Any:
    """Fills a tree shaped like `template` from a checkpoint, exactly as saved."""
    with safe_open(path, framework="numpy") as f:
        names = set(f.keys())
        leaves = []
        for name, like in _named(template).items():
            if name not in names:
                raise MarError(f"{path}: {name} is missing; the checkpoint is of another model or optimiser")
            value = f.get_tensor(name)
            if value.shape != np.shape(like):
                raise MarError(f"{path}: {name} has shape {value.shape}, this run needs {np.shape(like)}")
            leaves.append(jnp.asarray(value))
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint of a run folder."""
    return max(folder.glob("step-*.safetensors"), default=None)


def save_step(folder: Path, step: int, arrays, config, info) -> Path:
    """Writes the checkpoint of a step and removes all but the newest `KEEP`."""
    path = folder / f"step-{step:07d}.safetensors"
    save(path, arrays, config, info | {"step": step})
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEEP]:
        old.unlink()
    return path


def resolve(path: Path) -> Path:
    """A checkpoint file from its own path or its run's folder."""
    if path.is_dir():
        final = path / "final.safetensors"
        found = final if final.exists() else latest(path)
        if found is None:
            raise MarError(f"{path} holds no checkpoint")
        return found
    if not path.exists():
        raise MarError(f"no checkpoint at {path}")
    return path

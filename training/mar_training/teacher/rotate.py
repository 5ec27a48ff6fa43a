"""Folding norm gains into the projections, and a random rotation of the residual stream into all weights.

rmsnorm commutes with a rotation where its gain is constant, so the network computes the same in another basis, in which
no channel of the residual stream is much louder than the others (computational invariance, as QuaRot uses it). Spikes
of few micro-steps need that. The last norm's gain cannot be folded into the head, which is tied to the embedding; so
channels are rotated in groups of nearly equal gain, and a group's gain becomes its mean.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from mar_training.teacher.llama import LlamaConfig


def gain_groups(gain: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Channels in groups whose gains lie within a factor 1 + `tolerance` of one another, in order of gain."""
    groups: list[list[int]] = []
    for channel in np.argsort(gain):
        low = gain[groups[-1][0]] if groups else None
        if low is not None and gain[channel] <= max(low * (1 + tolerance), low / (1 + tolerance)):
            groups[-1].append(int(channel))
        else:
            groups.append([int(channel)])
    return [np.array(group) for group in groups]


def rotation(groups: list[np.ndarray], seed: int) -> np.ndarray:
    """A random orthogonal matrix [d, d] that mixes only channels of one group."""
    rng = np.random.default_rng(seed)
    whole = np.zeros((sum(map(len, groups)),) * 2)
    for group in groups:
        q, r = np.linalg.qr(rng.standard_normal((len(group), len(group))))
        whole[np.ix_(group, group)] = q * np.sign(np.diag(r))
    return whole.astype(np.float32)


def rotated(params: dict, config: LlamaConfig, seed: int, tolerance: float = 0.05) -> dict:
    """The same network with its gains folded and its residual stream rotated; exact but for the last norm's gain."""
    gain = np.asarray(params["final_norm"])
    groups = gain_groups(gain, tolerance)
    q = rotation(groups, seed)
    final = gain.copy()
    for group in groups:
        final[group] = gain[group].mean()
    layers = params["layers"]
    ones = np.ones((config.n_layers, config.d_model), np.float32)

    def inward(name: str, norm: str):
        return jnp.einsum("ed,leo->ldo", q, np.asarray(layers[norm])[:, :, None] * np.asarray(layers[name]))

    return {
        "embed": jnp.asarray(np.asarray(params["embed"]) @ q),
        "final_norm": jnp.asarray(final),
        "layers": {
            "norm_mixer": jnp.asarray(ones),
            "qkv": inward("qkv", "norm_mixer"),
            "o": jnp.asarray(np.asarray(layers["o"]) @ q),
            "norm_ffn": jnp.asarray(ones),
            "gate_up": inward("gate_up", "norm_ffn"),
            "down": jnp.asarray(np.asarray(layers["down"]) @ q),
        },
    }

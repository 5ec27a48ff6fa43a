"""A second reader of the model format, in NumPy and nothing else, written from `models/FORMAT.md` alone.

It shares no code with the package, so that what the two agree on is what the document says. Slow, one token at a time.
Sizes are named as in the document; `s` is the dict that `sizes` returns.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

SITES = ("in_proj", "out_proj", "gate_up", "down")
BITS = {"int8": 8, "int4": 4, "ternary": 2}
DTYPES = {"F32": np.dtype("<f4"), "U8": np.dtype("u1"), "I8": np.dtype("i1"), "I32": np.dtype("<i4")}


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, after = entry["data_offsets"]
        assert start == end, f"{name}: begins at {start}, the tensor before it ends at {end}"
        body = data[8 + length + start : 8 + length + after]
        tensors[name] = np.frombuffer(body, DTYPES[entry["dtype"]]).reshape(entry["shape"])
        end = after
    assert 8 + length + end == len(data)
    return tensors, metadata


def sizes(config: dict) -> dict[str, int]:
    """The document's symbols: v d f L h p i g n k xbc W S, attention heads H and K of width w, kv."""
    s = {
        "v": config["vocab_size"],
        "d": config["d_model"],
        "f": config["d_ffn"],
        "L": config["n_layers"],
        "h": config["n_heads"],
        "p": config["head_dim"],
        "g": config["n_groups"],
        "n": config["d_state"],
        "k": config["d_conv"],
        "W": config["window"],
        "S": config["sinks"],
        "H": config["attn_heads"],
        "K": config["attn_kv_heads"],
    }
    s["i"] = s["h"] * s["p"]
    s["xbc"] = s["i"] + 2 * s["g"] * s["n"]
    s["w"] = s["i"] // s["H"] if s["W"] else 0
    s["kv"] = s["K"] * s["w"]
    return s


def site_shapes(s: dict[str, int]) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of each projection."""
    attention = s["i"] + 2 * s["kv"] if s["W"] else 0
    return {
        "in_proj": (s["d"], s["i"] + s["xbc"] + s["h"] + attention),
        "out_proj": (s["i"], s["d"]),
        "gate_up": (s["d"], 2 * s["f"]),
        "down": (s["f"], s["d"]),
    }


def row_bytes(columns: int, kind: str) -> int:
    """Bytes of a packed row."""
    return -(-columns * BITS[kind] // 128) * 16


def layout(config: dict) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The type and shape of every tensor of a model."""
    s = sizes(config)
    v, d, i, xbc = s["v"], s["d"], s["i"], s["xbc"]
    out = {
        "embed.weight": ("U8", (v, row_bytes(d, config["embed_weights"]))),
        "embed.scale": ("F32", (v,)),
        "final_norm.weight": ("F32", (d,)),
    }
    layer = {"norm_mixer.weight": (d,), "conv.weight": (s["k"], xbc), "conv.bias": (xbc,), "norm_gated.weight": (i,)}
    layer |= {"dt_bias": (s["h"],), "A": (s["h"],), "D": (s["h"],), "norm_ffn.weight": (d,)}
    for at in (f"layers.{index}." for index in range(s["L"])):
        out |= {at + name: ("F32", shape) for name, shape in layer.items()}
        for (site, (inputs, outputs)), kind in zip(site_shapes(s).items(), config["weights"], strict=True):
            out[f"{at}{site}.inv_threshold"] = ("F32", (inputs,))
            out[f"{at}{site}.weight"] = ("U8", (inputs, row_bytes(outputs, kind)))
            out[f"{at}{site}.scale"] = ("F32", (outputs,))
    return out


def unpack(packed: np.ndarray, columns: int, kind: str) -> np.ndarray:
    """[rows, bytes] u8 -> [rows, columns] i64; refuses padding that is not zero and each field's lowest value."""
    bits = BITS[kind]
    fields = (packed[:, :, None].astype(np.int64) >> np.arange(0, 8, bits)) & ((1 << bits) - 1)
    values = fields.reshape(packed.shape[0], -1)
    values = np.where(values >= 1 << (bits - 1), values - (1 << bits), values)
    assert not values[:, columns:].any(), "padding that is not zero"
    assert (values > -(1 << (bits - 1))).all(), "a lowest value"
    return values[:, :columns]


def silu(x: np.ndarray) -> np.ndarray:
    """x / (1 + exp(-x)), any shape."""
    return x / (1 + np.exp(-x))


def rmsnorm(x: np.ndarray, eps: float) -> np.ndarray:
    """Over the last axis of [..., d]."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps))


def spikes(current: np.ndarray, inv_threshold: np.ndarray, steps: int, tau: float, precharge: float) -> np.ndarray:
    """[inputs] f32 -> [inputs] i64, the signed counts of ATMN."""
    r = current * inv_threshold
    h = r + np.float32(precharge) * np.sign(r)
    counts = np.zeros(r.shape, np.int64)
    for _ in range(steps):
        s = (h >= 1).astype(np.int64) - (h <= -1)
        counts += s
        h = (h - s.astype(np.float32)) * np.float32(1 / tau)
    return counts


def rotate(x: np.ndarray, position: int, theta: float) -> np.ndarray:
    """[heads, w] -> the same, pairs (j, j + w/2) turned by position · theta^(-2j/w)."""
    half = x.shape[1] // 2
    angle = np.float32(position) * np.float32(theta) ** (np.arange(half, dtype=np.float32) / np.float32(-half))
    a, b, cos, sin = x[:, :half], x[:, half:], np.cos(angle), np.sin(angle)
    return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=1)


class PlainModel:
    """A model directory, run one token at a time from a zero state."""

    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.s = sizes(self.config)
        self.t, metadata = read_tensors(folder / "model.safetensors")
        assert metadata == {"format": "mar", "format_version": "1"}
        found = {name: ("U8" if x.dtype == np.uint8 else "F32", x.shape) for name, x in self.t.items()}
        assert found == layout(self.config)
        self.embed = unpack(self.t["embed.weight"], self.s["d"], self.config["embed_weights"]).astype(np.float32)
        self.embed *= self.t["embed.scale"][:, None]
        self.weights = {
            (layer, site): unpack(self.t[f"layers.{layer}.{site}.weight"], outputs, kind)
            for layer in range(self.s["L"])
            for (site, (_, outputs)), kind in zip(site_shapes(self.s).items(), self.config["weights"], strict=True)
        }
        self.reset()

    def reset(self) -> None:
        """Back to before the first token: every state zero."""
        s = self.s
        shapes = {"conv": (s["k"] - 1, s["xbc"]), "ssm": (s["h"], s["p"], s["n"])}
        if s["W"]:
            shapes |= {name: (s["S"] + s["W"], s["K"], s["w"]) for name in ("ring_k", "ring_v")}
        self.state = {name: np.zeros((s["L"], *shape), np.float32) for name, shape in shapes.items()}
        self.position = 0

    def param(self, layer: int, name: str) -> np.ndarray:
        """One tensor of a layer."""
        return self.t[f"layers.{layer}.{name}"]

    def project(self, layer: int, site: str, current: np.ndarray, counts: dict) -> np.ndarray:
        """[inputs] -> [outputs]: fires, then adds rows, in integers; leaves the counts in counts[site]."""
        steps = self.config["steps"][SITES.index(site)]
        inv_threshold = self.param(layer, f"{site}.inv_threshold")
        c = spikes(current, inv_threshold, steps, self.config["tau"], self.config["precharge"])
        counts[site].append(c)
        return self.param(layer, f"{site}.scale") * (c @ self.weights[layer, site]).astype(np.float32)

    def conv(self, layer: int, xbc: np.ndarray) -> np.ndarray:
        """[xbc] -> [xbc]: the causal convolution over this token and the k - 1 before it, then silu."""
        taps = np.concatenate([self.state["conv"][layer], xbc[None]])
        self.state["conv"][layer] = taps[1:]
        return silu(np.sum(taps * self.param(layer, "conv.weight"), axis=0) + self.param(layer, "conv.bias"))

    def scan(self, layer: int, xbc: np.ndarray, dt: np.ndarray) -> np.ndarray:
        """[xbc], [h] -> [h, p]: one step of the recurrence."""
        s = self.s
        x, b, c = np.split(xbc, [s["i"], s["i"] + s["g"] * s["n"]])
        x = x.reshape(s["h"], s["p"])
        group = np.arange(s["h"]) * s["g"] // s["h"]
        b, c = (part.reshape(s["g"], s["n"])[group] for part in (b, c))
        delta = np.logaddexp(np.float32(0), dt + self.param(layer, "dt_bias"))
        decay = np.exp(delta * self.param(layer, "A"))
        state = decay[:, None, None] * self.state["ssm"][layer] + (delta[:, None] * x)[:, :, None] * b[:, None, :]
        self.state["ssm"][layer] = state
        return np.sum(state * c[:, None, :], axis=-1) + self.param(layer, "D")[:, None] * x

    def gated_norm(self, layer: int, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """[i], [i] -> [i]."""
        gated = (y * silu(z)).reshape(self.s["g"], -1)
        return rmsnorm(gated, self.config["norm_eps"]).reshape(-1) * self.param(layer, "norm_gated.weight")

    def slot(self, position: int) -> int:
        """Where the rings keep a position."""
        sinks = self.s["S"]
        return position if position < sinks else sinks + (position - sinks) % self.s["W"]

    def attend(self, layer: int, qkv: np.ndarray) -> np.ndarray:
        """[i + 2 kv] -> [i]: window attention over the rings."""
        s, theta = self.s, self.config["rope_theta"]
        q, k, v = np.split(qkv, [s["i"], s["i"] + s["kv"]])
        q = rotate(q.reshape(s["H"], s["w"]), self.position, theta)
        ring_k, ring_v = self.state["ring_k"][layer], self.state["ring_v"][layer]
        ring_k[self.slot(self.position)] = rotate(k.reshape(s["K"], s["w"]), self.position, theta)
        ring_v[self.slot(self.position)] = v.reshape(s["K"], s["w"])
        seen = [t for t in range(self.position + 1) if t < s["S"] or t > self.position - s["W"]]
        slots = [self.slot(t) for t in seen]
        head = np.arange(s["H"]) * s["K"] // s["H"]
        keys, values = ring_k[slots][:, head], ring_v[slots][:, head]
        scores = np.sum(keys * q, axis=-1) / np.sqrt(np.float32(s["w"]))
        weight = np.exp(scores - scores.max(axis=0))
        weight /= weight.sum(axis=0)
        return np.sum(weight[:, :, None] * values, axis=0).reshape(-1)

    def layer(self, index: int, x: np.ndarray, counts: dict) -> np.ndarray:
        """[d] -> [d]: the residual stream through one layer."""
        s, eps = self.s, self.config["norm_eps"]
        current = rmsnorm(x, eps) * self.param(index, "norm_mixer.weight")
        ends = np.cumsum([s["i"], s["xbc"], s["h"]])
        z, xbc, dt, qkv = np.split(self.project(index, "in_proj", current, counts), ends)
        y = self.scan(index, self.conv(index, xbc), dt).reshape(-1)
        current = self.gated_norm(index, y, z)
        if s["W"]:
            current = current + self.attend(index, qkv)
        x = x + self.project(index, "out_proj", current, counts)
        current = rmsnorm(x, eps) * self.param(index, "norm_ffn.weight")
        gate, up = np.split(self.project(index, "gate_up", current, counts), 2)
        return x + self.project(index, "down", silu(gate) * up, counts)

    def step(self, token: int) -> dict[str, np.ndarray]:
        """One token: hidden [L, d], final [d], logits [v] and counts_SITE [L, inputs]."""
        counts: dict[str, list[np.ndarray]] = {site: [] for site in SITES}
        hidden, x = [], self.embed[token]
        for index in range(self.s["L"]):
            x = self.layer(index, x, counts)
            hidden.append(x)
        self.position += 1
        final = rmsnorm(x, self.config["norm_eps"]) * self.t["final_norm.weight"]
        out = {"hidden": np.stack(hidden), "final": final, "logits": self.embed @ final}
        return out | {f"counts_{site}": np.stack(rows) for site, rows in counts.items()}

    def prompt(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """What `step` gives, of every token of a new conversation, with a leading axis [n]."""
        self.reset()
        rows = [self.step(int(token)) for token in tokens]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def greedy(self, logits: np.ndarray, count: int) -> list[int]:
        """The `count` likeliest tokens, one after the other, from [v] the logits after the prompt."""
        tokens: list[int] = []
        while len(tokens) < count:
            tokens.append(int(np.argmax(logits)))
            logits = self.step(tokens[-1])["logits"]
        return tokens

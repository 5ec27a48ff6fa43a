"""The network's shape and neurons: what `config.json` and a recipe's `[model]` table say."""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Any

from mar_training.errors import MarError

SITES = ("in_proj", "out_proj", "gate_up", "down")
"""The four spike sites of a layer, each named by the projection that reads its spikes (paper, section 3)."""

NEURONS = ("dense", "atmn", "binary")
WEIGHT_TYPES = ("float", "int8", "int4", "ternary")
QMAX = {"int8": 127, "int4": 7, "ternary": 1}
"""Largest integer of each weight type; all are symmetric."""

LIMITS = {
    "vocab_size": 262_144,
    "d_model": 8_192,
    "n_layers": 128,
    "d_ffn": 32_768,
    "n_heads": 256,
    "head_dim": 256,
    "d_state": 256,
    "n_groups": 256,
}
"""Largest value of each size; what every reader of the format enforces (`models/FORMAT.md`)."""


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a MAR network. Symbols are those of the package's glossary.

    `steps`, `weights`: one entry a spike site, in the order of `SITES`.
    `window` = 0 is the paper's pure form; above 0 each layer also has grouped-query attention over the last
    `window` tokens and the first `sinks`, added to the gated scan output before site 2.
    """

    vocab_size: int
    d_model: int
    n_layers: int
    d_ffn: int
    n_heads: int
    head_dim: int
    d_state: int
    n_groups: int = 1
    d_conv: int = 4
    norm_eps: float = 1e-5
    window: int = 0
    sinks: int = 0
    attn_heads: int = 0
    attn_kv_heads: int = 0
    rope_theta: float = 10_000.0
    neuron: str = "dense"
    steps: tuple[int, ...] = (4, 4, 4, 4)
    tau: float = 1.0
    precharge: float = 0.0
    weights: tuple[str, ...] = ("float",) * 4
    embed_weights: str = "float"

    @property
    def d_inner(self) -> int:
        """Width of the Mamba-2 branch."""
        return self.n_heads * self.head_dim

    @property
    def conv_dim(self) -> int:
        """Channels of the convolution: x, B and C."""
        return self.d_inner + 2 * self.n_groups * self.d_state

    @property
    def attn_head_dim(self) -> int:
        """Width of one attention head; 0 where there is no window branch."""
        return self.d_inner // self.attn_heads if self.window else 0

    @property
    def in_proj_parts(self) -> dict[str, int]:
        """The columns of in_proj by name, in order."""
        parts = {
            "z": self.d_inner,
            "x": self.d_inner,
            "B": self.n_groups * self.d_state,
            "C": self.n_groups * self.d_state,
            "dt": self.n_heads,
        }
        if self.window:
            parts |= {
                "q": self.d_inner,
                "k": self.attn_kv_heads * self.attn_head_dim,
                "v": self.attn_kv_heads * self.attn_head_dim,
            }
        return parts

    @property
    def site_shapes(self) -> dict[str, tuple[int, int]]:
        """Of each spike site the projection's (inputs, outputs)."""
        return {
            "in_proj": (self.d_model, sum(self.in_proj_parts.values())),
            "out_proj": (self.d_inner, self.d_model),
            "gate_up": (self.d_model, 2 * self.d_ffn),
            "down": (self.d_ffn, self.d_model),
        }

    @property
    def state_len(self) -> int:
        """Numbers of a conversation's state: the scan's, the convolution's past and the window branch's rings."""
        ring = 2 * (self.sinks + self.window) * self.attn_kv_heads * self.attn_head_dim
        return self.n_layers * (self.d_inner * self.d_state + (self.d_conv - 1) * self.conv_dim + ring)

    @property
    def quantised(self) -> bool:
        """Whether every projection and the embedding have an integer type."""
        return "float" not in self.weights and self.embed_weights != "float"

    def replace(self, **changes: Any) -> ModelConfig:
        """A checked copy with some fields changed."""
        return from_dict(ModelConfig, dataclasses.asdict(self) | changes, "the model's config").checked()

    def checked(self) -> ModelConfig:
        """Itself, or a `MarError` that names the first field that cannot be."""
        for name in ("norm_eps", "rope_theta", "tau", "precharge"):
            _require(math.isfinite(getattr(self, name)), f"{name} must be finite, not {getattr(self, name)}")
        for name, most in LIMITS.items():
            value = getattr(self, name)
            _require(1 <= value <= most, f"{name} must be from 1 to {most}, not {value}")
        _require(self.d_inner <= 16_384, f"n_heads x head_dim must be at most 16384, not {self.d_inner}")
        _require(0.0 < self.norm_eps <= 0.01, f"norm_eps must be above 0 and at most 0.01, not {self.norm_eps}")
        _require(0 <= self.window <= 4096, f"window must be from 0 to 4096, not {self.window}")
        _require(0 <= self.sinks <= 64, f"sinks must be from 0 to 64, not {self.sinks}")
        _require(self.rope_theta > 1.0, f"rope_theta must be above 1, not {self.rope_theta}")
        _require(2 <= self.d_conv <= 8, f"d_conv must be from 2 to 8, not {self.d_conv}")
        _require(self.n_heads % self.n_groups == 0, f"n_groups {self.n_groups} must divide n_heads {self.n_heads}")
        _require(self.neuron in NEURONS, f"neuron must be one of {', '.join(NEURONS)}, not {self.neuron!r}")
        _require(len(self.steps) == 4, f"steps needs one number for each of {', '.join(SITES)}")
        _require(all(1 <= t <= 127 for t in self.steps), f"steps must be from 1 to 127, not {list(self.steps)}")
        _require(self.tau >= 1.0, f"tau must be at least 1, not {self.tau}")
        _require(0.0 <= self.precharge <= 0.5, f"precharge must be from 0 to 0.5, not {self.precharge}")
        _require(len(self.weights) == 4, f"weights needs one type for each of {', '.join(SITES)}")
        for kind in (*self.weights, self.embed_weights):
            _require(kind in WEIGHT_TYPES, f"weight type must be one of {', '.join(WEIGHT_TYPES)}, not {kind!r}")
        _require(self.embed_weights != "ternary", "embed_weights must be float, int8 or int4, not ternary")
        if self.window:
            _require(self.attn_heads >= 1 and self.d_inner % self.attn_heads == 0, "attn_heads must divide d_inner")
            _require(self.attn_head_dim % 2 == 0, "the attention head width must be even, for rotary positions")
            _require(
                self.attn_kv_heads >= 1 and self.attn_heads % self.attn_kv_heads == 0,
                f"attn_kv_heads {self.attn_kv_heads} must divide attn_heads {self.attn_heads}",
            )
        else:
            _require(self.sinks == 0, "sinks need a window above 0")
        _require(self.state_len <= 1 << 28, f"the state has {self.state_len} numbers, over 2^28")
        for steps, kind, (name, (width, _)) in zip(self.steps, self.weights, self.site_shapes.items(), strict=True):
            bound = width * steps * QMAX.get(kind, 0)
            # Above 2^24 an accumulated sum is no longer exact in float32, and trainer and engine may differ.
            _require(bound <= 1 << 24, f"{name}: inputs x steps x largest weight is {bound}, over 2^24")
        return self


def _require(ok: bool, message: str) -> None:
    if not ok:
        raise MarError(f"model config: {message}")


def from_dict(cls: type, values: dict[str, Any], where: str) -> Any:
    """Builds a config dataclass from a table, refusing unknown keys and wrong types by name.

    Lists become tuples and whole numbers are taken for floats. `where` names the table in the error.
    """
    if not isinstance(values, dict):
        raise MarError(f"{where} must be a table, not {values!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(fields)}"
            raise MarError(f"{where}: unknown key {key!r}{hint}")
    missing = [
        f.name
        for f in fields.values()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and f.name not in values
    ]
    if missing:
        raise MarError(f"{where}: missing key {missing[0]!r}")
    return cls(**{key: _coerce(value, str(fields[key].type), f"{where}: {key}") for key, value in values.items()})


def _coerce(value: Any, kind: str, where: str) -> Any:
    if isinstance(value, list | tuple) and kind.startswith("tuple"):
        item = kind.removeprefix("tuple[").split(",")[0].rstrip("]")
        return tuple(_coerce(v, item, where) for v in value)
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    expected = {"int": int, "float": float, "str": str, "bool": bool}.get(kind.split(" ")[0].split("[")[0])
    wrong = expected is not None and (not isinstance(value, expected) or (expected is int and isinstance(value, bool)))
    if wrong or kind.startswith("tuple"):
        raise MarError(f"{where} must be of type {kind}, not {value!r}")
    if kind.startswith("dict") and not isinstance(value, dict):
        raise MarError(f"{where} must be a table, not {value!r}")
    return value

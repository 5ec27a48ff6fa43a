"""Integer weights as bytes. `models/FORMAT.md`, section "Packed matrices"."""

from __future__ import annotations

import numpy as np

from mar_training.config import QMAX
from mar_training.errors import MarError

BITS = {"int8": 8, "int4": 4, "ternary": 2}
ROW_ALIGN = 16
"""Every packed row is padded with zeros to a multiple of this many bytes."""


def row_bytes(columns: int, kind: str) -> int:
    """Bytes of one packed row, padding included."""
    used = -(-columns * BITS[kind] // 8)
    return -(-used // ROW_ALIGN) * ROW_ALIGN


def pack(q: np.ndarray, kind: str) -> np.ndarray:
    """Integers [rows, columns] to bytes [rows, row_bytes]: two's complement fields, the first in the lowest bits."""
    rows, columns = q.shape
    if np.abs(q).max(initial=0) > QMAX[kind]:
        raise MarError(f"a weight of {np.abs(q).max()} does not fit {kind}")
    bits = BITS[kind]
    per_byte = 8 // bits
    fields = np.zeros((rows, row_bytes(columns, kind) * per_byte), np.uint8)
    fields[:, :columns] = q.astype(np.int8).view(np.uint8) & ((1 << bits) - 1)
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    return np.bitwise_or.reduce(fields.reshape(rows, -1, per_byte) << shifts, axis=-1)


def unpack(packed: np.ndarray, columns: int, kind: str) -> np.ndarray:
    """The inverse of `pack`, as int8 [rows, columns]. Refuses the value below -qmax and bits set in the padding."""
    bits = BITS[kind]
    per_byte = 8 // bits
    shifts = np.arange(per_byte, dtype=np.uint8) * bits
    fields = (packed[:, :, None] >> shifts) & ((1 << bits) - 1)
    fields = fields.reshape(packed.shape[0], -1)
    if fields[:, columns:].any():
        raise MarError("the padding of a packed row is not zero")
    # Moved to the top of the byte and back, the sign bit fills the bits above.
    q = (fields[:, :columns].astype(np.uint8) << (8 - bits)).view(np.int8) >> (8 - bits)
    if q.min(initial=0) < -QMAX[kind]:
        raise MarError(f"a weight below {-QMAX[kind]} in a {kind} matrix")
    return q

"""`model.safetensors` in pieces, where it is too large for one file of a repository (`models/FORMAT.md`, "Pieces")."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from mar_training.errors import MarError
from mar_training.files import split_file

WEIGHTS = "model.safetensors"
LARGEST_FILE = 20_000_000
"""Bytes of weights that stay in one file."""

PIECE_BYTES = 19 << 20
"""Of every piece but the last: whole MiB, so that a chunk of the manifest never straddles two pieces."""

MOST_PIECES = 100


def split_weights(folder: Path) -> None:
    """Replaces `model.safetensors` by its pieces, where it is over `LARGEST_FILE`."""
    path = folder / WEIGHTS
    if path.stat().st_size <= LARGEST_FILE:
        return
    if path.stat().st_size > MOST_PIECES * PIECE_BYTES:
        raise MarError(f"{path} would make more than the {MOST_PIECES} pieces that two digits can number")
    split_file(path, PIECE_BYTES)


def weights_files(folder: Path) -> list[Path]:
    """The files that hold the weights, in order: `model.safetensors` alone, or its pieces."""
    whole = folder / WEIGHTS
    pieces = sorted(p for p in folder.glob(f"{WEIGHTS}.*") if re.fullmatch(r"\d\d", p.name.rsplit(".", 1)[1]))
    if whole.exists():
        if pieces:
            raise MarError(f"{folder} has {WEIGHTS} and pieces of one ({pieces[0].name}): remove what is old")
        return [whole]
    if not pieces:
        raise MarError(f"{folder} holds no {WEIGHTS}, nor pieces of it")
    for number, piece in enumerate(pieces):
        if piece.name != f"{WEIGHTS}.{number:02}":
            raise MarError(f"{folder}: {WEIGHTS}.{number:02} is missing; fetch the model again")
    return pieces


def weights_bytes(folder: Path) -> bytes:
    """The contents of `model.safetensors`, put together."""
    try:
        return b"".join(path.read_bytes() for path in weights_files(folder))
    except OSError as e:
        raise MarError(f"cannot read the weights of {folder}: {e.strerror}") from e


def weights_sha256(folder: Path) -> str:
    """The SHA-256 of `model.safetensors`, put together."""
    return hashlib.sha256(weights_bytes(folder)).hexdigest()

"""Files that are either whole or not there: written beside their name, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mar_training.errors import MarError


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a temporary name and renames the result to `path`; an old file stays until then."""
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        with temporary.open("rb") as f:
            os.fsync(f.fileno())
        # safetensors makes its files readable by their owner alone; a model is there to be read.
        temporary.chmod(0o644)
        temporary.replace(path)
    except (OSError, SafetensorError) as e:  # safetensors has its own error for a full disk
        temporary.unlink(missing_ok=True)
        why = getattr(e, "strerror", None) or e
        raise MarError(f"cannot write {path}: {why}; the previous file, if any, is untouched") from e


def split_file(path: Path, piece_bytes: int) -> list[Path]:
    """Cuts a file into `NAME.00`, `NAME.01`, … of at most `piece_bytes` beside it, and removes it."""
    pieces = []
    with path.open("rb") as whole:
        while data := whole.read(piece_bytes):
            piece = path.with_name(f"{path.name}.{len(pieces):02}")
            write_atomically(piece, lambda to, data=data: to.write_bytes(data))
            pieces.append(piece)
    path.unlink()
    return pieces


def join_file(path: Path) -> Path:
    """`path` itself, or where only its pieces `NAME.00`, `NAME.01`, … are there, put together from them first."""
    pieces = sorted(path.parent.glob(f"{path.name}.[0-9][0-9]"))
    if path.exists() or not pieces:
        return path
    for number, piece in enumerate(pieces):
        if piece.name != f"{path.name}.{number:02}":
            raise MarError(f"{path.name}.{number:02} is missing beside {pieces[0]}")

    def write(to: Path) -> None:
        with to.open("wb") as whole:
            for piece in pieces:
                whole.write(piece.read_bytes())

    write_atomically(path, write)
    return path


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    try:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as e:
        raise MarError(f"cannot read {path}: {e.strerror}") from e


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinity are refused."""
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Parses a JSON file, or says which file is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise MarError(f"cannot read {path}: {e.strerror}") from e
    except ValueError as e:
        raise MarError(f"{path} is not valid JSON: {e}") from e

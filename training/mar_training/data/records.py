"""Chats and texts as JSON lines, plain or zstd-compressed, checked line by line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from mar_training.errors import MarError

ROLES = ("system", "user", "assistant")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        raw = path.open("rb")
    except OSError as e:
        raise MarError(f"cannot open data file {path}: {e.strerror}") from e
    with raw:
        if path.suffix != ".zst":
            yield from raw
            return
        rest = b""
        for block in _decompressed(raw):
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
        if rest:
            yield rest


def _decompressed(raw: BinaryIO) -> Iterator[bytes]:
    # Not the library's stream reader: that one takes a file cut short for a whole one.
    # The archives are made with a long window, which the decoder refuses unless told its size.
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    frame = decoder.decompressobj()
    while data := raw.read(1 << 20):
        while data:
            if frame.eof:
                frame = decoder.decompressobj()
            yield frame.decompress(data)
            data = frame.unused_data
    if not frame.eof:
        raise zstandard.ZstdError("the file is cut short")


def read_records(path: Path, *, continuations: bool = False, last: str = "assistant") -> Iterator[dict]:
    """Yields each record of a `.jsonl` or `.jsonl.zst` file.

    A record has either `messages` (a list of role and content, the last of the role `last`) or `text`. Records
    marked `continuation` start in the middle of a conversation and are passed over unless asked for.
    Raises `MarError` with the file and line of the first record that is neither.
    """
    number = 0
    try:
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            record = json.loads(line)
            _check(record, f"{path}:{number}", last)
            if continuations or not record.get("continuation"):
                yield record
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise MarError(f"{path}:{number}: not a JSON record: {e}") from e
    except zstandard.ZstdError as e:
        raise MarError(f"{path}: damaged zstd data after line {number}: {e}") from e


def _check(record, where: str, last: str) -> None:
    if not isinstance(record, dict) or ("messages" not in record and "text" not in record):
        raise MarError(f"{where}: a record needs 'messages' or 'text'")
    for key in ("source", "licence"):
        if not isinstance(record.get(key, ""), str):
            raise MarError(f"{where}: {key!r} must be a string")
    if "text" in record:
        if not isinstance(record["text"], str):
            raise MarError(f"{where}: 'text' must be a string")
        return
    messages = record["messages"]
    if not isinstance(messages, list) or not messages:
        raise MarError(f"{where}: 'messages' must be a list with at least one message")
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise MarError(f"{where}: each message needs a 'content' string")
        if message.get("role") not in ROLES:
            raise MarError(f"{where}: a role must be one of {', '.join(ROLES)}, not {message.get('role')!r}")
    if messages[-1]["role"] != last:
        raise MarError(f"{where}: the last message must be the {last}'s, not the {messages[-1]['role']}'s")

"""Tokenised records on disk, memory-mapped: what `mar-train data` writes and training reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from mar_training.data.records import read_records
from mar_training.data.tokenizer import encode_record, load_tokenizer, text_size
from mar_training.errors import MarError
from mar_training.files import write_json


@dataclass(frozen=True)
class Shard:
    """Documents one after another.

    tokens [N] uint16 and roles [N] uint8 (`HEADER`, `PROMPT`, `REPLY`); starts [D+1]; source [D], an index into
    `sources`; text_bytes [D], the UTF-8 length of each document's text.
    """

    tokens: np.ndarray
    roles: np.ndarray
    starts: np.ndarray
    source: np.ndarray
    text_bytes: np.ndarray
    sources: list[dict]
    tokenizer_sha256: str

    def __len__(self) -> int:
        return len(self.source)


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """What ties a shard and a checkpoint to the tokenizer they were made with."""
    return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()


def write_shard(
    files: list[Path],
    tokenizer: Tokenizer,
    folder: Path,
    *,
    continuations: bool,
    text_tokens: int = 0,
    progress=None,
) -> dict:
    """Tokenises every record of `files` into `folder`; returns what `meta.json` says.

    A plain text's source is `…/text`, so that a recipe can weigh it apart from chats of the same source; one longer
    than `text_tokens`, where given, becomes several documents. The token and role files grow as records come, so memory
    stays small; `meta.json` is written last, and a folder without it is not a shard.
    """
    if tokenizer.get_vocab_size() > 1 << 16:
        raise MarError(f"a vocabulary of {tokenizer.get_vocab_size()} does not fit 16-bit tokens")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.json").unlink(missing_ok=True)
    records, lengths, source, text_bytes = 0, [], [], []
    sources: dict[tuple[str, str], int] = {}
    with (folder / "tokens.bin").open("wb") as tokens_out, (folder / "roles.bin").open("wb") as roles_out:
        for path in files:
            for record in read_records(path, continuations=continuations):
                name = record.get("source", path.name) + ("/text" if "text" in record else "")
                number = sources.setdefault((name, record.get("licence", "not stated")), len(sources))
                for tokens, roles, size in _documents(tokenizer, record, text_tokens):
                    tokens_out.write(tokens.astype(np.uint16).tobytes())
                    roles_out.write(roles.tobytes())
                    lengths.append(len(tokens))
                    text_bytes.append(size)
                    source.append(number)
                records += 1
                if progress:
                    progress(records)
    if not lengths:
        raise MarError(f"no records in {', '.join(map(str, files))}")
    np.save(folder / "starts.npy", np.concatenate([[0], np.cumsum(lengths)]))
    np.save(folder / "source.npy", np.array(source, np.int32))
    np.save(folder / "text_bytes.npy", np.array(text_bytes, np.int64))
    meta = {
        "records": records,
        "tokens": int(sum(lengths)),
        "sources": [{"name": name, "licence": licence} for name, licence in sources],
        "tokenizer_sha256": tokenizer_hash(tokenizer),
    }
    write_json(folder / "meta.json", meta)
    return meta


def _documents(tokenizer: Tokenizer, record: dict, text_tokens: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """(tokens, roles, bytes of text) of a record, of a long plain text in pieces."""
    tokens, roles, size = encode_record(tokenizer, record)
    if "text" not in record or not text_tokens or len(tokens) <= text_tokens:
        yield tokens, roles, size
        return
    for begin in range(0, len(tokens), text_tokens):
        piece = slice(begin, begin + text_tokens)
        yield tokens[piece], roles[piece], text_size(tokenizer, tokens[piece])


def open_shard(folder: Path) -> Shard:
    """Maps a shard into memory."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        return Shard(
            tokens=np.memmap(folder / "tokens.bin", np.uint16, "r"),
            roles=np.memmap(folder / "roles.bin", np.uint8, "r"),
            starts=np.load(folder / "starts.npy"),
            source=np.load(folder / "source.npy"),
            text_bytes=np.load(folder / "text_bytes.npy"),
            sources=meta["sources"],
            tokenizer_sha256=meta["tokenizer_sha256"],
        )
    except (OSError, ValueError, KeyError) as e:
        raise MarError(f"{folder} is not a complete data shard ({e}); make it with: mar-train data") from e


def open_with_tokenizer(folder: Path) -> tuple[Shard, Shard, Tokenizer]:
    """(training shard, validation shard, tokenizer) of a data folder, checked to belong together."""
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    shards = [open_shard(folder / part) for part in ("train", "val")]
    for shard, part in zip(shards, ("train", "val"), strict=True):
        if shard.tokenizer_sha256 != tokenizer_hash(tokenizer):
            raise MarError(f"{folder / part} was made with another tokenizer than {folder / 'tokenizer.json'}")
    return *shards, tokenizer

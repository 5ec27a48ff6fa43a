"""`mar-train data`: a data folder with tokenizer, training shard and validation shard."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mar_training.data.records import read_records
from mar_training.data.shards import write_shard
from mar_training.data.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer


def prepare(
    train: list[Path],
    val: list[Path],
    out: Path,
    *,
    vocab_size: int,
    tokenizer_path: Path | None,
    tokenizer_records: int,
    continuations: bool,
    text_tokens: int = 0,
) -> dict[str, dict]:
    """Writes `out/tokenizer.json`, `out/train` and `out/val`; returns both shards' `meta.json`.

    The tokenizer is learnt from the first `tokenizer_records` training records, unless one is given. The split is
    the one of the given files: nothing moves between them. `text_tokens`: as `write_shard` has it.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("tokenizer")
        if tokenizer_path:
            tokenizer = load_tokenizer(tokenizer_path)
        else:
            tokenizer = train_tokenizer(islice(_texts(train), tokenizer_records), vocab_size)
        save_tokenizer(tokenizer, out)
        for part in ("train", "val"):
            # Of earlier data: one that is stopped must not leave a new half beside an old one.
            (out / part / "meta.json").unlink(missing_ok=True)
        metas = {}
        for part, files in (("train", train), ("val", val)):

            def report(done: int, part: str = part) -> None:
                if done % 1000 == 0:
                    progress.update(task, description=f"{part}: {done:,} records")

            metas[part] = write_shard(
                files,
                tokenizer,
                out / part,
                continuations=continuations,
                text_tokens=text_tokens,
                progress=report,
            )
    return metas


def _texts(files: list[Path]):
    for path in files:
        for record in read_records(path):
            if "text" in record:
                yield record["text"]
            else:
                yield "\n".join(m["content"] for m in record["messages"])

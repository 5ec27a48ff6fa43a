"""What a memory that is too small says, and batches with fewer rows for it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

import jax

from mar_training.errors import MarError

Result = TypeVar("Result")


def is_short(error: BaseException) -> bool:
    """Whether `error` says that memory was short: the host's (Python, the system) or a device's (XLA)."""
    no_memory = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
    return no_memory or "RESOURCE_EXHAUSTED" in str(error)


def first_rows(
    run: Callable[[list, int], Result], items: list, rows: int, of: str, multiple: int = 1
) -> tuple[Result, int]:
    """(`run(items[:rows], rows)`, rows), with half the rows, a multiple of `multiple`, each time that memory is short.

    `of` names the work in what is printed then. Raises `MarError` where even `multiple` rows are too many.
    """
    while True:
        try:
            return run(items[:rows], rows), rows
        except (MemoryError, RuntimeError) as e:
            if not is_short(e):
                raise
            if jax.process_count() > 1:
                # Hosts compute in step: the others would wait for ever for what this one no longer asks.
                raise MarError(f"too little memory for {of} on one of the hosts; give fewer rows at a time") from e
            if rows <= multiple:
                raise MarError(
                    f"too little memory for {of}, even with {_rows(rows)} at a time; "
                    "end other programs that use it, or take a machine with more"
                ) from e
        # Out here, where the error no longer holds on to the arrays of the call that failed.
        rows = max(multiple, rows // 2 // multiple * multiple)
        print(f"{of}: out of memory; now {_rows(rows)} at a time", flush=True)


def _rows(number: int) -> str:
    return f"{number} row{'' if number == 1 else 's'}"


def in_batches(run: Callable[[list, int], list], items: list, rows: int, of: str) -> list:
    """What `run` gives of all `items`, `rows` at a time or as few as fit; arguments as of `first_rows`."""
    results: list = []
    while items:
        part, rows = first_rows(run, items, rows, of)
        results += part
        items = items[rows:]
    return results

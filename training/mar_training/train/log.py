"""What a run tells: a progress line for a person and a JSONL log for a program."""

from __future__ import annotations

import json
from pathlib import Path

import jax

from mar_training.errors import MarError


class RunLog:
    """Appends to `log.jsonl` of a run and prints one line for each entry."""

    def __init__(self, folder: Path, steps: int, *, quiet: bool = False) -> None:
        """Opens the log of a run of `steps` steps; an earlier log is continued."""
        self.path = folder / "log.jsonl"
        self.steps = steps
        self.quiet = quiet
        if self.path.exists():
            # A line cut short, by a full disk say, would spoil the next one too.
            whole = self.path.read_bytes()
            if whole and not whole.endswith(b"\n"):
                self.path.write_bytes(whole[: whole.rfind(b"\n") + 1])

    def write(self, entry: dict) -> None:
        """One entry: at least `step`. Of several hosts the first writes for all."""
        if jax.process_index():
            return
        try:
            with self.path.open("a", encoding="utf-8") as f:
                f.write(json.dumps(entry) + "\n")
        except OSError as e:
            raise MarError(f"cannot write {self.path}: {e.strerror}") from e
        if not self.quiet:
            print(self._line(entry), flush=True)

    def _line(self, entry: dict) -> str:
        parts = [f"step {entry['step']:>6}/{self.steps}"]
        if "tokens" in entry:
            parts.append(f"{entry['tokens'] / 1e6:7.2f} M tokens")
        if "tokens_per_second" in entry:
            parts.append(f"{entry['tokens_per_second']:7,.0f} tokens/s")
        if "mfu" in entry:
            parts.append(f"MFU {entry['mfu']:.1%}")
        if "window" in entry:
            parts.append(f"kept: window {entry['window']}")
        for key in ("loss", "kl", "features", "val_loss", "val_reply_loss", "teacher_kl", "teacher_top1_agreement"):
            if key in entry:
                parts.append(f"{key.replace('_', ' ')} {entry[key]:.4f}")
        for key in ("rate", "active"):
            if key in entry:
                parts.append(f"{key} " + " ".join(f"{x:.3f}".lstrip("0") for x in entry[key]))
        return "  ".join(parts)


def read_log(path: Path) -> list[dict]:
    """Entries of a log; a later entry of the same step and kind, from a resumed run, replaces the earlier."""
    entries: dict[tuple, dict] = {}
    try:
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            entries[entry["step"], "val_loss" in entry, "resumed" in entry] = entry
    except (OSError, ValueError, KeyError) as e:
        raise MarError(f"cannot read the log {path}: {e}") from e
    return [entries[key] for key in sorted(entries)]

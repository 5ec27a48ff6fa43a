"""What a run tells: a progress line for a person, a JSONL log for a program, and a plot of it."""

from __future__ import annotations

import json
from pathlib import Path

import jax

from mar_training.errors import MarError
from mar_training.files import write_atomically


class RunLog:
    """Appends to `log.jsonl` of a run and prints one line for each entry."""

    def __init__(self, folder: Path, steps: int, *, quiet: bool = False) -> None:
        """Opens the log of a run of `steps` steps; an earlier log is continued."""
        self.path = folder / "log.jsonl"
        self.steps = steps
        self.quiet = quiet

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
        for key in ("loss", "kl", "features", "val_loss", "val_reply_loss"):
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


def plot(logs: list[Path], out: Path) -> None:
    """Draws training loss, validation loss and firing rates of one or more logs over tokens, as a PNG or SVG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for path in logs:
        entries = read_log(path)
        name = path.parent.name
        for key, style in (("loss", "-"), ("val_loss", "o-")):
            points = [(e["tokens"] / 1e6, e[key]) for e in entries if key in e and "tokens" in e]
            if points:
                left.plot(*zip(*points, strict=True), style, label=f"{name}: {key}", markersize=3, linewidth=1)
        for site in range(4):
            points = [(e["tokens"] / 1e6, e["active"][site]) for e in entries if "active" in e]
            if points:
                right.plot(*zip(*points, strict=True), label=f"{name}: site {site + 1}", linewidth=1)
    left.set(xlabel="M tokens", ylabel="nats a token")
    right.set(xlabel="M tokens", ylabel="share of neurons that fire", ylim=(0, 1))
    for axes in (left, right):
        if axes.lines:
            axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    write_atomically(out, lambda temporary: figure.savefig(temporary, format=out.suffix.lstrip(".") or "png", dpi=120))

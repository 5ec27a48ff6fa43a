"""Pictures of runs: how they went, and what sparsity costs."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mar_training.errors import MarError
from mar_training.files import write_atomically
from mar_training.train import checkpoint
from mar_training.train.log import read_log


def plot_logs(logs: list[Path], out: Path) -> None:
    """Draws training loss, validation loss and firing rates of one or more logs over tokens, as a PNG or SVG."""
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
    _save(figure, out)


def plot_sparsity(runs: list[Path], out: Path) -> None:
    """Draws validation loss against firing rate and against the share of neurons that fire, a point a spiking run.

    Runs of the same name, as seeds of one variant are, share a colour. Dense runs among `runs` become horizontal lines.
    The figures are those of each run's `final.safetensors`.
    """
    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    colours: dict[str, str] = {}
    for run in runs:
        info = checkpoint.read_info(checkpoint.resolve(run))
        result = info.get("result")
        if result is None:
            raise MarError(f"{run} has no final result yet: let the run finish")
        label = run.name if run.name not in colours else None
        colour = colours.setdefault(run.name, f"C{len(colours)}")
        for axes, key in zip(panels, ("rate", "active"), strict=True):
            if key in result:
                axes.plot(sum(result[key]) / len(result[key]), result["val_loss"], "o", color=colour, label=label)
            else:
                axes.axhline(result["val_loss"], linestyle="--", linewidth=1, color=colour, label=label)
    panels[0].set(xlabel="firing rate, spikes a neuron and micro-step", ylabel="validation loss, nats a token")
    panels[1].set(xlabel="share of neurons that fire")
    for axes in panels:
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    _save(figure, out)


def _save(figure: Figure, out: Path) -> None:
    write_atomically(out, lambda temporary: figure.savefig(temporary, format=out.suffix.lstrip(".") or "png", dpi=120))

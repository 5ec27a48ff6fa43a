"""Tables of the ablation study and sentences on their order, all computed from the runs' results."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Row:
    """A line of a table: the run it shows, and the paper's accuracy for it in % where the paper has one."""

    label: str
    run: str
    paper: float | None = None


@dataclass(frozen=True)
class Table:
    """Runs that differ in one thing, or climb the paper's ladder."""

    title: str
    note: str
    rows: list[Row]


@dataclass(frozen=True)
class Measured:
    """A mean over seeds, and half the distance from least to greatest; `half` is None with one seed."""

    mean: float
    half: float | None

    @staticmethod
    def of(values: Iterable[float]) -> Measured:
        """Of one value a seed."""
        values = list(values)
        half = (max(values) - min(values)) / 2 if len(values) > 1 else None
        return Measured(statistics.fmean(values), half)

    def text(self, digits: int) -> str:
        """`3.912 ± 0.004`."""
        return f"{self.mean:.{digits}f}" + ("" if self.half is None else f" ± {self.half:.{digits}f}")


def section(tables: list[Table], results: list[dict]) -> str:
    """The study as Markdown. Results are those of `ablate.run`; a run without any is shown as not run."""
    by_run: dict[str, list[dict]] = {}
    for result in results:
        by_run.setdefault(result["variant"], []).append(result)
    parts = [_introduction(by_run)]
    for table in tables:
        parts.append("\n\n".join(filter(None, [f"### {table.title}", table.note, _table(table, by_run)])))
        parts.append(verdict(table, by_run))
    return "\n\n".join(parts)


def _introduction(by_run: dict[str, list[dict]]) -> str:
    teachers = by_run.get("dense", [])
    students = [r for name, runs in by_run.items() if name != "dense" for r in runs]
    lines = []
    if teachers:
        seeds = ", ".join(str(r["seed"]) for r in teachers)
        lines.append(
            f"Dense teachers: {len(teachers)} (seed {seeds}), "
            f"{teachers[0]['parameters'] / 1e6:.2f} M parameters, "
            f"{_span(r['tokens'] / 1e6 for r in teachers)} M tokens, "
            f"{_span(r['seconds'] for r in teachers)} s, "
            f"validation loss {Measured.of(r['val_loss'] for r in teachers).text(3)} nats a token."
        )
    if students:
        lines.append(
            f"Students: {len(students)} runs of {_span(r['tokens'] / 1e6 for r in students)} M tokens more, "
            f"{statistics.median(r['seconds'] for r in students):.0f} s each "
            "(median, with compilation and validation)."
        )
    lines += [
        "Loss is over all validation tokens, in nats; ± is half the distance between the seeds.",
        "*Above dense* is measured from the seed's own teacher; a table's spread is the largest ± there.",
        "A difference counts where it is more than twice the spread: then the two rows do not overlap.",
        "*Rate* is spikes per neuron and micro-step, *active* the share of neurons that fire at all, both",
        "averaged over sites and layers.",
    ]
    return "\n".join(lines)


def _span(values: Iterable[float]) -> str:
    values = list(values)
    digits = 2 if max(values) < 10 else 0
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low}-{high}"


def _gap(runs: list[dict]) -> Measured:
    return Measured.of(r["val_loss"] - r["dense_val_loss"] for r in runs)


def _table(table: Table, by_run: dict[str, list[dict]]) -> str:
    paper = any(row.paper is not None for row in table.rows)
    head = ["", *(["paper, %"] if paper else []), "val loss", "reply loss", "above dense", "above dense, %"]
    head += ["rate", "active", "seeds"]
    lines = [head, ["---"] * len(head)]
    for row in table.rows:
        cells = [row.label, *([f"{row.paper:.2f}" if row.paper else "-"] if paper else [])]
        runs = by_run.get(row.run)
        if runs:
            relative = Measured.of(100 * (r["val_loss"] / r["dense_val_loss"] - 1) for r in runs)
            cells += [Measured.of(r[key] for r in runs).text(3) for key in ("val_loss", "val_reply_loss")]
            cells += [_gap(runs).text(4), relative.text(2)]
            cells += [Measured.of(r[key] for r in runs).text(3) for key in ("rate", "active")]
            cells.append(str(len(runs)))
        else:
            cells += ["not run", *["-"] * (len(head) - len(cells) - 1)]
        lines.append(cells)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def verdict(table: Table, by_run: dict[str, list[dict]]) -> str:
    """Our order beside the paper's, and which differences exceed the seeds' spread, in sentences."""
    gaps = {row: _gap(by_run[row.run]) for row in table.rows if by_run.get(row.run)}
    if len(gaps) < 2:
        return "Too few of these were run to put them in an order."
    halves = [gap.half for gap in gaps.values() if gap.half is not None]
    spread = max(halves) if len(halves) == len(gaps) else None
    ours = sorted(gaps, key=lambda row: gaps[row].mean)
    sentences = [f"Ours, best first: {_names(ours)}."]
    pairs = list(combinations(ours, 2))  # the better first

    def told_apart(pair: tuple[Row, Row]) -> bool:
        return spread is not None and _distance(pair, gaps) > 2 * spread

    if all(row.paper is not None for row in ours):
        papers = sorted(ours, key=lambda row: -row.paper)
        against = [pair for pair in pairs if pair[0].paper < pair[1].paper]
        sentences.append(f"The paper's: {_names(papers)}.")
        if not against:
            sentences.append("The order agrees with the paper's.")
        else:
            listed = "; ".join(
                f"{a.label} before {b.label} (by {_distance((a, b), gaps):.4f} nats"
                + ("" if spread is None else f", {'beyond' if told_apart((a, b)) else 'within'} the spread")
                + ")"
                for a, b in against
            )
            sentences.append(f"It differs from the paper's in {len(against)} of {len(pairs)} pairs: {listed}.")
    else:
        sentences.append("The paper gives no figures for this.")

    if spread is None:
        return " ".join([*sentences, "Not every row has two seeds, so the spread is not known."])
    apart = sum(map(told_apart, pairs))
    measured = f"twice the seeds' spread (2 x {spread:.4f} nats)"
    if apart == len(pairs):
        sentences.append(f"{'The difference exceeds' if apart == 1 else 'All differences exceed'} {measured}.")
    elif apart == 0:
        sentences.append(f"{'The difference is' if len(pairs) == 1 else 'All differences are'} within {measured}.")
    else:
        close = "; ".join(_names(pair, " and ") for pair in pairs if not told_apart(pair))
        sentences.append(f"{apart} of {len(pairs)} differences exceed {measured}; not told apart: {close}.")
    return " ".join(sentences)


def _distance(pair: tuple[Row, Row], gaps: dict[Row, Measured]) -> float:
    return gaps[pair[1]].mean - gaps[pair[0]].mean


def _names(rows: Iterable[Row], between: str = "; ") -> str:
    return between.join(row.label for row in rows)

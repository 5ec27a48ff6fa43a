"""What `mar-train` says where memory was too small for a command or a person stopped it: what to do, what is kept."""

from __future__ import annotations

import argparse

NEED_LESS = {
    "data": "learn the tokenizer from fewer records (--tokenizer-records)",
    "teacher generate": "let fewer chats be written at a time (--rows)",
    "train": "halve the rows and double the micro-batches of a step (--set train.rows=N --set train.accumulate=M)",
    "ablate": "take recipes with fewer [train] rows",
    "convert-run": "let fewer chats be written at a time (--write-rows), or train on fewer rows (--set train.rows=N)",
    "eval": "evaluate one network at a time, on shorter rows (--seq-len) or fewer questions (--choice-items)",
    "ask": "ask fewer questions at a time, or shorten the answers (--max-new)",
    "plot": "draw fewer runs at a time",
    "export": "evaluate on fewer rows (--rows) and questions (--choice-items)",
    "golden": "name one model at a time",
}
"""How a command gets by with less memory, where it has an option for that."""

KEPT = {
    "data": "a data folder counts only when it is whole; the same command makes it anew",
    "teacher import": "a teacher's folder counts only when it is whole; the same command makes it anew",
    "teacher trim": "a teacher's folder counts only when it is whole; the same command makes it anew",
    "teacher generate": "the chats that are in {out} are kept; the same command goes on from there",
    "train": "the last checkpoint in {out}, if there is one, is kept; the same command goes on from there",
    "ablate": "finished runs and the last checkpoints in {out} are kept; the same command goes on from there",
    "convert-run": "finished steps and the last checkpoints in {out} are kept; the same command goes on from there",
    "eval": "no figures were written; the same command begins anew, and is faster with fewer --rows",
    "chat": "the chat is over; nothing of it is kept",
    "export": "a model of that name is as it was before; the same command begins anew",
    "golden": "files in {out} that are not new yet are as they were before; the same command makes them all anew",
}
"""What is left of a command that was stopped."""


def short_of_memory(args: argparse.Namespace, error: BaseException) -> str:
    """The sentence for a command whose memory was too small."""
    said = str(error).partition("\n")[0]
    less = f"{advice}; or " if (advice := NEED_LESS.get(_command(args))) else ""
    why = f" ({said})" if said else ""
    return f"too little memory{why}: {less}end other programs that use memory, or take a machine with more"


def stopped(args: argparse.Namespace) -> str:
    """The sentence for a command that Ctrl-C stopped."""
    kept = KEPT.get(_command(args), "no file was changed; the same command begins anew")
    return f"stopped: {kept.format_map(vars(args))}"


def _command(args: argparse.Namespace) -> str:
    return f"teacher {args.action}" if args.command == "teacher" else args.command

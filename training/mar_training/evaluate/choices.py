"""Zero-shot multiple choice: which of a few continuations a network finds likeliest, and what a student retains.

Items are JSON lines {"task", "prompt", "choices", "answer"}; `score_from` scores each choice from that character on.
`acc` takes the highest log-likelihood, `acc_norm` the highest per byte of the choice, its leading space not counted. An
item with one choice is right where every token of it is the greedy one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

from mar_training import network
from mar_training.data.tokenizer import chat_format
from mar_training.errors import MarError
from mar_training.memory import first_rows
from mar_training.model import PADDING, Options, embedding, head_logits

USEFUL = {
    "blimp": ("acc", 0.5),
    "piqa": ("acc_norm", 0.5),
    "hellaswag": ("acc_norm", 0.25),
    "openbookqa": ("acc_norm", 0.25),
    "commonsenseqa": ("acc_norm", 0.2),
    "siqa": ("acc_norm", 1 / 3),
    "copa": ("acc_norm", 0.5),
    "lambada": ("acc", 0.0),
    "wsc273": ("acc", 0.5),
}
"""Tasks that a small teacher is above chance on: the figure that counts, and its chance level."""

HEAD_CHUNK = 16
BATCH_TOKENS = 4096
LENGTH_STEP = 32


@dataclass
class Item:
    """A question: its task, its choices as (tokens, place of the first scored token, bytes), and the right one."""

    task: str
    choices: list[tuple[list[int], int, int]]
    answer: int


def read_items(folder: Path, tokenizer: Tokenizer, limit: int | None = None) -> list[Item]:
    """The items of every `.jsonl` in a folder, of each file the first `limit`; the `blimp_…` count as one task."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise MarError(f"no .jsonl files with questions in {folder}")
    items = []
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[:limit], start=1):
            try:
                items.append(_item(json.loads(line), tokenizer))
            except (ValueError, KeyError, TypeError, IndexError, StopIteration) as e:
                raise MarError(f"{path}:{number}: not a question: {e!r}") from e
    return items


def _item(record: dict, tokenizer: Tokenizer) -> Item:
    prompt, choices = record["prompt"], record["choices"]
    starts = record.get("score_from", [0] * len(choices))
    text_end = tokenizer.token_to_id(chat_format(tokenizer).text_end)
    encoded = []
    for choice, start in zip(choices, starts, strict=True):
        encoding = tokenizer.encode(prompt + choice, add_special_tokens=False)
        scored_from = len(prompt) + start
        # Offsets leave out a token's leading space, so a token that begins with the space before is still counted.
        first = next(i for i, (begin, _) in enumerate(encoding.offsets) if begin >= scored_from)
        head = [] if scored_from else [text_end]
        encoded.append(([*head, *encoding.ids], first + len(head), len(choice[start:].lstrip().encode())))
    if not 0 <= record["answer"] < len(choices):
        raise ValueError(f"answer {record['answer']} of {len(choices)} choices")
    task = record["task"]
    return Item("blimp" if task.startswith("blimp_") else task, encoded, record["answer"])


@partial(jax.jit, static_argnames=("config", "options"))
def _token_scores(params, tokens, segment, config, options: Options):
    """Of every token but the first of each row: (log-probability, whether it was the greedy one), both [b, l - 1]."""
    hidden = network.run(params, tokens, segment, config, options).hidden
    head = embedding(params, config)

    def chunk(part):
        hidden, target = part
        logits = head_logits(*head, hidden, options.compute_dtype)
        chosen = jnp.take_along_axis(logits, target[..., None], axis=-1)[..., 0]
        return chosen - jax.nn.logsumexp(logits, axis=-1), jnp.argmax(logits, axis=-1) == target

    def cut(x):
        return x.reshape(x.shape[0], -1, HEAD_CHUNK, *x.shape[2:]).swapaxes(0, 1)

    target = jnp.roll(tokens, -1, axis=1)
    scores = jax.lax.map(chunk, (cut(hidden), cut(target)))
    return tuple(x.swapaxes(0, 1).reshape(tokens.shape)[:, :-1] for x in scores)


def _padded(length: int) -> int:
    """A length rounded up, so that few shapes are compiled."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def score(params, config, items: list[Item], options: Options = Options()) -> dict[str, dict]:  # noqa: B008
    """Of each task {"items", "acc", "acc_norm"}, the latter where there is a choice.

    Choices go `BATCH_TOKENS` tokens at a time, the longest first, or as few as memory has room for.
    """
    flat = [(index, place) for index, item in enumerate(items) for place in range(len(item.choices))]

    def tokens_of(at: tuple[int, int]) -> list[int]:
        return items[at[0]].choices[at[1]][0]

    flat.sort(key=lambda at: len(tokens_of(at)), reverse=True)
    likelihood: dict[tuple, float] = {}
    greedy: dict[tuple, bool] = {}

    def scored(part: list[tuple[int, int]], size: int) -> tuple[np.ndarray, np.ndarray]:
        longest = _padded(len(tokens_of(part[0])))
        tokens = np.zeros((size, longest), np.int32)
        segment = np.full((size, longest), PADDING, np.int32)
        for row, at in enumerate(part):
            ids = tokens_of(at)
            tokens[row, : len(ids)], segment[row, : len(ids)] = ids, 0
        return tuple(map(np.asarray, _token_scores(params, tokens, segment, config, options)))

    batch_tokens = BATCH_TOKENS
    while flat:
        longest = _padded(len(tokens_of(flat[0])))
        wanted = max(1, batch_tokens // longest)
        (scores, same), rows = first_rows(scored, flat, wanted, "multiple choice")
        if rows < wanted:
            batch_tokens = rows * longest
        for row, at in enumerate(flat[:rows]):
            ids, first, _ = items[at[0]].choices[at[1]]
            likelihood[at] = float(scores[row, first - 1 : len(ids) - 1].sum())
            greedy[at] = bool(same[row, first - 1 : len(ids) - 1].all())
        flat = flat[rows:]
    right: dict[str, list[tuple]] = defaultdict(list)
    for index, item in enumerate(items):
        of = [likelihood[index, place] for place in range(len(item.choices))]
        if len(of) == 1:
            right[item.task].append((greedy[index, 0],))
        else:
            per_byte = [x / size for x, (_, _, size) in zip(of, item.choices, strict=True)]
            right[item.task].append((np.argmax(of) == item.answer, np.argmax(per_byte) == item.answer))
    return {
        task: {"items": len(answers)}
        | {
            name: float(np.mean(hits))
            for name, hits in zip(("acc", "acc_norm"), zip(*answers, strict=True), strict=False)
        }
        for task, answers in sorted(right.items())
    }


def retention(student: dict[str, dict], teacher: dict[str, dict]) -> dict[str, float]:
    """What is left of the teacher's average over `USEFUL` tasks, as the paper has it, and of its lead over chance."""
    tasks = [task for task in USEFUL if task in student and task in teacher]
    if not tasks:
        raise MarError(f"retention needs one of the tasks {', '.join(USEFUL)}")

    def mean(result: dict, above_chance: bool) -> float:
        return float(np.mean([result[t][USEFUL[t][0]] - above_chance * USEFUL[t][1] for t in tasks]))

    return {
        "retention": mean(student, False) / max(mean(teacher, False), 1e-9),
        "retention_above_chance": mean(student, True) / max(mean(teacher, True), 1e-9),
    }

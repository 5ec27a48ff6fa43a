"""Batches where memory is too small for them."""

import errno

import jax
import numpy as np
import pytest

from mar_training.data.shards import open_with_tokenizer
from mar_training.errors import MarError
from mar_training.evaluate import choices, loss, replies
from mar_training.memory import first_rows, in_batches, is_short
from mar_training.model import Options
from mar_training.train.devices import DataParallel

SHORT = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes")


def short_above(room, run, rows_of):
    """`run`, on a machine with memory for `room` rows; and the list of the rows that it was called with."""
    seen = []

    def small(*args, **given):
        seen.append(rows_of(*args))
        if seen[-1] > room:
            raise SHORT
        return run(*args, **given)

    return small, seen


def test_what_is_short_of_memory():
    assert is_short(MemoryError())
    assert is_short(SHORT)
    assert is_short(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_short(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_short(jax.errors.JaxRuntimeError("INTERNAL: something else"))


def test_rows_are_halved_until_they_fit_and_stay_so(capsys):
    run, seen = short_above(3, lambda part, rows: [x * 10 for x in part], lambda part, rows: rows)
    assert in_batches(run, list(range(7)), 8, "the test") == [0, 10, 20, 30, 40, 50, 60]
    assert seen == [8, 4, 2, 2, 2, 2]
    out = capsys.readouterr().out.splitlines()
    assert out == ["the test: out of memory; now 4 rows at a time", "the test: out of memory; now 2 rows at a time"]


def test_rows_stay_a_multiple_and_the_end_is_said():
    run, seen = short_above(0, lambda *_: None, lambda part, rows: rows)
    with pytest.raises(MarError, match="too little memory for the test, even with 2 rows at a time"):
        first_rows(run, [1, 2, 3], 10, "the test", multiple=2)
    assert seen == [10, 4, 2]


def test_other_errors_are_passed_on():
    def broken(*_):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        first_rows(broken, [1], 4, "the test")


def test_the_evaluation_gives_the_same_figures_in_smaller_batches(tiny_llama, llama_data, monkeypatch, capsys):
    params, config, *_ = tiny_llama
    _, val, _ = open_with_tokenizer(llama_data)
    given = {"seq_len": 48, "rows": 7, "batch_rows": 8, "options": Options(), "devices": DataParallel()}
    at_once = loss.validation(params, config, val, **given)
    small, seen = short_above(2, loss._sums, lambda params, batch, *_: len(batch.tokens))
    monkeypatch.setattr(loss, "_sums", small)
    assert loss.validation(params, config, val, **given) == pytest.approx(at_once, rel=1e-5)
    assert seen == [8, 4, 2, 2, 2, 2]
    assert "the evaluation: out of memory; now 2 rows at a time" in capsys.readouterr().out


def test_multiple_choice_scores_the_same_in_smaller_batches(tiny_llama, monkeypatch, capsys):
    params, config, *_ = tiny_llama
    rng = np.random.default_rng(3)

    def choice(length):
        return rng.integers(0, config.vocab_size, length).tolist(), 2, length

    items = [choices.Item("copa", [choice(9), choice(5), choice(40)], 0) for _ in range(9)]
    monkeypatch.setattr(choices, "BATCH_TOKENS", 512)
    at_once = choices.score(params, config, items)
    small, seen = short_above(3, choices._token_scores, lambda params, tokens, *_: len(tokens))
    monkeypatch.setattr(choices, "_token_scores", small)
    assert choices.score(params, config, items) == at_once
    # Of 64 tokens 8 at first; then what fitted, 128 tokens, is 4 rows of 32, which are too many again.
    assert seen == [8, 4, *[2] * 5, 4, *[2] * 9]
    assert "multiple choice: out of memory; now 2 rows at a time" in capsys.readouterr().out


def test_replies_are_the_same_in_smaller_batches(tiny_llama, monkeypatch):
    params, config, tokenizer, *_ = tiny_llama
    chats = [[{"role": "user", "content": text}] for text in ("Hi", "hello the hen", "Bye")]
    at_once = replies.greedy_answers(params, config, tokenizer, chats, max_new=4)
    small, seen = short_above(1, replies.continue_prompts, lambda params, config, prompts: len(prompts))
    monkeypatch.setattr(replies, "continue_prompts", small)
    assert replies.greedy_answers(params, config, tokenizer, chats, max_new=4) == at_once
    assert seen == [3, 1, 1, 1]

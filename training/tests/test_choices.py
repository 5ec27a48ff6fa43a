"""Multiple choice: what is scored, and what counts as right and as retained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import write_jsonl

from mar_training.cli import main
from mar_training.errors import MarError
from mar_training.evaluate.choices import read_items, retention, score
from mar_training.teacher import llama

QUESTIONS = [
    {"task": "copa", "prompt": "The hen ate, so", "choices": [" it was full.", " the sea is blue"], "answer": 0},
    {"task": "blimp_x", "prompt": "", "choices": ["The hens eat.", "The hens eats."], "answer": 0, "subtask": "y"},
    {"task": "wsc273", "prompt": "", "choices": ["the hell is", "a hello is"], "answer": 1, "score_from": [8, 7]},
    {"task": "lambada", "prompt": "Say hello to the", "choices": [" hen"], "answer": 0},
    {
        "task": "copa",
        "prompt": "It is cold:",
        "choices": [" coats", " a much longer answer"],
        "answer": 1,
    },
]


@pytest.fixture
def folder(tmp_path):
    write_jsonl(tmp_path / "some.jsonl", QUESTIONS)
    return tmp_path


def test_only_the_choice_is_scored(folder, tiny_llama):
    tokenizer = tiny_llama[2]
    items = read_items(folder, tokenizer)
    assert [item.task for item in items] == ["copa", "blimp", "wsc273", "lambada", "copa"]
    scored = [[tokenizer.decode(ids[first:]) for ids, first, _ in item.choices] for item in items]
    assert scored == [
        [" it was full.", " the sea is blue"],
        ["The hens eat.", "The hens eats."],
        [" is", " is"],
        [" hen"],
        [" coats", " a much longer answer"],
    ]
    assert items[1].choices[0][0][0] == tokenizer.token_to_id("<|endoftext|>")
    assert [size for _, _, size in items[2].choices] == [2, 2]  # "is": bytes without the leading space
    assert len(read_items(folder, tokenizer, limit=2)) == 2


def test_scores_are_sums_of_log_probabilities(folder, tiny_llama):
    params, config, tokenizer, *_ = tiny_llama
    items = read_items(folder, tokenizer)
    expected: dict = {}
    for item in items:
        sums, greedy = [], []
        for ids, first, size in item.choices:
            tokens = jnp.asarray([ids])
            hidden = llama.forward(params, tokens, jnp.zeros_like(tokens), config).hidden
            log_p = jax.nn.log_softmax(hidden @ params["embed"].T)[0]
            picked = [float(log_p[at - 1, ids[at]]) for at in range(first, len(ids))]
            sums.append((sum(picked), sum(picked) / size))
            greedy.append(all(int(log_p[at - 1].argmax()) == ids[at] for at in range(first, len(ids))))
        hits = expected.setdefault(item.task, [])
        hits.append(
            [np.argmax(column) == item.answer for column in zip(*sums, strict=True)] if len(sums) > 1 else greedy
        )
    found = score(params, config, items)
    assert found["copa"]["items"] == 2
    for task, hits in expected.items():
        means = np.mean(hits, axis=0)
        assert [found[task][name] for name in ("acc", "acc_norm")[: len(means)]] == means.tolist()


def test_retention_is_of_averages_and_above_chance():
    teacher = {"copa": {"acc": 0.1, "acc_norm": 0.7}, "lambada": {"acc": 0.3}, "other": {"acc": 0.9}}
    student = {"copa": {"acc": 0.9, "acc_norm": 0.6}, "lambada": {"acc": 0.3}, "other": {"acc": 0.0}}
    found = retention(student, teacher)
    assert found == pytest.approx({"retention": 0.9 / 1.0, "retention_above_chance": 0.4 / 0.5})
    with pytest.raises(MarError, match="retention needs one of the tasks"):
        retention({}, teacher)


@pytest.mark.parametrize(
    "line", ['{"task": "copa"}', "[1]", '{"task": "x", "prompt": "a", "choices": ["b"], "answer": 1}']
)
def test_what_is_no_question_is_refused_with_its_line(tmp_path, tiny_llama, line):
    (tmp_path / "bad.jsonl").write_text(f"{line}\n")
    with pytest.raises(MarError, match=r"bad.jsonl:1: not a question"):
        read_items(tmp_path, tiny_llama[2])
    with pytest.raises(MarError, match=r"no .jsonl files"):
        read_items(tmp_path / "none", tiny_llama[2])


def test_the_command_compares_with_a_teacher(folder, llama_folder, llama_data, capsys):
    given = ["--data", llama_data, "--teacher", llama_folder, "--choices", folder, "--rows", "1", "--seq-len", "48"]
    assert main(["eval", str(llama_folder), "--no-replies", *map(str, given)]) == 0
    out = capsys.readouterr().out
    assert "same first choice as the teacher" in out
    assert "100.0%" in out

"""`mar-train convert-run`, rehearsed: every step on a random Llama of two layers, interrupted and short of memory."""

import json
import tarfile
import time

import jax
import pytest
from conftest import write_jsonl
from test_teacher import write_gguf

from mar_training import launcher
from mar_training.cli import RECIPES, main
from mar_training.errors import MarError
from mar_training.export.reader import check_manifest
from mar_training.files import join_file, split_file
from mar_training.train.loop import Interrupted, Trainer

SMALL = (
    "data.weights={}",
    "data.seq_len=48",
    "train.rows=8",
    "train.accumulate=1",
    "train.chunk=16",
    "train.dtype='float32'",
)


@pytest.fixture
def given(tmp_path, tiny_llama, chats, monkeypatch):
    """The command's arguments; a stage takes three steps however fast it is, so that the test's length is known."""
    params, config, _, tokens, merges = tiny_llama
    whole = write_gguf(tmp_path / "t.gguf", params, config, tokens, merges)
    assert len(split_file(whole, 20_000)) > 1
    files = {
        "train": write_jsonl(tmp_path / "train.jsonl", chats),
        "val": write_jsonl(tmp_path / "val.jsonl", chats[:10]),
        "prompts": write_jsonl(tmp_path / "prompts.jsonl", [{"messages": [{"role": "user", "content": "Hi"}]}] * 3),
        "gguf": whole,
        "out": tmp_path / "run",
    }
    questions = tmp_path / "questions"
    questions.mkdir()
    ask = {"task": "copa", "prompt": "The hen", "choices": [" eats", " is blue"], "answer": 0}
    write_jsonl(questions / "copa.jsonl", [ask] * 3)
    monkeypatch.setattr(Trainer, "timed", lambda *_: (0.0, 1e9))
    monkeypatch.setattr(launcher, "MIN_STEPS", 3)
    monkeypatch.setattr("mar_training.evaluate.replies.PROMPTS", ("Hi!",))
    monkeypatch.setattr("mar_training.evaluate.replies.CONVERSATIONS", (("Hello!",),))
    command = ["convert-run", "--minutes", "600", "--name", "tiny", "--write-rows", "4", "--write-dtype", "float32"]
    for name, path in (files | {"choices": questions}).items():
        command += [f"--{name}", str(path)]
    for override in SMALL:
        command += ["--set", override]
    return [*command, "--eval-rows", "2"], files["out"]


def test_the_whole_run_survives_an_interruption_and_a_memory_shortage(given, monkeypatch, capsys):
    command, out = given
    # A chat takes a random Llama as long as is allowed, so what it writes is stood in for.
    monkeypatch.setattr(launcher, "generate", lambda writer, path, **_: write_jsonl(path, []))
    real_timed, real_loop, shortages = Trainer.timed, Trainer._loop, []

    def short_of_memory(trainer):
        if trainer.recipe.train.rows > 4:
            shortages.append(trainer.recipe.train.rows)
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return real_timed(trainer)

    def interrupted(trainer, stop):
        if trainer.recipe.stage == "spiking":
            raise Interrupted("stopped")
        real_loop(trainer, stop)

    monkeypatch.setattr(Trainer, "timed", short_of_memory)
    monkeypatch.setattr(Trainer, "_loop", interrupted)
    assert main(command) == 130
    plan = json.loads((out / "plan.json").read_text())
    assert plan["done"] == ["import", "generate", "tokenise", "blocks", "logits"]
    assert plan["plans"]["spiking"] | {"steps": 3, "rows": 4, "accumulate": 2} == plan["plans"]["spiking"]
    assert shortages == [8, 8, 8]

    monkeypatch.setattr(Trainer, "_loop", real_loop)
    done = [out / name / "log.jsonl" for name in ("blocks", "logits")]
    before = [path.read_text() for path in done]
    assert main(command) == 0
    assert [path.read_text() for path in done] == before
    assert "KL to the teacher" in capsys.readouterr().out
    check_manifest(out / "models" / "tiny")
    metrics = json.loads((out / "models" / "tiny" / "metrics.json").read_text())
    assert {"retention", "retention_above_chance", "teacher_kl", "teacher_top1_agreement"} <= set(metrics)
    assert metrics["convert"]["rotate"] == 0
    other = ["train", "spiking", "--recipe", str(RECIPES / "smollm2_finish.toml"), "--set", "convert.rotate=5"]
    other += ["--data", str(out / "data"), "--teacher", str(out / "teacher"), "--init", str(out / "models" / "tiny")]
    assert main([*other, "--out", str(out / "other")]) == 1
    assert "rotate = 0, this recipe says 5" in capsys.readouterr().err
    with tarfile.open(join_file(out / "results.tar")) as tar:
        assert {"models/tiny/config.json", "spiking.jsonl", "plan.json"} <= set(tar.getnames())
    assert main(command) == 0  # nothing is left to do


def test_time_is_shared_out_among_the_steps_that_are_left(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(launcher.time, "monotonic", lambda: now[0])
    clock = launcher.Clock(tmp_path, 10)
    assert clock.start("import") == pytest.approx(600 * 1 / 100)
    now[0] = 105.0
    clock.finish()
    again = launcher.Clock(tmp_path, 10)
    assert again.start("generate") == pytest.approx((600 - 105) * 15 / 99)
    now[0] += 1000
    again.finish()
    with pytest.raises(MarError, match=r"no time is left for tokenise: 18.4 minutes are spent"):
        launcher.Clock(tmp_path, 10).start("tokenise")


def test_time_is_booked_while_a_step_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "TICK_SECONDS", 0.01)
    clock = launcher.Clock(tmp_path, 10)
    clock.start("import")
    with clock.ticking():
        while not (tmp_path / "plan.json").exists():
            time.sleep(0.01)
        booked = json.loads((tmp_path / "plan.json").read_text())["spent"]["import"]
    assert booked > 0
    assert launcher.Clock(tmp_path, 10).spent["import"] >= booked


def test_a_device_too_small_for_two_rows_is_said(given, monkeypatch, capsys):
    command, _ = given

    def never(_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    monkeypatch.setattr(Trainer, "timed", never)
    monkeypatch.setattr(launcher, "generate", lambda writer, path, **_: write_jsonl(path, []))
    assert main(command) == 1
    assert "too little device memory for 'one gpu, blocks', even with 2 rows at a time" in capsys.readouterr().err


def test_pieces_make_the_file_again(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(range(250)))
    pieces = split_file(path, 100)
    assert [p.name for p in pieces] == ["x.bin.00", "x.bin.01", "x.bin.02"]
    assert not path.exists()
    pieces[1].rename(tmp_path / "kept")
    with pytest.raises(MarError, match=r"x.bin.01 is missing"):
        join_file(path)
    (tmp_path / "kept").rename(pieces[1])
    assert join_file(path).read_bytes() == bytes(range(250))

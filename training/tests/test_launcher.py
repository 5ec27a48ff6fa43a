"""`mar-train convert-run`, rehearsed: every step on a random Llama of two layers, interrupted and short of memory, and
on from the model that came of it, by the real clock."""

import io
import json
import shutil
import tarfile
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import write_jsonl
from safetensors.numpy import load
from test_teacher import write_gguf

from mar_training import launcher
from mar_training.cli import RECIPES, main
from mar_training.config import SITES
from mar_training.data.batches import Packer
from mar_training.data.records import read_records
from mar_training.data.shards import open_shard, open_with_tokenizer, tokenizer_hash
from mar_training.data.tokenizer import load_tokenizer
from mar_training.errors import MarError
from mar_training.export.parts import weights_bytes
from mar_training.export.reader import check_manifest, read_config
from mar_training.export.writer import pack_params
from mar_training.files import join_file, split_file
from mar_training.teacher.store import load_teacher
from mar_training.train import checkpoint
from mar_training.train.loop import Interrupted, Trainer
from mar_training.train.recipe import load_recipe
from mar_training.train.stages import spiking_trainer

SMALL = (
    "data.weights={}",
    "data.seq_len=48",
    "train.rows=8",
    "train.accumulate=1",
    "train.chunk=16",
    "train.dtype='float32'",
)


VOCAB = 262
"""Of the student: three of the tiny Llama's six merges."""


def make_command(folder: Path, tiny_llama, chats: list[dict], *more: str) -> list[str]:
    """The command with its files in `folder`; its run goes to `folder / "run"`."""
    params, config, _, tokens, merges = tiny_llama
    whole = write_gguf(folder / "t.gguf", params, config, tokens, merges)
    assert len(split_file(whole, 20_000)) > 1
    questions = folder / "questions"
    questions.mkdir()
    ask = {"task": "copa", "prompt": "The hen", "choices": [" eats", " is blue"], "answer": 0}
    write_jsonl(questions / "copa.jsonl", [ask] * 3)
    files = {
        "train": write_jsonl(folder / "train.jsonl", chats),
        "val": write_jsonl(folder / "val.jsonl", chats[:10]),
        "prompts": write_jsonl(folder / "prompts.jsonl", [{"messages": [{"role": "user", "content": "Hi"}]}] * 3),
        "gguf": whole,
        "out": folder / "run",
        "choices": questions,
    }
    command = ["convert-run", "--name", "tiny", "--write-rows", "4", "--write-dtype", "float32", "--eval-rows", "2"]
    for name, path in files.items():
        command += [f"--{name}", str(path)]
    for override in SMALL:
        command += ["--set", override]
    return [*command, *more]


def talk_little(monkeypatch) -> None:
    """One reply and one conversation, for the card."""
    monkeypatch.setattr("mar_training.evaluate.replies.PROMPTS", ("Hi!",))
    monkeypatch.setattr("mar_training.evaluate.replies.CONVERSATIONS", (("Hello!",),))


def take_three_steps(monkeypatch) -> None:
    """Three steps a stage however fast they are, and no chats written, so that the length of a run is known."""
    monkeypatch.setattr(Trainer, "timed", lambda *_: (0.0, 1e9))
    monkeypatch.setattr(launcher, "MIN_STEPS", 3)
    # A chat takes a random Llama as long as is allowed, so what it writes is stood in for.
    monkeypatch.setattr(launcher, "generate", lambda writer, path, **_: write_jsonl(path, []))


@dataclass
class Rehearsal:
    """What came of a run that was short of memory, interrupted at stage 2, and started again."""

    command: list[str]
    out: Path
    shortages: list[int]
    interrupted: int
    plan: dict
    resumed: int
    logs: list[list[str]]
    said: str


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory, tiny_llama, chats) -> Rehearsal:
    """The whole run, from teacher to exported model."""
    folder = tmp_path_factory.mktemp("rehearsal")
    command = make_command(folder, tiny_llama, chats, "--minutes", "600", "--vocab-size", str(VOCAB))
    out, real_loop, shortages, said = folder / "run", Trainer._loop, [], io.StringIO()

    def logs() -> list[str]:
        return [(out / name / "log.jsonl").read_text() for name in ("blocks", "logits")]

    def short_of_memory(trainer):
        if trainer.recipe.train.rows > 4:
            shortages.append(trainer.recipe.train.rows)
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return 0.0, 1e9

    def interrupted(trainer, stop):
        if trainer.recipe.stage == "spiking":
            raise Interrupted("stopped")
        real_loop(trainer, stop)

    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stdout(said):
        talk_little(monkeypatch)
        take_three_steps(monkeypatch)
        monkeypatch.setattr(Trainer, "timed", short_of_memory)
        monkeypatch.setattr(Trainer, "_loop", interrupted)
        first = main(command)
        plan, before = json.loads((out / "plan.json").read_text()), logs()
        monkeypatch.setattr(Trainer, "_loop", real_loop)
        second = main(command)
    return Rehearsal(command, out, shortages, first, plan, second, [before, logs()], said.getvalue())


def test_the_whole_run_survives_an_interruption_and_a_memory_shortage(rehearsal):
    assert rehearsal.interrupted == 130
    assert rehearsal.plan["done"] == ["import", "generate", "tokenise", "trim", "blocks", "logits"]
    planned = rehearsal.plan["plans"]["spiking"]
    assert planned | {"steps": 3, "rows": 4, "accumulate": 2} == planned
    assert rehearsal.shortages == [8, 8, 8]

    assert rehearsal.resumed == 0
    assert rehearsal.logs[0] == rehearsal.logs[1]
    assert "KL to the teacher" in rehearsal.said
    with tarfile.open(join_file(rehearsal.out / "results.tar")) as tar:
        assert {"models/tiny/config.json", "blocks.jsonl", "spiking.jsonl", "plan.json"} <= set(tar.getnames())
    assert main(rehearsal.command) == 0  # nothing is left to do


def test_the_model_has_what_the_recipes_say_and_its_figures(rehearsal):
    model = rehearsal.out / "models" / "tiny"
    check_manifest(model)
    config = read_config(model)
    assert (config.vocab_size, config.n_groups, config.window) == (VOCAB, 3, 128)
    assert config.steps == (32, 64, 32, 127)
    assert load_teacher(rehearsal.out / "teacher")[1].vocab_size == VOCAB
    metrics = json.loads((model / "metrics.json").read_text())
    assert {"retention", "retention_above_chance", "teacher_kl", "teacher_top1_agreement"} <= set(metrics)
    assert metrics["convert"]["rotate"] == 0


def test_a_model_in_another_basis_is_refused(rehearsal, tmp_path, capsys):
    out = rehearsal.out
    other = ["train", "spiking", "--recipe", str(RECIPES / "smollm2_finish.toml"), "--set", "convert.rotate=5"]
    other += ["--data", str(out / "data"), "--teacher", str(out / "teacher"), "--init", str(out / "models" / "tiny")]
    assert main(["--cpu-devices", "2", *other, "--out", str(tmp_path / "other")]) == 1
    assert "rotate = 0, this recipe says 5" in capsys.readouterr().err


def test_a_run_goes_on_from_an_exported_model_with_chats_and_timing_of_its_own(
    rehearsal, tmp_path, tiny_llama, chats, monkeypatch, capsys
):
    """Nothing stands in for generation or timing here; a random Llama's words just pass all filters, and it is made to
    like the end of a turn."""
    params, config, tokenizer, tokens, merges = tiny_llama
    end = tokens.index("<|im_end|>")
    ends = params | {"embed": params["embed"].at[end].mul(6.0)}
    talk_little(monkeypatch)
    monkeypatch.setattr("mar_training.teacher.filters.problem", lambda _: None)
    init = rehearsal.out / "models" / "tiny"
    teacher = (ends, config, tokenizer, tokens, merges)
    command = make_command(tmp_path, teacher, chats, "--init", str(init))
    minutes, said = 0.5, ""
    while (status := main([*command, "--minutes", str(minutes)])) == 1 and minutes < 30:
        # On a machine that is busy otherwise, compiling alone may take longer.
        said = capsys.readouterr().err
        assert "give it more --minutes" in said
        minutes *= 2
    assert status == 0, said
    out = tmp_path / "run"
    plan = json.loads((out / "plan.json").read_text())
    assert plan["done"] == ["import", "generate", "tokenise", "spiking", "finish"]
    assert plan["minutes"] == minutes
    assert set(plan["given"]) == set(plan["spent"]) == set(plan["done"])
    steps = plan["plans"]["spiking"]["steps"]
    assert checkpoint.read_info(out / "spiking" / "final.safetensors")["step"] == steps

    written = {record["source"] for record in read_records(out / "written.jsonl")}
    train, _, tokenizer = open_with_tokenizer(out / "data")
    assert written
    assert written <= {source["name"] for source in train.sources}
    assert tokenizer_hash(tokenizer) == tokenizer_hash(load_tokenizer(init / "tokenizer.json"))
    assert load_teacher(out / "teacher")[1].vocab_size == VOCAB
    before, after = read_config(init), read_config(out / "models" / "tiny")
    assert before == after


def test_a_model_goes_on_from_its_own_integers(rehearsal, tmp_path):
    init = rehearsal.out / "models" / "tiny"
    recipe = load_recipe(RECIPES / "gpu_spiking.toml", [*SMALL, *launcher.FROM_MODEL])
    given = (recipe, rehearsal.out / "data", rehearsal.out / "teacher", tmp_path / "further")
    trainer = spiking_trainer(*given, init=init, quiet=True)
    assert trainer.config_at(0) == read_config(init)
    before, again = load(weights_bytes(init)), pack_params(trainer.state["params"], trainer.config_at(0))
    integers = [name for name, tensor in before.items() if tensor.dtype != np.float32]
    assert len(integers) == 1 + 2 * len(SITES)
    for name in integers:
        np.testing.assert_array_equal(again[name], before[name])


def test_a_model_takes_the_tokens_that_it_lacks_from_the_teacher(rehearsal, tmp_path):
    out = rehearsal.out
    init = out / "models" / "tiny"
    recipe = load_recipe(RECIPES / "gpu_spiking.toml", [*SMALL, *launcher.FROM_MODEL])
    given = (recipe, out / "data-whole", out / "teacher-whole", tmp_path / "whole")
    trainer = spiking_trainer(*given, init=init, quiet=True)
    teacher, whole, _ = load_teacher(out / "teacher-whole")
    assert trainer.config_at(0) == read_config(init).replace(vocab_size=whole.vocab_size)
    embed = np.asarray(trainer.state["params"]["embed"])
    assert embed.shape == teacher["embed"].shape
    assert whole.vocab_size > VOCAB
    # The basis is turned, which leaves a row's length as it is.
    lengths, before = (np.linalg.norm(rows, axis=1) for rows in (embed, np.asarray(teacher["embed"])))
    own = load_tokenizer(init / "tokenizer.json").get_vocab()
    for text, token in load_tokenizer(out / "teacher-whole" / "tokenizer.json").get_vocab().items():
        if text not in own:
            assert lengths[token] == pytest.approx(before[token], rel=1e-4)

    swollen = tmp_path / "swollen"
    shutil.copytree(init, swollen)
    shutil.copy(out / "teacher-whole" / "tokenizer.json", swollen)
    with pytest.raises(MarError, match="and data in that one's tokens"):
        spiking_trainer(recipe, out / "data", out / "teacher", tmp_path / "less", init=swollen, quiet=True)


def test_what_a_run_cannot_start_from_is_said(rehearsal, llama_folder, capsys):
    command, out = rehearsal.command, rehearsal.out
    model, size = out / "models" / "tiny", command.index("--vocab-size")
    untrimmed = [*command[:size], *command[size + 2 :]]

    def said(*given: str) -> str:
        assert main(list(given)) == 1
        return capsys.readouterr().err

    assert "is not the config of a MAR model" in said(*untrimmed, "--init", str(llama_folder))
    assert "--vocab-size is for a run without --init" in said(*command, "--init", str(model))
    begun = "was begun with no --init, not --init"
    assert f"{begun} {model}; use another --out" in said(*untrimmed, "--init", str(model))
    begun = f"was begun with --vocab-size {VOCAB}, not"
    assert f"{begun} --vocab-size 263; use another --out" in said(*command, "--vocab-size", "263")
    assert f"{begun} no --vocab-size; use another --out" in said(*untrimmed)


def test_a_whole_vocabulary_is_not_trimmed(tmp_path):
    run = launcher.Run(tmp_path, [], [], tmp_path, RECIPES, "x", 1)
    assert "trim" not in run.shares
    assert (run.teacher, run.data) == (run.whole, run.counted)
    trimmed = launcher.Run(tmp_path, [], [], tmp_path, RECIPES, "x", 1, vocab_size=300)
    assert list(trimmed.shares) == list(launcher.SHARES)
    assert run.whole not in (trimmed.teacher, trimmed.data)


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


def test_a_plan_of_another_version_is_refused(tmp_path):
    (tmp_path / "plan.json").write_text('{"minutes": 10, "init": null, "done": ["import"]}')
    with pytest.raises(MarError, match="written by another version"):
        launcher.Clock(tmp_path, 10)


def test_as_many_steps_are_planned_as_fit_beside_all_else(llama_data, tmp_path, monkeypatch):
    now, val = [0.0], open_shard(llama_data / "val")
    rows = len(Packer(val, 48, seed=0).rows_of_epoch(0))
    assert rows > 2
    monkeypatch.setattr(launcher.time, "monotonic", lambda: now[0])

    class Fake:
        val_shard = val
        evaluated = 0

        def __init__(self, *_, **__):
            now[0] += 20

        def timed(self):
            now[0] += 33
            return 30.0, 1.5

        def evaluate(self, rows):
            self.evaluated += 1
            now[0] += 2 * rows if self.evaluated > 1 else 25

    given = ["data.seq_len=48", "train.eval_rows=2"]
    run = launcher.Run(tmp_path, [], [], tmp_path, RECIPES, "x", 1, overrides=given)
    recipe = load_recipe(RECIPES / "gpu_spiking.toml", given)
    plan = launcher._planned(run, recipe, "spiking", 1000.0, Fake, None)
    spent, to_come = 20 + 33 + 25 + 4, 20 + 3 * 4 + 2 * rows
    assert plan["steps"] == int((1000 - spent - to_come) / 1.5)
    assert 3 * plan["eval_every"] < plan["steps"] <= 4 * plan["eval_every"]
    assert plan["checkpoint_every"] == 80

    now[0] = 0.0
    later = load_recipe(RECIPES / "gpu_spiking.toml", [*given, "quantise.after=0.5"])
    again = launcher._planned(run, later, "spiking", 1000.0, Fake, None)
    assert again["steps"] == plan["steps"] - 30 / 1.5, "the second network is compiled on the way"


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


def test_a_device_too_small_for_two_rows_is_said(tmp_path, tiny_llama, chats, monkeypatch, capsys):
    def never(_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

    take_three_steps(monkeypatch)
    monkeypatch.setattr(Trainer, "timed", never)
    assert main(make_command(tmp_path, tiny_llama, chats, "--minutes", "600")) == 1
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

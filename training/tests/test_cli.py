"""The command line from chats to a model directory, and what it says when something is wrong."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import jax
import pytest
from safetensors.numpy import load_file

from mar_training import cli, unfinished
from mar_training.cli import RECIPES, main, parser
from mar_training.export.reader import check_manifest, read_packed
from mar_training.golden import CHOICES, CHOOSING
from mar_training.train.recipe import load_recipe

DENSE = """
name = "toy dense"
stage = "dense"
model = { d_model = 16, n_layers = 1, d_ffn = 24, n_heads = 2, head_dim = 8, d_state = 4 }
data = { seq_len = 64 }
optimizer = { lr = 0.01, warmup_steps = 2 }
train = { steps = 6, rows = 4, chunk = 32, log_every = 3, eval_every = 6, checkpoint_every = 3 }
"""
SPIKING = """
name = "toy spiking"
stage = "spiking"
model = { steps = [2, 2, 2, 4] }
data = { seq_len = 64 }
optimizer = { lr = 0.003, warmup_steps = 2 }
train = { steps = 4, rows = 4, chunk = 32, log_every = 2, eval_every = 4, checkpoint_every = 4 }
quantise = { weights = ["int4", "int4", "ternary", "int8"], embed_weights = "int8", after = 0.5 }
"""
STORY = """
summary = "A toy."
can = "Nothing."
cannot = "Anything."
commands = "make toy"
licence = "CC-BY-4.0"
description = "It does nothing."
"""


def run(*args) -> int:
    return main(["--cpu-devices", "2", *map(str, args)])


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A function (arguments, error) -> exit status of the command whose work raises that error."""
    (tmp_path / "dense.toml").write_text(DENSE)

    def start(args: str, error: BaseException) -> int:
        def fails(_):
            raise error

        words = args.format(dense=tmp_path / "dense.toml").split()
        monkeypatch.setattr(cli, parser().parse_args(words).run.__name__, fails)
        return run(*words)

    return start


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory, data_folder):
    """Every command once, in one folder."""
    folder = tmp_path_factory.mktemp("pipeline")
    for name, text in (("dense", DENSE), ("spiking", SPIKING), ("story", STORY)):
        (folder / f"{name}.toml").write_text(text)
    dense, spiking = folder / "dense", folder / "spiking"
    train = ("--data", data_folder, "--recipe")
    assert run("train", "dense", *train, folder / "dense.toml", "--out", dense) == 0
    assert run("train", "spiking", *train, folder / "spiking.toml", "--out", spiking, "--teacher", dense) == 0
    story = ("--story", folder / "story.toml", "--models", folder / "models")
    assert run("export", "toy", "--run", spiking, "--dense", dense, "--data", data_folder, *story) == 0
    return folder


def test_export_writes_a_whole_directory(pipeline):
    folder = pipeline / "models" / "toy"
    assert {p.name for p in folder.iterdir()} == {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "model.safetensors",
        "metrics.json",
        "README.md",
        "manifest.json",
    }
    check_manifest(folder)
    _, config = read_packed(folder)
    assert config.weights == ("int4", "int4", "ternary", "int8")
    assert config.steps == (2, 2, 2, 4)


def test_metrics_are_the_cards_figures(pipeline):
    metrics = json.loads((pipeline / "models" / "toy" / "metrics.json").read_text())
    assert {
        "parameters",
        "bytes",
        "tokens_trained",
        "dense_val_loss",
        "spiking_val_loss",
        "bits_per_byte",
        "firing_rate",
        "ac_per_token",
        "mac_per_token",
        "energy_pj_per_token",
    } <= set(metrics)
    assert metrics["largest_logit_difference"] <= 1e-5
    assert metrics["bytes"] == (pipeline / "models" / "toy" / "model.safetensors").stat().st_size
    assert len(metrics["firing_rate"]["per_layer"]) == 1
    assert (metrics["licence"], metrics["description"]) == ("CC-BY-4.0", "It does nothing.")
    assert "teacher" not in metrics
    card = (pipeline / "models" / "toy" / "README.md").read_text()
    assert f"{metrics['spiking_val_loss']:.4f}" in card
    assert "CC0-1.0" in card
    assert "| licence of the weights | CC-BY-4.0 |\n| parameters |" in card
    assert card.count("**assistant**") == 15


def test_eval_agrees_on_run_and_exported_model(pipeline, data_folder):
    out = pipeline / "eval.json"
    networks = (pipeline / "spiking", pipeline / "models" / "toy")
    assert run("eval", *networks, "--data", data_folder, "--seq-len", "64", "--no-replies", "--json", out) == 0
    a, b = json.loads(out.read_text()).values()
    assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-5)
    assert a["rate"] == pytest.approx(b["rate"], abs=1e-5)


def test_golden_takes_the_model_too(pipeline):
    out = pipeline / "golden"
    assert run("golden", pipeline / "models" / "toy", "--out", out) == 0
    vectors = load_file(out / "toy.safetensors")
    assert vectors["0.logits"].shape == (1, 320)
    assert vectors["0.greedy"].shape == (64,)
    chosen = json.loads((out / "choices.json").read_text())
    assert set(chosen) == {*CHOOSING, "toy"}
    toy = chosen["toy"]
    assert len(toy["tokens"]) == len(toy["choices"]) == CHOICES
    # What follows a prompt is what was chosen.
    prompt = len(vectors["0.tokens"])
    assert toy["choices"][prompt - 1 : prompt + 63] == vectors["0.greedy"].tolist()


def test_pack_halves_a_checkpoint_that_trains_on(pipeline, data_folder):
    packed = pipeline / "packed.safetensors"
    assert run("pack", pipeline / "dense", "--out", packed) == 0
    assert packed.stat().st_size < 0.7 * (pipeline / "dense" / "final.safetensors").stat().st_size
    recipe = ("--recipe", pipeline / "dense.toml", "--data", data_folder, "--set", "train.steps=1")
    assert run("train", "dense", *recipe, "--out", pipeline / "again", "--init", packed) == 0


@pytest.mark.parametrize("option", [[], ["--sparsity"]])
def test_plot_draws_runs(pipeline, option):
    out = pipeline / "curve.png"
    assert run("plot", pipeline / "dense", pipeline / "spiking", "--out", out, *option) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_chat_replies_until_an_empty_line(pipeline, monkeypatch, capsys):
    lines = iter(["Hi", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    assert run("chat", pipeline / "models" / "toy") == 0
    assert capsys.readouterr().out.startswith("mar: ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("train", "dense", "--recipe", "none.toml", "--data", "d", "--out", "o"), "cannot read recipe none.toml"),
        (("data", "--train", "none.jsonl", "--val", "v", "--out", "{tmp}"), "cannot open data file none.jsonl"),
        (("eval", "none", "--data", "{data}"), "no checkpoint at none"),
        (("eval", "{data}", "--data", "none"), "cannot read tokenizer"),
    ],
)
def test_errors_are_one_sentence_and_status_1(args, message, tmp_path, data_folder, capsys):
    args = [a.format(tmp=tmp_path, data=data_folder) for a in args]
    assert run(*args) == 1
    err = capsys.readouterr().err
    assert err.startswith("mar-train: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 9.00 GiB"), "too little memory (Unable to allocate 9.00 GiB): "),
        (MemoryError(), "too little memory: "),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "too little memory ([Errno 12] Cannot allocate memory): "),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: x\ny"), "too little memory (RESOURCE_EXHAUSTED: x): "),
    ],
)
@pytest.mark.parametrize(
    ("args", "advice"),
    [
        ("eval a --data b", "shorter rows (--seq-len) or fewer questions (--choice-items)"),
        ("export x --run a --dense b --data c --story d", "fewer rows (--rows) and questions (--choice-items)"),
        ("teacher generate a --out b", "fewer chats be written at a time (--rows)"),
        ("teacher import a --out b", "end other programs that use memory"),
        ("train dense --recipe {dense} --data b --out c", "--set train.rows=N --set train.accumulate=M"),
    ],
)
def test_too_little_memory_is_a_sentence_that_says_what_to_do(error, message, args, advice, command, capsys):
    assert command(args, error) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"mar-train: {message}")
    assert advice in err
    assert err.count("\n") == 1


def test_an_error_that_is_no_shortage_is_not_hidden(command):
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        command("eval a --data b", jax.errors.JaxRuntimeError("INTERNAL: a mistake of ours"))


@pytest.mark.parametrize(
    ("args", "kept"),
    [
        (
            "teacher generate a --out b.jsonl --limit 1",
            "the chats that are in b.jsonl are kept; the same command goes on",
        ),
        ("teacher import a --out b", "counts only when it is whole"),
        ("train dense --recipe {dense} --data b --out run", "the last checkpoint in run, if there is one, is kept"),
        ("convert-run --minutes 1 --gguf a --train b --val c --out run", "the last checkpoints in run are kept"),
        ("eval a --data b", "no figures were written"),
        ("pack a --out b", "no file was changed; the same command begins anew"),
    ],
)
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(args, kept, command, capsys):
    assert command(args, KeyboardInterrupt()) == 130
    err = capsys.readouterr().err
    assert err.startswith("mar-train: stopped: ")
    assert kept in err


def test_ctrl_c_while_modules_are_loaded_is_said_too(monkeypatch, capsys):
    class Loading(ModuleType):
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "mar_training.train.loop", Loading("loop"))
    assert run("eval", "a", "--data", "b") == 130
    assert "mar-train: stopped: no figures were written" in capsys.readouterr().err


def test_every_command_has_its_own_word_or_the_general_one():
    """A command that is renamed must be renamed in these tables."""
    names = set()
    for action in (a for a in parser()._actions if a.dest == "command"):
        for name, sub in action.choices.items():
            inner = next((a for a in sub._actions if a.dest == "action"), None)
            names |= {f"{name} {verb}" for verb in inner.choices} if inner else {name}
    assert set(unfinished.NEED_LESS) | set(unfinished.KEPT) <= names


def test_a_recipe_of_the_other_stage_is_refused(pipeline, data_folder, capsys):
    args = ("--recipe", pipeline / "spiking.toml", "--data", data_folder, "--out", pipeline / "x")
    assert run("train", "dense", *args) == 1
    assert "train spiking" in capsys.readouterr().err


def test_export_of_a_float_network_says_what_to_do(pipeline, data_folder, capsys):
    story = ("--story", pipeline / "story.toml", "--models", pipeline / "m")
    dense = pipeline / "dense"
    assert run("export", "x", "--run", dense, "--dense", dense, "--data", data_folder, *story) == 1
    assert "[quantise]" in capsys.readouterr().err


def test_export_takes_only_the_runs_own_teacher_and_a_plain_name(pipeline, data_folder, capsys):
    story = ("--story", pipeline / "story.toml", "--models", pipeline / "m")
    args = ("--run", pipeline / "spiking", "--data", data_folder, *story)
    assert run("export", "x", "--dense", pipeline / "spiking", *args) == 1
    assert "not the teacher" in capsys.readouterr().err
    assert run("export", "../x", "--dense", pipeline / "dense", *args) == 1
    assert "a model's name" in capsys.readouterr().err


def test_a_run_goes_on_only_with_its_own_recipe(pipeline, data_folder, capsys):
    args = ("--recipe", pipeline / "dense.toml", "--data", data_folder, "--out", pipeline / "dense")
    assert run("train", "dense", *args, "--set", "optimizer.lr=0.5") == 1
    assert "optimizer.lr = 0.01, not 0.5" in capsys.readouterr().err


def test_weights_of_another_shape_are_refused(pipeline, data_folder, capsys):
    args = ("--recipe", pipeline / "dense.toml", "--data", data_folder, "--out", pipeline / "wider")
    assert run("train", "dense", *args, "--set", "model.d_ffn=32", "--init", pipeline / "dense") == 1
    assert "layers/down" in capsys.readouterr().err


def test_several_hosts_need_both_options(pipeline, data_folder, capsys):
    args = ("--recipe", pipeline / "dense.toml", "--data", data_folder, "--out", pipeline / "y")
    assert run("train", "dense", *args, "--processes", "2") == 1
    assert "--coordinator and --processes" in capsys.readouterr().err


def test_help_names_every_command():
    text = parser().format_help()
    for command in ("data", "train", "ablate", "eval", "chat", "plot", "pack", "export", "golden"):
        assert command in text


def test_the_installed_command_runs_without_touching_a_device():
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    out = subprocess.run(
        [sys.executable, "-m", "mar_training.cli", "--help"], capture_output=True, text=True, env=env, check=True
    )
    assert "mar-train" in out.stdout


def test_shipped_recipes_are_valid():
    for path in sorted({*RECIPES.glob("*.toml")} - {*RECIPES.glob("*_card.toml")}):
        recipe = load_recipe(path)
        if recipe.stage == "dense":
            assert replace(recipe, model=recipe.model | {"vocab_size": 4096}).student().n_layers >= 1

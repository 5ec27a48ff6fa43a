"""Two CPU devices, a compilation cache for the session, and a small set of made-up chats."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

# XLA's threads, as many as there are cores unless this says otherwise. Two devices may meet in their collectives in
# another order, and wait for each other for ever where there are but two threads to wait in.
os.environ.setdefault("NPROC", "8")

import jax
import pytest
from tokenizers import pre_tokenizers

from mar_training.data.prepare import prepare
from mar_training.golden import write_golden
from mar_training.teacher import llama
from mar_training.teacher.gguf_file import byte_level_bpe
from mar_training.teacher.store import save_teacher
from mar_training.train.recipe import Recipe, recipe_from_dict

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_disable_most_optimizations", True)  # compiling is most of what the tests take

VOCAB = 320
MODEL = {"d_model": 16, "n_layers": 1, "d_ffn": 24, "n_heads": 2, "head_dim": 8, "d_state": 4}
ANIMALS = ("cat", "dog", "hen", "fox", "owl", "bee", "cow", "rat")
FOODS = ("rice", "corn", "milk", "soup", "cake", "fish", "plums", "bread")
COLOURS = ("red", "blue", "green", "white", "black", "brown")


@pytest.fixture(scope="session", autouse=True)
def compilation_cache(tmp_path_factory):
    """Every `Trainer` jits its own step; the cache compiles those that are equal only once, in whichever process."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    jax.config.update("jax_compilation_cache_dir", str(shared / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def make_chat(rng: random.Random) -> dict:
    """A chat of a few words, from one of three sources."""
    animal, food, colour = rng.choice(ANIMALS), rng.choice(FOODS), rng.choice(COLOURS)
    source, question, answer = rng.choice(
        (
            ("toy/food", f"What does the {animal} eat?", f"The {animal} eats {food}."),
            ("toy/colour", f"Which colour has the {animal}?", f"The {animal} is {colour}."),
            (
                "sums",
                f"What is {(a := rng.randrange(10))} and {(b := rng.randrange(10))}?",
                f"It is {a + b}.",
            ),
        )
    )
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    if rng.random() < 0.3:
        messages.insert(0, {"role": "system", "content": "Be brief."})
    return {"source": source, "licence": "CC0-1.0", "messages": messages}


def write_jsonl(path: Path, records: list[dict]) -> Path:
    """One record a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def chats() -> list[dict]:
    """The training records behind `data_folder`."""
    rng = random.Random(1)
    return [make_chat(rng) for _ in range(300)]


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory, chats) -> Path:
    """What `mar-train data` makes of `chats` and forty more for validation."""
    folder = tmp_path_factory.mktemp("data")
    rng = random.Random(2)
    train = write_jsonl(folder / "train.jsonl", chats)
    val = write_jsonl(folder / "val.jsonl", [make_chat(rng) for _ in range(40)])
    prepare(
        [train],
        [val],
        folder,
        vocab_size=VOCAB,
        tokenizer_path=None,
        tokenizer_records=300,
        continuations=False,
    )
    return folder


@pytest.fixture(scope="session")
def tiny_llama():
    """(parameters, config, tokenizer, its tokens, its merges) of a random Llama of two layers that speaks ChatML."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merges = ["h e", "l l", "he ll", "hell o", "Ġ t", "Ġt he"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*special, *alphabet, *(merge.replace(" ", "") for merge in merges)]
    config = llama.LlamaConfig(
        vocab_size=len(tokens), d_model=24, n_layers=2, d_ffn=32, n_heads=6, n_kv_heads=2, context=256
    )
    return llama.init(config, jax.random.key(5)), config, byte_level_bpe(tokens, merges, special), tokens, merges


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory, tiny_llama) -> Path:
    """The folder that `mar-train teacher import` would write of `tiny_llama`."""
    folder = tmp_path_factory.mktemp("llama")
    save_teacher(*tiny_llama[:3], folder)
    return folder


@pytest.fixture(scope="session")
def llama_data(tmp_path_factory, llama_folder, chats) -> Path:
    """`chats` with `tiny_llama`'s tokenizer and template."""
    folder = tmp_path_factory.mktemp("llama-data")
    train = write_jsonl(folder / "train.jsonl", chats)
    val = write_jsonl(folder / "val.jsonl", chats[:20])
    prepare(
        [train],
        [val],
        folder,
        vocab_size=0,
        tokenizer_path=llama_folder / "tokenizer.json",
        tokenizer_records=0,
        continuations=False,
    )
    return folder


@pytest.fixture(scope="session")
def make_recipe():
    """A function (stage, table=…) -> recipe: a network of one layer, twelve steps of four rows."""

    def make(stage: str, **tables: dict) -> Recipe:
        base = {
            "name": "tiny",
            "stage": stage,
            "model": MODEL if stage == "dense" else {},
            "data": {"seq_len": 48},
            "optimizer": {"lr": 0.01, "warmup_steps": 2},
            "train": {
                "steps": 12,
                "rows": 4,
                "chunk": 16,
                "log_every": 4,
                "eval_every": 8,
                "checkpoint_every": 4,
            },
        }
        merged = base | {key: base.get(key, {}) | value for key, value in tables.items()}
        return recipe_from_dict(merged, "tiny")

    return make


@pytest.fixture(scope="session")
def golden(tmp_path_factory) -> tuple[Path, dict[str, int]]:
    """The folder that `mar-train golden` writes, without a trained model, and its files' sizes."""
    folder = tmp_path_factory.mktemp("golden")
    return folder, write_golden([], folder)

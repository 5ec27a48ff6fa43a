"""The real teacher, SmolLM2-135M-Instruct, against figures known from elsewhere. Needs what is too large to keep here:

MAR_TEACHER: the folder that `mar-train teacher import` makes of its GGUF. MAR_DATA: chats in its vocabulary, as
`mar-train data --tokenizer` writes them.
"""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from mar_training import params as parameters
from mar_training.data.batches import Packer
from mar_training.data.shards import open_with_tokenizer
from mar_training.evaluate.loss import validation
from mar_training.evaluate.replies import greedy_answers
from mar_training.losses import cross_entropy
from mar_training.model import Options
from mar_training.teacher import llama
from mar_training.teacher.store import load_teacher
from mar_training.train.convert import converted, hybrid_config
from mar_training.train.devices import DataParallel

TEACHER, DATA = os.environ.get("MAR_TEACHER"), os.environ.get("MAR_DATA")

pytestmark = pytest.mark.skipif(not TEACHER, reason="MAR_TEACHER names no imported teacher")

TEXT = (
    "The capital of France is Paris. The Eiffel Tower is one of the most famous landmarks in the world, "
    "and it was completed in 1889."
)


@pytest.fixture(scope="module")
def teacher():
    return load_teacher(Path(TEACHER))


def test_a_text_is_as_likely_as_in_other_implementations(teacher):
    """With the rows of q and k left in GGUF's order it is 2.25."""
    params, config, tokenizer = teacher
    tokens = jnp.asarray([tokenizer.encode(TEXT, add_special_tokens=False).ids])
    hidden = llama.forward(params, tokens, jnp.zeros_like(tokens), config).hidden
    nll = float(cross_entropy(hidden[:, :-1] @ params["embed"].T, tokens[:, 1:]).mean())
    print(f"mean NLL {nll:.4f}")
    assert nll == pytest.approx(1.3858, abs=0.01)


def test_its_greedy_answer_is_known(teacher):
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    answer = greedy_answers(*teacher, [chat], max_new=32)[0]
    print(f"answer {answer!r}")
    assert "The capital of France is Paris." in answer


def untrained(teacher, length: int, window: int, sinks: int):
    """(weights, config, validation chats) of the student with this window, from statistics of rows of `length`."""
    params, config, _ = teacher
    train, val, _ = open_with_tokenizer(Path(DATA))
    batch = Packer(train, length, seed=0).batch(0, 4)
    measure = jax.jit(
        lambda p: llama.forward(p, batch.tokens, batch.segment, config, Options(currents="mean")).currents
    )
    student = hybrid_config(config).replace(window=window, sinks=sinks)
    return converted(params, config, student, measure(params)), student, val


@pytest.mark.skipif(not DATA, reason="MAR_DATA names no chats in the teacher's vocabulary")
def test_the_untrained_hybrid_is_near_its_teacher_on_long_chats(teacher):
    weights, student, val = untrained(teacher, 512, window=64, sinks=4)
    given = {"seq_len": 512, "rows": 4, "batch_rows": 4, "options": Options(), "devices": DataParallel()}
    result = validation(weights, student, val, **given, teacher=teacher[:2])
    ours, theirs = result["val_loss"], result["teacher_loss"]
    print(f"student {ours:.4f}, teacher {theirs:.4f}, over {result['val_tokens']} tokens")
    assert ours - theirs < 0.15


@pytest.mark.skipif(not DATA, reason="MAR_DATA names no chats in the teacher's vocabulary")
def test_the_pure_form_starts_nearer_to_its_teacher_than_random_mixers(teacher):
    start, pure, val = untrained(teacher, 256, window=0, sinks=0)
    random = parameters.init(pure, jax.random.key(0))["layers"]
    mixer = {name: random[name] for name in ("in_proj", "conv_weight", "dt_bias", "A_log", "D", "norm_gated")}

    def kl(**changes) -> float:
        weights = start | {"layers": start["layers"] | changes}
        given = {"seq_len": 256, "rows": 8, "batch_rows": 4, "options": Options(), "devices": DataParallel()}
        return validation(weights, pure, val, **given, teacher=teacher[:2])["teacher_kl"]

    ours, silent, any_mixer = kl(), kl(norm_gated=jnp.zeros_like(start["layers"]["norm_gated"])), kl(**mixer)
    print(f"KL {ours:.3f}, of silent mixers {silent:.3f}, of random ones {any_mixer:.3f}")
    assert ours < silent < any_mixer

"""Stage 1 and stage 2 from a pretrained Llama, on a random one of two layers."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mar_training import losses, model
from mar_training import params as parameters
from mar_training.cli import main
from mar_training.data.shards import open_with_tokenizer
from mar_training.errors import MarError
from mar_training.evaluate.loss import validation
from mar_training.fused import chunked_sum
from mar_training.model import Options, forward
from mar_training.teacher import llama
from mar_training.train import checkpoint
from mar_training.train.convert import converted, hybrid_config, without_window
from mar_training.train.devices import DataParallel
from mar_training.train.log import read_log
from mar_training.train.loop import Interrupted, Trainer
from mar_training.train.stages import train_convert, train_spiking

HYBRID = {"window": 8, "sinks": 2}


def statistics(params, config, tokens):
    run = Options(currents="mean")
    return llama.forward(params, tokens, jnp.zeros_like(tokens), config, run).currents


@pytest.fixture(scope="module")
def tokens(tiny_llama):
    return jnp.asarray(np.random.default_rng(0).integers(0, tiny_llama[1].vocab_size, (2, 40)))


class TestConversion:
    def test_the_untrained_hybrid_is_the_teacher_with_a_window(self, tiny_llama, tokens):
        params, config, *_ = tiny_llama
        student = hybrid_config(config).replace(window=7, sinks=2)
        weights = converted(params, config, student, statistics(params, config, tokens))
        segment = jnp.zeros_like(tokens)
        ours = forward(weights, tokens, segment, student, Options(chunk=8)).hidden
        theirs = llama.forward(params, tokens, segment, config, window=7, sinks=2).hidden
        np.testing.assert_allclose(ours, theirs, atol=2e-5)
        far = llama.forward(params, tokens, segment, config).hidden
        assert np.abs(ours - far).max() > 0.01

    def test_the_silent_branch_has_a_gradient(self, tiny_llama, tokens):
        params, config, *_ = tiny_llama
        student = hybrid_config(config)
        weights = converted(params, config, student, statistics(params, config, tokens))
        grad = jax.grad(lambda p: forward(p, tokens, jnp.zeros_like(tokens), student).hidden[..., 0].sum())(weights)
        assert np.abs(grad["layers"]["norm_gated"]).min() > 0

    def test_the_branch_reads_query_key_and_value(self, tiny_llama, tokens):
        params, config, *_ = tiny_llama
        stats = statistics(params, config, tokens)
        student = hybrid_config(config)
        parts = model.split_in_proj(converted(params, config, student, stats)["layers"]["in_proj"], student)
        np.testing.assert_array_equal(parts["C"], parts["q"])
        for name, kept in (("B", "k"), ("x", "v")):
            by_head = parts[name].reshape(2, 24, 6, 4)
            np.testing.assert_array_equal(by_head, np.repeat(parts[kept].reshape(2, 24, 2, 4), 3, axis=2))
        shared = student.replace(n_groups=2, d_state=3)
        parts = model.split_in_proj(converted(params, config, shared, stats)["layers"]["in_proj"], shared)
        mean = parts["q"].reshape(2, 24, 2, 3, 4).mean(axis=3)[..., :3]
        np.testing.assert_allclose(parts["C"].reshape(2, 24, 2, 3), mean, atol=1e-6)

    def test_the_gate_is_open_for_every_token(self, tiny_llama, tokens):
        params, config, *_ = tiny_llama
        stats = statistics(params, config, tokens)
        gram, mean = np.asarray(stats["mixer_gram"]), np.asarray(stats["mixer_mean"])
        u = np.asarray(converted(params, config, hybrid_config(config), stats)["layers"]["in_proj"][:, :, 0])
        z = np.einsum("ld,ld->l", mean, u)
        spread = np.sqrt(np.einsum("ld,lde,le->l", u, gram, u) - z**2)
        assert (z > 0).all()
        assert (spread < 2 * z).all()

    def test_the_pure_form_keeps_the_branch_alone(self, tiny_llama, tokens):
        params, config, *_ = tiny_llama
        stats = statistics(params, config, tokens)
        student = hybrid_config(config)
        weights, pure = without_window(converted(params, config, student, stats), student)
        assert pure.window == 0
        assert weights["layers"]["in_proj"].shape == (2, *pure.site_shapes["in_proj"])
        loud = converted(params, config, pure, stats)
        np.testing.assert_array_equal(weights["layers"]["in_proj"], loud["layers"]["in_proj"])
        np.testing.assert_allclose(loud["layers"]["norm_gated"], stats["attention"])

    def test_layers_can_be_dropped(self, tiny_llama, tokens):
        params, config, *_ = tiny_llama
        student = hybrid_config(config, (1,))
        weights = converted(params, config, student, statistics(params, config, tokens), (1,))
        np.testing.assert_array_equal(weights["layers"]["down"][0], params["layers"]["down"][1])
        with pytest.raises(MarError, match="layers must be from 0 to 1"):
            hybrid_config(config, (2,))


def test_a_chunked_loss_has_the_whole_ones_value_and_gradient():
    rng = np.random.default_rng(2)
    hidden, head = rng.standard_normal((2, 12, 5), np.float32), rng.standard_normal((9, 5), np.float32)
    target = rng.integers(0, 9, (2, 12))

    def of(head, hidden, constant, part):
        ce = losses.cross_entropy(hidden @ head.T * constant, part["target"])
        return jnp.sum(ce), {"twice": 2 * jnp.sum(ce)}

    def whole(head, hidden):
        return 3 * of(head, hidden, 0.5, {"target": target})[0]

    def chunked(head, hidden, chunk):
        loss, metrics = chunked_sum(
            of, head, jnp.asarray(hidden), jnp.float32(0.5), {"target": jnp.asarray(target)}, chunk
        )
        return 3 * loss, metrics

    expected, grads = jax.value_and_grad(whole, argnums=(0, 1))(head, hidden)
    for chunk in (1, 5, 12, 50):
        (value, metrics), got = jax.value_and_grad(chunked, argnums=(0, 1), has_aux=True)(head, hidden, chunk)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(metrics["twice"] * 1.5, expected, rtol=1e-5)
        for a, b in zip(got, grads, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


class TestRuns:
    def test_blocks_come_nearer_to_the_teachers(self, llama_folder, llama_data, make_recipe, tmp_path):
        recipe = make_recipe(
            "convert", model=HYBRID, convert={"objective": "blocks", "rotate": 1}, optimizer={"weight_decay": 0.0}
        )
        train_convert(recipe, llama_data, llama_folder, tmp_path, quiet=True)
        entries = [e for e in read_log(tmp_path / "log.jsonl") if "align" in e]
        assert len(entries[0]["align"]) == 2
        assert entries[-1]["loss"] < 0.8 * entries[0]["loss"]

    def test_the_whole_way_from_hybrid_to_spiking_and_to_pure(self, llama_folder, llama_data, make_recipe, tmp_path):
        convert = {"rotate": 1}
        one = make_recipe("convert", model=HYBRID, convert=convert | {"windows": [8, 4]})
        result = train_convert(one, llama_data, llama_folder, tmp_path / "hybrid", quiet=True)
        entries = read_log(tmp_path / "hybrid" / "log.jsonl")
        assert checkpoint.read_info(tmp_path / "hybrid" / "final.safetensors")["config"].window == 4
        assert result["teacher_kl"] < next(e["teacher_kl"] for e in entries if "teacher_kl" in e and "window" not in e)
        assert 0 <= result["teacher_top1_agreement"] <= 1

        quantise = {"weights": ["int4"] * 4, "embed_weights": "int8", "after": 0.5}
        sparsity = {"threshold_init": [0, 0, 0, 0.5], "anneal": 0.25}
        two = make_recipe("spiking", model={"precharge": 0.5}, convert=convert, quantise=quantise, sparsity=sparsity)
        given = (llama_data, llama_folder, tmp_path / "spiking")
        result = train_spiking(two, *given, init=tmp_path / "hybrid", quiet=True)
        assert result["teacher_kl"] > 0
        config = checkpoint.read_info(tmp_path / "spiking" / "final.safetensors")["config"]
        assert (config.window, config.neuron, config.weights) == (4, "atmn", ("int4",) * 4)

        pure = make_recipe("convert", model={"window": 0, "sinks": 0}, convert=convert)
        train_convert(pure, llama_data, llama_folder, tmp_path / "pure", init=tmp_path / "hybrid", quiet=True)
        assert checkpoint.read_info(tmp_path / "pure" / "final.safetensors")["config"].window == 0

        other = make_recipe("spiking", convert={"rotate": 2})
        with pytest.raises(MarError, match=r"trained with .convert. rotate = 1, this recipe says 2"):
            train_spiking(other, llama_data, llama_folder, tmp_path / "x", init=tmp_path / "hybrid", quiet=True)

    def test_a_window_that_shrinks_to_nothing_ends_as_the_pure_form(
        self, llama_folder, llama_data, make_recipe, tmp_path, monkeypatch
    ):
        recipe = make_recipe("convert", model=HYBRID, convert={"windows": [8, 4, 0]})
        whole = train_convert(recipe, llama_data, llama_folder, tmp_path / "whole", quiet=True)
        weights, info = checkpoint.load_params(tmp_path / "whole" / "final.safetensors")
        assert (info["config"].window, info["config"].sinks) == (0, 0)
        assert weights["layers"]["in_proj"].shape[1:] == info["config"].site_shapes["in_proj"]
        kept = {
            entry["window"]: entry["teacher_kl"]
            for entry in read_log(tmp_path / "whole" / "log.jsonl")
            if "window" in entry
        }
        assert list(kept) == [8, 4]
        for window, kl in kept.items():
            weights, info = checkpoint.load_params(tmp_path / "whole" / f"window-{window:04d}.safetensors")
            assert info["config"].window == window
            assert info["result"]["teacher_kl"] == kl
            parameters.check(weights, info["config"])

        # Stopped at the end of a window, and after the window has gone, and gone on with: the same weights.
        batch = Trainer._batch
        given = (recipe, llama_data, llama_folder, tmp_path / "parts")
        for last in (7, 10):

            def stops(trainer, step, last=last):
                if step == last:
                    os.kill(os.getpid(), signal.SIGINT)
                return batch(trainer, step)

            monkeypatch.setattr(Trainer, "_batch", stops)
            with pytest.raises(Interrupted, match=f"stopped at step {last + 1}"):
                train_convert(*given, quiet=True)
        monkeypatch.setattr(Trainer, "_batch", batch)
        assert train_convert(*given, quiet=True) == whole
        assert {path.name for path in (tmp_path / "parts").glob("window-*")} == {
            "window-0008.safetensors",
            "window-0004.safetensors",
        }

    def test_windows_must_shrink_and_be_there(self, llama_folder, llama_data, make_recipe, tmp_path):
        for windows in ([4, 8], [8, -1]):
            with pytest.raises(MarError, match="must shrink"):
                make_recipe("convert", model=HYBRID, convert={"windows": windows})
        for shape, windows, why in (
            (HYBRID, [*range(20, 0, -1)], "as many"),
            ({"window": 0, "sinks": 0}, [8, 4], "has no window branch"),
        ):
            recipe = make_recipe("convert", model=shape, convert={"windows": windows})
            with pytest.raises(MarError, match=why):
                train_convert(recipe, llama_data, llama_folder, tmp_path, quiet=True)

    def test_spiking_starts_from_the_untrained_hybrid_too(self, llama_folder, llama_data, make_recipe, tmp_path):
        recipe = make_recipe("spiking", model={"window": 8, "sinks": 2}, optimizer={"vector_scale": 5.0})
        train_spiking(recipe, llama_data, llama_folder, tmp_path, quiet=True)
        losses_ = [e["loss"] for e in read_log(tmp_path / "log.jsonl") if "loss" in e]
        assert losses_[-1] < losses_[0]

    def test_the_scan_is_trained_alone_and_thresholds_become_finer(
        self, llama_folder, llama_data, make_recipe, tmp_path
    ):
        quantise = {"weights": ["int4"] * 4, "embed_weights": "int8", "after": 0.0, "rounding": "gptq"}
        one = make_recipe("spiking", model=HYBRID | {"precharge": 0.5}, quantise=quantise)
        train_spiking(one, llama_data, llama_folder, tmp_path / "one", quiet=True)
        two = make_recipe(
            "spiking",
            model={"steps": [4, 8, 4, 8]},
            convert={"objective": "blocks", "trains": "scan"},
            sparsity={"finer": [1, 2, 1, 2]},
            quantise=quantise | {"rounding": "nearest"},
            optimizer={"weight_decay": 0.0},
        )
        train_spiking(two, llama_data, llama_folder, tmp_path / "two", init=tmp_path / "one", quiet=True)
        losses_ = [e["loss"] for e in read_log(tmp_path / "two" / "log.jsonl") if "align" in e]
        assert losses_[-1] < losses_[0]

        (before, _), (after, info) = (
            checkpoint.load_params(checkpoint.resolve(tmp_path / run)) for run in ("one", "two")
        )
        config = info["config"]
        own = config.site_shapes["in_proj"][1] - sum(config.in_proj_parts[name] for name in "qkv")
        moved = {name: np.asarray(after["layers"][name] - value) for name, value in before["layers"].items()}
        for name in ("conv_weight", "conv_bias", "dt_bias", "A_log", "D", "norm_gated"):
            assert np.abs(moved.pop(name)).max() > 0, name
        for name in ("in_proj", "log_scale_in_proj"):
            change = moved.pop(name)
            assert np.abs(change[..., :own]).max() > 0, name
            assert not change[..., own:].any(), name
        for name, change in moved.items():
            half = any(
                name == f"{what}_{site}" for what in ("log_threshold", "log_scale") for site in ("out_proj", "down")
            )
            np.testing.assert_allclose(change, -np.log(2) if half else 0.0, atol=1e-6, err_msg=name)

    def test_a_student_may_see_farther_later_but_not_lose_its_window(self, make_recipe, tiny_llama):
        dense = hybrid_config(tiny_llama[1])
        wider = make_recipe("spiking", model={"window": 128, "sinks": 8}).student(dense)
        assert (wider.window, wider.sinks) == (128, 8)
        assert wider.site_shapes == dense.site_shapes
        with pytest.raises(MarError, match="drops the window branch"):
            make_recipe("spiking", model={"window": 0, "sinks": 0}).student(dense)
        with pytest.raises(MarError, match="window comes from the teacher"):
            make_recipe("spiking", model={"window": 8}).student(dense.replace(window=0, sinks=0))

    def test_what_would_move_the_frozen_weights_is_refused(self, make_recipe):
        with pytest.raises(MarError, match="set weight_decay = 0"):
            make_recipe("spiking", convert={"trains": "scan"}, optimizer={"weight_decay": 0.1})
        with pytest.raises(MarError, match="finer divides thresholds"):
            make_recipe("spiking", sparsity={"finer": [1, 0, 1, 1]})

    def test_stage_one_needs_a_llama_and_its_own_tokenizer(
        self, llama_folder, llama_data, data_folder, make_recipe, tmp_path
    ):
        recipe = make_recipe("convert", model=HYBRID)
        with pytest.raises(MarError, match="is no Llama"):
            train_convert(recipe, llama_data, llama_data, tmp_path, quiet=True)
        with pytest.raises(MarError, match="another tokenizer"):
            train_convert(recipe, data_folder, llama_folder, tmp_path, quiet=True)

    def test_its_own_loss_is_the_teachers_distance_zero(self, llama_folder, llama_data, tiny_llama):
        params, config, *_ = tiny_llama
        _, val, _ = open_with_tokenizer(llama_data)
        given = {"seq_len": 48, "rows": 2, "batch_rows": 2, "options": Options(), "devices": DataParallel()}
        result = validation(params, config, val, **given, teacher=(params, config))
        assert result["teacher_kl"] == pytest.approx(0, abs=1e-6)
        assert result["teacher_top1_agreement"] == 1
        assert result["teacher_loss"] == pytest.approx(result["val_loss"])


def test_the_untrained_hybrid_answers_as_its_teacher(llama_folder, tiny_llama, tmp_path, capsys):
    """Within the window, both forms of both networks: cached steps, ring and scan."""
    params, config, *_ = tiny_llama
    tokens = jnp.arange(40)[None]
    student = hybrid_config(config)
    weights = converted(params, config, student, statistics(params, config, tokens))
    checkpoint.save(tmp_path / "hybrid.safetensors", {"params": weights}, student, {})
    question = ["What does the hen eat?", "--max-new", "12"]
    assert main(["ask", str(llama_folder), *question]) == 0
    teacher = capsys.readouterr().out
    tokenizer = ["--tokenizer", str(llama_folder / "tokenizer.json")]
    assert main(["ask", str(tmp_path / "hybrid.safetensors"), *question, *tokenizer]) == 0
    assert capsys.readouterr().out == teacher
    assert len(teacher) > len("What does the hen eat? -> ")


def test_the_command_converts(llama_folder, llama_data, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'name = "t"\nstage = "convert"\n[model]\nwindow = 8\nsinks = 2\n[data]\nseq_len = 48\n'
        "[train]\nsteps = 2\nrows = 4\nchunk = 16\n"
    )
    given = ["--recipe", recipe, "--data", llama_data, "--teacher", llama_folder, "--out", tmp_path / "run"]
    assert main(["train", "convert", *map(str, given)]) == 0
    assert "done: validation loss" in capsys.readouterr().out

"""Training runs: they learn, stop and go on without loss, and end with a sentence when something breaks."""

import errno
import json
import os
import resource
import signal
from functools import partial

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from mar_training import params as parameters
from mar_training.config import ModelConfig
from mar_training.data.batches import Batch
from mar_training.data.shards import open_with_tokenizer
from mar_training.errors import MarError
from mar_training.model import Options, forward
from mar_training.train import checkpoint
from mar_training.train.devices import DataParallel
from mar_training.train.log import read_log
from mar_training.train.loop import Interrupted, Trainer
from mar_training.train.objective import distill_loss, schedule
from mar_training.train.recipe import load_recipe, recipe_from_dict
from mar_training.train.stages import train_dense, train_spiking

SPARSE = {"distill": {"features": "none"}, "sparsity": {"weight": 5.0, "active_target": [0.05] * 4}}
FIRST, LAST = "step-0000004.safetensors", "step-0000012.safetensors"


@pytest.fixture(scope="module")
def dense_run(tmp_path_factory, data_folder, make_recipe):
    """The folder of an uninterrupted dense run of twelve steps on two devices."""
    folder = tmp_path_factory.mktemp("runs") / "dense"
    train_dense(make_recipe("dense"), data_folder, folder, quiet=True)
    return folder


def assert_same(one, other, atol=0.0):
    """Every array of two checkpoints: bit for bit, or to `atol`."""
    a, b = load_file(one), load_file(other)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=0, atol=atol, err_msg=name)


def losses(folder):
    return [entry["loss"] for entry in read_log(folder / "log.jsonl") if "loss" in entry]


class TestDense:
    def test_the_loss_falls(self, dense_run):
        first, *_, last = losses(dense_run)
        assert last < first - 0.3
        assert read_log(dense_run / "log.jsonl")[-1]["val_loss"] < first

    def test_only_the_newest_checkpoints_stay(self, dense_run):
        assert sorted(p.name for p in dense_run.iterdir()) == [
            "final.safetensors", "log.jsonl", "step-0000008.safetensors", LAST,
        ]  # fmt: skip

    def test_the_final_checkpoint_holds_weights_config_and_result(self, dense_run, data_folder):
        weights, info = checkpoint.load_params(checkpoint.resolve(dense_run))
        assert info["step"] == 12
        assert info["result"]["val_loss"] == read_log(dense_run / "log.jsonl")[-1]["val_loss"]
        assert info["recipe"]["optimizer"]["lr"] == 0.01
        shapes = parameters.shapes(info["config"])
        assert {k: v.shape[1:] for k, v in weights["layers"].items()} == shapes
        assert open_with_tokenizer(data_folder)[0].tokenizer_sha256 == info["tokenizer_sha256"]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_an_interrupted_run_goes_on_to_the_same_bits(
        self, dense_run, data_folder, make_recipe, tmp_path, monkeypatch, number
    ):
        real, recipe = Trainer._batch, make_recipe("dense")

        def interrupted_at_six(trainer, step):
            if step == 6:
                os.kill(os.getpid(), number)
            return real(trainer, step)

        before = signal.getsignal(number)
        monkeypatch.setattr(Trainer, "_batch", interrupted_at_six)
        with pytest.raises(Interrupted, match="step 7"):
            train_dense(recipe, data_folder, tmp_path, quiet=True)
        monkeypatch.undo()
        assert signal.getsignal(number) is before
        assert checkpoint.latest(tmp_path).name == "step-0000007.safetensors"
        train_dense(recipe, data_folder, tmp_path, quiet=True)
        assert_same(tmp_path / LAST, dense_run / LAST)
        assert_same(tmp_path / "final.safetensors", dense_run / "final.safetensors")
        assert {"step": 7, "resumed": "step-0000007.safetensors"} in read_log(tmp_path / "log.jsonl")
        assert losses(tmp_path)[0] == losses(dense_run)[0]
        assert losses(tmp_path)[-1] == losses(dense_run)[-1]

    def test_a_finished_run_is_not_trained_again(self, dense_run, data_folder, make_recipe, monkeypatch):
        monkeypatch.setattr(Trainer, "_train_step", None)
        before = (dense_run / "final.safetensors").read_bytes()
        train_dense(make_recipe("dense"), data_folder, dense_run, quiet=True)
        assert (dense_run / "final.safetensors").read_bytes() == before

    def test_two_micro_batches_equal_one_large_batch(self, dense_run, data_folder, make_recipe, tmp_path):
        recipe = make_recipe("dense", train={"rows": 2, "accumulate": 2})
        train_dense(recipe, data_folder, tmp_path, quiet=True)
        assert_same(tmp_path / LAST, dense_run / LAST, atol=1e-5)

    def test_two_devices_equal_one(self, dense_run, data_folder, make_recipe, tmp_path):
        assert jax.device_count() == 2
        train, val, _ = open_with_tokenizer(data_folder)
        recipe = make_recipe("dense")
        config = checkpoint.read_info(dense_run / LAST)["config"]
        trainer = Trainer(
            recipe,
            config,
            parameters.init(config, jax.random.key(recipe.train.seed)),
            (train, val),
            tmp_path,
            tokenizer_sha256=train.tokenizer_sha256,
            devices=DataParallel(jax.devices()[:1]),
            quiet=True,
        )
        trainer.run()
        assert_same(tmp_path / LAST, dense_run / LAST, atol=1e-5)

    def test_rows_that_do_not_divide_over_the_devices_are_refused(self, data_folder, make_recipe, tmp_path):
        with pytest.raises(MarError, match="rows = 3 must be a multiple of the 2 devices"):
            train_dense(make_recipe("dense", train={"rows": 3}), data_folder, tmp_path)

    def test_muon_with_average_and_micro_batches_in_bfloat16_learns(self, data_folder, make_recipe, tmp_path):
        recipe = make_recipe(
            "dense",
            optimizer={"name": "muon", "ema": 0.5, "schedule": "wsd"},
            train={"rows": 2, "accumulate": 2, "dtype": "bfloat16"},
        )
        result = train_dense(recipe, data_folder, tmp_path, quiet=True)
        first, *_, last = losses(tmp_path)
        assert last < first - 0.3
        final, step = load_file(tmp_path / "final.safetensors"), load_file(tmp_path / LAST)
        np.testing.assert_array_equal(final["params/embed"], step["ema/embed"])
        assert np.any(step["params/embed"] != step["ema/embed"])
        assert result["val_loss"] < first


class TestFailures:
    @pytest.fixture
    def patched(self, data_folder, make_recipe, tmp_path, monkeypatch):
        """A function: a run with some code replaced fails with `message` and leaves one checkpoint."""

        def run(target, name, replacement, message):
            monkeypatch.setattr(target, name, replacement)
            with pytest.raises(MarError, match=message):
                train_dense(make_recipe("dense"), data_folder, tmp_path, quiet=True)
            assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl", FIRST]
            monkeypatch.undo()

        return run

    def test_a_loss_that_is_no_number_stops_and_leaves_the_last_checkpoint(
        self, patched, dense_run, data_folder, make_recipe, tmp_path
    ):
        real = Trainer._batch

        def broken_at_six(trainer, step):
            batch, tokens = real(trainer, step)
            if step == 6:
                batch.weight = batch.weight * np.nan
            return batch, tokens

        patched(Trainer, "_batch", broken_at_six, rf"no longer a number at step 8; .*{FIRST}")
        train_dense(make_recipe("dense"), data_folder, tmp_path, quiet=True)
        assert_same(tmp_path / LAST, dense_run / LAST)

    def test_short_memory_on_the_way_goes_on_with_smaller_micro_batches(
        self, data_folder, dense_run, make_recipe, tmp_path, monkeypatch, capsys
    ):
        real, rows = Trainer._batch, []

        def short_at_six(trainer, step):
            rows.append(trainer.recipe.train.rows)
            if step == 6 and trainer.recipe.train.accumulate == 1:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
            return real(trainer, step)

        monkeypatch.setattr(Trainer, "_batch", short_at_six)
        recipe = make_recipe("dense")
        train_dense(recipe, data_folder, tmp_path, quiet=True)
        whole = recipe.train.rows
        assert set(rows) == {whole, whole // 2}
        assert f"out of memory; now {whole // 2} rows x 2" in capsys.readouterr().out
        final, undisturbed = (load_file(folder / "final.safetensors") for folder in (tmp_path, dense_run))
        for name, value in undisturbed.items():
            np.testing.assert_allclose(final[name], value, rtol=0.02, atol=2e-3, err_msg=name)

    def test_memory_too_short_for_a_row_each_is_said_and_other_errors_are_passed_on(
        self, data_folder, make_recipe, tmp_path, monkeypatch
    ):
        def fails(words):
            def batch(*_):
                raise jax.errors.JaxRuntimeError(words)

            monkeypatch.setattr(Trainer, "_batch", batch)
            train_dense(make_recipe("dense"), data_folder, tmp_path, quiet=True)

        with pytest.raises(MarError, match="too little device memory for 'tiny', even with 2 rows"):
            fails("RESOURCE_EXHAUSTED: Out of memory")
        with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
            fails("INTERNAL: something else")

    def test_a_full_disk_stops_and_leaves_the_last_checkpoint(
        self, patched, dense_run, data_folder, make_recipe, tmp_path
    ):
        real = checkpoint.save_file

        def full_after_the_first(arrays, path, metadata):
            if (tmp_path / FIRST).exists():
                path.write_bytes(b"half a file")
                raise OSError(errno.ENOSPC, "No space left on device")
            real(arrays, path, metadata)

        patched(checkpoint, "save_file", full_after_the_first, "step-0000008.*No space left on device")
        train_dense(make_recipe("dense"), data_folder, tmp_path, quiet=True)
        assert_same(tmp_path / LAST, dense_run / LAST)

    def test_what_safetensors_itself_raises_on_a_full_disk_is_caught(self, tmp_path):
        """Files over 4 kB fail here by the process's own limit, as all do on a full disk."""
        path = tmp_path / "step.safetensors"
        config = ModelConfig(vocab_size=9, d_model=8, n_layers=1, d_ffn=8, n_heads=1, head_dim=8, d_state=2)
        checkpoint.save(path, {"params": np.zeros(9)}, config, {})
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            with pytest.raises(MarError, match=r"cannot write .*step\.safetensors: .*File too large"):
                checkpoint.save(path, {"params": np.zeros(9999)}, config, {})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        assert path.read_bytes() == before

    def test_a_run_folder_that_cannot_be_is_named(self, data_folder, make_recipe, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(MarError, match=r"cannot make the run folder .*file"):
            train_dense(make_recipe("dense"), data_folder, tmp_path / "file" / "run")

    def test_a_checkpoint_of_another_model_is_not_gone_on_from(self, dense_run, data_folder, make_recipe, tmp_path):
        (tmp_path / LAST).write_bytes((dense_run / LAST).read_bytes())
        with pytest.raises(MarError, match=r"begun with model.d_ffn = 24, not 32"):
            train_dense(make_recipe("dense", model={"d_ffn": 32}), data_folder, tmp_path, quiet=True)
        (tmp_path / LAST).write_bytes(b"not a checkpoint")
        with pytest.raises(MarError, match="is not a checkpoint of mar-train"):
            train_dense(make_recipe("dense"), data_folder, tmp_path, quiet=True)


class TestSpiking:
    @pytest.fixture
    def run(self, dense_run, data_folder, make_recipe, tmp_path):
        """A function from recipe tables to the log of a spiking run of six steps."""

        def train(**tables):
            recipe = make_recipe(
                "spiking", **tables | {"train": {"steps": 6, "log_every": 1} | tables.get("train", {})}
            )
            train_spiking(recipe, data_folder, dense_run, tmp_path, quiet=True)
            return read_log(tmp_path / "log.jsonl")

        return train

    def test_it_comes_nearer_to_its_teacher(self, run):
        log = [
            entry
            for entry in run(distill={"features": "both"}, optimizer={"lr": 0.005}, train={"steps": 24})
            if "loss" in entry
        ]
        assert log[-1]["kl"] < 0.6 * log[0]["kl"]
        assert log[-1]["features"] < log[0]["features"]
        assert log[0]["loss"] == pytest.approx(log[0]["kl"] + log[0]["features"], rel=1e-5)
        assert all(0 < x < 1 for x in log[0]["active"])

    @pytest.mark.parametrize(("features", "per_layer"), [("none", 0), ("pre", 2), ("post", 2), ("both", 4)])
    def test_each_choice_of_features_is_traced_and_counted(self, dense_run, make_recipe, features, per_layer):
        """Shapes alone, without compiling: the loss takes the features, forward gives them by layer."""
        recipe = make_recipe("spiking", distill={"features": features, "ce": 0.5})
        teacher, info = checkpoint.load_params(dense_run / "final.safetensors")
        config = recipe.student(info["config"])
        weights = jax.eval_shape(partial(parameters.init, config), jax.random.key(0))
        ints, floats = np.zeros((2, 48), np.int32), np.zeros((2, 48), np.float32)
        batch = Batch(ints, ints, ints, floats, floats)
        loss = partial(
            distill_loss, config=config, recipe=recipe, teacher_config=info["config"], now=schedule(recipe, 0)
        )
        total, metrics = jax.eval_shape(loss, weights, batch, 1.0, teacher=teacher)
        assert total.shape == metrics["ce"].shape == ()
        assert ("features" in metrics) == (per_layer > 0)
        forwards = partial(forward, config=config, options=Options(features=features, chunk=16))
        shape = jax.eval_shape(forwards, weights, ints, ints).features.shape
        assert shape == ((1, per_layer, 2, 48, 16) if per_layer else (1, 0))

    def test_alpha_and_beta_go_to_their_end(self, dense_run, make_recipe):
        """Each step's loss is a mean of both divergences of the same batch."""
        teacher, info = checkpoint.load_params(dense_run / "final.safetensors")
        tokens = np.random.default_rng(0).integers(0, info["config"].vocab_size, (2, 48), np.int32)
        batch = Batch(tokens, tokens, np.zeros_like(tokens), *[np.ones((2, 48), np.float32)] * 2)

        def kl(step: int, **distill) -> float:
            recipe = make_recipe("spiking", distill={"features": "none"} | distill, train={"steps": 5})
            config = recipe.student(info["config"])
            weights = parameters.init(config, jax.random.key(0))
            given = (weights, batch, 1.0, config, recipe, teacher, info["config"], schedule(recipe, step))
            return float(distill_loss(*given)[1]["kl"])

        forward, reverse = kl(0, alpha=1.0, beta=0.0), kl(0, alpha=0.0, beta=1.0)
        assert abs(forward - reverse) > 0.05 * forward
        for step in range(5):
            share = step / 4
            mixed = kl(step, alpha=1.0, beta=0.0, end=[0.0, 1.0])
            assert mixed == pytest.approx((1 - share) * forward + share * reverse, rel=1e-4)
        for stage, distill, why in (
            ("spiking", {"end": [0.5]}, "end needs two numbers"),
            ("spiking", {"end": [0.5, -1.0]}, "at least 0"),
            ("dense", {"end": [0.5, 0.5]}, "end to end, which this run is not"),
        ):
            with pytest.raises(MarError, match=why):
                make_recipe(stage, distill=distill)

    def test_the_sparsity_term_silences_neurons(self, run, tmp_path):
        log = [entry for entry in run(**SPARSE) if "loss" in entry]
        assert all(after < before - 0.03 for before, after in zip(log[0]["active"], log[-1]["active"], strict=True))

    def test_integer_weights_come_in_force_at_their_step_and_are_what_is_saved(self, run, tmp_path, monkeypatch):
        weights, used = ("int8", "int4", "ternary", "int8"), []
        real = Trainer._compiled

        def noted(trainer, config):
            used.append((config.weights, config.embed_weights))
            return real(trainer, config)

        monkeypatch.setattr(Trainer, "_compiled", noted)
        run(**SPARSE, quantise={"weights": list(weights), "embed_weights": "int8", "after": 0.5})
        assert used == [(("float",) * 4, "float")] * 3 + [(weights, "int8")] * 3
        weights_saved, info = checkpoint.load_params(tmp_path / "final.safetensors")
        assert info["config"].weights == weights
        assert info["config"].quantised
        assert info["result"]["val_loss"] < 6
        assert "log_threshold_down" in weights_saved["layers"]

    def test_rounded_once_the_scales_are_learned_and_resumed(self, run, tmp_path, monkeypatch):
        """The second call finds a finished run: it must read scales that only the checkpoint has."""
        tables = {"quantise": {"weights": ["int4"] * 4, "embed_weights": "int8", "after": 0.0, "rounding": "gptq"}}
        run(**SPARSE, **tables)
        saved, info = checkpoint.load_params(tmp_path / "final.safetensors")
        assert info["config"].weights == ("int4",) * 4
        scales = saved["layers"]["log_scale_down"]
        assert scales.shape == (1, 16)
        monkeypatch.setattr("mar_training.train.stages.rounded", None)
        run(**SPARSE, **tables)
        again, _ = checkpoint.load_params(tmp_path / "final.safetensors")
        np.testing.assert_array_equal(again["layers"]["log_scale_down"], scales)

    def test_rounding_needs_integers(self, run):
        with pytest.raises(MarError, match="an integer type for each"):
            run(quantise={"rounding": "gptq"})

    def test_a_mistake_in_quantise_shows_before_the_first_step(self, run, tmp_path):
        with pytest.raises(MarError, match="'int5'"):
            run(quantise={"weights": ["int8", "int8", "int8", "int5"]})
        assert not (tmp_path / "log.jsonl").exists()

    def test_a_spiking_network_is_refused_as_teacher(self, data_folder, make_recipe, tmp_path):
        config = make_recipe("dense", model={"vocab_size": 320}).student().replace(neuron="atmn")
        sha = open_with_tokenizer(data_folder)[0].tokenizer_sha256
        weights = parameters.init(config, jax.random.key(0))
        checkpoint.save(tmp_path / "t.safetensors", {"params": weights}, config, {"tokenizer_sha256": sha})
        with pytest.raises(MarError, match="needs a dense teacher"):
            train_spiking(make_recipe("spiking"), data_folder, tmp_path / "t.safetensors", tmp_path / "run")


class TestRecipe:
    TEXT = 'name = "r"\nstage = "dense"\n[model]\nd_model = 8\n[train]\nsteps = 5\n'

    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "r.toml"
        path.write_text(self.TEXT)
        return path

    def test_overrides_replace_and_add(self, path):
        overrides = [
            "train.steps=7",
            "optimizer.name='muon'",
            "data.weights.toy=0.5",
            "model.steps=[1,2,3,4]",
        ]
        recipe = load_recipe(path, overrides)
        assert (recipe.train.steps, recipe.optimizer.name) == (7, "muon")
        assert recipe.data.weights == {"toy": 0.5}
        assert recipe.model == {"d_model": 8, "steps": [1, 2, 3, 4]}

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("train.steps", "write it as table.key=value"),
            ("train.steps=", "write it as table.key=value"),
            ("optimizer.name=muon", "with strings in quotes"),
            ("train.step=5", "unknown key 'step'; did you mean 'steps'"),
            ("trian.steps=5", "unknown key 'trian'; did you mean 'train'"),
            ("train=5", r"\[train\] must be a table, not 5"),
            ("name.x=5", "'name' is a value, not a table"),
            ("train.steps=0", "steps must be from 1 "),
            ("train.steps=5.5", "steps must be of type int, not 5.5"),
            ("train.remat=1", "remat must be of type bool"),
            ("stage='third'", "stage must be 'dense', 'convert' or 'spiking'"),
            ("distill.features='all'", "features must be one of none, pre, post, both"),
            ("data.seq_len=1", "seq_len must be from 2 "),
        ],
    )
    def test_what_makes_no_sense_is_refused_by_name(self, path, override, message):
        with pytest.raises(MarError, match=message):
            load_recipe(path, [override])

    def test_a_recipe_that_is_missing_or_broken_is_named(self, path):
        with pytest.raises(MarError, match=r"cannot read recipe .*nowhere"):
            load_recipe(path.with_name("nowhere.toml"))
        path.write_text("name = ")
        with pytest.raises(MarError, match=r"r\.toml is not valid TOML"):
            load_recipe(path)

    def test_a_model_key_that_does_not_exist_is_refused(self):
        recipe = recipe_from_dict({"name": "r", "stage": "dense", "model": {"d_modle": 8}}, "r")
        with pytest.raises(MarError, match="did you mean 'd_model'"):
            recipe.student()


def test_a_log_keeps_the_last_entry_of_a_step_beside_that_of_resuming(tmp_path):
    entries = [
        {"step": 4, "loss": 3.0},
        {"step": 8, "loss": 2.0},
        {"step": 4, "resumed": "step-4"},
        {"step": 8, "loss": 1.0},
        {"step": 8, "val_loss": 1.5},
    ]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert read_log(path) == [entries[i] for i in (0, 2, 3, 4)]

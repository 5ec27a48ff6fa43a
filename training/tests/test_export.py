"""The model directory: packing, layout, round trip, manifest, and what a reader refuses."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mar_training import params as parameters
from mar_training.config import QMAX, SITES
from mar_training.decode import initial_state, step
from mar_training.errors import MarError
from mar_training.export import parts
from mar_training.export.layout import tensors
from mar_training.export.packing import ROW_ALIGN, pack, row_bytes, unpack
from mar_training.export.reader import check_manifest, dequantised, read_packed
from mar_training.export.writer import pack_params, write_manifest, write_weights
from mar_training.golden import TINY, WHAT, random_params
from mar_training.model import forward, lm_head

METADATA = {"format": "mar", "format_version": "1"}


@pytest.mark.parametrize("kind", QMAX)
@pytest.mark.parametrize("columns", [1, 3, 16, 33, 130])
def test_packing_round_trips(kind, columns):
    q = np.random.default_rng(columns).integers(-QMAX[kind], QMAX[kind] + 1, (5, columns)).astype(np.int8)
    packed = pack(q, kind)
    assert packed.shape == (5, row_bytes(columns, kind))
    assert packed.shape[1] % ROW_ALIGN == 0
    np.testing.assert_array_equal(unpack(packed, columns, kind), q)


def test_packed_bytes_are_those_of_the_format():
    assert pack(np.array([[1, -1, 7]]), "int4")[0, :2].tolist() == [0xF1, 0x07]
    assert pack(np.array([[1, 0, -1, 1, -1]]), "ternary")[0, :2].tolist() == [0b01_11_00_01, 0b11]
    assert pack(np.array([[-127, 127]]), "int8")[0, :2].tolist() == [0x81, 0x7F]


def test_unpack_refuses_the_unused_value_and_dirty_padding():
    with pytest.raises(MarError, match="below -7"):
        unpack(np.array([[0x08] + [0] * 15], np.uint8), 2, "int4")
    with pytest.raises(MarError, match="padding"):
        unpack(np.array([[0x10] + [0] * 15], np.uint8), 1, "int4")
    with pytest.raises(MarError, match="does not fit"):
        pack(np.array([[8]]), "int4")


@pytest.mark.parametrize("name", TINY)
def test_files_read_back_are_the_trained_network(golden, name):
    config = TINY[name]
    params = random_params(config, list(TINY).index(name))
    packed, read = read_packed(golden[0] / "models" / name)
    assert read == config
    tokens = jnp.arange(24)[None] % config.vocab_size
    segment = jnp.zeros_like(tokens)
    run = jax.jit(lambda p: lm_head(p, forward(p, tokens, segment, config).hidden, config))
    np.testing.assert_allclose(run(params), run(packed), atol=1e-5)


def test_tensors_are_those_of_the_layout_and_aligned(golden):
    for name, config in TINY.items():
        path = golden[0] / "models" / name / "model.safetensors"
        raw = path.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + size])
        assert header.pop("__metadata__") == METADATA
        assert {k: (v["dtype"], tuple(v["shape"])) for k, v in header.items()} == tensors(config)
        assert all(entry["data_offsets"][0] % 4 == 0 for entry in header.values())


def test_golden_vectors_are_complete_and_of_the_step_form(golden):
    for name, config in TINY.items():
        path = golden[0] / f"{name}.safetensors"
        vectors = load_file(path)
        with safe_open(path, framework="numpy") as f:
            prompts = int(f.metadata()["prompts"])
        expected = {what for what in WHAT if config.window or "ring" not in what}
        for index in range(prompts):
            assert {k.split(".", 1)[1] for k in vectors if k.startswith(f"{index}.")} == expected
            for site in SITES:
                assert vectors[f"{index}.counts_{site}"].any(), "a site that never fires tests nothing"
        packed, _ = read_packed(golden[0] / "models" / name)
        state = initial_state(config, 1)
        advance = jax.jit(lambda s, t, p=packed, c=config: step(p, s, t, c))
        for token in vectors["1.tokens"]:
            logits, state, _ = advance(state, jnp.array([token]))
        np.testing.assert_allclose(vectors["1.logits"][-1], logits[0], atol=1e-4)
        np.testing.assert_allclose(vectors["1.state.ssm"], state["ssm"][:, 0], atol=1e-4)
        assert vectors["1.greedy"][0] == int(jnp.argmax(logits))
        assert len(set(vectors["2.greedy"].tolist())) > 3, "a continuation of one token tests nothing"


def test_golden_files_are_small(golden):
    assert sum(golden[1].values()) < 1_500_000


def test_integer_projections_are_exact(golden):
    """The counts of the golden vectors times the packed integers, in int64, are what float32 sums."""
    packed, _ = read_packed(golden[0] / "models" / "tiny-odd")
    counts = load_file(golden[0] / "tiny-odd.safetensors")["2.counts_gate_up"][:, 0].astype(np.int64)
    q = np.asarray(packed["layers"]["gate_up_q"][0]).astype(np.int64)
    as_float = np.asarray(jnp.asarray(counts, jnp.float32) @ packed["layers"]["gate_up_q"][0])
    np.testing.assert_array_equal((counts @ q).astype(np.float64), as_float.astype(np.float64))


def test_export_needs_integer_weights():
    config = TINY["tiny-odd"].replace(embed_weights="float")
    with pytest.raises(MarError, match="integer weights"):
        pack_params(random_params(config, 0), config)


@pytest.fixture
def model(golden, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(golden[0] / "models" / "tiny-odd", folder)
    return folder


def _damage(folder, name, change):
    path = folder / "model.safetensors"
    arrays = load_file(path)
    arrays[name] = change(arrays[name])
    save_file(arrays, path, METADATA)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("layers.0.conv.bias", lambda a: a * np.nan, "not finite"),
        ("layers.1.down.scale", lambda a: a * 0, "above 0"),
        ("layers.1.A", lambda a: -a, "below 0"),
        ("layers.0.D", lambda a: np.append(a, a), "its config says F32"),
        ("layers.0.D", lambda a: a.astype(np.float64), "its config says F32"),
        ("embed.weight", lambda a: a * 0 + np.uint8(0x80) * (np.arange(a.shape[1]) < 23), "below -127"),
    ],
)
def test_reader_refuses_what_the_format_forbids(model, name, change, message):
    _damage(model, name, change)
    with pytest.raises(MarError, match=message):
        read_packed(model)


def test_reader_refuses_other_versions_keys_and_truncated_files(model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"format_version": 2}))
    with pytest.raises(MarError, match="version 2"):
        read_packed(model)
    (model / "config.json").write_text(json.dumps(config | {"n_head": 2}))
    with pytest.raises(MarError, match="did you mean"):
        read_packed(model)
    (model / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "tau"}))
    with pytest.raises(MarError, match="missing key 'tau'"):
        read_packed(model)
    (model / "config.json").write_text(json.dumps(config | {"name": "../x"}))
    with pytest.raises(MarError, match="name must be"):
        read_packed(model)
    (model / "config.json").write_text(json.dumps(config))
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(MarError, match=r"model\.safetensors"):
        read_packed(model)


def test_manifest_finds_a_flipped_bit_and_a_stray_file(model):
    check_manifest(model)
    path = model / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(MarError, match="not the file"):
        check_manifest(model)
    write_manifest(model)
    check_manifest(model)
    (model / "stray.txt").write_text("")
    with pytest.raises(MarError, match=r"stray\.txt"):
        check_manifest(model)


def test_manifest_hashes_each_mebibyte(tmp_path):
    (tmp_path / "big.bin").write_bytes(bytes(2 * 1024 * 1024 + 1))
    entry = write_manifest(tmp_path)["files"][0]
    assert (entry["bytes"], len(entry["chunks"])) == (2 * 1024 * 1024 + 1, 3)


def test_a_failed_write_leaves_the_old_model(model, monkeypatch):
    before = (model / "model.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mar_training.export.writer.save_file", full)
    config = TINY["tiny-odd"]
    with pytest.raises(MarError, match="No space left"):
        write_weights(pack_params(random_params(config, 0), config), config, "tiny-odd", model)
    assert (model / "model.safetensors").read_bytes() == before
    assert not list(model.glob("*.part"))


def test_a_model_directory_gives_weights_to_train_on_from(tmp_path):
    config = TINY["tiny-window"].checked()
    params = random_params(config, 2)
    write_weights(pack_params(params, config), config, "tiny-window", tmp_path)
    packed, _ = read_packed(tmp_path)
    again, floats = dequantised(packed, config)
    parameters.check(again, floats)
    tokens = jnp.arange(12)[None]
    segment = jnp.zeros_like(tokens)
    np.testing.assert_allclose(
        forward(again, tokens, segment, floats).hidden, forward(packed, tokens, segment, config).hidden, atol=1e-3
    )
    np.testing.assert_allclose(again["layers"]["log_threshold_down"], params["layers"]["log_threshold_down"], atol=1e-5)
    integers = pack_params(again, config)
    before = pack_params(params, config)
    for name in (f"layers.{layer}.{site}.weight" for layer in range(config.n_layers) for site in SITES):
        np.testing.assert_array_equal(integers[name], before[name], err_msg=name)


class TestPieces:
    @pytest.fixture
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setattr(parts, "LARGEST_FILE", 5000)
        monkeypatch.setattr(parts, "PIECE_BYTES", 4096)
        config = TINY["tiny-window"]
        write_weights(pack_params(random_params(config, 2), config), config, "tiny-window", tmp_path)
        return tmp_path

    def test_a_large_file_is_cut_and_reads_back(self, folder):
        whole, (before, config) = parts.weights_bytes(folder), read_packed(folder)
        parts.split_weights(folder)
        write_manifest(folder)
        check_manifest(folder)
        pieces = parts.weights_files(folder)
        assert [p.name[-3:] for p in pieces] == [f".{n:02}" for n in range(-(-len(whole) // 4096))]
        assert all(p.stat().st_size == 4096 for p in pieces[:-1])
        assert b"".join(p.read_bytes() for p in pieces) == whole
        after, again = read_packed(folder)
        assert again == config
        jax.tree.map(np.testing.assert_array_equal, after, before)

    def test_a_small_file_stays_whole(self, folder, monkeypatch):
        monkeypatch.setattr(parts, "LARGEST_FILE", 10**6)
        parts.split_weights(folder)
        assert parts.weights_files(folder) == [folder / "model.safetensors"]

    def test_pieces_that_do_not_fit_together_are_refused(self, folder):
        whole = (folder / "model.safetensors").read_bytes()
        parts.split_weights(folder)
        (folder / "model.safetensors.01").rename(folder / "kept")
        with pytest.raises(MarError, match=r"model.safetensors.01 is missing"):
            read_packed(folder)
        (folder / "kept").rename(folder / "model.safetensors.01")
        (folder / "model.safetensors").write_bytes(whole)
        with pytest.raises(MarError, match="and pieces of one"):
            read_packed(folder)
        with pytest.raises(MarError, match=r"holds no model.safetensors, nor pieces"):
            parts.weights_files(folder / "nowhere")

"""The golden vectors again, from `plain_reader`, which knows only what `models/FORMAT.md` says."""

from pathlib import Path

import numpy as np
import pytest
from plain_reader import SITES, PlainModel, read_tensors, rotate, row_bytes, spikes, unpack

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden"
TINY = {name: GOLDEN / "models" / name for name in ("tiny-odd", "tiny-leaky", "tiny-window", "tiny-hybrid")}
FOLDERS = TINY | {"mar-smalltalk": ROOT / "models/mar-smalltalk"}
PROMPTS = range(3)


@pytest.fixture(scope="module", params=FOLDERS)
def case(request):
    """(model, tensors): a model of this repository, and its committed golden vectors by `<prompt>.<what>`."""
    vectors, _ = read_tensors(GOLDEN / f"{request.param}.safetensors")
    return PlainModel(FOLDERS[request.param]), vectors


@pytest.mark.parametrize("name", TINY)
def test_the_committed_vectors_are_what_the_trainer_writes(golden, name):
    """Tensors agree but for rounding, which may differ between machines' matrix products."""
    fresh, _ = read_tensors(golden[0] / f"{name}.safetensors")
    committed, _ = read_tensors(GOLDEN / f"{name}.safetensors")
    assert set(fresh) == set(committed)
    for what, expected in committed.items():
        np.testing.assert_allclose(fresh[what], expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=what)


def assert_near(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Float32 throughout, within 1e-4 of the largest absolute value."""
    assert found.dtype == expected.dtype == np.float32, what
    assert found.shape == expected.shape, what
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= 1e-4, f"{what}: {error:.2e}"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_document_gives_the_golden_vectors(case, prompt):
    model, vectors = case
    expected = {name.split(".", 1)[1]: x for name, x in vectors.items() if name.startswith(f"{prompt}.")}
    found = model.prompt(expected["tokens"])
    found |= {f"state.{name}": x for name, x in model.state.items()}  # the arrays, which `greedy` goes on to change
    pairs = [(found[f"counts_{site}"], expected[f"counts_{site}"]) for site in SITES]
    assert all(a.shape == b.shape for a, b in pairs)
    wrong, total = sum(int((a != b).sum()) for a, b in pairs), sum(b.size for _, b in pairs)
    print(f"{wrong} of {total} counts differ")
    assert wrong * 10_000 <= total, f"{wrong} of {total} counts differ"
    for what in ("hidden", "final", "logits", *(name for name in expected if name.startswith("state."))):
        assert_near(found[what][-len(expected[what]) :], expected[what], what)
    assert model.greedy(found["logits"][-1], 64) == expected["greedy"].tolist()


def test_every_golden_tensor_is_looked_at(case):
    model, vectors = case
    names = {"tokens", "greedy", "greedy_margin", "hidden", "final", "logits"} | {f"counts_{site}" for site in SITES}
    names |= {f"state.{name}" for name in model.state}
    assert set(vectors) == {f"{prompt}.{name}" for prompt in PROMPTS for name in names}


def test_packed_rows_by_hand():
    byte = np.array([[0b1110_0111] + [0] * 15], np.uint8)
    assert unpack(byte, 1, "int8").tolist() == [[-25]]
    assert unpack(byte, 3, "int4").tolist() == [[7, -2, 0]]
    with pytest.raises(AssertionError, match="lowest"):
        unpack(byte, 64, "ternary")
    assert unpack(byte & 0b1100_0111, 5, "ternary").tolist() == [[-1, 1, 0, -1, 0]]
    with pytest.raises(AssertionError, match="padding"):
        unpack(byte, 1, "int4")
    assert [row_bytes(33, kind) for kind in ("int8", "int4", "ternary")] == [48, 32, 16]


def test_counts_by_hand():
    current = np.array([0.0, 0.49, 0.5, -0.5, 2.6, -9.0], np.float32)
    one = np.ones(6, np.float32)
    assert spikes(current, one, 4, 1.0, 0.5).tolist() == [0, 0, 1, -1, 3, -4]
    assert spikes(current, one, 4, 1.0, 0.0).tolist() == [0, 0, 0, 0, 2, -4]
    assert spikes(current, one * 2, 2, 2.0, 0.0).tolist() == [0, 0, 1, -1, 2, -2]


def test_rotation_by_hand():
    x = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    turned = [[np.cos(2), 0, np.sin(2), 0], [0, -np.sin(0.02), 0, np.cos(0.02)]]
    np.testing.assert_allclose(rotate(x, 2, 1e4), turned, atol=1e-6)

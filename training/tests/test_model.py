"""The network over rows against its one-token form; packing, padding; and what a config refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mar_training import decode, params
from mar_training.config import SITES, ModelConfig, from_dict
from mar_training.errors import MarError
from mar_training.model import PADDING, Options, forward, lm_head

BASE = ModelConfig(vocab_size=37, d_model=16, n_layers=1, d_ffn=24, n_heads=4, head_dim=4, d_state=4)
LENGTH, CHUNK = 23, 8
WINDOW = {"window": 5, "sinks": 2, "attn_heads": 4, "attn_kv_heads": 2}
INTEGERS = {"weights": ("int8", "int4", "ternary", "int8"), "embed_weights": "int8"}
CONFIGS = {
    "dense, two layers": {"n_layers": 2},
    "dense, grouped, window and sinks": {"n_groups": 2, **WINDOW},
    "atmn": {"neuron": "atmn"},
    "atmn, leak and precharge": {"neuron": "atmn", "tau": 2.0, "precharge": 0.5, "steps": (1, 2, 4, 7)},
    "atmn, integers, grouped, window and sinks": {
        "neuron": "atmn", "precharge": 0.25, "steps": (7, 4, 2, 1), "n_groups": 4, **INTEGERS, **WINDOW,
    },
    "binary, int4, window without sinks, two taps": {
        "neuron": "binary", "weights": ("int4",) * 4, "embed_weights": "int4",
        "window": 4, "attn_heads": 2, "attn_kv_heads": 1, "d_conv": 2,
    },
}  # fmt: skip


def model(name):
    """(config, random parameters: none at its initial zero or one, thresholds among the currents)."""
    config = BASE.replace(**CONFIGS[name])
    rng = np.random.default_rng(0)
    layers = {}
    for key, shape in params.shapes(config).items():
        noise = rng.normal(size=(config.n_layers, *shape)).astype(np.float32)
        if key in SITES:
            layers[key] = noise * shape[0] ** -0.5
        elif key.startswith("log_threshold"):
            layers[key] = 0.3 * noise - (2.5 if key.endswith("down") else 0.7)
        else:
            layers[key] = 0.3 * noise + (1.0 if key.startswith("norm") else 0.0)
    embed = rng.normal(size=(config.vocab_size, config.d_model)).astype(np.float32)
    return config, {"embed": embed, "final_norm": np.full(config.d_model, 0.9, np.float32), "layers": layers}


@partial(jax.jit, static_argnames="config")
def over_rows(weights, tokens, segment, config):
    """(logits, output) of whole rows."""
    out = forward(weights, tokens, segment, config, Options(chunk=CHUNK))
    return lm_head(weights, out.hidden, config), out


@partial(jax.jit, static_argnames="config")
def token_by_token(weights, tokens, config):
    """(logits [b, l, v], traces [l, …]) of `decode.step`."""

    def body(state, token):
        logits, state, trace = decode.step(weights, state, token, config)
        return state, (logits, trace)

    _, (logits, trace) = jax.lax.scan(body, decode.initial_state(config, tokens.shape[0]), tokens.T)
    return jnp.swapaxes(logits, 0, 1), trace


def random_tokens(rows=4, length=LENGTH):
    return np.random.default_rng(0).integers(0, BASE.vocab_size, (rows, length), dtype=np.int32)


def assert_rows_agree(got, want, config):
    """To 1e-4; where the network spikes, rounding may flip a neuron on its threshold, in at most one row."""
    assert np.all(np.isfinite(got))
    apart = ~(np.abs(np.asarray(got) - np.asarray(want)).max(axis=(1, 2)) <= 1e-4)
    assert apart.sum() <= (config.neuron != "dense"), np.abs(got - want).max(axis=-1)


def assert_rates_agree(out, trace, config, rows, length):
    """Those of the first `rows` and `length` of a trace, for every site; none is trivial."""
    for index, counts in enumerate(decode.site_counts(trace).values()):
        counts = np.abs(counts)[:length, :, :rows]  # [l, L, b, inputs]
        rate, active = counts.mean((0, 2, 3)) / config.steps[index], (counts > 0).mean((0, 2, 3))
        np.testing.assert_allclose(np.asarray(out.rate)[:, index], rate, atol=1e-3)
        np.testing.assert_allclose(np.asarray(out.active)[:, index], active, atol=1e-3)
        assert np.all((active > 0.1) & (active < 0.95))


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_equal_token_by_token(name):
    """Logits and rates. 23 tokens are no multiple of the chunk, and go around the ring more than once."""
    config, weights = model(name)
    tokens = random_tokens()
    logits, out = over_rows(weights, tokens, np.zeros_like(tokens), config)
    want, trace = token_by_token(weights, tokens, config)
    assert_rows_agree(logits, want, config)
    assert_rates_agree(out, trace, config, rows=4, length=LENGTH)


@pytest.mark.parametrize("name", ["dense, two layers", "atmn, integers, grouped, window and sinks"])
def test_packed_documents_equal_each_alone(name):
    config, weights = model(name)
    packed = random_tokens()
    cut = 9
    place = np.arange(LENGTH) + np.zeros_like(packed)
    logits, _ = over_rows(weights, packed, np.where(place < cut, 0, 1), config)
    first, _ = over_rows(weights, packed, np.where(place < cut, 0, PADDING), config)
    assert_rows_agree(logits[:, :cut], first[:, :cut], config)
    alone = np.where(place < LENGTH - cut, 0, PADDING)
    second, _ = over_rows(weights, np.roll(packed, -cut, axis=1), alone, config)
    assert_rows_agree(logits[:, cut:], second[:, : LENGTH - cut], config)


@pytest.mark.parametrize("name", ["dense, two layers", "atmn, integers, grouped, window and sinks"])
def test_padding_changes_nothing(name):
    """Neither what it holds nor that it is there: not the logits, not the rates."""
    config, weights = model(name)
    tokens = random_tokens()
    segment = np.where(np.arange(LENGTH) < 16, 0, PADDING) + np.zeros_like(tokens)
    segment[3] = PADDING
    logits, out = over_rows(weights, tokens, segment, config)
    other, other_out = over_rows(weights, np.where(segment == PADDING, 5, tokens), segment, config)
    np.testing.assert_array_equal(logits[:3, :16], other[:3, :16])
    np.testing.assert_array_equal(out.active, other_out.active)
    assert np.all(np.isfinite(logits))
    want, trace = token_by_token(weights, tokens, config)
    assert_rows_agree(logits[:3, :16], want[:3, :16], config)
    assert_rates_agree(out, trace, config, rows=3, length=16)


def test_greedy_replies_of_a_batch_are_the_rows_best_tokens():
    """Prompts of different lengths, one batch: every token is the one `forward` finds likeliest."""
    config, weights = model("dense, two layers")
    prompts = [[3, 1, 4, 1, 5], [9, 2]]
    replies = decode.generate(weights, config, prompts, end=-1, max_new=LENGTH - 5)
    for prompt, reply in zip(prompts, replies, strict=True):
        row = (prompt + reply)[:LENGTH]
        tokens = np.array([row + [0] * (LENGTH - len(row))] * 4, np.int32)
        logits, _ = over_rows(weights, tokens, np.zeros_like(tokens), config)
        best = np.argmax(logits[0], axis=-1)[len(prompt) - 1 : len(row) - 1]
        assert reply == best.tolist()
    stopped = decode.generate(weights, config, prompts, end=replies[0][3], max_new=LENGTH - 5)
    assert stopped[0] == replies[0][: replies[0].index(replies[0][3])]


def test_thresholds_are_a_multiple_of_the_mean_current_and_never_near_zero():
    _, weights = model("atmn")
    current = jnp.asarray([[1.0, 3.0, 0.0, 0.0]])
    out = params.with_thresholds(weights, {"in_proj": current}, (2.0, 1.0, 1.0, 1.0))
    want = [[2.0, 6.0, 0.1, 0.1]]
    np.testing.assert_allclose(jnp.exp(out["layers"]["log_threshold_in_proj"]), want, rtol=1e-5)
    assert out["layers"]["down"] is weights["layers"]["down"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_groups": 3}, "n_groups 3 must divide n_heads 4"),
        ({"sinks": 2}, "sinks need a window"),
        ({"window": -1}, "window must be from 0"),
        ({"n_layers": 128, "n_heads": 64, "head_dim": 256, "d_state": 256}, "the state has 543358976 numbers"),
        ({"window": 4, "attn_heads": 3, "attn_kv_heads": 1}, "attn_heads must divide d_inner"),
        ({"window": 4, "attn_heads": 4, "attn_kv_heads": 3}, "attn_kv_heads 3 must divide attn_heads 4"),
        ({"window": 4, "attn_heads": 16, "attn_kv_heads": 1}, "must be even"),
        ({"neuron": "lif"}, "dense, atmn, binary"),
        ({"steps": [4, 4]}, "in_proj, out_proj, gate_up, down"),
        ({"steps": [4, 4, 4, 0]}, "from 1 to 127"),
        ({"tau": 0.5}, "tau must be at least 1"),
        ({"precharge": 0.6}, "precharge must be from 0 to 0.5"),
        ({"weights": ["int8", "int8", "int8", "int3"]}, "'int3'"),
        ({"embed_weights": "ternary"}, "not ternary"),
        ({"d_model": 0}, "d_model must be from 1"),
        ({"d_model": 16.0}, "d_model must be of type int"),
        ({"n_layer": 3}, "did you mean 'n_layers'"),
    ],
)
def test_a_config_that_cannot_be_is_refused_by_name(changes, message):
    with pytest.raises(MarError, match=message):
        BASE.replace(**changes)


def test_a_projection_whose_sums_could_round_is_refused():
    """down: inputs x steps x 127 may be 2^24 at most."""
    steps, weights = (1, 1, 1, 127), ("float", "float", "float", "int8")
    assert BASE.replace(d_ffn=1040, steps=steps, weights=weights)
    with pytest.raises(MarError, match=r"down: .* over 2\^24"):
        BASE.replace(d_ffn=1041, steps=steps, weights=weights)


def test_a_missing_or_mistyped_table_is_refused():
    with pytest.raises(MarError, match="toml: missing key 'vocab_size'"):
        from_dict(ModelConfig, {}, "toml")
    with pytest.raises(MarError, match="toml must be a table"):
        from_dict(ModelConfig, 5, "toml")


def test_sites_are_the_projections_of_the_parameters():
    config, weights = model("atmn")
    for site in SITES:
        assert weights["layers"][site].shape == (config.n_layers, *config.site_shapes[site])
        assert weights["layers"][f"log_threshold_{site}"].shape == (
            config.n_layers,
            config.site_shapes[site][0],
        )


def test_recent_tokens_are_penalised_as_the_engine_does():
    logits = jnp.array([[2.0, -2.0, 1.0, -1.0], [4.0, 3.0, 2.0, 1.0]])
    recent = jnp.array([[0, 1, 0], [3, 3, 3]])
    np.testing.assert_array_equal(
        decode._penalised(logits, recent, 2.0), [[1.0, -4.0, 1.0, -1.0], [4.0, 3.0, 2.0, 0.5]]
    )

"""Operations, energy, and how replies are measured."""

import numpy as np
import pytest

from mar_training.config import ModelConfig
from mar_training.evaluate.energy import (
    dense_operations,
    energy_table,
    picojoules,
    shared_operations,
    spiking_operations,
)
from mar_training.evaluate.replies import CONVERSATIONS, PROMPTS, diversity

CONFIG = ModelConfig(
    vocab_size=50,
    d_model=8,
    n_layers=2,
    d_ffn=12,
    n_heads=2,
    head_dim=4,
    d_state=3,
    neuron="atmn",
    steps=(2, 4, 1, 3),
)


def test_additions_are_spikes_times_fan_out():
    rates = [[0.5, 0.25, 1.0, 0.1], [0.0, 0.0, 0.0, 0.0]]
    widths = CONFIG.site_shapes
    expected = 0.5 * 2 * 8 * widths["in_proj"][1] + 0.25 * 4 * 8 * 8 + 1.0 * 1 * 8 * 24 + 0.1 * 3 * 12 * 8
    assert spiking_operations(CONFIG, rates)["ac"] == pytest.approx(expected)


def test_a_silent_network_saves_exactly_the_projections():
    silent = spiking_operations(CONFIG, [[0.0] * 4] * 2)
    dense = dense_operations(CONFIG)
    projections = 2 * sum(a * b for a, b in CONFIG.site_shapes.values())
    assert silent["ac"] == 0
    assert dense["mac"] - silent["mac"] == projections


def test_spiking_can_lose():
    """With T = 8 and every neuron at full rate an addition per micro-step costs more than one multiply-accumulate."""
    config = CONFIG.replace(steps=(8, 8, 8, 8))
    energy = energy_table(config, [[1.0] * 4] * 2)["energy_pj_per_token"]
    assert energy["spiking"] > energy["dense"]


def test_prices_are_the_papers():
    assert picojoules({"mac": 1, "ac": 1, "mul": 1}) == pytest.approx(4.6 + 0.9 + 3.7)


def test_head_is_counted_once_and_layers_each():
    one, two = (shared_operations(CONFIG.replace(n_layers=n))["mac"] for n in (1, 2))
    head = 50 * 8 + 8
    assert two - head == 2 * (one - head)


def test_window_branch_costs_its_slots():
    window = CONFIG.replace(window=6, sinks=2, attn_heads=2, attn_kv_heads=1)
    added = shared_operations(window)["mac"] - shared_operations(CONFIG)["mac"]
    assert added == 2 * 2 * 8 * (6 + 2)


def test_diversity_counts_ngrams():
    measured = diversity(["a b c d a b c d", "x y"])
    assert measured["distinct_1"] == pytest.approx(6 / 10)
    assert measured["repetition"] == 0.5
    assert measured["mean_words"] == 5
    assert diversity(["", ""])["distinct_1"] == 0


def test_there_are_fifty_prompts_and_five_conversations_of_three_turns():
    assert len(set(PROMPTS)) == 50
    assert np.shape(CONVERSATIONS) == (5, 3)

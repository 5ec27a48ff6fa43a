from __future__ import annotations

from mar_training.config import ModelConfig
from mar_training.flops import step_flops
from mar_training.teacher.llama import LlamaConfig


def test_stage_1a_counts_neither_heads_nor_feed_forward_networks(tiny_llama):
    teacher: LlamaConfig = tiny_llama[1]

    def difference(**changes):
        sizes = {
            "vocab_size": 512,
            "d_model": 16,
            "d_ffn": 24,
            "n_layers": 2,
            "n_heads": 2,
            "head_dim": 8,
            "d_state": 4,
        }
        small, large = (ModelConfig(**sizes | more) for more in ({}, changes))
        return [
            step_flops(large, teacher, 48, blocks=blocks) - step_flops(small, teacher, 48, blocks=blocks)
            for blocks in (True, False)
        ]

    assert difference(vocab_size=612) == [0, 3 * 2 * 100 * 16]
    # Three matrices of the feed-forward network, and its gate's multiplications are no multiply-accumulates.
    assert difference(d_ffn=25) == [0, 3 * 2 * 2 * 3 * 16]
    blocks, logits = difference(d_state=5)
    assert blocks == logits > 0

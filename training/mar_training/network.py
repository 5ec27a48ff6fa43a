"""One forward for both kinds of network: the student, and a pretrained Llama."""

from __future__ import annotations

from mar_training import model
from mar_training.config import ModelConfig
from mar_training.model import Options, Output
from mar_training.teacher import llama
from mar_training.teacher.llama import LlamaConfig


def run(params, tokens, segment, config: ModelConfig | LlamaConfig, options: Options) -> Output:
    """Runs whole rows of either network; see `model.forward`."""
    if isinstance(config, LlamaConfig):
        return llama.forward(params, tokens, segment, config, options)
    return model.forward(params, tokens, segment, config, options)

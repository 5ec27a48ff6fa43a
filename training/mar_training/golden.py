"""`mar-train golden`: what the engine must reproduce, written from exported files by the step form.

For every model: `tests/golden/<name>.safetensors`, tensors named `<prompt>.<what>`, listed in `WHAT`; the tiny
random models themselves go to `tests/golden/models/<name>/`, so that a reader can be tested without training.
`tests/golden/choices.json` has, for the models of `CHOOSING` and those given that are not large, `CHOICES` tokens and
the likeliest one after each: small enough for a browser, and long enough for several chunks of a prompt.
"""

from __future__ import annotations

import json
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import save_file

from mar_training import params as parameters
from mar_training.config import SITES, ModelConfig
from mar_training.data.tokenizer import encode_prompt, load_tokenizer
from mar_training.decode import initial_state, step
from mar_training.export.parts import weights_sha256
from mar_training.export.reader import read_packed
from mar_training.export.writer import pack_params, write_manifest, write_weights
from mar_training.files import write_atomically

WHAT = {
    "tokens": "[n] i32, the prompt",
    "hidden": "[n, L, d] f32, the residual stream after each layer",
    "final": "[n, d] f32, after the final norm",
    "logits": "[n, v] f32; for the shipped model [1, v], after the last token only",
    **{f"counts_{site}": "[n, L, inputs] i8, signed spike counts" for site in SITES},
    "state.conv": "[L, k-1, conv_dim] f32 after the prompt, oldest first",
    "state.ssm": "[L, h, p, n] f32 after the prompt",
    "state.ring_k": "[L, sinks + window, kv heads, width] f32 after the prompt, with a window branch",
    "state.ring_v": "the same of the values",
    "greedy": "[64] i32, the greedy continuation; end tokens do not stop it",
    "greedy_margin": "[64] f32, the winning logit's lead over the next",
}
GREEDY = 64

TINY = {
    "tiny-odd": ModelConfig(
        vocab_size=101, d_model=23, n_layers=2, d_ffn=37, n_heads=3, head_dim=5, d_state=7, n_groups=1,
        neuron="atmn", steps=(1, 2, 4, 7), tau=1.0, precharge=0.0,
        weights=("int8", "int4", "ternary", "int4"), embed_weights="int8",
    ),
    "tiny-leaky": ModelConfig(
        vocab_size=64, d_model=32, n_layers=3, d_ffn=48, n_heads=4, head_dim=8, d_state=16, n_groups=4, d_conv=3,
        neuron="atmn", steps=(4, 4, 4, 4), tau=2.0, precharge=0.25,
        weights=("int4", "int4", "int4", "int8"), embed_weights="int4",
    ),
    "tiny-window": ModelConfig(
        vocab_size=89, d_model=40, n_layers=2, d_ffn=56, n_heads=6, head_dim=8, d_state=8, n_groups=2,
        window=7, sinks=2, attn_heads=6, attn_kv_heads=2, rope_theta=10_000.0,
        neuron="atmn", steps=(7, 4, 2, 1), tau=1.3, precharge=0.1,
        weights=("ternary", "int8", "int4", "ternary"), embed_weights="int8",
    ),
    "tiny-hybrid": ModelConfig(
        vocab_size=256, d_model=192, n_layers=2, d_ffn=512, n_heads=3, head_dim=64, d_state=64, n_groups=3,
        window=64, sinks=4, attn_heads=3, attn_kv_heads=1, rope_theta=100_000.0,
        neuron="atmn", steps=(16, 16, 16, 64), tau=1.0, precharge=0.5,
        weights=("int4", "int4", "int4", "int4"), embed_weights="int8",
    ),
}  # fmt: skip
"""Random networks of awkward shapes, which together cover every weight type and every option of the neuron; and
`tiny-hybrid`, two layers as SmolLM2-135M has them after conversion, with a third of its heads and widths."""

CHOOSING = ("tiny-window", "tiny-hybrid")
"""The tiny models of `choices.json`."""

CHOICES = 280
"""Tokens that each of them is given: a chunk of 256, and one that is not full."""

LARGE_STATE = 1 << 20
"""Numbers of a state. A model that has more is large: its file has one prompt and no states, not tens of megabytes,
and it has no choices. In so many layers some current soon lies so near its threshold that rounding decides, and behind
it all differ."""

CHATS = (
    "Hello! How are you?",
    "What is the capital of France?",
    "Tell me a story about a fox.",
)


def random_params(config: ModelConfig, seed: int) -> dict:
    """Parameters far from the smooth start of training, so that no part of the network is idle."""
    rng = np.random.default_rng(seed)

    def normal(shape, mean=0.0, std=1.0):
        return (mean + std * rng.standard_normal(shape)).astype(np.float32)

    layers = {}
    for name, shape in parameters.shapes(config).items():
        full = (config.n_layers, *shape)
        if name in SITES:
            # Loud beside the embedding: the head is tied, and would otherwise only echo the last token.
            loud = 6.0 if name in ("out_proj", "down") else 1.0
            layers[name] = normal(full, std=loud * shape[0] ** -0.5)
        elif name.startswith("log_threshold"):
            layers[name] = normal(full, np.log(0.06 if name.endswith("down") else 0.45), 0.3)
        elif name.startswith("norm") or name == "D":
            layers[name] = normal(full, 1.0, 0.2)
        elif name == "A_log":
            layers[name] = normal(full, 1.0, 0.5)
        elif name == "dt_bias":
            layers[name] = normal(full, -2.0, 1.0)
        else:
            layers[name] = normal(full, 0.0, 0.4)
    embed = normal((config.vocab_size, config.d_model), std=0.3)
    return {"embed": embed, "final_norm": normal(config.d_model, 1.0, 0.2), "layers": layers}


@partial(jax.jit, static_argnames="config")
def _step(params, state, tokens, config):
    # On hardware whose default is a shorter float in products, the vectors would not be float32's.
    with jax.default_matmul_precision("highest"):
        return step(params, state, tokens, config)


def vectors(params: dict, config: ModelConfig, tokens: list[int], *, all_logits: bool) -> dict[str, np.ndarray]:
    """Everything `WHAT` names, for one prompt."""
    state, traces, all_of = initial_state(config, 1), [], []
    for token in tokens:
        logits, state, trace = _step(params, state, np.array([token], np.int32), config)
        traces.append(jax.device_get(trace))
        all_of.append(np.asarray(logits[0]))
    out = {
        "tokens": np.array(tokens, np.int32),
        "hidden": np.stack([t["hidden"][:, 0] for t in traces]),
        "final": np.stack([t["final"][0] for t in traces]),
        "logits": np.stack(all_of if all_logits else all_of[-1:]),
    }
    for site in SITES:
        out[f"counts_{site}"] = np.stack([t[f"counts_{site}"][:, 0] for t in traces]).astype(np.int8)
    out |= {f"state.{name}": np.asarray(value[:, 0]) for name, value in state.items() if name != "position"}

    greedy, margin, logits = [], [], all_of[-1]
    for _ in range(GREEDY):
        best = int(np.argmax(logits))
        greedy.append(best)
        margin.append(logits[best] - np.delete(logits, best).max())
        after, state, _ = _step(params, state, np.array([best], np.int32), config)
        logits = np.asarray(after[0])
    return out | {"greedy": np.array(greedy, np.int32), "greedy_margin": np.array(margin, np.float32)}


def choices(params: dict, config: ModelConfig, tokens: list[int]) -> list[int]:
    """The likeliest token after each of `tokens`."""
    state, likeliest = initial_state(config, 1), []
    for token in tokens:
        logits, state, _ = _step(params, state, np.array([token], np.int32), config)
        likeliest.append(int(np.argmax(logits[0])))
    return likeliest


def write_golden(models: list[Path], out: Path) -> dict[str, int]:
    """Writes the vectors of the tiny models and of each model directory given; returns bytes by file name."""
    sizes, chosen = {}, {}
    for seed, (name, config) in enumerate(TINY.items()):
        folder = out / "models" / name
        write_weights(pack_params(random_params(config.checked(), seed), config), config, name, folder)
        write_manifest(folder)
        rng = np.random.default_rng(seed)
        prompts = [rng.integers(0, config.vocab_size, length).tolist() for length in (1, 5, 29)]
        file = f"{name}.safetensors"
        sizes[file], texts = _write(folder, prompts, out / file, all_logits=True)
        if name in CHOOSING:
            chosen[name] = _choose(folder, texts)
    for folder in models:
        tokenizer = load_tokenizer(folder / "tokenizer.json")
        prompts = [encode_prompt(tokenizer, [{"role": "user", "content": text}]) for text in CHATS]
        file = f"{folder.name}.safetensors"
        sizes[file], texts = _write(folder, prompts, out / file, all_logits=False)
        if texts:
            chosen[folder.name] = _choose(folder, texts)
    path = out / "choices.json"
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(chosen, separators=(",", ":")) + "\n"))
    return sizes | {"choices.json": path.stat().st_size}


def _choose(folder: Path, texts: list[int]) -> dict[str, list[int]]:
    """What `choices.json` has of one model: `texts` again and again, and the likeliest token after each."""
    params, config = read_packed(folder)
    tokens = list(islice(cycle(texts), CHOICES))
    return {"tokens": tokens, "choices": choices(params, config, tokens)}


def _write(folder: Path, prompts: list[list[int]], path: Path, *, all_logits: bool) -> tuple[int, list[int]]:
    """Writes one model's vectors; returns the bytes and, unless it is large, prompts and continuations in one."""
    params, config = read_packed(folder)
    large = config.state_len > LARGE_STATE
    prompts = prompts[:1] if large else prompts
    tensors, texts = {}, []
    for index, tokens in enumerate(prompts):
        found = vectors(params, config, tokens, all_logits=all_logits)
        texts += [*tokens, *found["greedy"].tolist()]
        for name, value in found.items():
            if not (large and name.startswith("state.")):
                tensors[f"{index}.{name}"] = np.ascontiguousarray(value)
    metadata = {"format": "mar-golden", "prompts": str(len(prompts)), "model_sha256": weights_sha256(folder)}
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))
    return path.stat().st_size, [] if large else texts

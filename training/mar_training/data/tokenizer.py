"""The byte-level BPE tokenizer, its special tokens and its chat template."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import jinja2.sandbox
import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mar_training.errors import MarError
from mar_training.files import write_atomically, write_json

SPECIAL = ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
END = "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""One token opens a turn and one closes it: a small vocabulary cannot afford ChatML's five."""

SAMPLING = {"temperature": 0.6, "top_p": 0.9, "max_new_tokens": 80}
"""How a reply is sampled unless somebody says otherwise."""

HEADER, PROMPT, REPLY = 0, 1, 2
"""What a token is for: part of the template, text the model is given, text it is to produce."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learns a byte-level BPE: every text has a tokenisation, digits stand alone, no unknown token exists."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise MarError(
            f"the text gives only {tokenizer.get_vocab_size()} tokens, not {vocab_size}: "
            "give more text or ask for a smaller --vocab-size"
        )
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Reads a `tokenizer.json`."""
    try:
        return Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises bare Exception
        raise MarError(f"cannot read tokenizer {path}: {e}") from e


def tokenizer_config() -> dict:
    """`tokenizer_config.json`, where Hugging Face keeps the chat template."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": SPECIAL[0],
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


@lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    return jinja2.sandbox.ImmutableSandboxedEnvironment().from_string(template)


def render(messages: list[dict], *, add_generation_prompt: bool, template: str = CHAT_TEMPLATE) -> str:
    """The chat as one string, by the template; what `encode_chat` tokenises piece by piece."""
    return _compiled(template).render(messages=messages, add_generation_prompt=add_generation_prompt)


def encode_chat(tokenizer: Tokenizer, messages: list[dict]) -> tuple[list[int], list[int]]:
    """(tokens, role of each token). The end token of a reply counts as reply: the model must learn to stop."""
    tokens, roles = [], []
    end = tokenizer.token_to_id(END)
    for message in messages:
        # Contents are encoded alone, so that no message can smuggle in a special token.
        content = _encode_text(tokenizer, message["content"].strip())
        kind = REPLY if message["role"] == "assistant" else PROMPT
        tokens += [tokenizer.token_to_id(f"<|{message['role']}|>"), *content, end]
        roles += [HEADER, *([kind] * len(content)), kind if kind == REPLY else HEADER]
    return tokens, roles


def encode_prompt(tokenizer: Tokenizer, messages: list[dict]) -> list[int]:
    """The tokens of a chat up to where the assistant's next reply begins."""
    return [*encode_chat(tokenizer, messages)[0], tokenizer.token_to_id("<|assistant|>")]


def encode_record(tokenizer: Tokenizer, record: dict) -> tuple[np.ndarray, np.ndarray, int]:
    """(tokens, roles, bytes of text) of a chat or a plain text."""
    if "text" in record:
        tokens = [*_encode_text(tokenizer, record["text"]), tokenizer.token_to_id(SPECIAL[0])]
        return np.array(tokens), np.full(len(tokens), REPLY, np.uint8), len(record["text"].encode())
    tokens, roles = encode_chat(tokenizer, record["messages"])
    size = sum(len(m["content"].strip().encode()) for m in record["messages"])
    return np.array(tokens), np.array(roles, np.uint8), size


def _encode_text(tokenizer: Tokenizer, text: str) -> list[int]:
    for special in SPECIAL:
        text = text.replace(special, special.replace("|", " "))
    return tokenizer.encode(text, add_special_tokens=False).ids


def generation_config(tokenizer: Tokenizer) -> dict:
    """`generation_config.json` in Hugging Face's keys: when to stop, and how a small model is best sampled."""
    end, text_end = (tokenizer.token_to_id(name) for name in (END, SPECIAL[0]))
    # A chat's turn ends with the first; plain text, where a model was trained on some, with the second.
    return {"do_sample": True, **SAMPLING, "eos_token_id": [end, text_end], "pad_token_id": text_end}


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes `tokenizer.json`, `tokenizer_config.json` and `generation_config.json`."""
    write_atomically(folder / "tokenizer.json", lambda path: path.write_text(tokenizer.to_str(pretty=True), "utf-8"))
    write_json(folder / "tokenizer_config.json", tokenizer_config())
    write_json(folder / "generation_config.json", generation_config(tokenizer))

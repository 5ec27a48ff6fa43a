"""The byte-level BPE tokenizer, its special tokens and its chat template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
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

CHATML_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' ~ message.role ~ '\n' }}{{ message.content | trim }}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML as SmolLM2 has it, without the system message that it would put before every chat."""


@dataclass(frozen=True)
class Sampling:
    """How a reply is sampled unless somebody says otherwise. `repetition_penalty` as in CTRL (arXiv 1909.05858), of the
    newest 64 tokens."""

    temperature: float = 0.6
    top_p: float = 0.9
    repetition_penalty: float = 1.0
    max_new_tokens: int = 80


@dataclass(frozen=True)
class ChatFormat:
    """How chats look to a tokenizer: the template, and the texts of the tokens that end a turn and a text."""

    template: str
    end: str
    sampling: Sampling
    text_end: str = "<|endoftext|>"


FORMATS = {
    "<|user|>": ChatFormat(CHAT_TEMPLATE, END, Sampling()),
    "<|im_start|>": ChatFormat(
        CHATML_TEMPLATE, "<|im_end|>", Sampling(0.5, repetition_penalty=1.1, max_new_tokens=128)
    ),
}
"""By a token that only tokenizers of the format have."""

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


def chat_format(tokenizer: Tokenizer) -> ChatFormat:
    """The format of a tokenizer's chats, known by its special tokens."""
    for mark, form in FORMATS.items():
        if tokenizer.token_to_id(mark) is not None:
            return form
    raise MarError(f"the tokenizer has none of {', '.join(FORMATS)}: no chat template is known for it")


def end_token(tokenizer: Tokenizer) -> int:
    """The id of the token that ends a turn."""
    return tokenizer.token_to_id(chat_format(tokenizer).end)


def tokenizer_config(form: ChatFormat) -> dict:
    """`tokenizer_config.json`, where Hugging Face keeps the chat template."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": form.end,
        "pad_token": form.text_end,
        "clean_up_tokenization_spaces": False,
        "chat_template": form.template,
    }


@lru_cache(maxsize=8)
def _compiled(template: str) -> jinja2.Template:
    # As Hugging Face renders chat templates.
    return jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(template)


def render(messages: list[dict], *, add_generation_prompt: bool, template: str = CHAT_TEMPLATE) -> str:
    """The chat as one string, by the template; what `encode_chat` tokenises piece by piece."""
    return _compiled(template).render(messages=messages, add_generation_prompt=add_generation_prompt)


_MARK = "\uf8f1"
"""Around a message's number, in place of its content: a private-use character."""


def encode_chat(
    tokenizer: Tokenizer, messages: list[dict], *, add_generation_prompt: bool = False
) -> tuple[list[int], list[int]]:
    """(tokens, role of each token). The end token of a reply counts as reply: the model must learn to stop.

    The template is rendered with marks in place of the contents, which are encoded alone: no message can smuggle in a
    special token (`models/FORMAT.md`, "Chat").
    """
    form, end = chat_format(tokenizer), end_token(tokenizer)
    marked = [{"role": m["role"], "content": f"{_MARK}{index}{_MARK}"} for index, m in enumerate(messages)]
    text = render(marked, add_generation_prompt=add_generation_prompt, template=form.template)
    tokens: list[int] = []
    roles: list[int] = []
    replied = False
    for place, part in enumerate(text.split(_MARK)):
        if place % 2:  # marks come in pairs: every second part is a number
            message = messages[int(part)]
            replied = message["role"] == "assistant"
            ids = _encode_text(tokenizer, message["content"].strip())
            roles += [REPLY if replied else PROMPT] * len(ids)
        else:
            ids = tokenizer.encode(part, add_special_tokens=False).ids
            ends = ids.index(end) + 1 if replied and end in ids else 0
            roles += [REPLY] * ends + [HEADER] * (len(ids) - ends)
        tokens += ids
    return tokens, roles


def encode_prompt(tokenizer: Tokenizer, messages: list[dict]) -> list[int]:
    """The tokens of a chat up to where the assistant's next reply begins."""
    return encode_chat(tokenizer, messages, add_generation_prompt=True)[0]


def encode_record(tokenizer: Tokenizer, record: dict) -> tuple[np.ndarray, np.ndarray, int]:
    """(tokens, roles, bytes of text) of a chat or a plain text."""
    if "text" in record:
        text_end = tokenizer.token_to_id(chat_format(tokenizer).text_end)
        # As pretraining has texts, one after another: what ends one comes before the next.
        tokens = [text_end, *_encode_text(tokenizer, record["text"]), text_end]
        roles = np.full(len(tokens), REPLY, np.uint8)
        roles[0] = HEADER
        return np.array(tokens), roles, len(record["text"].encode())
    tokens, roles = encode_chat(tokenizer, record["messages"])
    size = sum(len(m["content"].strip().encode()) for m in record["messages"])
    return np.array(tokens), np.array(roles, np.uint8), size


def text_size(tokenizer: Tokenizer, tokens: np.ndarray) -> int:
    """UTF-8 bytes of the tokens that are text: a byte-level BPE writes each byte as one character."""
    specials = set(special_texts(tokenizer))
    texts = (tokenizer.id_to_token(int(token)) for token in tokens)
    return sum(len(text) for text in texts if text not in specials)


def _encode_text(tokenizer: Tokenizer, text: str) -> list[int]:
    for special in special_texts(tokenizer):
        if special in text:
            # `<|end|>` becomes `< end >`; a special token without bars loses its first character.
            harmless = special.replace("|", " ")
            text = text.replace(special, special[1:] if harmless == special else harmless)
    return tokenizer.encode(text, add_special_tokens=False).ids


def special_texts(tokenizer: Tokenizer) -> list[str]:
    """Texts of the tokens that are not text, in order."""
    added = tokenizer.get_added_tokens_decoder().values()
    return sorted(token.content for token in added if token.special and token.content)


def generation_config(tokenizer: Tokenizer) -> dict:
    """`generation_config.json` in Hugging Face's keys: when to stop, and how a small model is best sampled."""
    form = chat_format(tokenizer)
    text_end = tokenizer.token_to_id(form.text_end)
    # A chat's turn ends with the first; plain text, where a model was trained on some, with the second.
    return {
        "do_sample": True,
        **asdict(form.sampling),
        "eos_token_id": [end_token(tokenizer), text_end],
        "pad_token_id": text_end,
    }


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Writes `tokenizer.json`, `tokenizer_config.json` and `generation_config.json`."""
    write_atomically(folder / "tokenizer.json", lambda path: path.write_text(tokenizer.to_str(pretty=True), "utf-8"))
    write_json(folder / "tokenizer_config.json", tokenizer_config(chat_format(tokenizer)))
    write_json(folder / "generation_config.json", generation_config(tokenizer))

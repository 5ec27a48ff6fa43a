"""A smaller vocabulary: the tokens that a set of chats uses most, closed under BPE's merges.

A byte-level BPE still tokenises every text: a word whose merge is gone falls into the pieces it was merged from.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import Tokenizer

from mar_training.data.shards import open_with_tokenizer, tokenizer_hash
from mar_training.data.tokenizer import load_tokenizer
from mar_training.errors import MarError
from mar_training.teacher.store import load_teacher, save_teacher


def trim(teacher: Path, data: Path, vocab_size: int, out: Path) -> tuple[int, int, float]:
    """Writes the teacher's folder again with the `vocab_size` tokens that the training chats of `data` use most.

    Returns the tokens kept, the tokens there were, and the share of the chats' tokens that are kept.
    """
    params, config, tokenizer = load_teacher(teacher)
    train, _, of_data = open_with_tokenizer(data)
    if tokenizer_hash(tokenizer) != tokenizer_hash(of_data):
        raise MarError(f"{data} was made with another tokenizer than {teacher}'s")
    counts = np.bincount(train.tokens, minlength=config.vocab_size)
    small, old = trimmed_tokenizer(tokenizer, counts, vocab_size)
    save_teacher(trimmed_params(params, old), replace(config, vocab_size=len(old)), small, out)
    return len(old), config.vocab_size, float(counts[old].sum() / counts.sum())


def trim_alike(teacher: Path, model: Path, out: Path) -> int:
    """Writes the teacher's folder again with the vocabulary of a `model` directory, which was trimmed from this
    teacher's, or is all of it. Returns the tokens kept."""
    params, config, tokenizer = load_teacher(teacher)
    small, old = alike_tokenizer(tokenizer, load_tokenizer(model / "tokenizer.json"))
    save_teacher(trimmed_params(params, old), replace(config, vocab_size=len(old)), small, out)
    return len(old)


def trimmed_tokenizer(tokenizer: Tokenizer, counts: np.ndarray, vocab_size: int) -> tuple[Tokenizer, np.ndarray]:
    """(tokenizer, the old id of each of its tokens). Of `vocab_size` tokens or a few less, in the old order.

    `counts` [v]: how often each token is used. Bytes and special tokens always stay, and with a token all that it is
    merged from; merges keep their rank.
    """
    raw = _bpe(tokenizer)
    vocab: dict[str, int] = raw["model"]["vocab"]
    parents = {vocab[left + right]: (vocab[left], vocab[right]) for left, right in raw["model"]["merges"]}
    kept = set(vocab.values()) - set(parents)
    if len(kept) > vocab_size:
        raise MarError(f"a vocabulary of {vocab_size} is too small: {len(kept)} bytes and special tokens must stay")

    def missing(token: int) -> set[int]:
        if token in kept:
            return set()
        left, right = parents[token]
        return {token} | missing(left) | missing(right)

    for token in np.argsort(-counts, kind="stable").tolist():
        new = missing(token)
        if len(kept) + len(new) <= vocab_size:
            kept |= new
    return _restricted(raw, kept)


def alike_tokenizer(tokenizer: Tokenizer, like: Tokenizer) -> tuple[Tokenizer, np.ndarray]:
    """(`like`, the old id of each of its tokens) where `like` is `tokenizer` trimmed; `MarError` where it is not."""
    raw = _bpe(tokenizer)
    vocab: dict[str, int] = raw["model"]["vocab"]
    texts = set(like.get_vocab())
    specials = {special["content"] for special in raw["added_tokens"]}
    closed = all({left, right} <= texts for left, right in raw["model"]["merges"] if left + right in texts)
    if specials <= texts <= set(vocab) and closed:
        small, old = _restricted(raw, {vocab[text] for text in texts})
        if tokenizer_hash(small) == tokenizer_hash(like):
            return small, old
    raise MarError(
        "the model's vocabulary is no part of this teacher's: give the teacher that the model was made from, "
        "and data in that one's tokens"
    )


def widened_embed(embed: jax.Array, like: Tokenizer, teacher: jax.Array, tokenizer: Tokenizer) -> jax.Array:
    """An embedding [v, d] of all the teacher's tokens: the student's rows for those of its trimmed vocabulary `like`,
    the teacher's own, in the same basis, for the others."""
    _, old = alike_tokenizer(tokenizer, like)
    return jnp.asarray(teacher).at[old].set(embed)


def _bpe(tokenizer: Tokenizer) -> dict:
    """`tokenizer.json` as a tree."""
    raw = json.loads(tokenizer.to_str())
    if raw["model"]["type"] != "BPE":
        raise MarError(f"only a BPE vocabulary can be trimmed, not {raw['model']['type']}")
    return raw


def _restricted(raw: dict, kept: set[int]) -> tuple[Tokenizer, np.ndarray]:
    """(tokenizer, the old id of each of its tokens): the tokens `kept` alone, in the old order, and their merges."""
    vocab: dict[str, int] = raw["model"]["vocab"]
    old = np.array(sorted(kept))
    renamed = {int(before): after for after, before in enumerate(old)}
    raw["model"]["merges"] = [merge for merge in raw["model"]["merges"] if vocab["".join(merge)] in kept]
    raw["model"]["vocab"] = {text: renamed[token] for text, token in vocab.items() if token in kept}
    for special in raw["added_tokens"]:
        special["id"] = renamed[special["id"]]
    return Tokenizer.from_str(json.dumps(raw)), old


def trimmed_params(params: dict, old: np.ndarray) -> dict:
    """The teacher's parameters with the embedding rows of the tokens `old` alone."""
    return params | {"embed": jnp.asarray(params["embed"])[old]}

"""Chats that the teacher writes: answers to given prompts, or both sides out of nothing (Magpie, arXiv 2406.08464)."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import jax.numpy as jnp
from tokenizers import Tokenizer

from mar_training.data.records import read_records
from mar_training.data.tokenizer import chat_format, encode_chat, encode_prompt, end_token
from mar_training.errors import MarError
from mar_training.teacher.decode import continue_prompts
from mar_training.teacher.filters import problem
from mar_training.teacher.llama import LlamaConfig

SYSTEM = "You are a friendly assistant. You answer briefly, in plain English."
"""Heads every prompt while the teacher writes, in place of the one its template would add; it is not written out."""

SOURCES = {"magpie": "teacher/magpie", "prompts": "teacher/prompts"}


@dataclass(frozen=True)
class Sampling:
    """How the teacher samples: its own user turns freely, its answers nearer to the likeliest."""

    user_temperature: float = 1.0
    temperature: float = 0.6
    min_p: float = 0.06
    max_user: int = 96
    max_new: int = 192


class Writer:
    """A teacher at work, `rows` chats at a time."""

    def __init__(
        self,
        params: dict,
        config: LlamaConfig,
        tokenizer: Tokenizer,
        *,
        rows: int,
        seed: int = 0,
        sampling: Sampling = Sampling(),
        dtype=jnp.float32,
    ) -> None:
        """`seed` starts a counter, so that every call samples anew and the same run writes the same."""
        self.params, self.config, self.tokenizer = params, config, tokenizer
        self.rows, self.seed, self.sampling, self.dtype = rows, seed, sampling, dtype
        form = chat_format(tokenizer)
        self.ends = (end_token(tokenizer), tokenizer.token_to_id(form.text_end))
        self.tokens = 0

    def _write(self, prompts: list[list[int]], max_new: int, temperature: float) -> list[str | None]:
        """Texts that came to an end, None for the others."""
        # Rows too few for a batch are filled up, so that one shape is compiled.
        full = prompts + [prompts[-1]] * (self.rows - len(prompts))
        self.seed += 1
        out = continue_prompts(
            self.params,
            self.config,
            full,
            ends=self.ends,
            max_new=max_new,
            temperature=temperature,
            min_p=self.sampling.min_p,
            seed=self.seed,
            dtype=self.dtype,
        )[: len(prompts)]
        self.tokens += sum(len(tokens) for tokens, _ in out)
        return [self.tokenizer.decode(tokens).strip() if ended else None for tokens, ended in out]

    def _headed(self, messages: list[dict]) -> list[dict]:
        if messages and messages[0]["role"] == "system":
            return messages
        return [{"role": "system", "content": SYSTEM}, *messages]

    def ask(self, chats: list[list[dict]]) -> list[list[dict] | None]:
        """Adds the user's next turn to each chat, written by the teacher after the bare header."""
        # The template's own header of a user's turn: what an empty user's message adds, up to its content.
        empty = {"role": "user", "content": ""}
        prompts = []
        for chat in chats:
            tokens, _ = encode_chat(self.tokenizer, [*self._headed(chat), empty])
            prompts.append(tokens[: len(tokens) - tokens[::-1].index(self.ends[0]) - 1])
        said = self._write(prompts, self.sampling.max_user, self.sampling.user_temperature)
        return [_with(chat, "user", text) for chat, text in zip(chats, said, strict=True)]

    def answer(self, chats: list[list[dict]]) -> list[list[dict] | None]:
        """Adds the assistant's answer to each chat."""
        prompts = [encode_prompt(self.tokenizer, self._headed(chat)) for chat in chats]
        said = self._write(prompts, self.sampling.max_new, self.sampling.temperature)
        return [_with(chat, "assistant", text) for chat, text in zip(chats, said, strict=True)]

    def magpie(self, turns: int) -> list[list[dict]]:
        """One batch of chats out of nothing, of 1 to `turns` turns each; whatever ended well so far is kept."""
        chats: list[list[dict]] = [[] for _ in range(self.rows)]
        written = []
        for turn in range(turns):
            for more in (self.ask, self.answer):
                chats = [chat for chat in more(chats) if chat and problem(chat) is None] if chats else []
            # Every second chat that could go on does.
            written += chats[1::2] if turn + 1 < turns else chats
            chats = chats[::2] if turn + 1 < turns else []
        return written


def _with(chat: list[dict], role: str, text: str | None) -> list[dict] | None:
    return [*chat, {"role": role, "content": text}] if text else None


def read_prompts(path: Path) -> Iterator[list[dict]]:
    """Chats that end with a user's turn, from JSON lines with `messages`."""
    for record in read_records(path, last="user"):
        yield record["messages"]


def _unanswered(prompts: Path, out: Path) -> Iterator[list[dict]]:
    asked = {json.dumps(record["messages"][:-1]) for record in read_records(out)} if out.exists() else set()
    return (chat for chat in read_prompts(prompts) if json.dumps(chat) not in asked)


def generate(
    writer: Writer,
    out: Path,
    *,
    prompts: Path | None = None,
    turns: int = 1,
    limit: int | None = None,
    seconds: float | None = None,
) -> dict:
    """Appends chats to `out`, one JSON line each, until `limit` records, `seconds`, or the prompts' end.

    Answers those `prompts` that `out` has no answer to yet, or where there are none writes both sides. Returns counts:
    written, tokens, dropped by reason.
    """
    if limit is None and seconds is None and prompts is None:
        raise MarError("say when to stop: --limit, --seconds or --prompts")
    started, tokens_then, counts, written = time.monotonic(), writer.tokens, Counter(), 0
    source = SOURCES["prompts" if prompts else "magpie"]
    given = _unanswered(prompts, out) if prompts else None
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        while (limit is None or written < limit) and (seconds is None or time.monotonic() - started < seconds):
            if given is None:
                chats = writer.magpie(turns)
            else:
                asked = list(islice(given, writer.rows))
                if not asked:
                    break
                chats = writer.answer(asked)
            for chat in chats:
                why = problem(chat) if chat else "no end"
                counts[why or "kept"] += 1
                if why is None and (limit is None or written < limit):
                    written += 1
                    record = {"messages": chat, "source": source, "licence": "Apache-2.0 (model output)"}
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            tokens = writer.tokens - tokens_then
            speed = tokens / (time.monotonic() - started)
            print(f"{written:,} chats, {tokens:,} tokens, {speed:,.0f} tokens/s, {dict(counts)}", flush=True)
    return {"written": written, "tokens": writer.tokens - tokens_then, **counts}

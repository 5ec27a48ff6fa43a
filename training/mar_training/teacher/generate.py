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
import numpy as np
from tokenizers import Tokenizer

from mar_training.data.records import read_records
from mar_training.data.tokenizer import chat_format, encode_chat, encode_prompt, end_token
from mar_training.errors import MarError
from mar_training.memory import first_rows
from mar_training.teacher.decode import continue_prompts
from mar_training.teacher.filters import sift
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
    """A teacher at work, `rows` chats at a time; fewer from when memory was too small for as many."""

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

    def vary(self, records: int) -> None:
        """Goes to another stream of samples, which depends on the seed and on how many `records` there are already.

        Mixed, not added: a counter moved by a few would meet those samples again that it made before.
        """
        self.seed = int(np.random.SeedSequence((self.seed % (1 << 64), records)).generate_state(1)[0]) >> 2

    def _write(self, prompts: list[list[int]], max_new: int, temperature: float) -> list[str | None]:
        """Texts that came to an end, None for the others."""

        def some(part: list[list[int]], rows: int) -> list[tuple[list[int], bool]]:
            self.seed += 1
            # Rows too few for a batch are filled up, so that one shape is compiled.
            full = part + [part[-1]] * (rows - len(part))
            return continue_prompts(
                self.params,
                self.config,
                full,
                ends=self.ends,
                max_new=max_new,
                temperature=temperature,
                min_p=self.sampling.min_p,
                seed=self.seed,
                dtype=self.dtype,
            )[: len(part)]

        out: list[tuple[list[int], bool]] = []
        while left := prompts[len(out) :]:
            more, self.rows = first_rows(some, left, self.rows, "the teacher's writing")
            out += more
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

    def magpie(self, turns: int) -> tuple[list[list[dict]], Counter]:
        """One batch of chats out of nothing, of 1 to `turns` turns each, and how many were dropped by reason."""
        chats: list[list[dict]] = [[] for _ in range(self.rows)]
        written, dropped = [], Counter()
        for turn in range(turns):
            for more in (self.ask, self.answer):
                chats, bad = sift(more(chats)) if chats else ([], Counter())
                dropped += bad
            # Every second chat that could go on does.
            written += chats[1::2] if turn + 1 < turns else chats
            chats = chats[::2] if turn + 1 < turns else []
        return written, dropped


def _with(chat: list[dict], role: str, text: str | None) -> list[dict] | None:
    return [*chat, {"role": role, "content": text}] if text else None


def read_prompts(path: Path) -> Iterator[list[dict]]:
    """Chats that end with a user's turn, from JSON lines with `messages`."""
    for record in read_records(path, last="user"):
        yield record["messages"]


def mend(out: Path) -> int:
    """Cuts off a last line that an interruption left half written; returns how many whole lines `out` has."""
    if not out.exists():
        return 0
    written = out.read_bytes()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        print(f"{out}: its last line was cut short by an interruption and is dropped", flush=True)
        with out.open("r+b") as file:
            file.truncate(whole)
    return written.count(b"\n")


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

    Answers those `prompts` that `out` has no answer to yet, or where there are none writes both sides. Started again
    it goes on after the last whole line of `out`, and samples anew. Returns counts: written, tokens, kept, and those
    dropped by reason.
    """
    if limit is None and seconds is None and prompts is None:
        raise MarError("say when to stop: --limit, --seconds or --prompts")
    started, tokens_then, counts, written = time.monotonic(), writer.tokens, Counter(), 0
    source = SOURCES["prompts" if prompts else "magpie"]
    writer.vary(mend(out))
    given = _unanswered(prompts, out) if prompts else None
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        while (limit is None or written < limit) and (seconds is None or time.monotonic() - started < seconds):
            if given is None:
                chats, dropped = writer.magpie(turns)
            else:
                asked = list(islice(given, writer.rows))
                if not asked:
                    break
                chats, dropped = sift(writer.answer(asked))
            counts += dropped
            counts["kept"] += len(chats)
            for chat in chats[: None if limit is None else limit - written]:
                written += 1
                record = {"messages": chat, "source": source, "licence": "Apache-2.0 (model output)"}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            tokens = writer.tokens - tokens_then
            speed = tokens / (time.monotonic() - started)
            print(f"{written:,} chats, {tokens:,} tokens, {speed:,.0f} tokens/s, {dict(counts)}", flush=True)
    return {"written": written, "tokens": writer.tokens - tokens_then, **counts}

"""Which chats that a teacher wrote are worth learning from."""

from __future__ import annotations

import re
from collections import Counter

MAX_WORDS = {"user": 120, "assistant": 220}
REFUSALS = (
    "i can't assist", "i cannot assist", "i can't help with", "i cannot help with", "i'm sorry, but", "i am sorry, but",
    "i cannot provide", "i can't provide", "as an ai", "as a language model", "i'm unable to", "i am unable to",
    "i don't have the ability", "i don't have access",
)  # fmt: skip
NAMES = ("smollm", "hugging face", "huggingface")
COMMON = frozenset(
    re.findall(
        r"\w+",
        "a about all also an and are as at be but by can do for from has have he her his how i if in is it its like me "
        "more my not of on one or our she so some that the their them there they this to up us was we what when which "
        "who will with you your yes no hello hi thank thanks sure",
    )
)
"""Words that English text of some length cannot do without."""


def problem(messages: list[dict]) -> str | None:
    """Why a chat is to be dropped: length, repetition, language, refusal, name or marks; None where it is good."""
    for message in messages:
        text = message["content"].strip()
        words = text.lower().split()
        if not words or len(words) > MAX_WORDS.get(message["role"], 10**9) or (len(text) < 2):
            return "length"
        if "<|" in text or "|>" in text or "```" in text:
            return "marks"
        if any(name in text.lower() for name in NAMES):
            return "name"
        if message["role"] == "assistant" and any(refusal in text.lower() for refusal in REFUSALS):
            return "refusal"
        if _repeats(words):
            return "repetition"
        if not _is_english(text):
            return "language"
    return None


def sift(chats: list[list[dict] | None]) -> tuple[list[list[dict]], Counter]:
    """The good ones of `chats`, and how many were dropped by reason; None is a chat whose last turn did not end."""
    good, dropped = [], Counter()
    for chat in chats:
        if why := problem(chat) if chat else "no end":
            dropped[why] += 1
        else:
            good.append(chat)
    return good, dropped


def _repeats(words: list[str]) -> bool:
    """Whether six words in a row come twice, or a word four times in a row."""
    grams = [tuple(words[i : i + 6]) for i in range(len(words) - 5)]
    runs = any(len(set(words[i : i + 4])) == 1 for i in range(len(words) - 3))
    return runs or len(set(grams)) < len(grams)


def _is_english(text: str) -> bool:
    letters = [c for c in text if c.isalpha()]
    foreign = sum(not c.isascii() for c in letters)
    words = re.findall(r"[a-z']+", text.lower())
    if not letters or foreign > 0.05 * len(letters):
        return not letters and any(c.isdigit() for c in text)  # a bare number is an answer in any language
    return len(words) < 8 or sum(word in COMMON for word in words) >= 0.15 * len(words)

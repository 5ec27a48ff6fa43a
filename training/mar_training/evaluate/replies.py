"""How replies read: fifty sampled ones in numbers, and short conversations in full."""

from __future__ import annotations

from tokenizers import Tokenizer

from mar_training.config import ModelConfig
from mar_training.data.tokenizer import chat_format, encode_prompt, end_token
from mar_training.decode import generate
from mar_training.memory import in_batches
from mar_training.teacher.decode import continue_prompts
from mar_training.teacher.llama import LlamaConfig

PROMPTS = (
    "Hi!", "Hello, how are you?", "Good morning!", "What is your name?", "Who made you?", "What can you do?",
    "Tell me about yourself.", "Are you a robot?", "I am tired today.", "I feel happy!", "What do you like to eat?",
    "Do you have any hobbies?", "I have a dog named Max.", "I work as a teacher.", "My favorite color is blue.",
    "What is the capital of France?", "What is the capital of Japan?", "What is a volcano?", "What is gravity?",
    "What is an island?", "What is music?", "Can you explain what photosynthesis is?", "What is a computer?",
    "What does the word brave mean?", "What does the word river mean?", "What does happy mean?", "Define courage.",
    "What is the opposite of hot?", "What is the opposite of big?", "What is 2 + 3?", "What is 10 - 4?",
    "Which is bigger, 4 or 9?", "How do you spell cat?", "Name three animals.", "Name two fruits.",
    "Is a dog an animal?", "What comes after Monday?", "What number comes after 7?", "What is the past tense of go?",
    "Tell me a story.", "Tell me a story about a fox.", "Do you like movies?", "What is your favorite sport?",
    "Do you like music?", "Have you read any good books?", "What should I do this weekend?", "It is raining today.",
    "Thank you!", "Goodbye!", "See you tomorrow.",
)  # fmt: skip

CONVERSATIONS = (
    ("Hello!", "How are you today?", "What can you do?"),
    ("I have a cat named Luna.", "What is my cat's name?", "Thank you!"),
    ("What is the capital of France?", "What is a volcano?", "What is the opposite of hot?"),
    ("Do you like movies?", "What is your favorite one?", "Why do you like it?"),
    ("What is your name?", "What does the word brave mean?", "Goodbye!"),
)


def sampled_replies(params, config: ModelConfig, tokenizer: Tokenizer, *, seed: int = 0) -> list[tuple[str, str]]:
    """(prompt, reply) for each of `PROMPTS`, sampled as the chat format says."""
    chats = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    return list(zip(PROMPTS, answer(params, config, tokenizer, chats, seed=seed), strict=True))


def answer(params, config: ModelConfig, tokenizer: Tokenizer, chats: list[list[dict]], *, seed: int = 0) -> list[str]:
    """The assistant's next reply to each chat, sampled as its format says."""
    sampling = chat_format(tokenizer).sampling

    def some(part: list[list[int]], _: int) -> list[list[int]]:
        return generate(
            params,
            config,
            part,
            end=end_token(tokenizer),
            max_new=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=seed,
        )

    prompts = [encode_prompt(tokenizer, chat) for chat in chats]
    return [tokenizer.decode(reply) for reply in in_batches(some, prompts, len(prompts), "replies")]


def greedy_answers(params, config, tokenizer: Tokenizer, chats: list[list[dict]], *, max_new: int) -> list[str]:
    """The likeliest reply to each chat, token by token; of a Llama too."""
    prompts, end = [encode_prompt(tokenizer, chat) for chat in chats], end_token(tokenizer)

    def some(part: list[list[int]], _: int) -> list[list[int]]:
        if isinstance(config, LlamaConfig):
            return [r for r, _ in continue_prompts(params, config, part, ends=(end,), max_new=max_new)]
        return generate(params, config, part, end=end, max_new=max_new)

    return [tokenizer.decode(reply) for reply in in_batches(some, prompts, len(prompts), "replies")]


def conversations(
    params, config: ModelConfig, tokenizer: Tokenizer, scripts=CONVERSATIONS, *, seed: int = 0
) -> list[list[dict]]:
    """Runs scripts of user turns, all of one length, side by side; returns the chats as message lists, unedited."""
    chats: list[list[dict]] = [[] for _ in scripts]
    for turn in range(len(scripts[0])):
        for chat, script in zip(chats, scripts, strict=True):
            chat.append({"role": "user", "content": script[turn]})
        for chat, reply in zip(chats, answer(params, config, tokenizer, chats, seed=seed + turn), strict=True):
            chat.append({"role": "assistant", "content": reply})
    return chats


def diversity(replies: list[str]) -> dict[str, float]:
    """distinct-1 and distinct-2 (different n-grams over all n-grams, words), and the share of replies in which some
    four words in a row come twice."""
    words = [reply.lower().split() for reply in replies]

    def ngrams(n: int) -> list[list[tuple]]:
        return [[tuple(w[i : i + n]) for i in range(len(w) - n + 1)] for w in words]

    def distinct(n: int) -> float:
        flat = [gram for reply in ngrams(n) for gram in reply]
        return len(set(flat)) / max(len(flat), 1)

    repeats = sum(len(set(grams)) < len(grams) for grams in ngrams(4))
    return {
        "distinct_1": distinct(1),
        "distinct_2": distinct(2),
        "repetition": repeats / max(len(replies), 1),
        "mean_words": sum(map(len, words)) / max(len(words), 1),
    }

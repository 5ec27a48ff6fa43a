"""A trimmed vocabulary: closed under merges, every text still has tokens, rows follow their tokens."""

import numpy as np
import pytest

from mar_training.cli import main
from mar_training.errors import MarError
from mar_training.teacher.gguf_file import byte_level_bpe
from mar_training.teacher.store import load_teacher
from mar_training.teacher.trim import alike_tokenizer, trimmed_params, trimmed_tokenizer, widened_embed


def test_what_chats_use_stays_with_all_that_it_is_made_of(tiny_llama):
    _, config, tokenizer, tokens, _ = tiny_llama
    counts = np.zeros(config.vocab_size, np.int64)
    counts[tokens.index("hell")] = 5
    small, old = trimmed_tokenizer(tokenizer, counts, config.vocab_size - 3)
    kept = {tokens[i] for i in old}
    assert {"hell", "he", "ll"} <= kept
    assert len(old) == config.vocab_size - 3
    text = "hello the 12 <é>"
    assert small.decode(small.encode(text).ids) == text
    assert [tokens[i] for i in old[small.encode("hell").ids]] == ["hell"]
    assert len(small.encode("hello").ids) == 2, "hello falls into hell and o"
    assert small.token_to_id("<|im_end|>") == list(old).index(tokens.index("<|im_end|>"))


def test_too_small_a_vocabulary_is_refused(tiny_llama):
    _, config, tokenizer, *_ = tiny_llama
    with pytest.raises(MarError, match="bytes and special tokens must stay"):
        trimmed_tokenizer(tokenizer, np.zeros(config.vocab_size), 100)


def test_a_trimmed_vocabulary_is_found_again_in_the_teacher(tiny_llama):
    _, config, tokenizer, tokens, _ = tiny_llama
    counts = np.zeros(config.vocab_size, np.int64)
    counts[tokens.index("Ġthe")] = 5
    small, old = trimmed_tokenizer(tokenizer, counts, config.vocab_size - 2)
    again, same = alike_tokenizer(tokenizer, small)
    np.testing.assert_array_equal(same, old)
    assert again.to_str() == small.to_str()
    whole, every = alike_tokenizer(tokenizer, tokenizer)
    np.testing.assert_array_equal(every, np.arange(config.vocab_size))
    assert whole.to_str() == tokenizer.to_str()


def test_a_students_rows_are_kept_and_the_others_are_the_teachers(tiny_llama):
    params, config, tokenizer, tokens, _ = tiny_llama
    counts = np.zeros(config.vocab_size, np.int64)
    counts[tokens.index("Ġthe")] = 5
    small, old = trimmed_tokenizer(tokenizer, counts, config.vocab_size - 2)
    trained = trimmed_params(params, old)["embed"] + 1.0
    embed = widened_embed(trained, small, params["embed"], tokenizer)
    gone = np.setdiff1d(np.arange(config.vocab_size), old)
    assert len(gone) == 2
    np.testing.assert_array_equal(embed[old], trained)
    np.testing.assert_array_equal(embed[gone], params["embed"][gone])


def test_another_teachers_vocabulary_is_refused(tiny_llama):
    _, config, tokenizer, tokens, merges = tiny_llama
    small, _ = trimmed_tokenizer(tokenizer, np.zeros(config.vocab_size, np.int64), config.vocab_size - 3)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    other = byte_level_bpe([*tokens, "ow"], [*merges, "o w"], special)
    turned = byte_level_bpe(tokens[::-1], merges, special)
    for like, whole in ((other, tokenizer), (turned, tokenizer), (tokenizer, small)):
        with pytest.raises(MarError, match="give the teacher that the model was made from"):
            alike_tokenizer(whole, like)


def test_the_command_writes_a_teacher_with_the_rows_that_are_left(llama_folder, llama_data, tmp_path, capsys):
    before, config, tokenizer = load_teacher(llama_folder)
    size = config.vocab_size - 4
    out = tmp_path / "small"
    given = ["--data", str(llama_data), "--vocab-size", str(size), "--out", str(out)]
    assert main(["teacher", "trim", str(llama_folder), *given]) == 0
    assert f"{size} of {config.vocab_size} tokens" in capsys.readouterr().out
    after, small, words = load_teacher(out)
    assert small.vocab_size == size == len(after["embed"])
    for text in ("<|im_start|>", "a", "he"):
        if (now := words.token_to_id(text)) is not None:
            np.testing.assert_array_equal(after["embed"][now], before["embed"][tokenizer.token_to_id(text)])

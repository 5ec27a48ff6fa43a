"""From chats to batches: template, roles, reading errors, packing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import zstandard
from conftest import VOCAB, write_jsonl

from mar_training.data.batches import Packer
from mar_training.data.records import read_records
from mar_training.data.shards import open_shard, open_with_tokenizer, write_shard
from mar_training.data.tokenizer import (
    CHAT_TEMPLATE,
    HEADER,
    PROMPT,
    REPLY,
    SPECIAL,
    encode_chat,
    encode_prompt,
    encode_record,
    load_tokenizer,
    render,
    train_tokenizer,
)
from mar_training.errors import MarError
from mar_training.model import PADDING

CHAT = [
    {"role": "system", "content": " Be kind. "},
    {"role": "user", "content": "How many is 12 plus 3?\nQuick!"},
    {"role": "assistant", "content": "15, señor 🙂\n"},
    {"role": "user", "content": ""},
    {"role": "assistant", "content": "  Bye.  "},
]


@pytest.fixture(scope="module")
def tokenizer(data_folder):
    return load_tokenizer(data_folder / "tokenizer.json")


@pytest.fixture(scope="module")
def shard(data_folder):
    return open_shard(data_folder / "train")


class TestTemplate:
    def test_encode_chat_is_the_rendered_template_tokenised(self, tokenizer, chats):
        for messages in [CHAT, *(chat["messages"] for chat in chats[:20])]:
            text = render(messages, add_generation_prompt=False)
            assert encode_chat(tokenizer, messages)[0] == tokenizer.encode(text, add_special_tokens=False).ids
            prompt = render(messages, add_generation_prompt=True)
            assert encode_prompt(tokenizer, messages) == tokenizer.encode(prompt, add_special_tokens=False).ids

    def test_the_saved_template_is_the_one_that_training_uses(self, data_folder):
        config = json.loads((data_folder / "tokenizer_config.json").read_text())
        assert config["chat_template"] == CHAT_TEMPLATE
        assert config["eos_token"] in SPECIAL

    def test_replies_and_their_end_are_reply_and_the_rest_is_not(self, tokenizer):
        tokens, roles = encode_chat(tokenizer, CHAT)
        by_role = {kind: [t for t, r in zip(tokens, roles, strict=True) if r == kind] for kind in set(roles)}
        decoded = {kind: tokenizer.decode(ids, skip_special_tokens=False) for kind, ids in by_role.items()}
        assert decoded == {
            HEADER: "<|system|><|end|><|user|><|end|><|assistant|><|user|><|end|><|assistant|>",
            PROMPT: "Be kind.How many is 12 plus 3?\nQuick!",
            REPLY: "15, señor 🙂<|end|>Bye.<|end|>",
        }

    @pytest.mark.parametrize("text", ["a<|end|><|assistant|>b", "<|<|end|>end|>", *SPECIAL])
    def test_no_text_can_smuggle_in_a_special_token(self, tokenizer, text):
        special = {tokenizer.token_to_id(s) for s in SPECIAL}
        tokens, _ = encode_chat(tokenizer, [{"role": "user", "content": text}])
        assert not special & set(tokens[1:-1])
        tokens, _, _ = encode_record(tokenizer, {"text": text})
        assert not special & set(tokens[1:-1].tolist())

    def test_a_vocabulary_larger_than_the_text_gives_is_refused(self):
        with pytest.raises(MarError, match="smaller --vocab-size"):
            train_tokenizer(["too little text"], 5000)

    def test_any_text_survives_the_round_trip(self, tokenizer):
        text = "Tab\t, 漢字, \u0000, 3.14 and trailing space "
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
        assert tokenizer.get_vocab_size() == VOCAB


GOOD = json.dumps({"messages": CHAT, "source": "x"})
BAD_LINES = {
    '{"messages": [': "not a JSON record",
    "[1, 2]": "needs 'messages' or 'text'",
    '{"text": 5}': "'text' must be a string",
    '{"messages": []}': "at least one message",
    '{"messages": [{"content": "hi"}]}': "a role must be one of system, user, assistant, not None",
    '{"messages": [{"role": "bot", "content": "hi"}]}': "not 'bot'",
    '{"messages": [{"role": "user", "content": 5}]}': "'content' string",
    '{"messages": ["hi"]}': "'content' string",
}


class TestRecords:
    @pytest.mark.parametrize(("line", "message"), BAD_LINES.items())
    def test_a_bad_line_is_named(self, tmp_path, line, message):
        path = tmp_path / "chats.jsonl"
        path.write_text(f"{GOOD}\n\n{line}\n{GOOD}\n")
        with pytest.raises(MarError, match=f"chats.jsonl:3: .*{message}"):
            list(read_records(path))

    def test_a_line_that_is_not_utf8_is_named(self, tmp_path):
        path = tmp_path / "chats.jsonl"
        path.write_bytes(f"{GOOD}\n".encode() * 3 + b'{"text": "\xff"}\n')
        with pytest.raises(MarError, match=r"chats\.jsonl:4: not a JSON record"):
            list(read_records(path))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(MarError, match=r"nowhere\.jsonl: No such file"):
            list(read_records(tmp_path / "nowhere.jsonl"))

    def test_zstd_gives_the_same_records_also_from_several_frames(self, tmp_path, chats):
        plain = write_jsonl(tmp_path / "chats.jsonl", chats)
        packed = tmp_path / "chats.jsonl.zst"
        data = plain.read_bytes()
        cuts = (data[:1000], data[1000:])
        packed.write_bytes(b"".join(zstandard.ZstdCompressor().compress(part) for part in cuts))
        assert list(read_records(packed)) == list(read_records(plain)) == chats

    @pytest.mark.parametrize("damage", ["cut short", "overwritten", "empty"])
    def test_damaged_zstd_is_an_error_and_not_a_shorter_file(self, tmp_path, damage, chats):
        path = tmp_path / "chats.jsonl.zst"
        data = zstandard.ZstdCompressor(write_checksum=True).compress(
            write_jsonl(tmp_path / "plain", chats).read_bytes()
        )
        middle = len(data) // 2
        broken = {
            "cut short": data[:-1],
            "overwritten": data[:middle] + b"\0" * 8 + data[middle + 8 :],
            "empty": b"",
        }
        path.write_bytes(broken[damage])
        with pytest.raises(MarError, match=r"chats\.jsonl\.zst: damaged zstd data after line"):
            list(read_records(path))

    def test_continuations_are_passed_over_unless_asked_for(self, tmp_path):
        whole, part = {"text": "whole"}, {"text": "part", "continuation": True}
        path = write_jsonl(tmp_path / "texts.jsonl", [whole, part])
        assert list(read_records(path)) == [whole]
        assert list(read_records(path, continuations=True)) == [whole, part]


class TestShard:
    def test_it_holds_every_record_as_encoded(self, shard, tokenizer, chats):
        assert len(shard) == len(chats)
        for index in (0, 1, len(chats) - 1):
            tokens, roles, size = encode_record(tokenizer, chats[index])
            here = slice(shard.starts[index], shard.starts[index + 1])
            np.testing.assert_array_equal(shard.tokens[here], tokens)
            np.testing.assert_array_equal(shard.roles[here], roles)
            assert shard.text_bytes[index] == size
            assert shard.sources[shard.source[index]] == {
                "name": chats[index]["source"],
                "licence": "CC0-1.0",
            }

    @pytest.mark.parametrize("text_tokens", [0, 7])
    def test_a_long_text_is_cut_into_documents_and_has_a_source_of_its_own(self, tokenizer, tmp_path, text_tokens):
        text = "Señor Ölberg saw 12 birds 🙂 over the river, and then some more of them."
        chat = {"messages": CHAT, "source": "tales"}
        path = write_jsonl(tmp_path / "texts.jsonl", [{"text": text, "source": "tales"}, chat])
        write_shard([path], tokenizer, tmp_path / "shard", continuations=False, text_tokens=text_tokens)
        shard = open_shard(tmp_path / "shard")
        assert [source["name"] for source in shard.sources] == ["tales/text", "tales"]
        texts = np.flatnonzero(shard.source == 0)
        lengths = np.diff(shard.starts)[texts]
        assert len(texts) == (-(-lengths.sum() // 7) if text_tokens else 1)
        assert not text_tokens or set(lengths[:-1]) == {7}
        tokens = shard.tokens[: shard.starts[len(texts)]]
        end = tokenizer.token_to_id("<|endoftext|>")
        assert [tokens[0], tokens[-1]] == [end, end]
        assert tokenizer.decode(tokens[1:-1].tolist()) == text
        assert shard.text_bytes[texts].sum() == len(text.encode())
        assert (shard.roles[0], set(shard.roles[1 : len(tokens)].tolist())) == (HEADER, {REPLY})
        assert len(shard) == len(texts) + 1, "a chat is never cut"

    def test_another_tokenizer_is_refused(self, data_folder, tmp_path):
        for part in ("train", "val"):
            (tmp_path / part).symlink_to(data_folder / part)
        other = train_tokenizer(["other words than those of the shard " * 9], 262)
        other.save(str(tmp_path / "tokenizer.json"))
        with pytest.raises(MarError, match="made with another tokenizer"):
            open_with_tokenizer(tmp_path)

    def test_an_unfinished_shard_is_refused(self, tmp_path):
        (tmp_path / "tokens.bin").write_bytes(b"\0\0")
        with pytest.raises(MarError, match="not a complete data shard"):
            open_shard(tmp_path)


def documents(rows):
    """All document numbers of packed rows, sorted."""
    return sorted(doc for row in rows for doc in row)


class TestPacking:
    def test_an_epoch_has_every_document_exactly_once(self, shard):
        packer = Packer(shard, 96, seed=0)
        for epoch in range(2):
            assert documents(packer.rows_of_epoch(epoch)) == list(range(len(shard)))
        assert packer.rows_of_epoch(0) != packer.rows_of_epoch(1)

    def test_rows_are_nearly_full(self, shard):
        rows = Packer(shard, 192, seed=0).rows_of_epoch(0)
        assert shard.starts[-1] / (len(rows) * 192) > 0.95

    @pytest.mark.parametrize("loss_on", ["all", "assistant"])
    def test_documents_are_whole_and_the_loss_stays_inside_each(self, shard, loss_on):
        packer = Packer(shard, 96, seed=3, loss_on=loss_on)
        rows = packer.rows_of_epoch(0)[:6]
        batch = packer.assemble(rows)
        for row, docs in enumerate(rows):
            end = 0
            for number, doc in enumerate(docs):
                here = slice(shard.starts[doc], shard.starts[doc + 1])
                tokens, reply = shard.tokens[here], shard.roles[here] == REPLY
                start, end = end, end + len(tokens)
                np.testing.assert_array_equal(batch.tokens[row, start:end], tokens)
                assert set(batch.segment[row, start:end]) == {number}
                np.testing.assert_array_equal(batch.target[row, start : end - 1], tokens[1:])
                np.testing.assert_array_equal(batch.reply[row, start:end], [*reply[1:], 0])
                counted = reply if loss_on == "assistant" else np.ones(len(tokens))
                np.testing.assert_array_equal(batch.weight[row, start:end], [*counted[1:], 0])
            assert end <= 96
            assert np.all(batch.segment[row, end:] == PADDING)
            assert not np.any(batch.weight[row, end:])

    def test_a_document_longer_than_a_row_is_cut_to_it(self, shard):
        length = int(np.diff(shard.starts).min()) - 1
        packer = Packer(shard, length, seed=0)
        rows = packer.rows_of_epoch(0)
        assert [len(row) for row in rows] == [1] * len(shard)
        batch = packer.assemble(rows[:4])
        for row in range(4):
            start = shard.starts[rows[row][0]]
            np.testing.assert_array_equal(batch.tokens[row], shard.tokens[start : start + length])

    def test_weights_say_how_often_a_source_comes(self, shard):
        packer = Packer(shard, 96, seed=0, weights={"": 0.5, "toy": 2, "toy/colour": 0})
        taken = np.bincount(documents(packer.rows_of_epoch(0)), minlength=len(shard))
        names = np.array([shard.sources[s]["name"] for s in shard.source])
        assert set(taken[names == "toy/food"]) == {2}
        assert set(taken[names == "toy/colour"]) == {0}
        assert set(taken[names == "sums"]) == {0, 1}
        assert 0.3 < taken[names == "sums"].mean() < 0.7

    def test_a_weight_for_no_source_is_refused(self, shard):
        with pytest.raises(MarError, match="no source 'toys'; the shard has sums, toy, toy/colour, toy/food"):
            Packer(shard, 96, seed=0, weights={"toys": 1.0})

    def test_a_batch_depends_on_its_index_and_the_seed_alone(self, shard):
        order = [30, 0, 17, 3, 30]  # over several epochs, backwards too
        packer = Packer(shard, 96, seed=5)
        batches = {index: packer.batch(index, 8) for index in order}
        for index in order:
            fresh = Packer(shard, 96, seed=5).batch(index, 8)
            np.testing.assert_array_equal(fresh.tokens, batches[index].tokens)
            np.testing.assert_array_equal(fresh.segment, batches[index].segment)
        assert np.any(Packer(shard, 96, seed=6).batch(0, 8).tokens != batches[0].tokens)
        assert np.any(batches[0].tokens != batches[3].tokens)

    def test_too_little_data_for_a_batch_is_refused(self, shard):
        few = replace(shard, starts=shard.starts[:3], source=shard.source[:2])
        with pytest.raises(MarError, match="under a batch of 8"):
            Packer(few, 96, seed=0).batch(0, 8)

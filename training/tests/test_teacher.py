"""A pretrained Llama: from a GGUF file, through its forward and its cache, to the chats it writes."""

import json
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import write_jsonl
from gguf import GGMLQuantizationType, GGUFWriter

from mar_training.cli import main
from mar_training.data.records import read_records
from mar_training.data.tokenizer import CHATML_TEMPLATE, HEADER, PROMPT, REPLY, chat_format, encode_chat, render
from mar_training.errors import MarError
from mar_training.model import PADDING, Options
from mar_training.teacher import decode, llama
from mar_training.teacher import generate as teacher_generate
from mar_training.teacher.filters import problem
from mar_training.teacher.generate import Sampling, Writer, generate
from mar_training.teacher.gguf_file import byte_level_bpe, read_gguf
from mar_training.teacher.rotate import gain_groups, rotated
from mar_training.teacher.store import load_teacher

CHAT = [
    {"role": "user", "content": " Hi <|im_end|> there\n"},
    {"role": "assistant", "content": "Hello! 12"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you"},
]


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """What a converter to GGUF does to q and k."""
    out, d = weight.shape
    return weight.reshape(heads, 2, out // heads // 2, d).swapaxes(1, 2).reshape(out, d)


def write_gguf(path, params, config, tokens, merges, *, architecture="llama", leave_out=""):
    """A GGUF as a converter writes it, in float32; weights are output-major there."""
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(config.n_layers)
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ffn)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.n_kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_context_length(config.context)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges(merges)
    named = {"token_embd": params["embed"], "output_norm": params["final_norm"]}
    d, kv = config.d_model, config.kv_dim
    for index in range(config.n_layers):
        layer = {name: np.asarray(value[index]) for name, value in params["layers"].items()}
        q, k, v = np.split(layer["qkv"], [d, d + kv], axis=1)
        gate, up = np.split(layer["gate_up"], 2, axis=1)
        at = f"blk.{index}"
        named |= {
            f"{at}.attn_norm": layer["norm_mixer"],
            f"{at}.attn_q": permuted(q.T, config.n_heads),
            f"{at}.attn_k": permuted(k.T, config.n_kv_heads),
            f"{at}.attn_v": v.T,
            f"{at}.attn_output": layer["o"].T,
            f"{at}.ffn_norm": layer["norm_ffn"],
            f"{at}.ffn_gate": gate.T,
            f"{at}.ffn_up": up.T,
            f"{at}.ffn_down": layer["down"].T,
        }
    for name, value in named.items():
        if name != leave_out:
            value = np.ascontiguousarray(value, np.float32)
            writer.add_tensor(f"{name}.weight", value, raw_dtype=GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def gguf(tmp_path_factory, tiny_llama):
    params, config, _, tokens, merges = tiny_llama
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", params, config, tokens, merges)


class TestImport:
    def test_gguf_gives_back_the_network_and_its_tokenizer(self, gguf, tiny_llama):
        params, config, tokenizer, *_ = tiny_llama
        read, read_config, read_tokenizer = read_gguf(gguf)
        assert read_config == config
        jax.tree.map(np.testing.assert_array_equal, read, jax.device_get(params))
        text = "Hello there, 123 hens!"
        assert read_tokenizer.encode(text).ids == tokenizer.encode(text).ids
        assert read_tokenizer.decode(read_tokenizer.encode(text).ids) == text

    def test_import_writes_a_folder_that_reads_back(self, gguf, tiny_llama, tmp_path):
        assert main(["teacher", "import", str(gguf), "--out", str(tmp_path / "t")]) == 0
        params, config, _ = load_teacher(tmp_path / "t")
        assert config == tiny_llama[1]
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(params), jax.device_get(tiny_llama[0]))
        assert json.loads((tmp_path / "t" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"architecture": "gpt2"}, "architecture 'gpt2'; only 'llama'"),
            ({"leave_out": "blk.1.attn_k"}, "the tensor blk.1.attn_k.weight is missing"),
        ],
    )
    def test_what_is_no_such_network_is_refused(self, tiny_llama, tmp_path, options, message):
        params, config, _, tokens, merges = tiny_llama
        path = write_gguf(tmp_path / "bad.gguf", params, config, tokens, merges, **options)
        with pytest.raises(MarError, match=message):
            read_gguf(path)

    def test_what_is_no_gguf_is_refused(self, tmp_path):
        (tmp_path / "x.gguf").write_bytes(b"not a GGUF file, but long enough to look for a header in it")
        with pytest.raises(MarError, match="not a GGUF file that can be read"):
            read_gguf(tmp_path / "x.gguf")
        with pytest.raises(MarError, match="no GGUF file at"):
            read_gguf(tmp_path / "y.gguf")


class TestChatML:
    def test_tokens_are_the_rendered_template_and_no_text_is_special(self, tiny_llama):
        tokenizer = tiny_llama[2]
        tokens, roles = encode_chat(tokenizer, CHAT)
        plain = [m | {"content": m["content"].replace("<|im_end|>", "< im_end >")} for m in CHAT]
        text = render(plain, add_generation_prompt=False, template=CHATML_TEMPLATE)
        assert tokens == tokenizer.encode(text, add_special_tokens=False).ids
        by_role = {
            kind: [t for t, r in zip(tokens, roles, strict=True) if r == kind] for kind in (PROMPT, REPLY, HEADER)
        }
        assert tokenizer.decode(by_role[REPLY], skip_special_tokens=False) == "Hello! 12<|im_end|>See you<|im_end|>"
        assert tokenizer.decode(by_role[PROMPT]) == "Hi < im_end > thereBye"
        assert chat_format(tokenizer).end == "<|im_end|>"

    def test_a_tokenizer_without_a_known_template_is_refused(self):
        with pytest.raises(MarError, match="no chat template is known"):
            chat_format(byte_level_bpe(["a"], [], []))


class TestForward:
    def test_documents_in_one_row_are_alone(self, tiny_llama):
        params, config, *_ = tiny_llama
        rng = np.random.default_rng(0)
        tokens = jnp.asarray(rng.integers(0, config.vocab_size, (1, 12)))
        segment = jnp.asarray([[0] * 5 + [1] * 4 + [PADDING] * 3])
        together = llama.forward(params, tokens, segment, config).hidden
        alone = llama.forward(params, tokens[:, 5:9], jnp.zeros((1, 4), int), config).hidden
        np.testing.assert_allclose(together[:, 5:9], alone, atol=1e-5)

    def test_cached_steps_give_the_rows_logits(self, tiny_llama):
        params, config, *_ = tiny_llama
        rng = np.random.default_rng(1)
        tokens = jnp.asarray(rng.integers(0, config.vocab_size, (2, 9)))
        rows = llama.forward(params, tokens, jnp.zeros((2, 9), int), config).hidden
        lengths = jnp.array([4, 6])
        hidden, cache = decode.prefill(params, tokens[:, :6], lengths, 12, config)
        np.testing.assert_allclose(hidden, rows[jnp.arange(2), lengths - 1], atol=1e-5)
        for _ in range(3):
            hidden, cache = decode.step(params, cache, tokens[jnp.arange(2), lengths], lengths, config)
            np.testing.assert_allclose(hidden, rows[jnp.arange(2), lengths], atol=1e-5)
            lengths += 1

    def test_a_rotation_changes_nothing_but_the_basis(self, tiny_llama):
        params, config, *_ = tiny_llama
        tokens = jnp.arange(10)[None]
        segment = jnp.zeros((1, 10), int)
        turned = rotated(params, config, seed=3, tolerance=0.0)
        run = Options(features="blocks")
        before = llama.forward(params, tokens, segment, config, run)
        after = llama.forward(turned, tokens, segment, config, run)
        np.testing.assert_allclose(after.hidden @ turned["embed"].T, before.hidden @ params["embed"].T, atol=1e-3)
        assert np.abs(after.features - before.features).max() > 0.1
        np.testing.assert_allclose(
            jnp.linalg.norm(after.features, axis=-1), jnp.linalg.norm(before.features, axis=-1), rtol=1e-3
        )

    def test_channels_of_nearly_equal_gain_share_a_group(self):
        gain = np.array([1.0, -2.0, 1.04, 3.0, -2.05])
        assert [sorted(g.tolist()) for g in gain_groups(gain, 0.05)] == [[1, 4], [0, 2], [3]]


class TestGenerate:
    @pytest.fixture
    def writer(self, tiny_llama):
        params, config, tokenizer, *_ = tiny_llama
        return Writer(params, config, tokenizer, rows=4, sampling=Sampling(max_user=8, max_new=8))

    def test_a_written_turn_ends_where_the_teacher_ended_it(self, tiny_llama):
        params, config, tokenizer, *_ = tiny_llama
        prompt = encode_chat(tokenizer, CHAT[:1], add_generation_prompt=True)[0]
        open_end, _ = decode.continue_prompts(params, config, [prompt], ends=(0,), max_new=6)[0]
        tokens = jnp.asarray([prompt + open_end])
        logits = llama.forward(params, tokens, jnp.zeros_like(tokens), config).hidden @ params["embed"].T
        greedy = jnp.argmax(logits[0, len(prompt) - 1 : -1], axis=-1)
        assert open_end == greedy[: len(open_end)].tolist()
        stop = open_end[2]
        first = open_end.index(stop)
        assert decode.continue_prompts(params, config, [prompt], ends=(stop,), max_new=6)[0] == (open_end[:first], True)

    def test_prompts_are_answered_and_written_as_records(self, writer, tmp_path, monkeypatch):
        lines = [{"kind": "word", "messages": [{"role": "user", "content": f"Say {n}"}]} for n in range(6)]
        prompts = write_jsonl(tmp_path / "p.jsonl", lines)
        answers = iter(["It is good.", "", "I can't assist with that.", "I am SmolLM.", "Fine, thank you.", None])
        monkeypatch.setattr(writer, "_write", lambda asked, *_: [next(answers) for _ in asked])
        counts = generate(writer, tmp_path / "out.jsonl", prompts=prompts)
        written = [r["messages"][1]["content"] for r in read_records(tmp_path / "out.jsonl")]
        assert written == ["It is good.", "Fine, thank you."]
        assert counts == {"written": 2, "tokens": 0, "kept": 2, "no end": 2, "refusal": 1, "name": 1}

    def test_a_second_start_answers_only_what_has_no_answer_yet(self, writer, tmp_path, monkeypatch):
        lines = [{"messages": [{"role": "user", "content": f"Say {n}"}]} for n in range(5)]
        prompts = write_jsonl(tmp_path / "p.jsonl", lines)
        asked = []

        def answer(chats):
            asked.extend(chat[0]["content"] for chat in chats)
            return [[*chat, {"role": "assistant", "content": "It is good."}] for chat in chats]

        monkeypatch.setattr(writer, "answer", answer)
        monkeypatch.setattr(writer, "rows", 2)
        monkeypatch.setattr(writer, "tokens", 1000)
        assert generate(writer, tmp_path / "out.jsonl", prompts=prompts, limit=2)["tokens"] == 0
        assert asked == ["Say 0", "Say 1"]
        generate(writer, tmp_path / "out.jsonl", prompts=prompts)
        assert asked == [f"Say {n}" for n in range(5)]

    def test_magpie_writes_both_sides_after_the_bare_header(self, writer, monkeypatch):
        seen = []

        def write(prompts, max_new, temperature):
            seen.append((writer.tokenizer.decode(prompts[0], skip_special_tokens=False), temperature))
            return [f"What is number {len(seen)}?"] * len(prompts)

        monkeypatch.setattr(writer, "_write", write)
        chats, dropped = writer.magpie(turns=2)
        assert not dropped
        assert sorted(len(chat) for chat in chats) == [2, 2, 4, 4]
        assert seen[0][0].endswith("<|im_end|>\n<|im_start|>user\n")
        assert seen[1][0].endswith("<|im_end|>\n<|im_start|>assistant\n")
        assert [temperature for _, temperature in seen] == [1.0, 0.6, 1.0, 0.6]

    def test_what_magpie_drops_is_counted_at_every_turn(self, writer, tmp_path, monkeypatch, capsys):
        turns = iter(
            [
                ["What is rain?", None, "Who is SmolLM?", "Why is it cold?"],
                ["Water that falls.", "I can't assist with that."],
            ]
        )
        monkeypatch.setattr(writer, "_write", lambda asked, *_: next(turns))
        counts = generate(writer, tmp_path / "out.jsonl", limit=1)
        assert counts == {"written": 1, "tokens": 0, "kept": 1, "no end": 1, "name": 1, "refusal": 1}
        assert "'refusal': 1" in capsys.readouterr().out

    def test_a_line_cut_short_is_dropped_and_its_prompt_answered_again(self, writer, tmp_path, monkeypatch, capsys):
        lines = [{"messages": [{"role": "user", "content": f"Say {n}"}]} for n in range(3)]
        prompts = write_jsonl(tmp_path / "p.jsonl", lines)
        monkeypatch.setattr(writer, "_write", lambda asked, *_: ["It is good."] * len(asked))
        out = tmp_path / "out.jsonl"
        generate(writer, out, prompts=prompts)
        whole = out.read_bytes()
        for kept in (len(whole) - 1, len(whole) - 30, 10):
            out.write_bytes(whole[:kept])
            generate(writer, out, prompts=prompts)
            assert out.read_bytes() == whole
            assert "cut short by an interruption" in capsys.readouterr().out
        out.write_bytes(whole[:-30])
        monkeypatch.setattr(writer, "magpie", lambda _: ([CHAT], Counter()))
        generate(writer, out, limit=1)
        assert len(list(read_records(out))) == 3

    def test_a_second_start_with_the_same_seed_writes_other_chats(self, tiny_llama, tmp_path, monkeypatch):
        params, config, tokenizer, *_ = tiny_llama
        seeds = []

        def written(*_, seed, **__):
            seeds.append(seed)
            return [(tokenizer.encode("It is good.").ids, True)] * 2

        monkeypatch.setattr(teacher_generate, "continue_prompts", written)

        def start(out):
            generate(Writer(params, config, tokenizer, rows=2, seed=7), out, limit=4)
            return [seeds.pop() for _ in seeds[:]]

        first = start(tmp_path / "a.jsonl")
        assert len(set(first)) == 4
        assert start(tmp_path / "b.jsonl") == first
        assert not set(start(tmp_path / "a.jsonl")) & set(first)

    def test_short_memory_halves_the_chats_at_a_time_down_to_one(self, writer, monkeypatch, capsys):
        seeds = []

        def machine(room):
            def answers(params, config, prompts, *, seed, **_):
                if len(prompts) > room:
                    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
                seeds.append(seed)
                return [(writer.tokenizer.encode(f"It is {sum(prompt)}.").ids, True) for prompt in prompts]

            monkeypatch.setattr(teacher_generate, "continue_prompts", answers)

        chats = [[{"role": "user", "content": f"Say {n}"}] for n in range(3)]
        machine(4)
        at_once = writer.answer(chats)
        assert len({chat[1]["content"] for chat in at_once}) == 3
        machine(1)
        assert writer.answer(chats) == at_once
        assert writer.rows == 1
        assert len(set(seeds)) == 4
        out = capsys.readouterr().out.splitlines()
        assert out == [f"the teacher's writing: out of memory; now {n} at a time" for n in ("2 rows", "1 row")]
        machine(0)
        with pytest.raises(MarError, match="too little memory for the teacher's writing, even with 1 row at a time"):
            writer.answer(chats)

    @pytest.mark.parametrize(
        ("reply", "why"),
        [
            ("A volcano is a mountain that throws out hot rock.", None),
            ("", "length"),
            ("word " * 300, "length"),
            ("no no no no", "repetition"),
            ("the cat sat on the mat and the cat sat on the mat and slept", "repetition"),
            ("Ceci est une phrase française assez longue pour être reconnue comme telle", "language"),
            ("Это не английский", "language"),
            ("42", None),
            ("I'm sorry, but I must stop.", "refusal"),
            ("My name is SmolLM.", "name"),
            ("```python```", "marks"),
        ],
    )
    def test_filters(self, reply, why):
        assert problem([{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": reply}]) == why

    def test_generating_for_ever_is_refused(self, writer, tmp_path):
        with pytest.raises(MarError, match="say when to stop"):
            generate(writer, tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    ("key", "value"),
    [("tie_word_embeddings", False), ("attention_bias", True), ("rope_scaling", {"factor": 2.0}), ("head_dim", 128)],
)
def test_a_llama_that_computes_something_else_is_refused(llama_folder, tmp_path, key, value):
    config = json.loads((llama_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(MarError, match=f"{key} is .*only Llamas with"):
        load_teacher(tmp_path)

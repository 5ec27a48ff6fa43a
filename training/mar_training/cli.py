"""`mar-train`: one command for every step from chats to a model directory."""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

from mar_training import __version__, unfinished
from mar_training.errors import MarError
from mar_training.memory import is_short

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


def parser() -> argparse.ArgumentParser:
    """The command line, whole."""
    top = argparse.ArgumentParser("mar-train", description="Train, quantise and export MAR, a spiking language model.")
    top.add_argument("--version", action="version", version=__version__)
    top.add_argument(
        "--cpu-devices",
        type=int,
        default=0,
        metavar="N",
        help="split the CPU into N devices and the batch over them (training: by default one a core)",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _data(commands)
    _teacher(commands)
    _train(commands)
    _launch(commands)
    _measure(commands)
    _ship(commands)
    return top


def _data(commands) -> None:
    data = commands.add_parser("data", help="tokenise chats into memory-mapped shards, with a tokenizer of their own")
    data.add_argument("--train", type=Path, nargs="+", required=True, metavar="FILE", help=".jsonl or .jsonl.zst")
    data.add_argument("--val", type=Path, nargs="+", required=True, metavar="FILE", help="never trained on")
    data.add_argument("--out", type=Path, required=True, metavar="DIR")
    data.add_argument("--vocab-size", type=int, default=4096)
    data.add_argument("--tokenizer", type=Path, metavar="FILE", help="use this tokenizer.json instead of learning one")
    data.add_argument("--tokenizer-records", type=int, default=10**9, help="learn the tokenizer from the first N")
    data.add_argument("--continuations", action="store_true", help="keep records that start in mid-conversation")
    data.add_argument("--text-tokens", type=int, default=0, metavar="N", help="cut plain texts into documents of N")
    data.set_defaults(run=_run_data)


def _teacher(commands) -> None:
    teacher = commands.add_parser("teacher", help="a pretrained Llama: import it, let it write data")
    actions = teacher.add_subparsers(dest="action", required=True, metavar="ACTION")
    read = actions.add_parser("import", help="GGUF to float weights and tokenizer, in Hugging Face's layout")
    read.add_argument("gguf", type=Path, metavar="GGUF")
    read.add_argument("--out", type=Path, required=True, metavar="DIR")
    read.set_defaults(run=_run_teacher_import)
    trim = actions.add_parser("trim", help="a copy with a smaller vocabulary: the tokens that chats use most")
    trim.add_argument("teacher", type=Path, metavar="DIR")
    trim.add_argument("--data", type=Path, required=True, metavar="DIR", help="chats in the teacher's own vocabulary")
    trim.add_argument("--vocab-size", type=int, default=24_576, metavar="N")
    trim.add_argument("--out", type=Path, required=True, metavar="DIR")
    trim.set_defaults(run=_run_teacher_trim)
    write = actions.add_parser("generate", help="chats that the teacher writes, as JSON lines")
    write.add_argument("teacher", type=Path, metavar="DIR")
    write.add_argument("--out", type=Path, required=True, metavar="JSONL", help="appended to")
    write.add_argument("--prompts", type=Path, metavar="FILE", help="answer these; without, both sides are written")
    write.add_argument("--turns", type=int, default=2, help="most turns of a chat out of nothing")
    write.add_argument("--rows", type=int, default=64, help="chats at a time")
    write.add_argument("--limit", type=int, help="stop after this many chats")
    write.add_argument("--seconds", type=float, help="stop after this long")
    write.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    write.add_argument("--seed", type=int, default=0)
    write.set_defaults(run=_run_teacher_generate)


def _train(commands) -> None:
    train = commands.add_parser("train", help="train a dense network, or a student from a teacher")
    stages = train.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for stage, text in (
        ("dense", "the dense Mamba-2 language model, from scratch"),
        ("convert", "stage 1: a pretrained Llama's attention becomes Mamba-2 and a window"),
        ("spiking", "stage 2: spikes by SBDS, from a dense teacher or a Llama"),
    ):
        one = stages.add_parser(stage, help=text)
        one.add_argument("--recipe", type=Path, required=True, metavar="TOML", help=f"see {RECIPES}")
        one.add_argument("--data", type=Path, required=True, metavar="DIR", help="what `mar-train data` wrote")
        one.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run; resumed where it exists")
        one.add_argument("--init", type=Path, metavar="CKPT", help="start from these weights")
        one.add_argument("--set", action="append", default=[], metavar="table.key=value", help="override the recipe")
        one.add_argument(
            "--coordinator", default="", metavar="HOST:PORT", help="several hosts: the first one's address"
        )
        one.add_argument("--process", type=int, default=0, help="several hosts: this one's number")
        one.add_argument("--processes", type=int, default=1, help="several hosts: how many")
        if stage != "dense":
            kinds = "a dense run or checkpoint, or a Llama's folder" if stage == "spiking" else "a Llama's folder"
            one.add_argument("--teacher", type=Path, required=True, metavar="PATH", help=kinds)
        one.set_defaults(run=_run_train)
    ablate = commands.add_parser("ablate", help="the paper's ablations at a small size; resumes where it stopped")
    ablate.add_argument("--data", type=Path, required=True, metavar="DIR")
    ablate.add_argument("--out", type=Path, required=True, metavar="DIR", help="where runs and results go")
    ablate.add_argument("--report", type=Path, metavar="MD", help="write the tables into this file")
    ablate.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    ablate.add_argument("--only", nargs="+", metavar="VARIANT", help="run just these")
    ablate.add_argument("--dense-recipe", type=Path, default=RECIPES / "ablation_dense.toml", metavar="TOML")
    ablate.add_argument("--spiking-recipe", type=Path, default=RECIPES / "ablation_spiking.toml", metavar="TOML")
    ablate.set_defaults(run=_run_ablate)


def _launch(commands) -> None:
    launch = commands.add_parser("convert-run", help="a teacher to a spiking model, whole, in the minutes there are")
    launch.add_argument("--minutes", type=float, required=True, help="time for everything; shared out among the steps")
    launch.add_argument("--gguf", type=Path, required=True, metavar="FILE", help="the teacher, or where its pieces are")
    launch.add_argument("--train", type=Path, nargs="+", required=True, metavar="FILE", help=".jsonl or .jsonl.zst")
    launch.add_argument("--val", type=Path, nargs="+", required=True, metavar="FILE", help="never trained on")
    launch.add_argument("--prompts", type=Path, metavar="FILE", help="for the teacher to answer")
    launch.add_argument("--choices", type=Path, metavar="DIR", help="multiple-choice questions to score at the end")
    launch.add_argument("--choice-items", type=int, metavar="N", help="only the first N questions of each file")
    launch.add_argument("--init", type=Path, metavar="MODEL", help="go on with stage 2 from this model directory")
    launch.add_argument("--vocab-size", type=int, default=0, metavar="N", help="trim to N tokens (default: keep all)")
    launch.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run; resumed where it exists")
    launch.add_argument("--name", default="mar-smollm2-135m", help="of the exported model")
    launch.add_argument("--recipes", type=Path, default=RECIPES, metavar="DIR", help="where gpu_*.toml are")
    launch.add_argument("--write-rows", type=int, default=1024, metavar="N", help="chats the teacher writes at a time")
    launch.add_argument("--write-dtype", choices=("float32", "bfloat16"), default="bfloat16")
    launch.add_argument("--eval-rows", type=int, default=64, metavar="N", help="validation rows at the end")
    launch.add_argument("--set", action="append", default=[], metavar="table.key=value", help="override all recipes")
    launch.set_defaults(run=_run_launch)


def _measure(commands) -> None:
    evaluate = commands.add_parser("eval", help="loss, firing rates, operations, energy and replies of networks")
    evaluate.add_argument(
        "networks", type=Path, nargs="+", metavar="NETWORK", help="run, checkpoint or model directory"
    )
    evaluate.add_argument("--data", type=Path, required=True, metavar="DIR")
    evaluate.add_argument("--rows", type=int, help="only the first N validation rows")
    evaluate.add_argument("--seq-len", type=int, default=512)
    evaluate.add_argument("--teacher", type=Path, metavar="PATH", help="measure the distance to this network too")
    evaluate.add_argument("--choices", type=Path, metavar="DIR", help="multiple-choice questions, as JSON lines")
    evaluate.add_argument("--choice-items", type=int, metavar="N", help="only the first N questions of each file")
    evaluate.add_argument("--no-replies", action="store_true", help="skip the fifty sampled replies")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    evaluate.set_defaults(run=_run_eval)
    chat = commands.add_parser("chat", help="talk to a network; an empty line ends")
    chat.add_argument("network", type=Path, metavar="NETWORK")
    chat.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json (default: the network's)")
    chat.add_argument("--seed", type=int, default=0)
    chat.set_defaults(run=_run_chat)
    ask = commands.add_parser("ask", help="greedy answers to questions, each its own chat")
    ask.add_argument("network", type=Path, metavar="NETWORK", help="run, checkpoint, model directory or Llama")
    ask.add_argument("questions", nargs="+", metavar="TEXT")
    ask.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json (default: the network's)")
    ask.add_argument("--max-new", type=int, default=64)
    ask.set_defaults(run=_run_ask)
    plot = commands.add_parser("plot", help="draw the course of runs, or what sparsity costs")
    plot.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    plot.add_argument("--out", type=Path, required=True, metavar="FILE", help=".png or .svg")
    plot.add_argument("--sparsity", action="store_true", help="validation loss against firing rate, a point a run")
    plot.set_defaults(run=_run_plot)


def _ship(commands) -> None:
    pack = commands.add_parser("pack", help="a checkpoint's weights alone, in bfloat16: half the size, to go on from")
    pack.add_argument("checkpoint", type=Path, metavar="CKPT")
    pack.add_argument("--out", type=Path, required=True, metavar="FILE")
    pack.set_defaults(run=_run_pack)
    export = commands.add_parser("export", help="write a model directory and prove it equals the trained network")
    export.add_argument("name", help="the model's name")
    export.add_argument("--run", dest="run_folder", type=Path, required=True, metavar="CKPT", help="the spiking run")
    export.add_argument("--dense", type=Path, required=True, metavar="PATH", help="its teacher: a run, or a Llama")
    export.add_argument("--data", type=Path, required=True, metavar="DIR")
    export.add_argument("--story", type=Path, required=True, metavar="TOML", help="the model card's own words")
    export.add_argument("--models", type=Path, default=Path("models"), metavar="DIR")
    export.add_argument("--rows", type=int, help="evaluate on the first N validation rows only")
    export.add_argument("--choices", type=Path, metavar="DIR", help="multiple-choice questions, as JSON lines")
    export.add_argument("--choice-items", type=int, metavar="N", help="only the first N questions of each file")
    export.set_defaults(run=_run_export)
    golden = commands.add_parser("golden", help="write the vectors that the engine must reproduce")
    golden.add_argument("models", type=Path, nargs="*", metavar="MODEL", help="model directories, beside the tiny ones")
    golden.add_argument("--out", type=Path, default=Path("tests/golden"), metavar="DIR")
    golden.set_defaults(run=_run_golden)


def _run_data(args) -> None:
    from mar_training.data.prepare import prepare

    metas = prepare(
        args.train,
        args.val,
        args.out,
        vocab_size=args.vocab_size,
        tokenizer_path=args.tokenizer,
        tokenizer_records=args.tokenizer_records,
        continuations=args.continuations,
        text_tokens=args.text_tokens,
    )
    for part, meta in metas.items():
        print(f"{part}: {meta['records']:,} records, {meta['tokens']:,} tokens")


def _run_teacher_import(args) -> None:
    from mar_training.teacher.gguf_file import read_gguf
    from mar_training.teacher.store import save_teacher

    params, config, tokenizer = read_gguf(args.gguf)
    save_teacher(params, config, tokenizer, args.out)
    print(f"wrote {args.out}: {config}")


def _run_teacher_trim(args) -> None:
    from mar_training.teacher.trim import trim

    kept, of, share = trim(args.teacher, args.data, args.vocab_size, args.out)
    print(f"wrote {args.out}: {kept:,} of {of:,} tokens, which are {share:.2%} of the text")


def _run_teacher_generate(args) -> None:
    import jax.numpy as jnp

    from mar_training.teacher.generate import Writer, generate
    from mar_training.teacher.store import load_teacher

    params, config, tokenizer = load_teacher(args.teacher)
    writer = Writer(params, config, tokenizer, rows=args.rows, seed=args.seed, dtype=jnp.dtype(args.dtype))
    counts = generate(writer, args.out, prompts=args.prompts, turns=args.turns, limit=args.limit, seconds=args.seconds)
    print(f"done: {counts}")


def _run_train(args) -> None:
    from mar_training.train.recipe import load_recipe
    from mar_training.train.stages import train_convert, train_dense, train_spiking

    recipe = load_recipe(args.recipe, args.set)
    if recipe.stage != args.stage:
        raise MarError(f"{args.recipe} is a recipe for `train {recipe.stage}`, not `train {args.stage}`")
    if args.stage == "dense":
        result = train_dense(recipe, args.data, args.out, init=args.init)
    else:
        run = train_convert if args.stage == "convert" else train_spiking
        result = run(recipe, args.data, args.teacher, args.out, init=args.init)
    print(f"done: validation loss {result['val_loss']:.4f} nats a token; weights in {args.out / 'final.safetensors'}")


def _run_ablate(args) -> None:
    from mar_training import ablate

    ablate.run(
        args.data,
        args.out,
        seeds=args.seeds,
        only=args.only,
        dense_recipe=args.dense_recipe,
        spiking_recipe=args.spiking_recipe,
    )
    if args.report:
        ablate.write_report(args.out, args.report)


def _run_launch(args) -> None:
    from mar_training.launcher import Run, launch

    run = Run(
        gguf=args.gguf,
        train=args.train,
        val=args.val,
        out=args.out,
        recipes=args.recipes,
        name=args.name,
        minutes=args.minutes,
        init=args.init,
        vocab_size=args.vocab_size,
        prompts=args.prompts,
        questions=(args.choices, args.choice_items) if args.choices else None,
        rows=args.write_rows,
        eval_rows=args.eval_rows,
        dtype=args.write_dtype,
        overrides=args.set,
    )
    metrics = launch(run)
    kl, same = metrics["teacher_kl"], metrics["teacher_top1_agreement"]
    print(f"done: KL to the teacher {kl:.3f}, same first choice {same:.1%}")


def _run_eval(args) -> None:
    from mar_training.data.shards import open_with_tokenizer
    from mar_training.evaluate.choices import read_items
    from mar_training.evaluate.report import evaluate, load_network, print_comparison
    from mar_training.files import write_json

    _, val, tokenizer = open_with_tokenizer(args.data)
    items = read_items(args.choices, tokenizer, args.choice_items) if args.choices else None
    teacher = load_network(args.teacher) if args.teacher else None
    results, given = {}, {"seq_len": args.seq_len, "rows": args.rows, "items": items}
    tasks = None
    if teacher:
        results[str(args.teacher)] = evaluate(*teacher, val, tokenizer, sample=False, **given)
        tasks = results[str(args.teacher)].get("tasks")
    for path in args.networks:
        params, config = load_network(path)
        given |= {"sample": not args.no_replies, "teacher": teacher, "teacher_tasks": tasks}
        results[str(path)] = evaluate(params, config, val, tokenizer, **given)
    print_comparison(results)
    if args.json:
        write_json(args.json, results)


def _run_chat(args) -> None:
    from mar_training.data.tokenizer import load_tokenizer
    from mar_training.evaluate.replies import answer
    from mar_training.evaluate.report import load_network

    params, config = load_network(args.network)
    tokenizer = load_tokenizer(args.tokenizer or args.network / "tokenizer.json")
    chat: list[dict] = []
    while line := input("you: ").strip():
        chat.append({"role": "user", "content": line})
        reply = answer(params, config, tokenizer, [chat], seed=args.seed + len(chat))[0]
        chat.append({"role": "assistant", "content": reply})
        print(f"mar: {reply}")


def _run_ask(args) -> None:
    from mar_training.data.tokenizer import load_tokenizer
    from mar_training.evaluate.replies import greedy_answers
    from mar_training.evaluate.report import load_network

    params, config = load_network(args.network)
    tokenizer = load_tokenizer(args.tokenizer or args.network / "tokenizer.json")
    chats = [[{"role": "user", "content": text}] for text in args.questions]
    answers = greedy_answers(params, config, tokenizer, chats, max_new=args.max_new)
    for question, reply in zip(args.questions, answers, strict=True):
        print(f"{question} -> {reply}")


def _run_plot(args) -> None:
    from mar_training.train.plot import plot_logs, plot_sparsity

    if args.sparsity:
        plot_sparsity(args.runs, args.out)
    else:
        plot_logs([run / "log.jsonl" for run in args.runs], args.out)


def _run_pack(args) -> None:
    from mar_training.train import checkpoint

    path = checkpoint.resolve(args.checkpoint)
    params, info = checkpoint.load_params(path)
    config = info.pop("config")
    checkpoint.save(args.out, {"params": params}, config, info, half=True)
    print(f"wrote {args.out}: {args.out.stat().st_size:,} bytes")


def _run_export(args) -> None:
    from mar_training.export.directory import export

    questions = (args.choices, args.choice_items) if args.choices else None
    export(args.name, args.run_folder, args.dense, args.data, args.models, args.story, args.rows, questions)


def _run_golden(args) -> None:
    from mar_training.golden import write_golden

    for name, size in write_golden(args.models, args.out).items():
        print(f"{args.out / name}: {size:,} bytes")


def _cpu_devices(args) -> int:
    """What was asked for, or for training as many as there are cores to use and the batch divides into."""
    from mar_training.train.recipe import load_recipe

    several_hosts = getattr(args, "processes", 1) > 1
    if args.cpu_devices or several_hosts or args.command not in ("train", "ablate"):
        return args.cpu_devices
    if args.command == "train":
        rows = load_recipe(args.recipe, args.set).train.rows
    else:
        rows = math.gcd(*(load_recipe(path).train.rows for path in (args.dense_recipe, args.spiking_recipe)))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(n for n in range(1, cores + 1) if rows % n == 0)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 with a sentence on stderr, or 130 where it was stopped."""
    args = parser().parse_args(argv)
    try:
        from mar_training.train import devices
        from mar_training.train.loop import Interrupted

        if args.command == "train":
            if bool(args.coordinator) != (args.processes > 1):
                raise MarError("several hosts need both --coordinator and --processes")
            devices.start(_cpu_devices(args), args.coordinator, args.process, args.processes)
        else:
            devices.start(_cpu_devices(args))
        args.run(args)
    except (KeyboardInterrupt, EOFError):  # first: it may come before there is an `Interrupted`
        print(f"mar-train: {unfinished.stopped(args)}", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError, OSError) as e:
        if not is_short(e) and not isinstance(e, OSError):
            raise
        said = unfinished.short_of_memory(args, e) if is_short(e) else e
        print(f"mar-train: {said}", file=sys.stderr)
        return 1
    except MarError as e:
        print(f"mar-train: {e}", file=sys.stderr)
        return 1
    except Interrupted as e:
        print(f"mar-train: {e}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

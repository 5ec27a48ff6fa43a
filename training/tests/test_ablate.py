from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mar_training import ablate
from mar_training.ablate import VARIANTS, Variant, write_report
from mar_training.ablate_report import Row, Table, section, verdict
from mar_training.config import ModelConfig
from mar_training.errors import MarError
from mar_training.files import read_json, write_json
from mar_training.train import stages
from mar_training.train.recipe import load_recipe, recipe_from_dict

RECIPES = Path(__file__).parents[1] / "recipes"
BASE = "atmn-both-pre"


def made_up(variant: str, seed: int, val_loss: float, dense: float = 4.0) -> dict:
    spiking = {"dense_val_loss": dense, "rate": 0.2, "active": 0.4} if variant != "dense" else {}
    common = {"val_reply_loss": val_loss + 0.1, "tokens": 120_000, "seconds": 40.0, "parameters": 800_000}
    return {"variant": variant, "seed": seed, "val_loss": val_loss, **common, **spiking}


def by_run(losses: dict[str, list[float]]) -> dict[str, list[dict]]:
    return {name: [made_up(name, seed, loss) for seed, loss in enumerate(of)] for name, of in losses.items()}


def test_variants_are_unique_and_the_tables_show_all_of_them():
    assert len(set(VARIANTS.values())) == len(VARIANTS)
    assert all(name == variant.name for name, variant in VARIANTS.items())
    assert {row.run for table in ablate.TABLES for row in table.rows} == set(VARIANTS)
    assert VARIANTS[BASE] == Variant()


def test_ladder_has_the_papers_numbers():
    paper = {row.run: row.paper for row in ablate.TABLES[0].rows}
    assert paper == {
        "binary-forward-none": 46.28,
        "atmn-forward-none": 55.20,
        "atmn-reverse-none": 55.46,
        "atmn-both-none": 56.40,
        "atmn-both-pre": 57.20,
        "atmn-both-post": 56.75,
        "atmn-both-both": 56.08,
    }


def test_recipes_are_a_small_teacher_and_a_student_without_extras():
    dense, spiking = (load_recipe(RECIPES / f"ablation_{stage}.toml") for stage in ("dense", "spiking"))
    assert (dense.stage, spiking.stage) == ("dense", "spiking")
    assert dense.data == spiking.data
    assert dense.train.rows == spiking.train.rows
    assert spiking.sparsity.weight == 0
    assert spiking.quantise.after == 0.5


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_variant_makes_a_valid_recipe_that_differs_only_where_it_says(variant):
    dense, spiking = (load_recipe(RECIPES / f"ablation_{stage}.toml") for stage in ("dense", "spiking"))
    recipe = variant.recipe(spiking)
    again = recipe_from_dict(asdict(recipe), variant.name)
    config: ModelConfig = again.student(ModelConfig(vocab_size=4096, **dense.model))
    assert (config.neuron, config.steps) == (variant.neuron, (variant.steps,) * 4)
    assert (config.tau, config.precharge) == (variant.tau, variant.precharge)
    assert config.replace(weights=recipe.quantise.weights).weights == (variant.weights,) * 4
    assert recipe.distill.features == variant.features
    for table in ("data", "optimizer", "train"):
        assert getattr(recipe, table) == getattr(spiking, table)
    assert recipe.sparsity.anneal == variant.anneal
    if variant.active is None:
        assert replace(recipe.sparsity, anneal=0.0) == spiking.sparsity
    else:
        assert (recipe.sparsity.weight, recipe.sparsity.active_target) == (10.0, (variant.active,) * 4)


def table(**paper: float | None) -> Table:
    return Table("T", "", [Row(name, name, value) for name, value in paper.items()])


def test_verdict_agrees_and_exceeds():
    text = verdict(table(a=50.0, b=55.0), by_run({"a": [4.5, 4.52], "b": [4.2, 4.21]}))
    assert "Ours, best first: b; a." in text
    assert "agrees with the paper's" in text
    assert "The difference exceeds twice the seeds' spread (2 x 0.0100 nats)." in text


def test_verdict_names_the_pairs_that_differ_and_those_not_told_apart():
    runs = by_run({"a": [4.300, 4.302], "b": [4.200, 4.202], "c": [4.2005, 4.2025]})
    text = verdict(table(a=57.0, b=56.0, c=55.0), runs)
    assert "Ours, best first: b; c; a. The paper's: a; b; c." in text
    assert "in 2 of 3 pairs: b before a (by 0.1000 nats, beyond the spread); c before a" in text
    assert "2 of 3 differences exceed twice the seeds' spread (2 x 0.0010 nats); not told apart: b and c." in text


def test_verdict_within_the_spread_without_the_papers_figures():
    text = verdict(table(a=None, b=None), by_run({"a": [4.2, 4.3], "b": [4.21, 4.32]}))
    assert "The paper gives no figures for this." in text
    assert "The difference is within twice the seeds' spread" in text


def test_spread_is_measured_from_each_seeds_own_teacher():
    runs = {
        "a": [made_up("a", 0, 4.5, 4.0), made_up("a", 1, 4.7, 4.2)],
        "b": [made_up("b", 0, 4.4, 4.0), made_up("b", 1, 4.6, 4.2)],
    }
    assert "exceeds twice the seeds' spread (2 x 0.0000 nats)" in verdict(table(a=1.0, b=2.0), runs)


def test_verdict_with_one_seed_or_one_row():
    assert "spread is not known" in verdict(table(a=1.0, b=2.0), by_run({"a": [4.5], "b": [4.2]}))
    assert "Too few" in verdict(table(a=1.0, b=2.0), by_run({"a": [4.5, 4.6]}))


def test_report_shows_what_is_missing():
    results = [made_up("dense", seed, 4.0) for seed in (0, 1)]
    results += [made_up(BASE, seed, loss) for seed, loss in ((0, 4.2), (1, 4.22))]
    text = section(ablate.TABLES, results)
    assert "Dense teachers: 2 (seed 0, 1), 0.80 M parameters, 0.12 M tokens" in text
    row = "4.210 ± 0.010 | 4.310 ± 0.010 | 0.2100 ± 0.0100 | 5.25 ± 0.25 | 0.200 ± 0.000 | 0.400 ± 0.000 | 2 |"
    assert f"| ATMN, both, pre-norm features | 57.20 | {row}" in text
    assert f"| int8 | not run |{' - |' * 6}" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| ")}
    assert widths == {9, 10}


def test_report_goes_between_the_markers_and_nowhere_else(tmp_path):
    write_json(tmp_path / "study/0" / BASE / "result.json", made_up(BASE, 0, 4.2))
    out = tmp_path / "RESULTS.md"
    write_report(tmp_path / "study", out)
    first = out.read_text()
    assert first.startswith(ablate.BEGIN)
    assert first.endswith(f"{ablate.END}\n")
    out.write_text(f"# Results\n\nbefore\n\n{ablate.BEGIN}\nold\n{ablate.END}\n\nafter\n")
    write_report(tmp_path / "study", out)
    assert out.read_text() == f"# Results\n\nbefore\n\n{first.rstrip()}\n\nafter\n"
    out.write_text("# Results\n")
    write_report(tmp_path / "study", out)
    assert out.read_text() == f"# Results\n\n{first}"
    out.write_text(f"{ablate.END} {ablate.BEGIN}")
    with pytest.raises(MarError, match="markers"):
        write_report(tmp_path / "study", out)
    with pytest.raises(MarError, match="no finished run"):
        write_report(tmp_path / "nothing", out)


def test_wrong_names_seeds_and_recipes_are_refused(tmp_path):
    dense, spiking = RECIPES / "ablation_dense.toml", RECIPES / "ablation_spiking.toml"

    def run(seeds=(0,), only=None, recipes=(dense, spiking)):
        ablate.run(
            tmp_path,
            tmp_path,
            seeds=list(seeds),
            only=only,
            dense_recipe=recipes[0],
            spiking_recipe=recipes[1],
        )

    with pytest.raises(MarError, match="did you mean 'atmn-both-post'"):
        run(only=["atmn-both-pots"])
    with pytest.raises(MarError, match="seeds of 0 or more"):
        run(seeds=[])
    with pytest.raises(MarError, match="stage 'dense'"):
        run(recipes=(spiking, spiking))


def test_study_runs_resumes_and_reports(tmp_path, data_folder, capsys, monkeypatch):
    tiny = "rows = 4\nchunk = 48\ncheckpoint_every = 2\n[data]\nseq_len = 48\n"
    model = "d_model = 16\nn_layers = 1\nd_ffn = 24\nn_heads = 2\nhead_dim = 8\nd_state = 4\n"
    recipes = {"dense": tmp_path / "dense.toml", "spiking": tmp_path / "spiking.toml"}
    recipes["dense"].write_text(
        f'name = "d"\nstage = "dense"\n[model]\n{model}[train]\nsteps = 4\n{tiny}', encoding="utf-8"
    )
    recipes["spiking"].write_text(
        f'name = "s"\nstage = "spiking"\n[model]\n[train]\nsteps = 2\n{tiny}', encoding="utf-8"
    )

    def run(only):
        ablate.run(
            data_folder,
            tmp_path / "study",
            seeds=[3],
            only=only,
            dense_recipe=recipes["dense"],
            spiking_recipe=recipes["spiking"],
        )
        return capsys.readouterr().out.splitlines()

    lines = run([BASE])
    assert [line.split()[:4] for line in lines] == [
        ["1/2", "dense", "seed", "3"],
        ["2/2", BASE, "seed", "3"],
    ]
    result = read_json(tmp_path / "study/3" / BASE / "result.json")
    assert result["dense_val_loss"] == read_json(tmp_path / "study/3/dense/result.json")["val_loss"]
    assert 0 < result["rate"] <= result["active"] <= 1
    assert not list((tmp_path / "study").rglob("step-*"))

    write_report(tmp_path / "study", tmp_path / "RESULTS.md")
    assert f"{result['val_loss']:.3f}" in (tmp_path / "RESULTS.md").read_text()

    monkeypatch.setattr(stages, "train_spiking", None)
    # As a run was written before the recipe had the key.
    identity = tmp_path / "study/3" / BASE / "run.json"
    older = read_json(identity)
    del older["recipe"]["sparsity"]["anneal"]
    write_json(identity, older)
    assert all(line.endswith("(done before)") for line in run([BASE]))
    recipes["spiking"].write_text(recipes["spiking"].read_text() + "[distill]\nce = 0.1\n", encoding="utf-8")
    with pytest.raises(MarError, match="another recipe"):
        run([BASE])

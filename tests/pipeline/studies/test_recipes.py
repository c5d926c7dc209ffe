"""The study of recipes: gains by hand, and the whole at smoke scale."""

import csv
import json

import pytest

from pipeline.studies.recipes import RECIPES, gain_lines, gains


def test_gain_is_paired_by_seed():
    rows = [{"cell": "reference", "seed": seed, "accuracy": value} for seed, value in enumerate((0.70, 0.60, 0.65))]
    rows += [{"cell": "preset", "seed": seed, "accuracy": value} for seed, value in enumerate((0.73, 0.64))]
    assert gains(rows, "accuracy", "preset", "reference") == pytest.approx(
        [0.03, 0.04]
    )  # the third seed has no partner


def test_gains_of_every_recipe():
    rows = [
        {
            "cell": name,
            "seed": seed,
            "validation_accuracy": 0.5 + 0.1 * (name == "preset") + 0.01 * seed,
            "testing_agreement": 0.8 + 0.02 * (name == "final-phase") * (seed + 1),
        }
        for name in RECIPES
        for seed in (0, 1)
    ]
    assert gain_lines(rows) == [
        "preset against reference, validation accuracy: +10.00 ± 0.00 points",
        "preset against reference, testing agreement: +0.00 ± 0.00 points",
        "final-phase against reference, validation accuracy: +0.00 ± 0.00 points",
        "final-phase against reference, testing agreement: +3.00 ± 1.00 points",
        "inductive against reference, validation accuracy: +0.00 ± 0.00 points",
        "inductive against reference, testing agreement: +0.00 ± 0.00 points",
    ]


def test_one_pair_of_seeds_has_no_error():
    rows = [{"cell": name, "seed": 0, "validation_accuracy": 0.5, "testing_agreement": 0.5} for name in RECIPES]
    assert gain_lines([*rows[:2], rows[1] | {"seed": 1}]) == [
        "preset against reference, validation accuracy: +0.00 points, one seed",
        "preset against reference, testing agreement: +0.00 points, one seed",
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory, smoke_run, smoke_arguments, run_cli):
    """The root of a study of recipes, and its output."""
    root = tmp_path_factory.mktemp("recipes")
    argv = ["study", "recipes", "--data", smoke_run.data, "--soft-labels", smoke_run.run.soft_labels, "--name", "tiny"]
    code, out, err = run_cli([*argv, "--preset", "smoke", *smoke_arguments], root)
    assert (code, err) == (0, "")
    return root, out


def test_every_recipe_with_every_seed_in_one_table(study):
    root, out = study
    with (root / "submissions" / "tiny" / "recipes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    halves = (("reference", "preset"), ("final-phase", "inductive"))
    expected = [(seed, name) for names in halves for seed in "012" for name in names]
    assert [(row["seed"], row["cell"]) for row in rows] == expected
    for row in rows:
        assert row["protocol"] == ("inductive" if row["cell"] == "inductive" else "transductive")
        assert row["final_phase"] == ("testing" if row["cell"] == "final-phase" else "none")
        assert (row["network"], row["precision"]) == ("reference-student", "fp16")
        for split in ("training", "validation", "testing"):
            assert 0 <= float(row[f"{split}_agreement"]) <= 1
            assert float(row[f"{split}_kl"]) >= 0
    assert "final-phase against reference, testing agreement: " in out
    lines = [line.split() for line in out.splitlines() if line.startswith("final-phase  ")]
    assert [line[1:7] for line in lines] == [
        [seed, "reference-student", "fp16", "transductive", "testing", "flip"] for seed in "012"
    ]


def test_recipes_differ_in_their_settings_alone(study):
    root, _ = study
    receipts = {
        name: json.loads((root / "runs/tiny/cells" / f"{name}-seed1" / "receipts/distill.json").read_text())
        for name in RECIPES
    }
    preset, reference = receipts["preset"], receipts["reference"]
    assert receipts["inductive"]["settings"] == preset["settings"]
    assert {name for name in preset["reads"] if name not in receipts["inductive"]["reads"]} == {
        f"student view {view} of testing" for view in (0, 1)
    }
    assert receipts["final-phase"]["reads"] == preset["reads"]
    assert receipts["final-phase"]["settings"] != preset["settings"]
    assert [name for name in reference["reads"] if "view" in name] == [
        f"student view 0 of {split}" for split in ("training", "testing")
    ]


def test_one_budget_only(smoke_run, smoke_arguments, run_cli, tmp_path):
    argv = [
        "study",
        "recipes",
        "--data",
        smoke_run.data,
        "--soft-labels",
        smoke_run.run.soft_labels,
        "--budgets",
        9999,
        8888,
    ]
    code, _, err = run_cli([*argv, "--preset", "smoke", *smoke_arguments], tmp_path)
    assert (code, err) == (2, "error: --budgets: study recipes has one budget, found 2\n")


def test_a_study_of_both_protocols_is_not_inductive(smoke_run, smoke_arguments, run_cli, tmp_path):
    argv = ["study", "recipes", "--data", smoke_run.data, "--soft-labels", smoke_run.run.soft_labels, "--inductive"]
    code, out, err = run_cli([*argv, "--preset", "smoke", *smoke_arguments], tmp_path)
    assert (code, err) == (2, "error: --inductive: this study has students of both protocols; leave it out\n")
    assert "epoch" not in out

"""The study of recipes: gains by hand, and the whole at smoke scale."""

import csv
import json
from typing import Any

import pytest

from pipeline.studies.engine.gains import gain_lines, gains
from pipeline.studies.engine.rows import StudentRow
from pipeline.studies.recipes import RECIPES

KNOWN: dict[str, Any] = {
    "budget_bytes": 300_000,
    "packed_bytes": 240_635,
    "predicted_bytes": 240_635,
    "validation_agreement": 0.5,
    "validation_kl": 0.1,
    "protocol": "transductive",
    "final_phase": "none",
    "precision": "fp16",
    "tta_flip": True,
    "bits": "",
    "step_scale": 1.0,
    "network": "reference-student",
    "parameters": 120_859,
    "seconds": 1.0,
}


def row(cell: str, seed: int, accuracy: float, agreement: float = 0.5) -> StudentRow:
    return StudentRow(cell=cell, seed=seed, validation_accuracy=accuracy, testing_agreement=agreement, **KNOWN)


def test_gain_is_paired_by_seed():
    rows = [row("reference", seed, value) for seed, value in enumerate((0.70, 0.60, 0.65))]
    rows += [row("preset", seed, value) for seed, value in enumerate((0.73, 0.64))]
    found = gains(rows, "validation_accuracy", "preset", "reference")
    assert found == pytest.approx([0.03, 0.04])  # the third seed has no partner


def test_gains_of_every_recipe():
    rows = [
        row(name, seed, 0.5 + 0.1 * (name == "preset") + 0.01 * seed, 0.8 + 0.02 * (name == "final-phase") * (seed + 1))
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
    rows = [row("reference", 0, 0.5), row("preset", 0, 0.5), row("preset", 1, 0.5)]
    assert gain_lines(rows) == [
        "preset against reference, validation accuracy: +0.00 points, one seed",
        "preset against reference, testing agreement: +0.00 points, one seed",
    ]


@pytest.fixture(scope="module")
def study(tmp_path_factory, smoke_run, smoke_arguments, run_cli):
    """The root of a study of recipes, and its output."""
    root = tmp_path_factory.mktemp("recipes")
    labels = smoke_run.artifacts.soft_labels.path
    argv = ["study", "recipes", "--data", smoke_run.data, "--soft-labels", labels, "--name", "tiny"]
    code, out, err = run_cli([*argv, "--preset", "smoke", *smoke_arguments, "--set", "device.workers=1"], root)
    assert (code, err) == (0, "")
    return root, out


def test_every_recipe_with_every_seed_in_one_table(study):
    root, out = study
    with (root / "submissions" / "tiny" / "recipes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    halves = (("reference", "preset"), ("final-phase", "inductive"))
    expected = [(seed, name) for names in halves for seed in "012" for name in names]
    assert [(row["seed"], row["cell"]) for row in rows] == expected
    for found in rows:
        assert found["protocol"] == ("inductive" if found["cell"] == "inductive" else "transductive")
        assert found["final_phase"] == ("testing" if found["cell"] == "final-phase" else "none")
        assert (found["network"], found["precision"]) == ("reference-student", "fp16")
        for split in ("training", "validation", "testing"):
            assert 0 <= float(found[f"{split}_agreement"]) <= 1
            assert float(found[f"{split}_kl"]) >= 0
    assert "final-phase against reference, testing agreement: " in out
    assert "Differences are paired by seed" in out


def test_recipes_differ_in_their_settings_alone(study):
    root, _ = study
    found = [json.loads(path.read_text()) for path in (root / "runs" / ".steps").glob("distill-*/receipts/*.json")]
    assert len(found) == 3 * len(RECIPES)
    views = sorted(sum("view" in name for name in receipt["reads"]) for receipt in found)
    # the reference's: one view of two splits; inductive: two of training; the others: two of both
    assert views == [2] * 6 + [4] * 6
    by_settings = {receipt["settings"] for receipt in found}
    assert len(by_settings) == len(found)  # no two cells are the same training
    labels = {receipt["reads"]["soft labels"] for receipt in found}
    assert len(labels) == 1


def test_it_takes_no_budgets(smoke_run, smoke_arguments, run_cli, tmp_path):
    labels = smoke_run.artifacts.soft_labels.path
    argv = ["study", "recipes", "--data", smoke_run.data, "--soft-labels", labels, "--budgets", 9999]
    code, _, err = run_cli([*argv, "--preset", "smoke", *smoke_arguments], tmp_path)
    message = "error: study recipes takes no --budgets: its cells have none, or one of their own\n"
    assert (code, err) == (2, message)


def test_a_study_of_both_protocols_is_not_inductive(smoke_run, smoke_arguments, run_cli, tmp_path):
    labels = smoke_run.artifacts.soft_labels.path
    argv = ["study", "recipes", "--data", smoke_run.data, "--soft-labels", labels, "--inductive"]
    code, out, err = run_cli([*argv, "--preset", "smoke", *smoke_arguments], tmp_path)
    assert (code, err) == (2, "error: --inductive: this study has students of both protocols; leave it out\n")
    assert "epoch" not in out

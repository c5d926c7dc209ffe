"""The study of members: its two tables, by hand and at smoke scale."""

import csv
import json

import numpy as np
import pytest

from pipeline.studies.engine.ensembles import ensemble_rows


def test_ensembles_by_hand():
    # three members on four images of two classes; the third is wrong about everything, and sure of it
    right, unsure, wrong = [0.9, 0.1], [0.4, 0.6], [0.05, 0.95]
    probs_MNC = np.array([[right, right, right, unsure], [right, right, unsure, right], [wrong] * 4])
    rows = ensemble_rows(np.log(probs_MNC), np.zeros(4, int))
    assert [row.ensembles for row in rows] == [3, 3, 1]
    assert rows[0].mean == pytest.approx((0.75 + 0.75 + 0.0) / 3, abs=1e-6)
    # the first two together are right about all: (0.9 + 0.4) / 2 > 0.5; with the third, 0.95 against 1.05
    assert (rows[1].best, rows[1].best_members) == (1.0, "0 1")
    assert rows[2].mean == rows[2].best == 0.5
    assert rows[2].spread == 0.0


def test_the_study_at_smoke_scale(smoke_run, smoke_arguments, run_cli, tmp_path):
    argv = ["study", "members", "--data", smoke_run.data, "--name", "probe", "--preset", "smoke", *smoke_arguments]
    code, out, err = run_cli([*argv, "--seeds", 2], tmp_path)
    assert (code, err) == (0, "")
    folder = tmp_path / "submissions" / "probe"
    with (folder / "members.csv").open(newline="") as file:
        members = list(csv.DictReader(file))
    assert [(row["network"], row["seed"]) for row in members] == [
        ("reference-cnn", "1"),
        ("test_resnet", "2"),
        ("reference-cnn", "1001"),
        ("test_resnet", "1002"),
    ]
    with (folder / "ensembles.csv").open(newline="") as file:
        ensembles = list(csv.DictReader(file))
    assert [row["ensembles"] for row in ensembles] == ["4", "6", "4", "1"]
    assert f"ensembles of 4: mean {float(ensembles[3]['mean']):.2%}, best " in out
    # the first two rows are those of the smoke run, and so are their networks
    notes = json.loads(smoke_run.run.receipt("export-00").read_text())["notes"]
    assert float(members[0]["validation_accuracy"]) == pytest.approx(notes["validation_accuracy"], abs=1e-6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--budgets", "5000"), "study members takes no --budgets"),
        (("--soft-labels",), "study members trains the members that it measures, so it has no --soft-labels"),
        (("--set", "teach.members.0.weights=w.safetensors"), "trains what it measures: no rows with `weights`"),
        (("--set", "teach.members=[]"), "this study has no cells here: it needs at least one row of teach.members"),
    ],
)
def test_what_it_cannot_do_is_refused(smoke_run, smoke_arguments, run_cli, tmp_path, more, message):
    more = (*more, smoke_run.artifacts.soft_labels.path) if more == ("--soft-labels",) else more
    argv = ["study", "members", "--data", smoke_run.data, "--name", "p", "--preset", "smoke", *smoke_arguments, *more]
    code, _, err = run_cli(argv, tmp_path)
    assert code == 2
    assert message in err

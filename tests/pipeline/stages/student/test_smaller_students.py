"""Pruned and low-rank students go through a run like any other: packed, verified, ledgered, predicted from, resumed."""

import json

import pytest

from models.packed.container import read_container
from models.students.architecture import parameter_count
from pipeline.runtime.steps import read_notes
from pipeline.runtime.tensor_file import load_tensors
from pipeline.stages.student.network import load_architecture


def with_changes(run, *changes: str) -> list[str]:
    return [*run.argv, *(part for change in changes for part in ("--set", change))]


def delivered_architecture(run):
    return read_container((run.run.submission / "student.bin").read_bytes())[0].architecture


def check_files(run, run_cli, tmp_path) -> None:
    shipped = run.run.submission / "student.bin"
    for command in (["verify", shipped], ["ledger", shipped]):
        assert run_cli(command, tmp_path)[0] == 0
    code, _, _ = run_cli(["predict", shipped, "--data", run.data, "--out", tmp_path / "out.csv"], tmp_path)
    assert code == 0
    assert (tmp_path / "out.csv").read_bytes() == (run.run.submission / "predictions.csv").read_bytes()


@pytest.mark.parametrize(
    ("ranking", "retraining", "after"),
    [
        ("taylor", "fine-tune", "each"),
        pytest.param("l1", "reinitialise", "last", marks=pytest.mark.long),
        pytest.param("batchnorm", "rewind-rate", "last", marks=pytest.mark.long),
        ("random", "rewind-weights", "each"),
    ],
)
def test_a_run_with_pruning(smoke_copy, run_cli, tmp_path, ranking: str, retraining: str, after: str):
    changes = ["prune.keep=0.5", "prune.rate=0.7", f"prune.ranking={ranking}", f"prune.retraining={retraining}"]
    argv = with_changes(smoke_copy, *changes, f"prune.after={after}", "prune.epochs=1")
    code, out, err = run_cli(argv, smoke_copy.root)
    assert (code, err) == (0, "")
    made, whole = smoke_copy.artifacts, parameter_count(load_architecture(smoke_copy.artifacts.student.path))
    sizes = [parameter_count(load_architecture(made.pruned_student(step).path)) for step in (1, 2)]
    assert whole > sizes[0] > sizes[1] == parameter_count(delivered_architecture(smoke_copy))
    assert out.count("pruned student: epoch ") == {"each": 2, "last": 1}[after]

    for step, size in enumerate(sizes, 1):
        notes = read_notes(smoke_copy.run, f"prune-{step:03d}")
        assert notes["parameters"] == size
        assert 0 <= notes["validation_accuracy"] <= 1
    manifest = json.loads((smoke_copy.run.submission / "manifest.json").read_text())
    assert manifest["parameters"] == sizes[1]
    assert set(manifest["stage_seconds"]) >= {"distill", "prune", "quantise"}
    check_files(smoke_copy, run_cli, tmp_path)
    before = smoke_copy.receipts()
    assert run_cli(argv, smoke_copy.root)[0] == 0
    assert smoke_copy.redone(before) <= {"deliver"}


@pytest.mark.parametrize(
    "form", ["spatial", *(pytest.param(form, marks=pytest.mark.long) for form in ("channel", "tucker"))]
)
def test_a_run_with_low_rank(smoke_copy, run_cli, tmp_path, form: str):
    argv = with_changes(smoke_copy, f"factorise.form={form}", "factorise.energy=0.5", "factorise.epochs=1")
    code, out, err = run_cli(argv, smoke_copy.root)
    assert (code, err) == (0, "")
    assert "low-rank student: epoch 1 of 1" in out
    made = smoke_copy.artifacts
    whole, smaller = (
        parameter_count(load_architecture(found.path)) for found in (made.student, made.factorised_student)
    )
    assert whole > smaller == parameter_count(delivered_architecture(smoke_copy))
    check_files(smoke_copy, run_cli, tmp_path)


def test_low_rank_for_a_size_and_after_pruning(smoke_copy, run_cli):
    changes = ["prune.keep=0.8", "prune.epochs=0", "factorise.form=channel", "factorise.epochs=0"]
    changes += ["pack.precision=low-bit"]
    code, _, err = run_cli(with_changes(smoke_copy, *changes, "factorise.size_bytes=9000"), smoke_copy.root)
    assert (code, err) == (0, "")
    assert (smoke_copy.run.submission / "student.bin").stat().st_size <= 9_500  # the size is that of other weights
    code, _, err = run_cli(with_changes(smoke_copy, *changes, "factorise.size_bytes=100"), smoke_copy.root)
    assert code == 2
    assert err.startswith("error: factorise.size_bytes: found 100, expected at least ")


def test_what_cannot_be_is_refused(smoke_copy, run_cli):
    for changes, fault in (
        (["prune.keep=0.999"], "prune.keep: 0.999 removes no filter of any layer; set it lower, or to 1.0"),
        (
            ["prune.keep=0.5", "prune.retraining=rewind-rate", "prune.epochs=99"],
            "prune.epochs: rewind-rate by 99 epochs, the student has ",
        ),
        (["factorise.size_bytes=5"], "factorise.size_bytes: 5, but factorise.form is none; set a form, or leave it 0"),
    ):
        code, _, err = run_cli(with_changes(smoke_copy, *changes), smoke_copy.root)
        assert code == 2
        assert fault in err
        assert err.count("\n") == 1


def test_the_early_student_is_another_one(smoke_copy, run_cli):
    changes = ["prune.keep=0.8", "prune.retraining=rewind-weights", "prune.epochs=1"]
    assert run_cli(with_changes(smoke_copy, *changes), smoke_copy.root)[0] == 0
    early, last = (
        load_tensors(found.path)[0] for found in (smoke_copy.artifacts.early_student, smoke_copy.artifacts.student)
    )
    assert early.keys() == last.keys()
    assert any((early[name] != last[name]).any() for name in early)


def test_a_student_of_fewer_images_and_of_the_test_images_alone(smoke_copy, run_cli):
    for share, network in (("0.5", "reference-plain-cnn"), ("0.0", "reference-student")):
        changes = [f"distill.training_share={share}", "distill.dropout=0.1", f"distill.network={network}"]
        code, out, err = run_cli(with_changes(smoke_copy, *changes), smoke_copy.root)
        assert (code, err) == (0, "")
        assert "student: epoch " in out
    argv = with_changes(smoke_copy, "distill.training_share=0.0")
    code, _, err = run_cli([*argv, "--inductive"], smoke_copy.root)
    assert code == 2
    fault = "distill.training_share: 0 leaves nothing to learn from where test images take no part"
    assert err == f"error: {fault}\n"


@pytest.mark.parametrize("stage", ["prune", "factorise"])
def test_a_stage_that_is_off_says_so(smoke_copy, run_cli, stage: str):
    code, out, err = run_cli([stage, "--name", "tiny"], smoke_copy.root)
    assert (code, out, err) == (0, f"{stage}: is off in run tiny, nothing to do\n", "")

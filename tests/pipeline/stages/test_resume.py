"""The same run again: nothing is done twice, a change redoes what it touches, an interruption changes no byte."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.contest.facts import load_contest
from pipeline.data.augment import Batch
from pipeline.data.batches import EpochBatches
from pipeline.data.soft_labels import load_soft_labels
from pipeline.runtime.atomic import file_digest
from pipeline.runtime.records import read_epochs
from pipeline.runtime.request import Job, load_request
from pipeline.runtime.steps import why_not_current
from pipeline.stages.prepare import _view_step
from pipeline.training import loop as training

RunCli = Callable[..., tuple[int, str, str]]

FINAL = {"prepare-teacher-validation-001", "prepare-student-validation-001", "teach-00", "teach-01"}
LATE = {"export-soft-labels", "distill", "quantise", "pack", "predict", "deliver"}


def rerun(smoke, run_cli: RunCli, *more: str) -> tuple[set[str], str]:
    """The steps that the same command, and more, does; and its output."""
    before = smoke.receipts()
    code, out, err = run_cli([*smoke.argv, *more], smoke.root)
    assert (code, err) == (0, "")
    return smoke.redone(before), out


def manifest_of(smoke) -> dict[str, Any]:
    return json.loads((smoke.run.submission / "manifest.json").read_text())


def test_the_same_command_again_does_nothing(smoke_copy, run_cli: RunCli):
    def state() -> dict[str, tuple[str, int]]:
        files = [path for path in smoke_copy.root.rglob("*") if path.is_file() and path.parent.name != "locks"]
        # run.json is written again, with the same bytes
        times = {path: 0 if path == smoke_copy.run.request else path.stat().st_mtime_ns for path in files}
        return {str(path): (file_digest(path), time) for path, time in times.items()}

    before = state()
    code, out, err = run_cli(smoke_copy.argv, smoke_copy.root)
    assert (code, err) == (0, "")
    assert state() == before
    assert "done again" not in out
    assert "epoch" not in out
    for step in {"prepare-decode", "teach-00", "teach-01", "export-00", "export-01"} | LATE:
        assert f"\n{step}: done before, skipped\n" in out
    assert out.splitlines()[-1] == smoke_copy.stdout.splitlines()[-1]


def test_longer_distillation_redoes_the_student_alone(smoke_copy, run_cli: RunCli):
    done, out = rerun(smoke_copy, run_cli, "--set", "distill.epochs=4")
    assert done == {"distill", "quantise", "pack", "predict", "deliver"}
    assert "distill: its settings changed, done again" in out
    assert "student: epoch 4 of 4" in out
    assert manifest_of(smoke_copy)["settings"]["distill"]["epochs"] == 4


def test_when_checkpoints_are_saved_redoes_nothing(smoke_copy, run_cli: RunCli):
    # the manifest tells all settings, so it alone is written again
    assert rerun(smoke_copy, run_cli, "--set", "distill.checkpoint_seconds=9", "device.workers=2")[0] == {"deliver"}


def test_a_changed_member_is_trained_again_alone(smoke_copy, run_cli: RunCli):
    kept = file_digest(smoke_copy.artifacts.member(1).path)
    done, out = rerun(smoke_copy, run_cli, "--set", "teach.members.0.epochs=1")
    assert done == {"teach-00", "export-00"} | LATE
    assert file_digest(smoke_copy.artifacts.member(1).path) == kept
    assert "export-00: what it reads changed (member), done again" in out
    assert "export-soft-labels: what it reads changed (member 0), done again" in out


def test_a_member_that_learns_from_other_views_is_trained_again_alone(smoke_copy, run_cli: RunCli):
    done, _ = rerun(smoke_copy, run_cli, "--set", "teach.members.1.policy=student")
    assert done == {"prepare-teacher-student-training-001", "teach-01", "export-01"} | LATE
    bank = smoke_copy.artifacts.view("teacher-student", "training", 1).path
    assert bank.read_bytes() == smoke_copy.artifacts.view("student", "training", 1).path.read_bytes()


def test_a_renamed_image_has_another_view(smoke_run):
    """The seed of an image's augmentation comes from its id, so equal pixels are not enough."""
    job, facts = Job(smoke_run.run, load_request(smoke_run.run)), load_contest(smoke_run.artifacts.contest.path)
    renamed = replace(facts, ids=facts.ids | {"testing": ("0000", *facts.ids["testing"][1:])})
    splits = [(split, of) for split in ("testing", "training") for of in (facts, renamed)]
    steps = [_view_step(job, "student", split, 1, of.ids[split]) for split, of in splits]
    assert [why_not_current(step) for step in steps] == [None, "its settings changed", None, None]


def test_supplied_weights_are_taken_in_and_not_trained(smoke_copy, run_cli: RunCli, tmp_path: Path):
    weights = Path(shutil.copy(smoke_copy.artifacts.member(1).path, tmp_path / "w.safetensors"))
    done, out = rerun(smoke_copy, run_cli, "--set", f"teach.members.1.weights={weights}")
    assert "teach-01" in done
    assert "teach-00" not in done
    assert "member 1: epoch" not in out
    assert file_digest(smoke_copy.artifacts.member(1).path) == file_digest(weights)
    manifest = manifest_of(smoke_copy)
    assert manifest["teacher"]["members"][1]["weights_sha256"] == file_digest(weights)
    assert manifest["settings"]["teach"]["members"][1]["weights"] == "w.safetensors"


def test_supplied_weights_of_another_network(smoke_copy, run_cli: RunCli):
    argv = [*smoke_copy.argv, "--set", f"teach.members.1.weights={smoke_copy.artifacts.member(0).path}"]
    code, _, err = run_cli(argv, smoke_copy.root)
    assert code == 2
    assert err.startswith(f"error: {smoke_copy.artifacts.member(0).path}: does not fit test_resnet: ")
    assert err.count("\n") == 1


def test_other_ensemble_weights_export_no_member_again(smoke_copy, run_cli: RunCli):
    assert rerun(smoke_copy, run_cli, "--set", "export.weights=[1, 3]")[0] == LATE


def test_another_precision_packs_again(smoke_copy, run_cli: RunCli):
    done, _ = rerun(smoke_copy, run_cli, "--set", "pack.precision=uint8")
    assert done == {"pack", "predict", "deliver"}
    manifest = manifest_of(smoke_copy)
    assert manifest["precision"] == "uint8"
    assert manifest["packed_bytes"] == (smoke_copy.run.submission / "student.bin").stat().st_size < 150_000


def test_a_smaller_budget_ships_a_smaller_file(smoke_copy, run_cli: RunCli):
    done, out = rerun(smoke_copy, run_cli, "--budget", "120000")
    assert done == {"pack", "predict", "deliver"}
    assert out.splitlines()[-1].endswith(" of 120000 bytes")
    assert manifest_of(smoke_copy)["fits"] is True
    assert (smoke_copy.run.submission / "student.bin").stat().st_size <= 120_000


def test_inductive_keeps_the_test_images_out(smoke_copy, run_cli: RunCli):
    done, out = rerun(smoke_copy, run_cli, "--inductive")
    assert done == {"export-00", "export-01"} | LATE
    labels = load_soft_labels(smoke_copy.artifacts.soft_labels.path)
    assert labels.log_probs_VNC["testing"].shape[0] == 1  # the clean view, for the ensemble's CSV
    assert "run tiny: protocol was transductive, now inductive\n" in out
    manifest = manifest_of(smoke_copy)
    assert manifest["protocol"] == "inductive"
    assert manifest["accuracy"][0]["protocol"] == "inductive"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [((), LATE - {"export-soft-labels"}), (("--final",), LATE | FINAL | {"export-00", "export-01"})],
)
def test_a_final_phase_gives_the_test_images_the_last_epochs(smoke_copy, run_cli: RunCli, monkeypatch, flags, expected):
    learned, epoch_of = [], EpochBatches.epoch

    def spied(batches: EpochBatches, epoch: int) -> Iterator[Batch]:
        of_epoch = list(epoch_of(batches, epoch))
        if batches.set.soft_log_probs_VNC is not None:
            learned.append("all" if any(batch.hard_probs_BC.any() for batch in of_epoch) else "test images")
        return iter(of_epoch)

    monkeypatch.setattr(EpochBatches, "epoch", spied)
    phase = {"images": "auto", "fraction": 0.4, "test_share": 1.0}
    changes = [f"distill.final_phase.{name}={value}" for name, value in phase.items()]
    done, _ = rerun(smoke_copy, run_cli, *flags, "--set", *changes)
    assert done == expected
    assert learned == ["all", "all", "test images", *["test images"] * 2]  # 3 epochs, then 2 with low-bit weights
    assert manifest_of(smoke_copy)["final_phase"] == "testing"


def test_settings_of_a_final_phase_that_is_off_redo_nothing(smoke_copy, run_cli: RunCli):
    changes = ("distill.final_phase.fraction=0.4", "distill.final_phase.test_share=0.9")
    assert rerun(smoke_copy, run_cli, "--set", *changes)[0] == {"deliver"}


def test_an_automatic_final_phase_is_of_test_images_and_none_with_inductive(smoke_copy, run_cli: RunCli):
    change = "distill.final_phase.images={}".format
    assert "distill" in rerun(smoke_copy, run_cli, "--set", change("testing"))[0]
    assert rerun(smoke_copy, run_cli, "--set", change("auto"))[0] == {"deliver"}
    rerun(smoke_copy, run_cli, "--inductive", "--set", change("none"))
    assert rerun(smoke_copy, run_cli, "--inductive", "--set", change("auto"))[0] == {"deliver"}
    assert manifest_of(smoke_copy)["final_phase"] == "none"


def test_a_final_phase_of_test_images_is_not_inductive(smoke_copy, run_cli: RunCli):
    argv = [*smoke_copy.argv, "--inductive", "--set", "distill.final_phase.images=testing"]
    expected = 'distill.final_phase.images: found "testing", which --inductive bans; expected "auto" or "none"'
    code, _, err = run_cli(argv, smoke_copy.root)
    assert (code, err) == (2, f"error: {expected}\n")


def test_final_trains_on_validation_and_claims_nothing(smoke_copy, run_cli: RunCli):
    done, out = rerun(smoke_copy, run_cli, "--final")
    assert done >= FINAL | LATE
    manifest = manifest_of(smoke_copy)
    assert manifest["accuracy"] == []
    assert manifest["protocol"] == "transductive, final"
    assert "ensemble" not in manifest["teacher"]
    assert not any("validation_accuracy" in row for row in manifest["teacher"]["members"])
    assert "validation_accuracy" not in json.dumps(manifest["precisions"])
    assert "validation " not in out.partition("delivered in")[2]
    assert manifest["agreement"]["images"] == 12
    assert list(manifest["fidelity"]) == ["training", "testing"]
    assert load_soft_labels(smoke_copy.artifacts.soft_labels.path).log_probs_VNC["validation"].shape[0] == 2
    for step in ("teach-00", "distill"):
        assert "view 1 of validation" in json.loads(smoke_copy.run.receipt(step).read_text())["reads"]
    made = smoke_copy.artifacts
    for metrics, epochs in ((made.member_metrics(0), 3), (made.student_metrics, 3), (made.quantised_metrics, 2)):
        found = read_epochs(metrics.path)  # those of the run before are gone
        assert [line.epoch for line in found] == list(range(1, epochs + 1))
        assert {line.validation_accuracy for line in found} == {None}


def test_a_damaged_output_is_made_again(smoke_copy, run_cli: RunCli):
    delivered = smoke_copy.run.submission / "predictions.csv"
    expected = delivered.read_bytes()
    delivered.write_bytes(expected.replace(b"1,", b"2,", 1))
    done, out = rerun(smoke_copy, run_cli)
    assert done == {"deliver"}
    assert "deliver: predictions.csv is damaged, done again" in out
    assert delivered.read_bytes() == expected


def test_rehash_reads_every_view_again(smoke_copy, run_cli: RunCli):
    view = smoke_copy.artifacts.view("student", "testing", 1).path
    expected, stat = view.read_bytes(), view.stat()
    view.write_bytes(expected[:-1] + bytes([expected[-1] ^ 1]))
    os.utime(view, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert rerun(smoke_copy, run_cli)[0] == set()
    assert rerun(smoke_copy, run_cli, "--rehash")[0] == {"prepare-student-testing-001"}
    assert view.read_bytes() == expected


def stop_in_epoch(monkeypatch: pytest.MonkeyPatch, epoch: int, error: BaseException) -> None:
    """End the next training that comes to this epoch (from 1), before its first step is whole."""
    whole = training._Loop._step

    def step(loop: Any, batch: Any, step: int) -> Any:
        if step == (epoch - 1) * loop.batches.steps + 1:
            raise error
        return whole(loop, batch, step)

    monkeypatch.setattr(training._Loop, "_step", step)


@pytest.mark.parametrize("stage", ["teach-00", "teach-01", "distill"])
def test_an_interruption_changes_no_byte(smoke_copy, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, stage: str):
    expected = {path.name: file_digest(path) for path in smoke_copy.run.submission.iterdir()}
    steps = {stage, "distill", "quantise", "pack", "predict", "deliver"}
    smoke_copy.forget(steps)
    shutil.rmtree(smoke_copy.run.submission)
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 2, KeyboardInterrupt())
        code, _, err = run_cli(smoke_copy.argv, smoke_copy.root)
    assert (code, err) == (130, "error: interrupted; the same command resumes\n")
    assert not smoke_copy.run.submission.exists()
    assert stage not in smoke_copy.receipts()
    done, out = rerun(smoke_copy, run_cli)
    assert done == steps
    assert "resumes after epoch 1 of 3" in out
    if stage == "distill":
        assert [line.epoch for line in read_epochs(smoke_copy.artifacts.student_metrics.path)] == [1, 2, 3]
    found = {path.name: file_digest(path) for path in smoke_copy.run.submission.iterdir()}
    assert found.pop("manifest.json")
    assert found == {name: digest for name, digest in expected.items() if name != "manifest.json"}


def test_a_checkpoint_of_other_settings_is_not_resumed(smoke_copy, run_cli: RunCli, monkeypatch: pytest.MonkeyPatch):
    smoke_copy.forget(["distill"])
    with monkeypatch.context() as patch:
        stop_in_epoch(patch, 3, KeyboardInterrupt())
        assert run_cli(smoke_copy.argv, smoke_copy.root)[0] == 130
    _, out = rerun(smoke_copy, run_cli, "--set", "distill.learning_rate=1e-3")
    assert "resumes after" not in out
    assert "student: epoch 1 of 3" in out


def test_a_damaged_checkpoint_is_not_used(smoke_copy, run_cli: RunCli):
    expected = file_digest(smoke_copy.artifacts.student.path)
    smoke_copy.forget(["distill"])
    training.checkpoint_beside(smoke_copy.artifacts.student.path).write_bytes(b"damaged")
    _, out = rerun(smoke_copy, run_cli)
    assert "student: its checkpoint is damaged, training from the start" in out
    assert file_digest(smoke_copy.artifacts.student.path) == expected

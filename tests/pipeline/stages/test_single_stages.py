"""Parts of a run: its stages one by one, given soft labels, what two processes may not do at once."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.runtime.atomic import file_digest
from pipeline.stages.teacher.given_soft_labels import recorded_members

RunCli = Callable[..., tuple[int, str, str]]

PREPARE = {"prepare-decode", "prepare-teacher-training-001"} | {
    f"prepare-student-{split}-001" for split in ("training", "testing")
}
MEMBERS = {"teach-00", "teach-01", "export-00", "export-01"}
ALL = PREPARE | MEMBERS | {"export-soft-labels", "distill", "quantise", "pack", "predict", "deliver"}


def test_the_smoke_run_has_these_steps(smoke_run):
    assert set(smoke_run.receipts()) == ALL


def test_stages_one_by_one(smoke_copy, run_cli: RunCli):
    student, smoke = file_digest(smoke_copy.artifacts.packed("fp16").path), smoke_copy
    shutil.rmtree(smoke.run.receipt("x").parent)

    def stage(*argv: str) -> set[str]:
        before = smoke.receipts()
        code, _, err = run_cli([*argv, "--name", "tiny"], smoke.root)
        assert (code, err) == (0, "")
        return smoke.redone(before)

    def too_early(*argv: str) -> str:
        code, out, err = run_cli([*argv, "--name", "tiny"], smoke.root)
        assert code == 2
        assert err.count("\n") == 1
        assert "epoch" not in out
        return err

    assert "prepare-decode is not done yet; run ./run.sh prepare --name tiny first" in too_early("teach")
    assert stage("prepare") == PREPARE
    assert stage("teach", "--member", "1") == {"teach-01"}
    assert "teach-00 is not done yet; run ./run.sh teach --name tiny first" in too_early("export")
    assert stage("teach") == {"teach-00"}
    assert "export-soft-labels is not done yet; run ./run.sh export --name tiny first" in too_early("distill")
    assert stage("export") == {"export-00", "export-01", "export-soft-labels"}
    assert "distill is not done yet; run ./run.sh distill --name tiny first" in too_early("pack")
    assert stage("distill") == {"distill"}
    assert "quantise is not done yet; run ./run.sh quantise --name tiny first" in too_early("pack")
    assert stage("quantise") == {"quantise"}
    assert stage("pack") == {"pack"}
    assert file_digest(smoke.artifacts.packed("fp16").path) == student


@pytest.mark.parametrize("member", ["2", "-1", "x"])
def test_members_that_do_not_exist(smoke_copy, run_cli: RunCli, member: str):
    code, _, err = run_cli(["teach", "--name", "tiny", "--member", member], smoke_copy.root)
    assert code == 2
    assert f"--member {member}: the ensemble has members 0 to 1" in err or "invalid int value: 'x'" in err


def test_a_stage_of_a_run_that_was_never_started(run_cli: RunCli, tmp_path: Path):
    for stage in ("prepare", "teach", "export", "distill", "quantise", "pack"):
        code, _, err = run_cli([stage, "--name", "gone"], tmp_path)
        assert code == 2
        assert "--name gone: no such run" in err
    assert not list(tmp_path.iterdir())


def test_soft_labels_of_a_run_replace_its_teachers(smoke_run, run_cli: RunCli, tmp_path: Path):
    labels = smoke_run.run.submission / "soft_labels.safetensors"
    code, out, err = run_cli([*smoke_run.argv, "--soft-labels", str(labels)], tmp_path)
    assert (code, err) == (0, "")
    assert "member" not in out
    run_folder = tmp_path / "runs" / "tiny"
    assert not (run_folder / "members").exists()
    assert not list((run_folder / "views").glob("teacher/*"))
    for name in ("student.bin", "predictions.csv", "teacher_predictions.csv", "soft_labels.safetensors"):
        one, other = (root / "submissions" / "tiny" / name for root in (smoke_run.root, tmp_path))
        assert one.read_bytes() == other.read_bytes()
    manifest = json.loads((tmp_path / "submissions" / "tiny" / "manifest.json").read_text())
    teacher = json.loads((labels.parent / "manifest.json").read_text())["teacher"]
    assert len(teacher["members"]) == len(manifest["seeds"]["members"]) > 0
    assert manifest["teacher"] == teacher | {"soft_labels": labels.name, "soft_labels_sha256": [file_digest(labels)]}


@pytest.mark.parametrize("damage", ["{", "[]", '{"sha256": []}', '{"teacher": {"members": [{}]}, "sha256": {}}', None])
def test_soft_labels_without_a_manifest_of_their_own(smoke_run, tmp_path: Path, damage: str | None):
    labels = tmp_path / "soft_labels.safetensors"
    labels.write_bytes(b"others" if damage is None else smoke_run.artifacts.soft_labels.path.read_bytes())
    manifest = tmp_path / "manifest.json"
    delivered = (smoke_run.run.submission / "manifest.json").read_text()
    manifest.write_text(delivered if damage is None else damage)
    assert recorded_members(manifest, file_digest(labels)) == []


def test_soft_labels_of_other_images_are_refused(smoke_run, run_cli: RunCli, tmp_path: Path):
    labels = smoke_run.run.submission / "soft_labels.safetensors"
    argv = [*smoke_run.argv, "--soft-labels", str(labels), "--set", "views.seed=1"]
    code, out, err = run_cli(argv, tmp_path)
    assert code == 2
    assert f"error: {labels}: its view 1 of training has digest " in err
    assert "the teacher saw other images (policy 'student', seed 0, none mixed)" in err
    assert "epoch" not in out
    assert not (tmp_path / "submissions").exists()


def test_two_runs_of_one_name_at_once(smoke_copy, run_cli: RunCli):
    before = smoke_copy.receipts()
    with smoke_copy.run.locked(""):
        code, out, err = run_cli([*smoke_copy.argv, "--set", "distill.epochs=4"], smoke_copy.root)
    assert (code, out) == (2, "")
    assert err == "error: run tiny is going on in another process; give this one another --name\n"
    assert smoke_copy.receipts() == before
    assert json.loads(smoke_copy.run.request.read_text())["settings"]["distill"]["epochs"] == 3


def test_a_member_that_is_being_trained_elsewhere(smoke_copy, run_cli: RunCli):
    smoke_copy.forget(["teach-01"])
    with smoke_copy.run.step_locked("teach-01"):
        code, _, err = run_cli(["teach", "--name", "tiny"], smoke_copy.root)
    assert (code, err) == (2, "error: teach-01 of run tiny is being made by another process\n")

"""Artifacts know their step: digests come from its receipt, and name the stage that is missing."""

import hashlib
import os

import pytest

from pipeline.runtime.artifacts import Artifact, Artifacts, GivenFile, views_of
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Opened, Step, run_step


@pytest.fixture
def artifacts(tmp_path) -> Artifacts:
    return Artifacts(RunFolder(tmp_path, "r"))


class Content(Section):
    text: str


def write(opened: Opened[Content]) -> None:
    opened.outputs["file"].parent.mkdir(parents=True, exist_ok=True)
    opened.outputs["file"].write_text(opened.settings.text)


def make(artifact: Artifact, text: str) -> None:
    run_step(Step(artifact.run, artifact.step, 1, {}, Content(text=text), {"file": artifact}, write))


def make_two_views(artifacts: Artifacts) -> None:
    for view in range(2):
        artifact = artifacts.view("student", "testing", view)
        make(artifact, artifact.step)


def test_a_stage_started_too_early_names_the_one_before_it(artifacts: Artifacts):
    with pytest.raises(RequestError, match=r"run r: teach-00 is not done yet; run \./run\.sh teach --name r first"):
        artifacts.member(0).digest()
    make_two_views(artifacts)
    with pytest.raises(RequestError, match=r"prepare-student-testing-002 is not done yet; run \./run\.sh prepare"):
        artifacts.view("student", "testing", 2).digest()
    make(Artifact(artifacts.run, "distill", "other.bin"), "x")
    with pytest.raises(RequestError, match="distill is not done yet"):
        artifacts.student.digest()  # the step was done, but not this file


def test_views_by_name_in_order_and_view_0_is_the_clean_one_of_both_banks(artifacts: Artifacts):
    make_two_views(artifacts)
    found = views_of(artifacts, "student", {"testing": 2, "validation": 1})
    assert list(found) == ["view 0 of testing", "view 1 of testing", "view 0 of validation"]
    assert found["view 0 of testing"].digest() == hashlib.sha256(b"prepare-decode").hexdigest()
    assert found["view 1 of testing"].digest() == hashlib.sha256(b"prepare-student-testing-001").hexdigest()
    assert artifacts.view("student", "testing", 0) == artifacts.view("teacher", "testing", 0)
    assert artifacts.view("student", "testing", 1) != artifacts.view("teacher", "testing", 1)


def test_a_file_that_its_step_did_not_write_is_refused(artifacts: Artifacts):
    artifact = artifacts.student
    make(artifact, "content")
    expected = artifact.digest()
    os.utime(artifact.path, ns=(1, 1))
    assert artifact.digest() == expected  # a copy: the same bytes
    artifact.path.write_text("CONTENT")
    with pytest.raises(
        RequestError, match=r"distill wrote another student\.safetensors; run \./run\.sh distill --name r"
    ):
        artifact.digest()
    artifact.path.unlink()
    with pytest.raises(RequestError, match=r"distill has lost student\.safetensors; run \./run\.sh distill"):
        artifact.digest()


def test_a_given_file_that_is_gone_is_refused(tmp_path):
    with pytest.raises(RequestError, match="gone: no such file"):
        GivenFile(tmp_path / "gone").digest()


def test_a_given_file_is_digested_by_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert GivenFile(tmp_path / "a").digest() == hashlib.sha256(b"abc").hexdigest()


def test_every_artifact_is_written_by_its_step(smoke_run):
    """The steps of the smoke run have receipts for exactly these files."""
    made = Artifacts(smoke_run.run)
    found = [made.contest, made.soft_labels, made.student, made.quantised_student, made.pack_record]
    found += [made.predictions, made.teacher_predictions, made.student_log_probs, made.packed("low-bit")]
    found += [made.member(1), made.member_log_probs(1), made.view("student", "testing", 1), made.clean("validation")]
    found += [made.member_metrics(1), made.student_metrics, made.quantised_metrics, made.delivered("manifest.json")]
    for artifact in found:
        assert artifact.digest() == hashlib.sha256(artifact.path.read_bytes()).hexdigest()
    everything = {path for path in smoke_run.run.folder.rglob("*") if path.is_file()}
    other = {path for path in everything if path.parent.name in ("receipts", "locks") or path.name == "run.json"}
    views = {
        made.view(bank, split, view).path
        for bank, split in (("teacher", "training"), ("student", "training"), ("student", "testing"))
        for view in range(2)
    }
    views |= {made.clean(split).path for split in ("training", "validation", "testing")}
    known = {artifact.path for artifact in found} | views | {made.member(0).path, made.member_metrics(0).path}
    known |= {made.member_log_probs(0).path} | {path for path in everything if path.suffix == ".bin"}
    assert everything - other - known == set()

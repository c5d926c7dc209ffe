"""Artifacts know their step: digests come from its receipt, and name the stage that is missing."""

import hashlib

import pytest

from pipeline.runtime.artifacts import Artifacts, digests
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.steps import Step, run_step


@pytest.fixture
def artifacts(tmp_path) -> Artifacts:
    return Artifacts(RunFolder(tmp_path, "r"))


def make(artifacts: Artifacts, name: str, path, content: bytes) -> None:
    def work() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    run_step(artifacts.run, Step(name, 1, {}, {}, (path,)), work)


def make_two_views(artifacts: Artifacts) -> None:
    for view, name in enumerate(("prepare-decode", "prepare-student-testing-001")):
        make(artifacts, name, artifacts.run.view("student", "testing", view), name.encode())


def test_a_stage_started_too_early_names_the_one_before_it(artifacts: Artifacts):
    with pytest.raises(RequestError, match=r"run r: teach-00 is not done yet; run \./run\.sh teach --name r first"):
        artifacts.member(0).digest()
    make_two_views(artifacts)
    with pytest.raises(RequestError, match=r"prepare-student-testing-002 is not done yet; run \./run\.sh prepare"):
        digests(artifacts.views("student", "testing", 3))
    make(artifacts, "distill", artifacts.run.folder / "other.bin", b"x")
    with pytest.raises(RequestError, match="distill is not done yet"):
        artifacts.student.digest()  # the step was done, but not this file


def test_digests_of_views_are_those_of_the_files_in_order(artifacts: Artifacts):
    make_two_views(artifacts)
    assert digests(artifacts.views("student", "testing", 2)) == {
        "student view 0 of testing": hashlib.sha256(b"prepare-decode").hexdigest(),
        "student view 1 of testing": hashlib.sha256(b"prepare-student-testing-001").hexdigest(),
    }


def test_every_artifact_is_written_by_its_step(smoke_run):
    """The steps of the smoke run have receipts for exactly these files."""
    made = Artifacts(smoke_run.run)
    found = [made.contest, made.soft_labels, made.student, made.quantised_student, made.pack_record]
    found += [made.predictions, made.teacher_predictions, made.packed("low-bit"), made.clean("validation")]
    found += [made.member(1), made.member_log_probs(1), made.view("student", "testing", 1)]
    for artifact in found:
        assert artifact.digest() == hashlib.sha256(artifact.path.read_bytes()).hexdigest()

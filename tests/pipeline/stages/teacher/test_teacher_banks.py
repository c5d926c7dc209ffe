"""Which views a member learns from: one bank per policy of the ensemble."""

from pathlib import Path

import pytest

from pipeline.runtime.folder import RunFolder
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.request import Job, Request
from pipeline.runtime.training_settings import MemberSettings
from pipeline.stages.teacher.member_steps import row_of_steps


def job_of(*rows: str, policy: str = "teacher", labels: tuple[str, ...] = ()) -> Job:
    """A job whose members have these policies."""
    members = ", ".join(f'{{ network = "short-resnet", policy = "{row}" }}' for row in rows)
    changes = [f"teach.members=[{members}]", f"views.teacher_policy={policy}", "views.teacher_views=2"]
    settings = load_settings("smoke", [*changes, "views.student_views=1"])
    request = Request(name="r", data="/c.zip", preset="smoke", soft_labels=labels, settings=settings)
    return Job(RunFolder(Path("/root"), "r"), request)


@pytest.mark.parametrize(
    ("rows", "policy", "expected"),
    [
        (("", "teacher"), "teacher", ["teacher"]),
        (("", "student"), "teacher", ["teacher", "teacher-student"]),
        (("student", "student"), "student", ["teacher"]),
        (("teacher",), "student", ["teacher-teacher"]),
    ],
)
def test_a_bank_for_every_policy_that_a_member_learns_from(rows: tuple[str, ...], policy: str, expected: list[str]):
    job = job_of(*rows, policy=policy)
    assert job.stored_views() == [(bank, "training", 1) for bank in expected]


def test_no_bank_with_given_soft_labels():
    assert job_of("", "student", labels=("/l.safetensors",)).stored_views() == []


def test_the_policy_of_a_bank():
    job = job_of("student")
    assert [job.policy_of(bank) for bank in ("teacher", "student", "teacher-student")] == [
        "teacher",
        "student",
        "student",
    ]


def test_the_policy_is_digested_by_the_views_alone():
    rows = [MemberSettings(network="short-resnet", policy=policy) for policy in ("", "teacher", "student")]
    assert row_of_steps(rows[0]) == row_of_steps(rows[1]) == row_of_steps(rows[2]) == rows[0]

import json
from pathlib import Path

import pytest

from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.request import Job, Request, load_request, save_request

CHANGES = [
    "export.weights=[1, 3]",
    "teach.members.0.options.width=8",
    "teach.members.1.options.channels=[32, 64]",
    "distill.learning_rate=3e-4",
]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, "r")


def make_request(**changes: object) -> Request:
    facts = {"name": "r", "data": "/c.zip", "preset": "smoke", "settings": load_settings("smoke", CHANGES)}
    return Request.model_validate(facts | changes)


@pytest.mark.parametrize(
    "changes", [{}, {"budget_bytes": 1, "inductive": True, "final": True, "soft_labels": ("/é.st",)}]
)
def test_round_trip(run: RunFolder, changes: dict[str, object]):
    request = make_request(**changes)
    save_request(run, request)
    assert load_request(run) == request


@pytest.mark.parametrize("preset", ["cpu", "demo", "gpu", "quick", "reference"])
def test_every_preset_comes_back_equal(run: RunFolder, preset: str):
    request = make_request(preset=preset, settings=load_settings(preset, []))
    save_request(run, request)
    assert load_request(run) == request


def test_a_run_that_was_never_started(run: RunFolder):
    with pytest.raises(RequestError, match=r"--name r: no such run \(looked for .*run\.json\); start it with \./run"):
        load_request(run)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"budget_bytes": "many"}, r"run\.json: budget_bytes: .*valid integer.*; run \./run\.sh again"),
        ({"wanted": 1}, r"run\.json: wanted: Extra inputs"),
        ({"settings": {"distill": {"epochs": 0}}}, r"run\.json: settings\.distill\.epochs: .*greater than"),
    ],
)
def test_a_request_of_another_version_is_refused(run: RunFolder, changes: dict[str, object], match: str):
    save_request(run, make_request())
    run.request.write_text(json.dumps(json.loads(run.request.read_text()) | changes))
    with pytest.raises(RequestError, match=match):
        load_request(run)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"null", b"[]"])
def test_a_damaged_request_is_refused_in_one_line(run: RunFolder, content: bytes):
    save_request(run, make_request())
    run.request.write_bytes(content)
    with pytest.raises(RequestError, match=r"run\.json: .*; run \./run\.sh again") as caught:
        load_request(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("inductive", "final", "protocol", "splits"),
    [
        (False, False, "transductive", ("training", "testing")),
        (True, False, "inductive", ("training",)),
        (False, True, "transductive, final", ("training", "validation", "testing")),
        (True, True, "inductive, final", ("training", "validation")),
    ],
)
def test_the_protocol_decides_the_splits_of_the_student(
    run: RunFolder, inductive: bool, final: bool, protocol: str, splits: tuple[str, ...]
):
    request = make_request(inductive=inductive, final=final)
    assert request.protocol == protocol
    assert request.student_splits == splits
    assert "testing" not in request.labelled_splits
    views = {split: Job(run, request).student_views(split) for split in ("training", "validation", "testing")}
    assert views == {split: 2 if split in splits else 1 for split in views}


@pytest.mark.parametrize("inductive", [False, True])
def test_nothing_is_claimed_of_a_split_that_was_trained_on_for_the_upload(inductive: bool):
    assert make_request(inductive=inductive).claimable_splits == ("training", "validation", "testing")
    assert make_request(inductive=inductive, final=True).claimable_splits == ("training", "testing")


@pytest.mark.parametrize(
    ("mixing", "inductive", "labels", "expected"),
    [
        ("auto", False, (), (1, 3)),
        ("auto", True, (), (1, 3)),
        ("auto", True, ("labels",), ()),  # as they were made
        ("auto", True, ("mixed labels",), (1, 3)),
        ("half", False, (), (1, 3)),
        ("half", True, ("labels",), (1, 3)),
        ("none", True, (), ()),
    ],
)
def test_every_second_student_view_is_mixed(
    run: RunFolder, mixing: str, inductive: bool, labels: tuple[str, ...], expected: tuple[int, ...]
):
    settings = load_settings("smoke", [f"views.student_mixing={mixing}", "views.student_views=5"])
    request = Request(
        name="r",
        data="d.zip",
        preset="smoke",
        inductive=inductive,
        soft_labels=labels,
        given_labels_mixed="mixed labels" in labels,
        settings=settings,
    )
    job = Job(run, request)
    assert job.mixed_views() == expected
    assert not any(job.is_mixed(bank, view) for bank in ("teacher", "teacher-student") for view in range(5))

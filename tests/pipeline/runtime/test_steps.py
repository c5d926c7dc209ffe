import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.folder import RunFolder
from pipeline.runtime.steps import Step, read_notes, run_step, why_not_current


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, "r")


@pytest.fixture
def step(run: RunFolder) -> Step:
    writes = (run.folder / "out.bin", run.folder / "other.bin")
    return Step("distill", 1, {"views": "abc", "labels": "def"}, {"epochs": 3, "seed": 0}, writes)


def work_of(step: Step, content: bytes = b"content") -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        for path in step.writes:
            path.write_bytes(content)
        return {"parameters": 7}

    return work


def refuse_to_work() -> None:
    raise AssertionError("the step was done although its receipt holds")


def damage(path: Path) -> None:
    """Other bytes, same size, same time."""
    stat = path.stat()
    path.write_bytes(b"CONTENT")
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_step_is_done_once(run: RunFolder, step: Step, capsys: pytest.CaptureFixture[str]):
    assert run_step(run, step, work_of(step))
    assert capsys.readouterr().out == ""
    assert not run_step(run, step, refuse_to_work)
    assert capsys.readouterr().out == "distill: done before, skipped\n"
    notes = read_notes(run, "distill")
    assert notes["parameters"] == 7
    assert notes["seconds"] >= 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settings": {"epochs": 4, "seed": 0}}, "its settings changed"),
        ({"version": 2}, "this version of the program makes it differently"),
        ({"reads": {"views": "xyz", "labels": "def"}}, "what it reads changed (views)"),
        ({"reads": {"views": "abc"}}, "what it reads changed (labels)"),
        ({"reads": {"views": "abc", "labels": "def", "more": "1"}}, "what it reads changed (more)"),
        ({"reads": dict.fromkeys("abcd", "1")}, "what it reads changed (views, labels, a, ...)"),
    ],
)
def test_a_changed_step_is_done_again_for_a_stated_reason(
    run: RunFolder, step: Step, changes: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str]
):
    run_step(run, step, work_of(step))
    changed = replace(step, **changes)
    assert why_not_current(run, changed) == reason
    assert run_step(run, changed, work_of(step))
    assert capsys.readouterr().out == f"distill: {reason}, done again\n"
    assert why_not_current(run, changed) is None


def test_the_order_of_settings_does_not_matter(run: RunFolder, step: Step):
    run_step(run, step, work_of(step))
    assert why_not_current(run, replace(step, settings={"seed": 0, "epochs": 3})) is None


@pytest.mark.parametrize("output", [0, 1])
def test_bad_outputs_are_made_again(run: RunFolder, step: Step, output: int):
    path = step.writes[output]
    run_step(run, step, work_of(step))
    path.unlink()
    assert why_not_current(run, step) == f"{path.name} is missing"
    run_step(run, step, work_of(step))
    path.write_bytes(b"longer content")
    assert why_not_current(run, step) == f"{path.name} has another size than in its receipt"
    run_step(run, step, work_of(step))
    damage(path)
    assert why_not_current(run, step) == f"{path.name} is damaged"
    run_step(run, step, work_of(step))
    assert path.read_bytes() == b"content"
    assert why_not_current(run, step) is None


def test_large_outputs_are_trusted_unless_checked_in_full(run: RunFolder, step: Step):
    quick = replace(step, quick=True)
    run_step(run, quick, work_of(step))
    damage(step.writes[0])
    assert why_not_current(run, quick) is None
    assert why_not_current(run, quick, full_check=True) == "out.bin is damaged"
    assert run_step(run, quick, work_of(step), full_check=True)
    assert step.writes[0].read_bytes() == b"content"


def test_large_outputs_with_another_time_are_hashed(run: RunFolder, step: Step):
    quick = replace(step, quick=True)
    run_step(run, quick, work_of(step))
    os.utime(step.writes[0], ns=(1, 1))
    assert why_not_current(run, quick) is None  # a copy: the same bytes
    step.writes[0].write_bytes(b"CONTENT")
    assert why_not_current(run, quick) == "out.bin is damaged"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"outputs": {}, "version": 1}'])
def test_a_damaged_receipt_is_reported_in_one_line(
    run: RunFolder, step: Step, content: str, capsys: pytest.CaptureFixture[str]
):
    run_step(run, step, work_of(step))
    run.receipt("distill").write_text(content)
    assert run_step(run, step, work_of(step))
    assert capsys.readouterr().out == "distill: its receipt is damaged, done again\n"
    assert why_not_current(run, step) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outputs": {"out.bin": 3}}, "its receipt is damaged"),
        ({"outputs": {"out.bin": {}}}, "its receipt is damaged"),
        ({"outputs": "x"}, "its receipt is damaged"),
        ({"outputs": {}}, "out.bin is missing"),
        ({"reads": 3}, "its receipt is damaged"),
    ],
)
def test_a_receipt_of_another_shape_is_damaged(run: RunFolder, step: Step, changes: dict[str, Any], reason: str):
    run_step(run, step, work_of(step))
    receipt = json.loads(run.receipt("distill").read_text())
    run.receipt("distill").write_text(json.dumps(receipt | changes))
    assert why_not_current(run, step) == reason


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_no_receipt_while_the_work_is_going_on_nor_after_it_failed(
    run: RunFolder, step: Step, error: type[BaseException]
):
    run_step(run, step, work_of(step))

    def fail() -> None:
        assert not run.receipt("distill").exists()
        raise error

    with pytest.raises(error):
        run_step(run, replace(step, version=2), fail)
    assert not run.receipt("distill").exists()
    assert why_not_current(run, step) == ""
    assert run_step(run, step, work_of(step))  # the lock was released

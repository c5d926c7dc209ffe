"""Steps: done once, done again for a stated reason, never half done."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.artifacts import Artifact
from pipeline.runtime.folder import CellFolder, RunFolder
from pipeline.runtime.section import Section, setting
from pipeline.runtime.steps import Notes, Opened, Step, read_notes, run_step, why_not_current

Work = Callable[[Opened[Any]], Notes | None]


class Own(Section):
    """The settings of the step of these tests."""

    epochs: int = 3
    seed: int = 0
    save_every: int = setting(20, "how often it saves", "seconds", execution=True)


@dataclass(frozen=True)
class Fixed:
    """An input whose digest is known."""

    known: str
    path: Path = Path("nowhere")

    def digest(self) -> str:
        return self.known


def inputs(**digests: str) -> dict[str, Fixed]:
    return {name: Fixed(digest) for name, digest in digests.items()}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path, "r")


@pytest.fixture
def step(run: RunFolder) -> Step[Own]:
    outputs = {name: Artifact(run, "distill", f"{name}.bin") for name in ("out", "other")}
    return Step(run, "distill", 1, inputs(views="abc", labels="def"), Own(), outputs, do_work)


def do_work(opened: Opened[Own]) -> Notes:
    for path in opened.outputs.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return {"parameters": 7, "saw": [opened.settings.epochs, opened.digests]}


def refuse_to_work(_: Opened[Own]) -> None:
    raise AssertionError("the step was done although its receipt holds")


def damage(path: Path) -> None:
    """Other bytes, same size, same time."""
    stat = path.stat()
    path.write_bytes(b"CONTENT")
    assert path.stat().st_size == stat.st_size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_step_is_done_once(run: RunFolder, step: Step[Own], capsys: pytest.CaptureFixture[str]):
    assert run_step(step)
    assert capsys.readouterr().out == ""
    assert not run_step(replace(step, work=refuse_to_work))
    assert capsys.readouterr().out == "distill: done before, skipped\n"
    notes = read_notes(run, "distill")
    assert notes["parameters"] == 7
    assert notes["saw"] == [3, {"views": "abc", "labels": "def"}]
    assert notes["seconds"] >= 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settings": Own(epochs=4)}, "its settings changed"),
        ({"version": 2}, "this version of the program makes it differently"),
        ({"inputs": inputs(views="xyz", labels="def")}, "what it reads changed (views)"),
        ({"inputs": inputs(views="abc")}, "what it reads changed (labels)"),
        ({"inputs": inputs(views="abc", labels="def", more="1")}, "what it reads changed (more)"),
        ({"inputs": inputs(a="1", b="1", c="1", d="1")}, "what it reads changed (views, labels, a, ...)"),
    ],
)
def test_a_changed_step_is_done_again_for_a_stated_reason(
    step: Step[Own], changes: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str]
):
    run_step(step)
    changed = replace(step, **changes)
    assert why_not_current(changed) == reason
    assert run_step(changed)
    assert capsys.readouterr().out == f"distill: {reason}, done again\n"
    assert why_not_current(changed) is None


def test_a_setting_of_the_execution_redoes_nothing(step: Step[Own]):
    run_step(step)
    assert why_not_current(replace(step, settings=Own(save_every=1))) is None


@pytest.mark.parametrize("output", ["out", "other"])
def test_bad_outputs_are_made_again(step: Step[Own], output: str):
    path = step.outputs[output].path
    run_step(step)
    path.unlink()
    assert why_not_current(step) == f"{path.name} is missing"
    run_step(step)
    path.write_bytes(b"longer content")
    assert why_not_current(step) == f"{path.name} has another size than in its receipt"
    run_step(step)
    damage(path)
    assert why_not_current(step) == f"{path.name} is damaged"
    run_step(step)
    assert path.read_bytes() == b"content"
    assert why_not_current(step) is None


def test_large_outputs_are_trusted_unless_checked_in_full(step: Step[Own]):
    quick = replace(step, quick=True)
    run_step(quick)
    damage(step.outputs["out"].path)
    assert why_not_current(quick) is None
    assert why_not_current(quick, full_check=True) == "out.bin is damaged"
    assert run_step(quick, full_check=True)
    assert step.outputs["out"].path.read_bytes() == b"content"


def test_large_outputs_with_another_time_are_hashed(step: Step[Own]):
    quick = replace(step, quick=True)
    run_step(quick)
    os.utime(step.outputs["out"].path, ns=(1, 1))
    assert why_not_current(quick) is None  # a copy: the same bytes
    step.outputs["out"].path.write_bytes(b"CONTENT")
    assert why_not_current(quick) == "out.bin is damaged"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "null", '{"outputs": {}, "version": 1}'])
def test_a_damaged_receipt_is_reported_in_one_line(
    run: RunFolder, step: Step[Own], content: str, capsys: pytest.CaptureFixture[str]
):
    run_step(step)
    run.receipt("distill").write_text(content)
    assert run_step(step)
    assert capsys.readouterr().out == "distill: its receipt is damaged, done again\n"
    assert why_not_current(step) is None


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
def test_a_receipt_of_another_shape_is_damaged(run: RunFolder, step: Step[Own], changes: dict[str, Any], reason: str):
    run_step(step)
    receipt = json.loads(run.receipt("distill").read_text())
    run.receipt("distill").write_text(json.dumps(receipt | changes))
    assert why_not_current(step) == reason


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_no_receipt_while_the_work_is_going_on_nor_after_it_failed(
    run: RunFolder, step: Step[Own], error: type[BaseException]
):
    run_step(step)

    def fail(_: Opened[Own]) -> None:
        assert not run.receipt("distill").exists()
        raise error

    with pytest.raises(error):
        run_step(replace(step, version=2, work=fail))
    assert not run.receipt("distill").exists()
    assert why_not_current(step) == ""
    assert run_step(step)  # the lock was released


def test_equal_steps_of_two_studies_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    cells = [CellFolder(tmp_path, name) for name in ("frontier", "networks", "networks")]
    outputs = [{"out": Artifact(cell, "distill", "out.bin")} for cell in cells]
    steps = [
        Step(cell, "distill", 1, inputs(views="abc"), Own(seed=seed), output, do_work)
        for cell, output, seed in zip(cells, outputs, (0, 0, 1), strict=True)
    ]
    assert [run_step(step) for step in steps] == [True, False, True]
    assert capsys.readouterr().out == "distill: done before, skipped\n"
    places = [cell.place("distill") for cell in cells]
    assert places[0] == places[1] != places[2]
    assert [output["out"].path.read_bytes() for output in outputs] == [b"content"] * 3

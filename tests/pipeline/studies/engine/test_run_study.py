"""The engine of studies: cells are shared by studies and resumed; in turn and side by side give the same bytes."""

import hashlib
import json
from pathlib import Path

import pytest

from pipeline.__main__ import COMMANDS
from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import preset_values
from pipeline.runtime.records import CpuArithmetic
from pipeline.runtime.request import Job, load_request
from pipeline.stages import arithmetic
from pipeline.stages.study_catalogue import FOLDER, study_module, study_names, study_summaries
from pipeline.studies.engine import run_study as engine
from pipeline.studies.engine.rows import student_rows
from pipeline.studies.engine.study import Cell, Study
from pipeline.training import loop as training

MOST_LINES = 40


def two_cells(*names: str) -> Study:
    """A study of students that differ by their seeds."""
    cells = [Cell(name, {"distill.seed": seed}, seed) for seed, name in enumerate(names)]
    return Study(lambda _: cells, "packed_bytes", "validation_accuracy", "One. Two.", student_rows)


@pytest.fixture
def call(smoke_run, smoke_arguments, run_cli, tmp_path, monkeypatch):
    """call(study, name, more) -> output: a study carried out below tmp_path on the soft labels of the smoke run."""

    def carry_out(study: Study, name: str, *more: str, root: Path = tmp_path) -> tuple[int, str, str]:
        monkeypatch.setattr(engine, "load_study", lambda _: study)
        labels = smoke_run.artifacts.soft_labels.path
        argv = ["study", "frontier", "--data", smoke_run.data, "--soft-labels", labels, "--name", name]
        in_turn = ("--set", "device.workers=1")
        return run_cli([*argv, "--preset", "smoke", *smoke_arguments, *in_turn, *more], root)

    return carry_out


def steps(root: Path) -> set[str]:
    return {path.name for path in (root / "runs" / ".steps").iterdir()}


def test_every_study_is_one_short_file_with_a_summary_and_a_reading():
    assert set(study_names()) >= {"frontier", "networks", "recipes", "members"}
    for name, summary in study_summaries().items():
        assert len((FOLDER / f"{study_module(name)}.py").read_text().splitlines()) <= MOST_LINES
        study = engine.load_study(name)
        assert study.reading.count(". ") == 1  # two sentences
        assert summary.endswith(".")


def test_the_help_of_studies_tells_what_each_is_for(run_cli, tmp_path):
    code, out, _ = run_cli(["study", "--help"], tmp_path)
    assert code == 0
    assert COMMANDS["study"].summary in out
    for name, summary in study_summaries().items():
        assert f"  {name}" in out
        assert summary in out


def test_two_studies_that_share_a_cell_train_it_once(call, tmp_path):
    code, out, err = call(two_cells("a", "b"), "one")
    assert (code, err) == (0, "")
    assert out.count("student: epoch 3 of 3") == 2
    before = steps(tmp_path)
    code, out, err = call(two_cells("other-name"), "two")
    assert (code, err) == (0, "")
    assert "epoch" not in out
    assert steps(tmp_path) == before
    marks = [path.iterdir() for path in (tmp_path / "runs" / ".steps").glob("*/used_by")]
    users = [{mark.name for mark in of_step} for of_step in marks]
    assert sorted(map(sorted, users)) == [["one"]] * 4 + [["one", "two"]] * (len(users) - 4)


def test_clean_leaves_what_another_study_uses(call, run_cli, tmp_path):
    call(two_cells("a", "b"), "one")
    shared = steps(tmp_path)
    call(two_cells("a"), "two")
    listed = {row["name"]: row for row in json.loads(run_cli(["list", "--json"], tmp_path)[1])}
    assert set(listed) == {"one", "two"}
    assert listed["one"]["disk_bytes"] > listed["two"]["disk_bytes"] > 100_000
    assert run_cli(["clean", "--name", "one"], tmp_path)[0] == 0
    left = steps(tmp_path)
    assert {name.partition("-")[0] for name in shared - left} == {"distill", "quantise", "pack", "predict"}
    code, out, _ = call(two_cells("a"), "two")
    assert code == 0
    assert "epoch" not in out
    assert run_cli(["clean", "--name", "two"], tmp_path)[0] == 0
    assert steps(tmp_path) == set()


def test_a_study_that_is_interrupted_goes_on_at_its_cell_and_epoch(call, tmp_path, monkeypatch):
    assert call(two_cells("a", "b"), "whole", root=tmp_path / "whole")[0] == 0
    first, second = training._Loop.run_epoch, []

    def stop(loop, epoch: int):
        if loop.training.label == "student" and loop.training.seed == 1 and epoch == 1:
            raise KeyboardInterrupt
        second.append((loop.training.label, loop.training.seed, epoch))
        return first(loop, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(training._Loop, "run_epoch", stop)
        assert call(two_cells("a", "b"), "ended")[0] == 130
    assert second[-1] == ("student", 1, 0)
    code, out, _ = call(two_cells("a", "b"), "ended")
    assert code == 0
    cell_a, _, cell_b = out.partition("cell b, seed 1")
    assert "epoch" not in cell_a
    assert "student: resumes after epoch 1 of 3" in cell_b
    assert packed_files(tmp_path) == packed_files(tmp_path / "whole")


def test_a_study_belongs_to_one_contest(call, run_cli, tiny_contest, tmp_path):
    assert call(two_cells("a"), "one")[0] == 0
    other = tiny_contest("other", seed=1)
    code, _, err = run_cli(["study", "frontier", "--data", other, "--name", "one", "--preset", "smoke"], tmp_path)
    assert code == 2
    assert err.startswith("error: run one is of contest ")


def test_lines_of_cells_side_by_side_begin_with_their_cell(call, capfd):
    call(two_cells("a", "b"), "side", "--set", "device.workers=2")
    lines = capfd.readouterr().out.splitlines()
    for name, seed in (("a", 0), ("b", 1)):
        assert f"{name}, seed {seed}: student: epoch 3 of 3" in "\n".join(lines)


def packed_files(root: Path) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in root.glob("runs/.steps/pack-*/packed/*.bin")}


def test_in_turn_and_side_by_side_give_the_same_files(call, tmp_path):
    assert call(two_cells("a", "b"), "turn", root=tmp_path / "turn")[0] == 0
    code, _, err = call(two_cells("a", "b"), "side", "--set", "device.workers=2", root=tmp_path / "side")
    assert (code, err) == (0, "")
    assert len(packed_files(tmp_path / "turn")) == 12
    assert packed_files(tmp_path / "turn") == packed_files(tmp_path / "side")
    tables = [(root / "frontier.csv").read_text() for root in tmp_path.glob("*/submissions/*")]
    without_seconds = [[line.split(",")[:16] for line in table.splitlines()] for table in tables]
    assert without_seconds[0] == without_seconds[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_cell_has_the_arithmetic_that_the_study_measured(call, tmp_path, monkeypatch, workers):
    rates, measured = {"float32": 1.0, "bfloat16": 2.0}, []

    def measure(cpu: str) -> CpuArithmetic:
        measured.append(cpu)
        return CpuArithmetic(cpu=cpu, dtype="bfloat16", conv_as_matmul=False, images_per_second=rates)

    monkeypatch.setattr(arithmetic, "measure_arithmetic", measure)
    more = ("device.dtype=auto", f"device.workers={workers}", "distill.epochs=1")
    code, _, err = call(two_cells("a", "b"), "open", "--set", *more)
    assert (code, err, len(measured)) == (0, "", 1)
    assert (tmp_path / "runs" / "open" / "arithmetic.json").is_file()
    receipts = list(tmp_path.glob("runs/.steps/distill-*/receipts/distill.json"))
    devices = [json.loads(path.read_text())["notes"]["device"] for path in receipts]
    assert len(devices) == 2
    assert all(", bfloat16 (images per second in a trial: float32 1, bfloat16 2)" in device for device in devices)


def test_a_cell_changes_its_own_settings_alone(smoke_run):
    study, stated = Job(smoke_run.run, load_request(smoke_run.run)), preset_values("smoke", ["distill.batch_size=5"])
    changes = {"distill.epochs": 7, "teach.epochs": 9, "teach.members.1.seed": 5}
    job = Cell("x", changes, budget_bytes=9_000, inductive=True).job(study, stated)
    assert (job.settings.distill.epochs, study.settings.distill.epochs) == (7, 3)
    assert [(row.seed, row.epochs) for row in job.settings.teach.members] == [(1, 9), (5, 9)]
    assert job.settings.quantise.batch_size == 5  # inherited anew
    assert stated == preset_values("smoke", ["distill.batch_size=5"])
    assert (job.request.budget_bytes, job.request.inductive, study.request.inductive) == (9_000, True, False)
    with pytest.raises(
        RequestError, match=r"cell x: unknown setting distill\.epoch \(did you mean distill\.epochs\?\)"
    ):
        Cell("x", {"distill.epoch": 7}).job(study, stated)

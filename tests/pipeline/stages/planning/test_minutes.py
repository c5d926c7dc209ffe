"""`--minutes` and an automatic image size on the command line: a real run, what resumes it, what is refused."""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.contest.contest import read_contest
from pipeline.contest.open_source import open_source
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.records import read_epochs
from pipeline.runtime.request import Job, load_request
from pipeline.stages import whole_run
from pipeline.stages.planning import plan as planning
from pipeline.stages.planning.forecast import MemberSpeed, Speeds, kind_of
from pipeline.stages.planning.ladder import LADDER, planned_settings
from pipeline.stages.planning.trial import measure
from tests.conftest import CPU, SmokeRun, call_main, write_contest

RunCli = Callable[..., tuple[int, str, str]]
# As small as members of the ladder get; in turn, because a process needs seconds to start.
SMALL = (
    *(f"teach.members.{i}.options.widths=[8, 8, 8, 8]" for i in (0, 1)),
    "teach.batch_size=8",
    "distill.batch_size=8",
    "device.workers=1",
)


@pytest.fixture(scope="module")
def planned_run(tmp_path_factory: pytest.TempPathFactory) -> SmokeRun:
    """A run of the smallest plan, carried out once. Read-only."""
    folder = tmp_path_factory.mktemp("planned")
    data = write_contest(folder / "tiny")
    argv = ("--data", str(data), "--minutes", "0.2", *CPU, *SMALL)
    code, out, err = call_main(argv, folder / "root")
    assert (code, err) == (0, "")
    return SmokeRun(folder / "root", data, argv, out)


@pytest.fixture
def planned_copy(planned_run: SmokeRun, tmp_path: Path) -> SmokeRun:
    shutil.copytree(planned_run.root, tmp_path / "copy")
    return replace(planned_run, root=tmp_path / "copy")


@pytest.fixture
def no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Speeds:
        raise AssertionError("a trial")

    monkeypatch.setattr(planning, "measure", refuse)


@pytest.fixture
def only_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that ends where its first stage would begin."""

    def stop(*_: object) -> None:
        raise RequestError("here it would begin")

    monkeypatch.setattr(whole_run, "carry_out", stop)


def test_settings_toml_is_what_was_trained(planned_run: SmokeRun):
    request = load_request(planned_run.run)
    assert request.settings == planned_settings(LADDER[0], 32, [word for word in planned_run.argv if "=" in word])
    assert load_settings(str(planned_run.run.submission / "settings.toml"), []) == request.settings
    made = planned_run.artifacts
    members = [len(read_epochs(made.member_metrics(i).path)) for i in range(2)]
    students = [len(read_epochs(metrics.path)) for metrics in (made.student_metrics, made.quantised_metrics)]
    assert members == [LADDER[0].member_epochs] * 2
    assert students == [LADDER[0].student_epochs, LADDER[0].low_bit_epochs]
    assert "auto" not in json.loads(planned_run.run.request.read_text())["settings"]["data"].values()


def test_the_plan_comes_before_the_first_stage_and_the_time_at_the_end(planned_run: SmokeRun):
    lines = planned_run.stdout.splitlines()
    assert lines[0].startswith("contest tiny: labels from names of the files in training; 42 training, ")
    lines = lines[3:]
    first_stage = lines.index("stage 1 of 8: prepare")
    assert lines[0] == "planning: a trial of this machine's speed, some seconds"
    assert re.match(r"plan: 32 pixels, views [\d.]+ min, 2 members x 6 epochs ", lines[1])
    assert lines[2].endswith(" minutes, more than the 0.2 asked for")  # what does not depend on images takes longer
    assert "planned for 0.2 minutes" in lines[3]
    assert first_stage == 4
    assert sum(line.startswith("the run took ") for line in lines) == 1
    assert lines[-1].startswith("fits: ")


def test_the_manifest_names_the_minutes(planned_run: SmokeRun):
    manifest = json.loads((planned_run.run.submission / "manifest.json").read_text())
    plan = load_request(planned_run.run).plan
    assert plan
    assert manifest["minutes"] == {"asked": 0.2, "planned": round(plan.seconds.total / 60, 1)}
    assert manifest["preset"] == "cpu"


@pytest.mark.usefixtures("no_trial")
@pytest.mark.parametrize("by_name", [False, True])
def test_the_same_command_keeps_the_plan_and_trains_nothing(planned_copy: SmokeRun, run_cli: RunCli, by_name: bool):
    plan, before = load_request(planned_copy.run).plan, planned_copy.receipts()
    argv = ("--name", "tiny", *planned_copy.argv[4:]) if by_name else planned_copy.argv
    code, out, err = run_cli(argv, planned_copy.root)
    assert (code, err) == (0, "")
    assert re.search(r"^plan: 32 pixels, views [\d.]+ min, 2 members x 6 epochs ", out, re.MULTILINE)
    assert "\nthis part of the run took " in out
    assert load_request(planned_copy.run).plan == plan
    assert planned_copy.redone(before) == set()


@pytest.mark.usefixtures("no_trial", "only_planned")
def test_a_change_on_resuming_is_laid_over_the_plan_that_was_made(planned_copy: SmokeRun, run_cli: RunCli):
    plan = load_request(planned_copy.run).plan
    _, _, err = run_cli([*planned_copy.argv, "distill.epochs=9"], planned_copy.root)
    assert err == "error: here it would begin\n"
    request = load_request(planned_copy.run)
    assert request.plan == plan
    assert (request.settings.distill.epochs, request.settings.teach.epochs) == (9, LADDER[0].member_epochs)


@pytest.mark.usefixtures("only_planned")
def test_other_minutes_are_a_new_plan_said_in_one_line(planned_copy: SmokeRun, run_cli: RunCli, monkeypatch):
    nothing = MemberSpeed(0.0, 0.0)
    fast = Speeds(2, 1, 0.0, {"student": 0.0, "teacher": 0.0}, defaultdict(lambda: nothing), 0.0, 0.0)
    monkeypatch.setattr(planning, "measure", lambda *_: fast)
    argv = [word if word != "0.2" else "3" for word in planned_copy.argv]
    _, out, _ = run_cli(argv, planned_copy.root)
    assert out.splitlines()[0] == "run tiny: was planned for 0.2 minutes, now a new plan for 3 minutes"
    request = load_request(planned_copy.run)
    assert request.minutes == 3
    assert request.plan
    assert request.plan.rung == LADDER[-1]  # all fit where nothing takes time


@pytest.mark.usefixtures("only_planned")
@pytest.mark.parametrize("more", [("--budget", "250000"), ("--inductive",), ("--final",)])
def test_another_budget_or_protocol_is_a_new_plan(planned_copy: SmokeRun, run_cli: RunCli, monkeypatch, more):
    def trial(*_: object) -> Speeds:
        raise RequestError("a trial")

    monkeypatch.setattr(planning, "measure", trial)
    assert run_cli([*more, *planned_copy.argv], planned_copy.root)[2] == "error: a trial\n"


@pytest.mark.parametrize("text", ["0", "-5", "0.0", "ten", "nan", "inf", "1e3", "", "5m", "1,5", "1_0"])
def test_bad_minutes_are_refused(run_cli: RunCli, tmp_path: Path, text: str):
    code, _, err = run_cli([f"--minutes={text}"], tmp_path)
    expected = "expected a number of minutes above 0, such as 30 or 7.5"
    assert (code, err) == (2, f"error: --minutes {text}: {expected}\n")


def test_a_preset_and_minutes_are_refused(run_cli: RunCli, tmp_path: Path):
    code, _, err = run_cli(["--minutes", "5", "--preset", "cpu"], tmp_path)
    expected = "--minutes with --preset: a preset is a plan made before; give --minutes or --preset"
    assert (code, err) == (2, f"error: {expected}\n")


@pytest.mark.usefixtures("no_trial")
def test_a_budget_that_no_plan_meets_is_refused_before_the_trial(run_cli: RunCli, tiny_contest, tmp_path: Path):
    code, out, err = run_cli(["--data", tiny_contest(), "--minutes", "5", "--budget", "9"], tmp_path)
    assert (code, out) == (2, "")
    assert "error: --budget 9: the smallest student takes " in err


@pytest.mark.usefixtures("only_planned")
def test_given_soft_labels_leave_the_minutes_to_the_student(planned_copy: SmokeRun, run_cli: RunCli, tmp_path: Path):
    labels = planned_copy.run.submission / "soft_labels.safetensors"
    argv = [word for word in planned_copy.argv if not word.startswith("teach.members")]
    _, out, err = run_cli(["--soft-labels", labels, *argv, "data.image_size=32"], tmp_path)
    assert err == "error: here it would begin\n"
    assert re.match(r"plan: 32 pixels, views [\d.]+ min, student 3 \+ 1 low-bit epochs ", out.splitlines()[4])
    settings = load_request(replace(planned_copy, root=tmp_path).run).settings
    assert settings.teach.members == ()
    assert settings.views.student_views == 2  # as many as the labels have


@pytest.mark.usefixtures("only_planned")
def test_auto_without_minutes_is_the_size_of_the_images(run_cli: RunCli, tiny_contest, smoke_arguments, tmp_path: Path):
    argv = ["--data", tiny_contest(), "--preset", "smoke", *smoke_arguments, "data.image_size=auto"]
    code, out, err = run_cli(argv, tmp_path)
    assert (code, err) == (2, "error: here it would begin\n")
    line = "data.image_size auto: 32 pixels (short side of the images 16; without --minutes at most 64)"
    assert out.splitlines()[0] == line
    assert json.loads((tmp_path / "runs" / "tiny" / "run.json").read_text())["settings"]["data"]["image_size"] == 32


def test_auto_of_a_study_is_refused(run_cli: RunCli, tiny_contest, tmp_path: Path):
    code, _, err = run_cli(["study", "frontier", "--data", tiny_contest(), "--set", "data.image_size=auto"], tmp_path)
    assert (code, err) == (2, "error: data.image_size: auto is of a run; expected a number of pixels for a study\n")


def test_members_are_timed_side_by_side(planned_run: SmokeRun):
    """Two processes on two workers, each kind once."""
    request = load_request(planned_run.run)
    device = request.settings.device.model_copy(update={"workers": 2})
    settings = request.settings.model_copy(update={"device": device})
    job = Job(planned_run.run, request.model_copy(update={"settings": settings}))
    source = open_source(planned_run.data)
    speeds = measure([job], read_contest(source, DataSettings()), source)
    assert list(speeds.members) == [(2, kind_of(settings.teach.members[0]))]
    (member,) = speeds.members.values()
    times = (member.training, member.prediction, speeds.student, speeds.packed, speeds.decode, *speeds.views.values())
    assert min(times) > 0
    assert max(times) < 10
    assert member.training > member.prediction
    assert (speeds.workers, speeds.members_at_once) == (2, 2)

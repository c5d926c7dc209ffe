"""Plans from speeds made by hand: which rung and image size, and what is said of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from pipeline.runtime.folder import RunFolder
from pipeline.runtime.plan import Plan, PlannedSeconds, Rung
from pipeline.runtime.request import Job, Request
from pipeline.stages.planning import plan as planning
from pipeline.stages.planning.forecast import MemberSpeed, Speeds, at_once, kind_of
from pipeline.stages.planning.ladder import LADDER, RUNG_BEFORE_PIXELS, planned_settings
from pipeline.stages.planning.lines import plan_lines, taken_line

BASE = 0.005  # seconds per image of 64x64 that the student learns from


class HandMadeTrial:
    """Stands for the trial: speeds in proportion to the pixels, and which sizes were timed."""

    def __init__(self, student: float) -> None:
        self.student, self.sizes = student, list[int]()

    def __call__(self, jobs: Sequence[Job], *_: object) -> Speeds:
        size = jobs[0].settings.data.image_size
        self.sizes.append(size)
        student = self.student * (size / 64) ** 2
        rows = [(at_once(job, 2), kind_of(row)) for job in jobs for row in job.settings.teach.members]
        members = dict.fromkeys(rows, MemberSpeed(student, student / 3))
        return Speeds(2, 2, 0.0, {"student": 0.0, "teacher": 0.0}, members, student, 0.0)


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> HandMadeTrial:
    made = HandMadeTrial(BASE)
    monkeypatch.setattr(planning, "measure", made)
    return made


@pytest.fixture
def contest(tmp_path: Path) -> Callable[[int], Path]:
    """A contest of 40, 10 and 10 images of a side."""

    def build(side: int) -> Path:
        for split, count in (("training", 40), ("validation", 10), ("testing", 10)):
            (tmp_path / "c" / split).mkdir(parents=True)
            for i in range(count):
                name = f"{i}.png" if split == "testing" else f"{i % 2}_{i}.png"
                Image.new("RGB", (side + 9, side)).save(tmp_path / "c" / split / name)
        return tmp_path / "c"

    return build


def planned(data: Path, minutes: float, changes: Sequence[str] = ()) -> Plan:
    settings = planned_settings(LADDER[0], 32, changes)
    request = Request(name="r", data=str(data), preset="cpu", minutes=minutes, settings=settings)
    job = planning.with_plan(Job(RunFolder(data.parent, "r"), request), changes)
    assert job.request.plan
    rung, size = job.request.plan.rung, job.request.plan.image_size
    assert job.settings == planned_settings(rung, size, changes)
    return job.request.plan


def by_hand(rung: Rung, student: float) -> float:
    """Seconds of a rung for that contest at these speeds: 40 images are learned by members, 50 by the student."""

    def checks(epochs: int) -> int:
        return len({*range(5, epochs + 1, 5), epochs})  # every fifth, and the last

    rounds = rung.members / 2
    members = rounds * (rung.member_epochs * 40 + checks(rung.member_epochs) * 10 / 3) * student
    labels = rounds * (50 * (rung.student_views + 1) + 10 * 2) * student / 3
    checked = checks(rung.student_epochs) + checks(rung.low_bit_epochs)
    learned = ((rung.student_epochs + 1.25 * rung.low_bit_epochs) * 50 + checked * 10 / 3) * student
    return 1.04 * (members + labels + learned + 40) + 20


@pytest.mark.parametrize("number", [0, 3, len(LADDER) - 1])
def test_the_largest_rung_that_fits_is_taken(trial: HandMadeTrial, contest, number: int):
    seconds = by_hand(LADDER[number], BASE)
    found = planned(contest(64), seconds / 60 + 1e-6, ["data.image_size=64"])
    assert found.rung == LADDER[number]
    assert found.seconds.total == pytest.approx(seconds)
    assert trial.sizes == [64]


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.usefixtures("trial")
def test_a_moment_less_takes_the_rung_below(contest, number: int):
    found = planned(contest(64), by_hand(LADDER[number], BASE) / 60 - 1e-6, ["data.image_size=64"])
    assert found.rung == LADDER[number - 1]


def test_too_few_minutes_take_the_smallest(trial: HandMadeTrial, contest, capsys):
    trial.student = 0.5
    assert planned(contest(64), 0.5, ["data.image_size=64"]).rung == LADDER[0]
    about = by_hand(LADDER[0], 0.5) / 60
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"the smallest plan takes about {about:.0f} minutes, more than the 0.5 asked for"
    )


@pytest.mark.parametrize(("size", "timed"), [(32, [64, 32]), (48, [64, 48]), (64, [64]), (96, [64, 96])])
def test_the_image_size_is_the_largest_at_which_the_rung_before_pixels_fits(
    trial: HandMadeTrial, contest, size: int, timed: list[int]
):
    minutes = by_hand(RUNG_BEFORE_PIXELS, BASE * (size / 64) ** 2) / 60 + 1e-6
    found = planned(contest(130), minutes)
    assert (found.image_size, trial.sizes) == (size, timed)
    assert found.rung == RUNG_BEFORE_PIXELS


@pytest.mark.usefixtures("trial")
def test_without_time_for_that_rung_the_image_size_is_the_smallest(contest):
    assert planned(contest(130), 0.1).image_size == 32


def test_no_image_is_enlarged(trial: HandMadeTrial, contest):
    assert planned(contest(50), 600).image_size == 48
    assert trial.sizes == [48]


@pytest.mark.usefixtures("trial")
def test_a_longer_setting_leaves_less_for_the_rest(contest):
    data, minutes = contest(64), by_hand(LADDER[4], BASE) / 60 + 1e-6
    changes = ["data.image_size=64", f"distill.epochs={LADDER[8].student_epochs}"]
    assert LADDER.index(planned(data, minutes, changes).rung) < 4


def seconds(**parts: float) -> PlannedSeconds:
    return PlannedSeconds(**{"prepare": 60, "members": 2280, "labels": 240, "student": 1320, "packing": 60} | parts)


RUNG = Rung(members=2, member_epochs=24, teacher_views=12, student_views=5, student_epochs=27, low_bit_epochs=4)


@pytest.mark.parametrize(
    ("asked", "safety", "lines"),
    [
        (73, 300, ["student 27 + 4 low-bit epochs 22 min, 8 left for packing and safety"]),
        (
            5.5,
            300,
            [
                "student 27 + 4 low-bit epochs 22 min, packing and safety 6 min",
                "the smallest plan takes about 71 minutes, more than the 5.5 asked for",
            ],
        ),
    ],
)
def test_the_line_of_a_plan(asked: float, safety: float, lines: list[str]):
    plan = Plan(rung=RUNG, image_size=64, seconds=seconds(safety=safety))
    found = plan_lines(asked, plan, planned_settings(RUNG, 64, []))
    begin = "plan: 64 pixels, views 1.0 min, 2 members x 24 epochs 38 min, soft labels 4 min, "
    assert found == [begin + lines[0], *lines[1:]]


def test_the_line_of_what_the_user_changed():
    changes = ["teach.members.1.epochs=3", "quantise.epochs=0", "data.image_size=32"]
    plan = Plan(rung=RUNG, image_size=64, seconds=seconds(labels=90, safety=0))
    assert plan_lines(90, plan, planned_settings(RUNG, 64, changes)) == [
        "plan: 32 pixels, views 1.0 min, 2 members 38 min, soft labels 1.5 min, student 27 + 0 low-bit epochs 22 min, "
        "28 left for packing and safety"
    ]


def test_the_line_of_given_soft_labels_names_no_members():
    rung = RUNG.model_copy(update={"members": 0})
    plan = Plan(rung=rung, image_size=64, seconds=seconds(members=0, labels=0, safety=0))
    assert plan_lines(30, plan, planned_settings(rung, 64, [])) == [
        "plan: 64 pixels, views 1.0 min, student 27 + 4 low-bit epochs 22 min, 7 left for packing and safety"
    ]


def test_the_line_of_what_a_run_took():
    plan = Plan(rung=RUNG, image_size=64, seconds=seconds(safety=0))
    assert taken_line(70, plan, 3900, resumed=False) == "the run took 65 minutes; planned were 66, asked for 70"
    assert (
        taken_line(7.5, plan, 84, resumed=True)
        == "this part of the run took 1.4 minutes; planned were 66, asked for 7.5"
    )

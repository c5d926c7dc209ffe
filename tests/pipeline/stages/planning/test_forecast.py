"""The forecast against times worked out by hand from speeds made by hand."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.folder import RunFolder
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.request import Job, Request
from pipeline.stages.planning.forecast import MemberSpeed, Speeds, forecast, kind_of, last_to_end

IMAGES = {"training": 1000, "validation": 200, "testing": 300}
CHANGES = [
    'teach.members=[{network="short-resnet", seed=1}, {network="short-resnet", seed=2, policy="student"}]',
    "teach.epochs=10",
    "views.teacher_views=3",
    "views.student_views=2",
    "distill.epochs=8",
    "quantise.epochs=4",
]


def job_of(changes: list[str] = [], **asked: Any) -> Job:  # noqa: B006
    settings = load_settings("cpu", [*CHANGES, *changes])
    request = Request(name="r", data="c.zip", preset="cpu", settings=settings, **asked)
    return Job(RunFolder(Path(), "r"), request)


def speeds_of(job: Job, at_once: int = 2) -> Speeds:
    """A member's training 10 ms per image and prediction 1 ms, others in milliseconds: 4, 2, 6, 20 and 3."""
    members = {(at_once, kind_of(row)): MemberSpeed(0.010, 0.001) for row in job.settings.teach.members}
    views = {"student": 0.002, "teacher": 0.006}
    return Speeds(2, at_once, decode=0.004, views=views, members=members, student=0.020, packed=0.003)


def parts_of(job: Job, at_once: int = 2) -> tuple[float, float, float, float, float]:
    found = forecast(job, IMAGES, speeds_of(job, at_once))
    parts = (found.prepare, found.members, found.labels, found.student, found.packing)
    assert found.safety == pytest.approx(20 + 0.04 * sum(parts))
    assert found.total == pytest.approx(sum(parts) + found.safety)
    return parts


def test_every_part_of_a_run():
    # 1,500 decoded; 2 strong and 2 light teacher views of 1,000; one student view of 1,000 and 300, mixed from two; on
    # two cores
    prepare = (1500 * 0.004 + 2 * 1000 * 0.006 + 2 * 1000 * 0.002 + 2 * 1300 * 0.002) / 2
    members = 10 * 1000 * 0.010 + 2 * 200 * 0.001  # validated after epochs 5 and 10; both side by side
    labels = (3 * 1000 + 2 * 200 + 3 * 300) * 0.001  # two views and a mirror image; validation: one and a mirror image
    student = (8 + 1.25 * 4) * 1300 * 0.020 + (2 + 1) * 200 * 0.020 / 3
    packing = 40 + 2 * (1500 + 6 * 200) * 0.003
    assert parts_of(job_of()) == pytest.approx((prepare, members, labels, student, packing))


def test_members_in_turn_take_the_sum():
    assert parts_of(job_of(), at_once=1)[1:3] == pytest.approx((2 * 100.4, 2 * 4.3))


def test_an_inductive_student_sees_no_test_images():
    prepare, members, labels, student, _ = parts_of(job_of(inductive=True))
    assert prepare == pytest.approx((6 + 12 + 4 + 2 * 2) / 2)  # its view is mixed from two
    assert members == pytest.approx(100.4)
    assert labels == pytest.approx((3 * 1000 + 2 * 200 + 2 * 300) * 0.001)
    assert student == pytest.approx(13 * 1000 * 0.020 + 4.0)


def test_a_final_run_trains_on_validation_and_measures_nothing_there():
    prepare, members, labels, student, packing = parts_of(job_of(final=True))
    assert prepare == pytest.approx((6 + 2 * 1200 * 0.006 + 2 * 1200 * 0.002 + 2 * 1500 * 0.002) / 2)
    assert members == pytest.approx(10 * 1200 * 0.010)
    assert labels == pytest.approx(3 * 1500 * 0.001)
    assert student == pytest.approx(13 * 1500 * 0.020)
    assert packing == pytest.approx(40 + 2 * 1500 * 0.003)


def test_given_soft_labels_need_no_member():
    job = job_of(["teach.members=[]"], soft_labels=("labels",))
    prepare, members, labels, student, _ = parts_of(job)
    assert (members, labels) == (0, 0)
    assert prepare == pytest.approx((6 + 1300 * 0.002) / 2)
    assert student == pytest.approx(13 * 1300 * 0.020 + 4.0)


@pytest.mark.parametrize(("flip", "passes"), [("true", (4, 2, 4)), ("false", (2, 1, 2)), ("clean", (3, 2, 3))])
def test_flip_tta_of_the_members_costs_predictions(flip: str, passes: tuple[int, int, int]):
    expected = (passes[0] * 1000 + passes[1] * 200 + passes[2] * 300) * 0.001
    assert parts_of(job_of([f"export.tta_flip={flip}"]))[2] == pytest.approx(expected)


def test_a_supplied_member_is_not_trained():
    assert parts_of(job_of(["teach.members.0.weights=w"]), at_once=1)[1] == pytest.approx(100.4)


@pytest.mark.parametrize(
    ("seconds", "places", "end"), [((3, 3, 3, 3), 2, 6), ((3, 3, 3), 2, 6), ((9, 2, 2, 2), 2, 9), ((1, 2, 3), 1, 6)]
)
def test_works_are_begun_in_order_as_places_get_free(seconds: tuple[float, ...], places: int, end: float):
    assert last_to_end(seconds, places) == end


def test_at_other_sizes_all_but_decoding_grows_with_the_pixels():
    job = job_of()
    speeds = speeds_of(job)
    scaled = speeds.scaled(4.0)
    assert (scaled.decode, scaled.student, scaled.packed) == (0.004, 0.080, 0.012)
    assert scaled.views == {"student": 0.008, "teacher": 0.024}
    assert set(scaled.members.values()) == {MemberSpeed(0.040, 0.004)}


def test_members_are_of_a_kind_where_their_images_take_equally_long():
    first, second = job_of().settings.teach.members
    assert kind_of(first) == kind_of(second)
    mixed = job_of(["teach.augment.mix_probability=0.0", "teach.epochs=30"]).settings.teach.members[0]
    assert kind_of(mixed) == kind_of(first)
    other = job_of(["teach.members.1.batch_size=64"]).settings.teach.members[1]
    assert kind_of(other) != kind_of(second)

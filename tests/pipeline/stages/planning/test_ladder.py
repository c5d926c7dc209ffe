"""The ladder: how its rungs grow, within which bounds, and which settings a rung gives."""

import itertools

import pytest

from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.plan import Rung
from pipeline.stages.planning.ladder import (
    LADDER,
    RUNG_BEFORE_PIXELS,
    largest_fitting,
    nominal_core_seconds,
    planned_settings,
    without_members,
)

SHORT = Rung(members=2, member_epochs=19, teacher_views=6, student_views=2, student_epochs=7, low_bit_epochs=2)
LONG = SHORT.model_copy(update={"members": 4, "member_epochs": 20})


def test_the_nominal_work_of_a_rung_is_counted_by_hand():
    """2 members x (19 x 26 + 2 x 6) + 7 x 40 + 2 x 50 + (5 + 1) views x 4; from 20 epochs on two banks of views."""
    assert nominal_core_seconds(SHORT) == 2 * 506 + 280 + 100 + 24
    assert nominal_core_seconds(LONG) == 4 * 532 + 280 + 100 + 44


def test_each_rung_is_about_a_quarter_more_work_than_the_one_below():
    ratios = [nominal_core_seconds(b) / nominal_core_seconds(a) for a, b in itertools.pairwise(LADDER)]
    assert min(ratios) >= 1.15
    assert max(ratios) <= 1.35


def test_no_rung_leaves_its_bounds_and_none_has_less_of_the_student():
    for rung in LADDER:
        assert rung.members in (2, 4, 6, 8)
        assert 6 <= rung.member_epochs <= 107
        assert 3 <= rung.student_epochs <= 198
        assert 1 <= rung.low_bit_epochs <= 8
    for below, above in itertools.pairwise(LADDER):
        assert above.members >= below.members
        assert above.student_epochs >= below.student_epochs
        assert above.low_bit_epochs >= below.low_bit_epochs
        assert above.members * above.member_epochs > below.members * below.member_epochs


def test_the_rung_before_pixels_is_one_of_the_ladder():
    assert RUNG_BEFORE_PIXELS in LADDER[1:-1]


@pytest.mark.parametrize(("limit", "found"), [(9, 8), (8, 8), (7, 4), (4, 4), (1, 2)])
def test_the_largest_that_fits_is_taken_and_else_the_smallest(limit: int, found: int):
    assert largest_fitting((2, 4, 8), lambda step: step <= limit) == found


def test_members_with_few_epochs_share_light_views_and_are_not_mixed():
    settings = planned_settings(SHORT, 64, [])
    assert (settings.views.teacher_policy, settings.views.student_mixing) == ("student", "none")
    assert [(row.seed, row.policy, row.epochs) for row in settings.teach.members] == [(1, "", 19), (2, "", 19)]
    assert settings.teach.members[0].augment.mix_probability == 0.0
    assert settings.teach.members[0].augment.cutmix_alpha == 1.0  # as the preset states it


def test_members_with_many_epochs_alternate_between_strong_and_light_views():
    settings = planned_settings(LONG, 64, [])
    assert (settings.views.teacher_policy, settings.views.student_mixing) == ("teacher", "auto")
    assert [row.policy for row in settings.teach.members] == ["", "student", "", "student"]
    assert [row.seed for row in settings.teach.members] == [1, 2, 3, 4]
    assert settings.teach.members[3].augment.mix_probability == 0.5


def test_all_else_is_the_preset_cpu():
    settings, preset = planned_settings(LONG, 64, []), load_settings("cpu", [])
    assert (settings.views.teacher_views, settings.views.student_views) == (6, 2)
    assert (settings.distill.epochs, settings.quantise.epochs) == (7, 2)
    assert (settings.distill.ema_decay, settings.quantise.ema_decay) == (0.99, 0.99)  # of a short training
    for planned, stated in ((settings.distill, preset.distill), (settings.quantise, preset.quantise)):
        back = {name: getattr(stated, name) for name in ("epochs", "ema_decay")}
        assert planned.model_copy(update=back) == stated
    assert settings.export == preset.export
    assert settings.teach.optimizer == preset.teach.optimizer == "muon"


@pytest.mark.parametrize(
    ("size", "sizes"), [(16, (16,)), (32, (16, 32)), (48, (32, 48)), (64, (32, 48, 64)), (128, (64, 96, 128))]
)
def test_members_grow_through_half_three_quarters_and_all_of_the_size(size: int, sizes: tuple[int, ...]):
    settings = planned_settings(LONG, size, [])
    assert settings.data.image_size == size
    assert {row.sizes for row in settings.teach.members} == {sizes}


def test_what_the_user_sets_wins():
    changes = ["distill.epochs=99", "teach.members.1.epochs=3", "views.student_views=5", "data.image_size=32"]
    settings = planned_settings(LONG, 64, changes)
    assert (settings.distill.epochs, settings.views.student_views, settings.data.image_size) == (99, 5, 32)
    assert [row.epochs for row in settings.teach.members] == [20, 3, 20, 20]
    assert settings.teach.members[0].sizes == (16, 32)  # of the image size that was set


def test_auto_is_the_size_of_the_plan():
    assert planned_settings(LONG, 96, ["data.image_size=auto"]) == planned_settings(LONG, 96, [])


def test_with_given_soft_labels_there_are_no_members():
    settings = planned_settings(without_members(LONG, 3), 64, [])
    assert settings.teach.members == ()
    assert settings.views.student_views == 3


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("data.image_size=100", "^--minutes, preset cpu: data.image_size: .*multiple of 16, found 100$"),
        ("data.image_size=large", "^--minutes, preset cpu: data.image_size: .*found 'large'$"),
        ("data=3", "^--minutes, preset cpu: data: "),
        ("distill.epoch=3", r"unknown setting distill.epoch \(did you mean distill.epochs\?\)$"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: str, match: str):
    with pytest.raises(RequestError, match=match):
        planned_settings(LONG, 64, [change])


@pytest.mark.parametrize(("preset", "rung"), [("quick", 5), ("cpu", 12)])
def test_a_preset_is_a_plan_made_before(preset: str, rung: int):
    assert planned_settings(LADDER[rung - 1], 64, []) == load_settings(preset, [])

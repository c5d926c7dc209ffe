"""The ladder: every plan that `--minutes` can choose, from the smallest to the largest, and the settings of each.

The ladder is fixed, so that equal machines take equal plans. Each rung is about 1.25 times the work of the one below.
The numbers stand in one table; the rest follows from it.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pipeline.runtime.load_settings import changed, merge, read_preset, validate
from pipeline.runtime.plan import Rung
from pipeline.runtime.settings import Settings
from pipeline.stages.planning.sizes import AUTO, member_sizes, stated_size

BASE = "cpu"  # the preset below every rung, whatever the device
MIXED_FROM = 20  # epochs of a member: fewer are too few for mixing and strong views (docs/results/teachers.md)
EMA_DECAY, EMA_DECAY_OF_SHORT = 0.995, 0.99
Step = TypeVar("Step")
COLUMNS = ("members", "member_epochs", "teacher_views", "student_views", "student_epochs", "low_bit_epochs")
# Core-seconds of 13,000 images of 64x64, the nominal costs of the table.
MEMBER_EPOCH, LABELLED_VIEW, STUDENT_EPOCH, LOW_BIT_EPOCH, MADE_VIEW = 26, 6, 40, 50, 4
# fmt: off
TABLE = (
    # members, member epochs, teacher views, student views, student epochs, low-bit epochs; minutes on two cores
    (2,   6,  4,  2,   3, 1),  # 1: 6
    (2,   8,  4,  3,   3, 1),  # 2: 8
    (2,   9,  4,  3,   4, 2),  # 3: 9
    (2,  11,  8,  3,   6, 2),  # 4: 12
    (2,  14,  8,  4,   7, 2),  # 5: 14
    (2,  17,  8,  5,   9, 3),  # 6: 18
    (2,  21,  8,  6,  11, 4),  # 7: 22
    (2,  27, 12,  8,  14, 4),  # 8: 28
    (2,  34, 16, 10,  17, 4),  # 9: 35
    (2,  43, 16, 11,  21, 6),  # 10: 43
    (2,  53, 16, 13,  26, 7),  # 11: 53
    (2,  66, 16, 15,  37, 8),  # 12: 65
    (2,  82, 16, 16,  44, 8),  # 13: 81
    (4,  52, 16, 16,  55, 8),  # 14: 102
    (4,  65, 16, 16,  70, 8),  # 15: 126
    (4,  81, 16, 16,  93, 8),  # 16: 156
    (4, 101, 16, 16, 122, 8),  # 17: 195
    (6,  86, 16, 16, 152, 8),  # 18: 246
    (6, 107, 16, 16, 196, 8),  # 19: 306
)
# fmt: on
LADDER = tuple(Rung(**dict(zip(COLUMNS, row, strict=True))) for row in TABLE)
# The image size of a plan is the largest one with which this rung still fits; where it fits with none, the smallest.
RUNG_BEFORE_PIXELS = LADDER[7]


def nominal_core_seconds(rung: Rung) -> int:
    """Work of a rung on 13,000 images of 64x64 without what is the same for all: core-seconds."""
    banks = 2 if rung.member_epochs >= MIXED_FROM else 1  # of teacher views
    made = banks * (rung.teacher_views - 1) + rung.student_views - 1
    members = rung.members * (MEMBER_EPOCH * rung.member_epochs + LABELLED_VIEW * rung.student_views)
    return members + STUDENT_EPOCH * rung.student_epochs + LOW_BIT_EPOCH * rung.low_bit_epochs + MADE_VIEW * made


def largest_fitting(steps: Sequence[Step], fits: Callable[[Step], bool]) -> Step:
    """The largest of ascending steps that fits; where none does, the smallest."""
    return next((step for step in reversed(steps) if fits(step)), steps[0])


def without_members(rung: Rung, student_views: int) -> Rung:
    """The rung of a run with given soft labels, which have so many views."""
    return rung.model_copy(update={"members": 0, "student_views": student_views})


def planned_settings(rung: Rung, image_size: int, changes: Sequence[str]) -> Settings:
    """The settings of a plan: preset `cpu`, then the rung, then the `--set` changes, an image size of theirs too.

    Raises RequestError for a change that does not fit.
    """
    stated = stated_size(changed({}, changes))
    size = stated if isinstance(stated, int) else image_size
    values = changed(merge(read_preset(BASE), rung_values(rung, size)), changes)
    if stated_size(values) == AUTO:
        values = merge(values, {"data": {"image_size": size}})
    return validate(values, f"--minutes, preset {BASE}")


def rung_values(rung: Rung, image_size: int) -> dict[str, Any]:
    """What a rung states over its preset, as plain values."""
    mixed = rung.member_epochs >= MIXED_FROM
    teach = {"epochs": rung.member_epochs, "sizes": member_sizes(image_size), "members": _members(rung, mixed=mixed)}
    views = {"teacher_views": rung.teacher_views, "student_views": rung.student_views}
    return {
        "data": {"image_size": image_size},
        "views": views if mixed else views | {"teacher_policy": "student", "student_mixing": "none"},
        "teach": teach if mixed else teach | {"augment": {"mix_probability": 0.0}},
        "distill": {"epochs": rung.student_epochs, "ema_decay": _ema_decay(rung.student_epochs)},
        "quantise": {"epochs": rung.low_bit_epochs, "ema_decay": _ema_decay(rung.student_epochs)},
    }


def _ema_decay(epochs: int) -> float:
    """Of a student of so many epochs: a short training averages over fewer steps."""
    return EMA_DECAY if epochs >= MIXED_FROM else EMA_DECAY_OF_SHORT


def _members(rung: Rung, *, mixed: bool) -> list[dict[str, Any]]:
    """Rows that differ by their seed; where there are epochs enough, every second learns from light views."""
    rows = [{"network": "short-resnet", "seed": seed} for seed in range(1, rung.members + 1)]
    return [row | {"policy": "student"} if mixed and row["seed"] % 2 == 0 else row for row in rows]

"""The settings that a request begins with, from its preset or its minutes: pure but for asking an image size."""

from collections.abc import Callable, Sequence

from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import merge, preset_values, validate
from pipeline.runtime.plan import Plan
from pipeline.runtime.settings import Settings
from pipeline.stages.planning.ladder import LADDER, planned_settings, without_members
from pipeline.stages.planning.sizes import AUTO, SMALLEST, USUAL, stated_size, with_size

LARGEST_SETTING = 1024  # pixels, of data.image_size


def preset_settings(
    preset: str, changes: Sequence[str], study: str, automatic_size: Callable[[DataSettings], int]
) -> Settings:
    """The settings of a preset and the changes over it; an automatic image size is asked for when all else is valid.

    Raises RequestError for what is not valid.
    """
    values, where = preset_values(preset, changes), f"preset {preset}"
    if stated_size(values) != AUTO:
        return validate(values, where)
    if study:
        raise RequestError("data.image_size: auto is of a run; expected a number of pixels for a study")
    stated = validate(merge(values, {"data": {"image_size": LARGEST_SETTING}}), where)
    return validate(with_size(values, automatic_size(stated.data)), where)


def first_settings(plan: Plan | None, changes: Sequence[str], *, given_labels: bool) -> Settings:
    """The settings of a plan; without one those of the smallest, for the checks that come before the trial."""
    if plan:
        return planned_settings(plan.rung, plan.image_size, changes)
    if given_labels:
        return planned_settings(without_members(LADDER[0], 1), USUAL, changes)
    return planned_settings(LADDER[0], SMALLEST, changes)

"""What a plan says of itself, in a person's words: minutes, epochs, and whether it fits."""

from pipeline.runtime.plan import Plan, PlannedSeconds
from pipeline.runtime.settings import Settings

EXACT_BELOW = 3.0  # minutes: less is told with a decimal


def plan_lines(asked: float, plan: Plan, settings: Settings) -> list[str]:
    """The plan in one line, and a second one where it takes more than the minutes that were asked for."""
    own = plan.seconds
    parts = [f"plan: {settings.data.image_size} pixels, views {_minutes(own.prepare)} min"]
    if plan.rung.members:
        parts += [f"{_members(settings)} {_minutes(own.members)} min", f"soft labels {_minutes(own.labels)} min"]
    epochs = f"{settings.distill.epochs} + {settings.quantise.epochs} low-bit epochs"
    parts.append(f"student {epochs} {_minutes(own.student)} min")
    left = 60 * asked - own.prepare - own.members - own.labels - own.student
    if own.total <= 60 * asked:
        return [", ".join([*parts, f"{_minutes(left)} left for packing and safety"])]
    rest = f"packing and safety {_minutes(own.packing + own.safety)} min"
    smallest = f"the smallest plan takes about {_minutes(own.total)} minutes, more than the {asked:g} asked for"
    return [", ".join([*parts, rest]), smallest]


def preset_line(preset: str, seconds: PlannedSeconds, settings: Settings) -> str:
    """What a preset takes on this machine, part by part and in all."""
    epochs = f"{settings.distill.epochs} + {settings.quantise.epochs} low-bit epochs"
    parts = [
        f"views {_minutes(seconds.prepare)} min",
        f"{_members(settings)} {_minutes(seconds.members)} min",
        f"soft labels {_minutes(seconds.labels)} min",
        f"student {epochs} {_minutes(seconds.student)} min",
        f"packing {_minutes(seconds.packing)} min",
    ]
    total = seconds.total - seconds.safety
    return f"minutes: preset {preset} takes about {_minutes(total)} here: {', '.join(parts)}"


def taken_line(asked: float, plan: Plan, taken_seconds: float, *, resumed: bool) -> str:
    """What a run took, against its plan. resumed: a part of the run was done before."""
    what = "this part of the run" if resumed else "the run"
    planned = _minutes(plan.seconds.total)
    return f"{what} took {_minutes(taken_seconds)} minutes; planned were {planned}, asked for {asked:g}"


def _members(settings: Settings) -> str:
    """How many members, and their epochs where these are the same for all."""
    rows = settings.teach.members
    epochs = {row.epochs for row in rows}
    return f"{len(rows)} members" + (f" x {epochs.pop()} epochs" if len(epochs) == 1 else "")


def _minutes(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.{0 if minutes >= EXACT_BELOW else 1}f}"

"""Carries out a stage: its waves of steps, in order, skipping what is done."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

from pipeline.runtime.console import progress, say
from pipeline.runtime.engine import map_items
from pipeline.runtime.request import Job
from pipeline.runtime.steps import read_notes, run_step, why_not_current
from pipeline.runtime.waves import Wave
from pipeline.stages.run import Stage


def carry_out(stage: Stage, job: Job, **options: Any) -> float | None:
    """Do one stage; what its steps took in seconds, added up, whenever they were done; None without steps.

    On a CPU several members work at once. Raises AnswerIsNoError where the answer is no.
    """
    seconds = []
    for wave in stage.waves(job, **options):
        run_wave(wave, full_check=job.full_check)
        seconds += [read_notes(job.run, step.name)["seconds"] for step in wave.steps]
    return round(sum(seconds), 1) if seconds else None


def run_wave(wave: Wave, *, full_check: bool = False) -> None:
    """Carry out the steps whose receipts do not hold.

    The share of the cores depends on the whole wave and not on what is left of it, so that a resumed run ends with the
    bits of one that was not interrupted. What one step raises ends the others too; each resumes where it was.
    """
    stale = []
    for step in wave.steps:
        if why_not_current(step, full_check=full_check) is not None:
            stale.append(step)
        elif not wave.many:
            say(f"{step.name}: done before, skipped")
    done = len(wave.steps) - len(stale)
    if wave.many and done:
        say(f"{done} of {len(wave.steps)} {wave.many} done before, skipped")
    side_by_side = max(1, min(wave.at_once, len(wave.steps)))
    shares = wave.shares or side_by_side
    work = functools.partial(run_step, full_check=full_check)
    results = map_items(work, stale, max(1, min(side_by_side, len(stale))), shares if shares > 1 else None)
    with _progress(wave, len(stale)) as on_done:
        for _ in results:
            on_done(1)


def _progress(wave: Wave, total: int) -> contextlib.AbstractContextManager[Callable[[int], None]]:
    """A bar for steps that say nothing of themselves."""
    return progress(wave.many, total) if wave.many else contextlib.nullcontext(lambda _: None)

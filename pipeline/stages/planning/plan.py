"""From minutes to a plan: a trial of this machine, then the largest rung whose predicted time fits.

The plan is made before anything is trained and is then kept. No schedule is cut, and the run never watches the clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.contest.contest import Contest
from pipeline.runtime.console import say
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.load_settings import changed
from pipeline.runtime.plan import Plan, PlannedSeconds, Rung
from pipeline.runtime.request import Job
from pipeline.stages.check_request import contest_of, opened_contest
from pipeline.stages.planning.forecast import Speeds, forecast
from pipeline.stages.planning.image_files import short_side
from pipeline.stages.planning.ladder import (
    LADDER,
    RUNG_BEFORE_PIXELS,
    largest_fitting,
    planned_settings,
    without_members,
)
from pipeline.stages.planning.lines import plan_lines
from pipeline.stages.planning.sizes import USUAL, candidates, stated_size
from pipeline.stages.planning.trial import measure
from pipeline.stages.request import with_absolute_path
from pipeline.stages.teacher.given_soft_labels import load_given_soft_labels


def with_plan(job: Job, changes: Sequence[str]) -> Job:
    """The job of a run with its plan and the settings that follow; one without minutes as it is.

    changes: those of --set, which win over the plan. A plan that was made before is kept. Says the plan.
    """
    minutes = job.request.minutes
    if minutes is None:
        return job
    plan = job.request.plan
    if plan is None:
        say("planning: a trial of this machine's speed, some seconds")
        plan, job = _made(_Plans(job, tuple(changes), contest_of(job), _rungs(job)), minutes)
    say("\n".join(plan_lines(minutes, plan, job.settings)))
    return job


@dataclass(frozen=True)
class _Plans:
    """Every plan that a run could have."""

    asked: Job
    changes: tuple[str, ...]
    contest: Contest
    rungs: tuple[Rung, ...]

    def job(self, rung: Rung, image_size: int, plan: Plan | None = None) -> Job:
        """The run as it would be with a rung."""
        settings = with_absolute_path(planned_settings(rung, image_size, self.changes))
        return replace(self.asked, request=self.asked.request.model_copy(update={"settings": settings, "plan": plan}))

    def measured(self, image_size: int) -> Speeds:
        """The speeds of this machine at an image size."""
        jobs = [self.job(rung, image_size) for rung in self.rungs]
        return measure(jobs, self.contest, opened_contest(self.asked))

    def seconds(self, rung: Rung, image_size: int, speeds: Speeds) -> PlannedSeconds:
        """What a rung is predicted to take."""
        return forecast(
            self.job(rung, image_size), {split: len(self.contest.splits[split]) for split in SPLITS}, speeds
        )


def _made(plans: _Plans, minutes: float) -> tuple[Plan, Job]:
    """The largest plan that fits, at the image size that comes first; the smallest where none fits."""
    sizes = _sizes(plans)
    timed = largest_fitting(sizes, lambda size: size <= USUAL)
    speeds = plans.measured(timed)

    def reaches(size: int) -> bool:
        return plans.seconds(RUNG_BEFORE_PIXELS, timed, speeds.scaled((size / timed) ** 2)).total <= 60 * minutes

    size = largest_fitting(sizes, reaches) if len(sizes) > 1 else timed
    speeds = speeds if size == timed else plans.measured(size)
    rung = largest_fitting(plans.rungs, lambda rung: plans.seconds(rung, size, speeds).total <= 60 * minutes)
    plan = Plan(rung=rung, image_size=size, seconds=plans.seconds(rung, size, speeds))
    return plan, plans.job(rung, size, plan)


def _rungs(job: Job) -> tuple[Rung, ...]:
    """The ladder; with given soft labels without members, and with as many views as these have."""
    if not job.request.soft_labels:
        return LADDER
    views = min(len(labels.view_digests["training"]) for labels in load_given_soft_labels(job))
    return tuple(without_members(rung, views) for rung in LADDER)


def _sizes(plans: _Plans) -> tuple[int, ...]:
    """The image sizes to choose from: the one of --set, the usual one for given soft labels, or those of the images.

    Soft labels are of views of one size, which their file does not state.
    """
    stated = stated_size(changed({}, plans.changes))
    if isinstance(stated, int):
        return (stated,)
    if plans.asked.request.soft_labels:
        return (USUAL,)
    return candidates(short_side(opened_contest(plans.asked), plans.contest.splits["training"]))

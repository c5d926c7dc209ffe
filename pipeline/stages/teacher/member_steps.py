"""Several members at once on a CPU, a process each; on a GPU they take turns."""

import functools
from collections.abc import Callable, Sequence

from pipeline.runtime.device import Device, pick_device
from pipeline.runtime.engine import map_items, worker_count
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, why_not_current

MemberWork = Callable[[Job, Device, int], None]
StepOf = Callable[[Job, int], Step]


def parallel_members(cpu: bool, workers: int, members: int) -> int:
    """How many members work at the same time: as many as there are processes for, on a GPU one."""
    return max(1, min(workers, members)) if cpu else 1


def work_on_members(job: Job, device: Device, work: MemberWork, step_of: StepOf, chosen: Sequence[int]) -> None:
    """Do `work`, a module's own function, for each chosen member; `step_of` names the step of a member.

    The share of the cores depends on the ensemble and not on what is left to do, so that a resumed run ends with the
    bits of one that was not interrupted. What one raises ends the others too; each resumes where it was.
    """
    workers, members = worker_count(job.settings.device.workers), len(job.settings.teach.members)
    at_once = parallel_members(device.where.type == "cpu", workers, members)
    stale = [m for m in chosen if why_not_current(job.run, step_of(job, m), full_check=job.full_check) is not None]
    for member in chosen:
        if at_once == 1 or member not in stale:  # what is done needs no process to say so
            work(job, device, member)
    if at_once > 1 and stale:
        map_items(functools.partial(_with_own_device, work, job), stale, at_once)


def _with_own_device(work: MemberWork, job: Job, member: int) -> None:
    work(job, pick_device(job.settings.device), member)

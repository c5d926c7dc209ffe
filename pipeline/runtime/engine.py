"""Several members at once on a CPU: a process each, with its share of the cores.

Measured with students on two cores: two processes of one thread train 1.7 times as many pictures as one process of two
threads. On a GPU members take turns. How many threads a member has decides the order of its sums, so its bits are those
of the same number of cores, of `device.workers` and of members.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pipeline.runtime.cores import available_cores
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, why_not_current

if TYPE_CHECKING:
    from pipeline.runtime.device import Device

MemberWork = Callable[[Job, "Device", int], None]
StepOf = Callable[[Job, int], Step]
SECONDS_BETWEEN_LOOKS = 2.0


def members_at_once(cpu: bool, workers: int, members: int) -> int:
    """How many members work at the same time: as many as there are processes for, on a GPU one."""
    return max(1, min(workers, members)) if cpu else 1


def work_on_members(job: Job, device: "Device", work: MemberWork, step_of: StepOf, chosen: Sequence[int]) -> None:
    """Do `work`, a module's own function, for each chosen member; `step_of` says which step that is.

    The share of the cores depends on the ensemble and not on what is left to do, so that a resumed run ends with the
    bits of one that was not interrupted. What one raises ends the others too; each resumes where it was.
    """
    at_once = members_at_once(device.where.type == "cpu", job.workers, len(job.settings.teach.members))
    stale = [m for m in chosen if why_not_current(job.run, step_of(job, m), full_check=job.full_check) is not None]
    for member in chosen:
        if at_once == 1 or member not in stale:  # what is done needs no process to say so
            work(job, device, member)
    if at_once > 1 and stale:
        _side_by_side(job, work, stale, at_once)


def _side_by_side(job: Job, work: MemberWork, chosen: Sequence[int], at_once: int) -> None:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky import get_reusable_executor

    threads = max(1, available_cores() // at_once)
    try:
        with parallel_config("loky", n_jobs=at_once, inner_max_num_threads=threads):
            Parallel()(delayed(_in_own_process)(work, job, member) for member in chosen)
    finally:
        # joblib would keep them, and their memory, for the next time
        executor = get_reusable_executor(reuse=True, kill_workers=True)  # pyright: ignore[reportArgumentType]
        executor.shutdown(kill_workers=True)


def _in_own_process(work: MemberWork, job: Job, member: int) -> None:
    from pipeline.runtime.device import pick_device

    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    work(job, pick_device(job.settings.device), member)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, killed perhaps: nobody waits for it, and it holds a member's lock."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)

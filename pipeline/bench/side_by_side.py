"""Members as a run trains them on a CPU: side by side, a process each, with one part of the cores."""

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.teachers.build import build_teacher
from pipeline.bench.own_loop import Timing, member_rates
from pipeline.bench.workload import Workload
from pipeline.runtime.device import pick_device
from pipeline.runtime.engine import map_items
from pipeline.runtime.settings import StepDevice

SECONDS_BETWEEN_LOOKS = 0.005


@dataclass(frozen=True)
class MemberTask:
    """All that the process of one member is given. `meeting`: a folder in which the processes wait for each other."""

    number: int
    processes: int
    teacher: str
    workload: Workload
    device: StepDevice
    batch_size: int
    epochs: int
    meeting: Path


def side_by_side_rates(
    teacher: str, workload: Workload, device: StepDevice, batch_size: int, epochs: int, processes: int
) -> list[float]:
    """Images per second of all members together, one sum per timed epoch; all of them begin an epoch at once.

    They share the images of the workload, but each has at least a batch.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as meeting:
        tasks = [
            MemberTask(number, processes, teacher, workload, device, batch_size, epochs, Path(meeting))
            for number in range(processes)
        ]
        rates = list(map_items(_train_member, tasks, processes, processes))
    return [sum(of_epoch) for of_epoch in zip(*rates, strict=True)]


def _train_member(task: MemberTask) -> list[float]:
    workload = task.workload
    network = build_teacher(task.teacher, classes=workload.classes, image_size=workload.image_size)
    images = max(task.batch_size, len(workload.files) // task.processes)
    timing = Timing(task.batch_size, task.epochs, meet(task.meeting, task.number, task.processes))
    return member_rates(network, workload, timing, pick_device(task.device), task.meeting, images)


def meet(folder: Path, number: int, processes: int) -> Callable[[], None]:
    """A function that waits, whenever it is called, until all the processes have called theirs as often."""
    rounds = itertools.count()

    def wait() -> None:
        own = next(rounds)
        (folder / f"round-{own}-{number}").touch()
        while len(list(folder.glob(f"round-{own}-*"))) < processes:
            time.sleep(SECONDS_BETWEEN_LOOKS)

    return wait

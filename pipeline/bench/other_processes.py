"""Whether something else used the machine while the bench measured: its CPU seconds against those of all processes.

proc(5), /proc/stat: a line `cpuN user nice system idle iowait irq softirq steal guest guest_nice` per core, in clock
ticks since the start of the system; guest is part of user.
"""

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.engine import available_cores

PROC_STAT = Path("/proc/stat")
BUSY = ("user", "nice", "system", "irq", "softirq", "steal")  # steal: the host gave the core to another machine
FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
WORTH_SAYING = 0.05  # of the cores


@dataclass(frozen=True)
class CpuSeconds:
    """Seconds so far: of the clock, of this process with its ended children, of all processes on its cores."""

    clock: float
    own: float
    busy: float | None  # None: this system does not say


def read_cpu_seconds() -> CpuSeconds:
    """What the system counts now."""
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    try:
        stat = PROC_STAT.read_text()
    except OSError:
        return CpuSeconds(time.monotonic(), own, None)
    ticks_per_second = os.sysconf("SC_CLK_TCK")
    return CpuSeconds(time.monotonic(), own, busy_ticks(stat, os.sched_getaffinity(0)) / ticks_per_second)


def busy_ticks(stat: str, cores: Collection[int]) -> int:
    """Clock ticks that the cores of these numbers were busy for, from the text of /proc/stat."""
    wanted, ticks = {f"cpu{core}" for core in cores}, 0
    for line in stat.splitlines():
        name, *values = line.split()
        if name in wanted:
            found = dict(zip(FIELDS, map(int, values), strict=False))
            ticks += sum(found.get(field, 0) for field in BUSY)
    return ticks


def others_share(before: CpuSeconds, after: CpuSeconds, cores: int) -> float | None:
    """The share of the cores, 0 to 1, that other processes took between two readings; None where nobody knows."""
    if before.busy is None or after.busy is None:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return min(1.0, max(0.0, others / (cores * (after.clock - before.clock))))


def share_since(before: CpuSeconds) -> float | None:
    """The share of the cores that other processes took since a reading."""
    return others_share(before, read_cpu_seconds(), available_cores())


def others_lines(share: float | None) -> list[str]:
    """What a reader of the figures has to know: a line, or nothing where the machine was as good as idle."""
    if share is None:
        return ["this system does not say whether other processes took the cores meanwhile"]
    if share <= WORTH_SAYING:
        return []
    return [f"other processes took {share:.0%} of the cores meanwhile: these figures are too low"]

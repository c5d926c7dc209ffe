"""The share of other processes, from counters made by hand; and that reading this machine's counters works."""

import time
from pathlib import Path

import pytest

from pipeline.bench import other_processes
from pipeline.bench.other_processes import CpuSeconds, busy_ticks, others_lines, others_share, read_cpu_seconds

STAT = """cpu  1111 2222 3333 4444 0 0 0 0 0 0
cpu0 100 10 20 9000 500 3 4 5 60 7
cpu1 200 0 0 9000 500 0 0 0 0 0
cpu12 1000 0 0 1 1 0 0 0 0 0
intr 99 1 2
"""


@pytest.mark.parametrize(("cores", "expected"), [({0}, 142), ({0, 1}, 342), ({1, 12}, 1200), ({7}, 0)])
def test_busy_ticks_are_those_of_the_own_cores_without_idle_waiting_and_guests(cores, expected):
    assert busy_ticks(STAT, cores) == expected


def test_a_kernel_that_counts_less():
    assert busy_ticks("cpu0 5 6 7 1000\n", {0}) == 18


@pytest.mark.parametrize(
    ("own", "busy", "expected"),
    [
        (20.0, 20.0, 0.0),  # all that was busy was our own
        (12.4, 20.0, 0.38),  # 7.6 of 2 x 10 seconds
        (0.0, 20.0, 1.0),
        (20.0, 19.5, 0.0),  # the two counters are not read at once
    ],
)
def test_share_of_two_cores_in_ten_seconds(own, busy, expected):
    before, after = CpuSeconds(100.0, 7.0, 1000.0), CpuSeconds(110.0, 7.0 + own, 1000.0 + busy)
    assert others_share(before, after, 2) == pytest.approx(expected)


def test_nobody_knows():
    known, unknown = CpuSeconds(1.0, 1.0, 1.0), CpuSeconds(2.0, 1.0, None)
    assert others_share(known, unknown, 2) is others_share(unknown, known, 2) is None


def test_what_is_said():
    assert others_lines(0.38) == ["other processes took 38% of the cores meanwhile: these figures are too low"]
    assert others_lines(0.05) == others_lines(0.0) == []
    assert others_lines(None) == ["this system does not say whether other processes took the cores meanwhile"]


@pytest.mark.skipif(not other_processes.PROC_STAT.exists(), reason="needs the /proc of Linux")
def test_this_machine_counts_our_own_work():
    before = read_cpu_seconds()
    started = time.process_time()
    while time.process_time() - started < 0.3:
        pass
    after = read_cpu_seconds()
    assert after.own - before.own >= 0.2
    assert after.busy is not None
    assert before.busy is not None
    assert after.busy - before.busy >= 0.2


def test_a_system_without_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(other_processes, "PROC_STAT", tmp_path / "absent")
    assert read_cpu_seconds().busy is None
    assert other_processes.share_since(read_cpu_seconds()) is None

"""One function for many items, in turn and in parallel processes; and processes that talk."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipeline.runtime import engine
from pipeline.runtime.engine import Pipe, available_cores, beside, map_items, worker_count
from pipeline.runtime.errors import MachineError, RequestError


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_in_the_order_of_the_items(processes: int):
    assert list(map_items(math.factorial, [5, 0, 3, 4, 1], processes)) == [120, 1, 6, 24, 1]
    assert list(map_items(math.factorial, [3], processes)) == [6]


@pytest.mark.parametrize("processes", [1, 2])
def test_the_exception_of_one_item_is_raised(processes: int):
    with pytest.raises(ValueError, match=r"invalid literal for int\(\).*'x'"):
        list(map_items(int, ["1", "x", "2"], processes))


def test_in_turn_is_in_this_process_and_ends_at_the_first_exception():
    done = []

    def work(item: int) -> float:
        done.append(item)
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        list(map_items(work, [4, 0, 2], 1))
    assert done == [4, 0]


def test_parallel_processes_share_the_cores_and_end_with_the_call(monkeypatch: pytest.MonkeyPatch):
    def work(_: int) -> tuple[int, str]:  # a local function, which is sent to another process by value
        return os.getpid(), os.environ["OMP_NUM_THREADS"]

    monkeypatch.setattr(engine, "available_cores", lambda: 6)
    processes, threads = zip(*map_items(work, [0, 1, 2], 2), strict=True)
    assert threads == ("3", "3", "3")
    assert os.getpid() not in processes
    assert [process for process in processes if Path(f"/proc/{process}").exists()] == []


def test_in_turn_an_item_has_its_share_of_the_cores_and_no_more(monkeypatch: pytest.MonkeyPatch):
    """The number of threads decides the order of sums: in turn and side by side give the same bytes."""
    monkeypatch.setattr(engine, "available_cores", lambda: 6)
    before = torch.get_num_threads()
    assert list(map_items(lambda _: torch.get_num_threads(), [0, 1], 1, 2)) == [3, 3]
    assert list(map_items(lambda _: torch.get_num_threads(), [0, 1], 1)) == [before, before]
    assert torch.get_num_threads() == before


def random_training(seed: int) -> bytes:
    """The weights of a small convolution after steps whose sums depend on the number of threads."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.Flatten(), torch.nn.LazyLinear(3))
    images = torch.rand(64, 3, 32, 32)
    network(images)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        network(images).square().mean().backward()
        optimizer.step()
    return b"".join(value.numpy().tobytes() for value in network.state_dict().values())


def test_in_turn_and_two_processes_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "available_cores", lambda: 4)  # two threads each, also where one is the default
    in_turn = list(map_items(random_training, [0, 1], 1, 2))
    assert list(map_items(random_training, [0, 1], 2, 2)) == in_turn
    assert in_turn[0] != in_turn[1]


@pytest.mark.filterwarnings("error")
def test_who_takes_the_results_may_stop():
    results = map_items(math.factorial, [1, 2, 3, 4], 2)
    assert next(results) == 1
    results.close()


def test_workers_are_one_per_core_unless_they_are_set():
    assert available_cores() >= 1
    assert [worker_count(setting) for setting in (0, 1, 7)] == [available_cores(), 1, 7]


def is_running(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_processes_beside_this_one_talk_with_it_and_end_with_the_block(capfd: pytest.CaptureFixture[str]):
    def work(pipe: Pipe, item: int) -> None:  # a local function, which is sent to another process by value
        print("not shown")  # noqa: T201
        while True:
            pipe.send((os.getpid(), item + pipe.receive()))

    with beside(work, [10, 20]) as pipes:
        for pipe, number in zip(pipes, (1, 2), strict=True):
            pipe.send(number)
        answers = [pipe.receive() for pipe in pipes]
        assert [is_running(process) for process, *_ in answers] == [True, True]
    assert [answer[1:] for answer in answers] == [(11,), (22,)]
    assert len({os.getpid(), *(process for process, *_ in answers)}) == 3
    assert [is_running(process) for process, *_ in answers] == [False, False]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("error", [RequestError("it refuses"), MachineError("its disk is full"), ValueError("a bug")])
def test_what_a_process_raises_is_raised_here(error: Exception, capfd: pytest.CaptureFixture[str]):
    def fail(_: Pipe, __: int) -> None:
        raise error

    with beside(fail, [0]) as (pipe,), pytest.raises(type(error), match=str(error)) as caught:
        pipe.receive()
    assert str(caught.value) == str(error)
    assert "in fail" in caught.value.__notes__[0]  # where it was raised, for the report of a bug
    assert capfd.readouterr() == ("", "")


def test_a_process_that_is_killed_is_one_error(capfd: pytest.CaptureFixture[str]):
    def die(pipe: Pipe, _: int) -> None:
        pipe.receive()
        os.kill(os.getpid(), signal.SIGKILL)

    gone = pytest.raises(MachineError, match=r"was ended by the system; .*\(--set device\.workers=1\)$")
    with beside(die, [0]) as (pipe,):
        pipe.send("now")
        with gone:
            pipe.receive()
        with gone:
            pipe.send("more")
    assert capfd.readouterr() == ("", "")


ENDLESS = """
import os, time
from pipeline.runtime.engine import beside
def work(pipe, _):
    pipe.send(os.getpid())
    time.sleep(600)
with beside(work, [0]) as (pipe,):
    print(pipe.receive(), flush=True)
    time.sleep(600)
"""


def test_processes_end_with_this_one_even_when_it_is_killed():
    first = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert first.stdout is not None
    assert first.stderr is not None
    other = int(first.stdout.readline())
    assert is_running(other)
    first.kill()
    first.wait()
    for _ in range(100):
        if not is_running(other):
            break
        time.sleep(0.1)
    assert not is_running(other)
    assert first.stderr.read() == b""
    first.stdout.close()
    first.stderr.close()

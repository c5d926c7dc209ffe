"""One function for many items: in turn and in parallel processes."""

import math
import os
from pathlib import Path

import pytest
import torch

from pipeline.runtime import engine
from pipeline.runtime.engine import available_cores, map_items, worker_count


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

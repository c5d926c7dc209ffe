import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import CellFolder, RunFolder, check_name, steps_used_by


@pytest.mark.parametrize("name", ["a/b", ".x", "", "-x", "a" * 101, "a" * 200, "a b", "é", "a\n", "..", "a\\b", "a:b"])
def test_names_that_are_no_folder_names_are_refused(name: str):
    with pytest.raises(RequestError, match=r"--name '.*': expected letters, digits, .* at most 100 characters"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "0", "_x", "food11-quick", "a.b_c-D", "a" * 100])
def test_plain_names_are_taken(name: str):
    assert check_name(name) == name


def test_all_steps_of_a_run_share_its_folder(tmp_path: Path):
    run = RunFolder(tmp_path, "r")
    run.settle("distill", "ab" * 32)
    assert run.place("distill") == run.place("teach-00") == run.request.parent == tmp_path / "runs" / "r"
    assert run.receipt("distill") == tmp_path / "runs" / "r" / "receipts" / "distill.json"
    assert run.submission == tmp_path / "submissions" / "r"


def test_a_cell_keeps_a_step_where_all_that_it_reads_says(tmp_path: Path):
    cell, other = CellFolder(tmp_path, "frontier"), CellFolder(tmp_path, "networks")
    with pytest.raises(RequestError, match="study frontier: distill is not done yet"):
        cell.place("distill")
    cell.settle("distill", "ab" * 32)
    place = cell.place("distill")
    assert place == tmp_path / "runs" / ".steps" / "distill-abababababababab"
    assert cell.receipt("distill") == place / "receipts" / "distill.json"
    other.settle("distill", "ab" * 32)
    other.settle("pack", "cd" * 32)
    assert other.place("distill") == place
    assert steps_used_by(tmp_path, "frontier") == [place]
    assert steps_used_by(tmp_path, "networks") == [place, other.place("pack")]
    assert steps_used_by(tmp_path, "recipes") == []


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path):
    run = RunFolder(tmp_path, "r")
    with run.step_locked("teach-00"):
        busy = pytest.raises(RequestError, match="teach-00 of run r is being made by another process")
        with busy, run.step_locked("teach-00"):
            pytest.fail("two hold one lock")
        with run.step_locked("teach-01"):
            pass
    with run.step_locked("teach-00"):
        pass


def test_a_step_of_a_cell_is_waited_for(tmp_path: Path):
    cell, order = CellFolder(tmp_path, "s"), []
    cell.settle("distill", "ab" * 32)

    def second() -> None:
        with cell.step_locked("distill"):
            order.append("second")

    waiting = threading.Thread(target=second)
    with cell.step_locked("distill"):
        waiting.start()
        time.sleep(0.2)
        order.append("first")
    waiting.join(timeout=10)
    assert order == ["first", "second"]


def test_a_lock_of_another_holder_is_respected(tmp_path: Path):
    run = RunFolder(tmp_path, "r")
    with run.locked("busy"):
        pass
    (path,) = (run.folder / "locks").iterdir()
    other = FileLock(path)
    with other, pytest.raises(RequestError, match="in another process"), run.locked("in another process"):
        pytest.fail("two hold one lock")
    with run.locked("busy"):
        pass

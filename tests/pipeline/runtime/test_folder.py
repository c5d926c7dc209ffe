from pathlib import Path

import pytest
from filelock import FileLock

from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import SPLITS, RunFolder, check_name


@pytest.mark.parametrize("name", ["a/b", ".x", "", "-x", "a" * 101, "a" * 200, "a b", "é", "a\n", "..", "a\\b", "a:b"])
def test_names_that_are_no_folder_names_are_refused(name: str):
    with pytest.raises(RequestError, match=r"--name '.*': expected letters, digits, .* at most 100 characters"):
        check_name(name)


@pytest.mark.parametrize("name", ["a", "0", "_x", "food11-quick", "a.b_c-D", "a" * 100])
def test_plain_names_are_taken(name: str):
    assert check_name(name) == name


def test_all_files_of_a_run_are_below_its_two_folders(tmp_path: Path):
    run = RunFolder(tmp_path, "r")
    files = [run.request, run.metrics, run.contest, run.member(3), run.soft_labels, run.student, run.packed("fp16")]
    files += [run.view("student", split, view) for split in SPLITS for view in range(3)]
    files += [run.receipt("teach-00"), run.pack_record, run.checkpoint(run.student), run.predictions]
    assert all(path.is_relative_to(tmp_path / "runs" / "r") for path in files)
    assert run.submission == tmp_path / "submissions" / "r"
    assert len(set(files)) == len(files) == 20


def test_view_0_is_the_clean_one_of_both_banks(tmp_path: Path):
    run = RunFolder(tmp_path, "r")
    assert run.view("student", "testing", 0) == run.view("teacher", "testing", 0) == run.clean("testing")
    assert run.view("student", "testing", 1) != run.view("teacher", "testing", 1)
    assert run.view_step("student", "testing", 0) == "prepare-decode"


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path):
    run = RunFolder(tmp_path, "r")
    with run.locked("teach-00", "busy"):
        with pytest.raises(RequestError, match="busy"), run.locked("teach-00", "busy"):
            pytest.fail("two hold one lock")
        with run.locked("teach-01", "busy"):
            pass
    with run.locked("teach-00", "busy"):
        pass


def test_a_lock_of_another_holder_is_respected(tmp_path: Path):
    run = RunFolder(tmp_path, "r")
    with run.locked("run", "busy"):
        pass
    (path,) = (run.folder / "locks").iterdir()
    other = FileLock(path)
    with other, pytest.raises(RequestError, match="in another process"), run.locked("run", "in another process"):
        pytest.fail("two hold one lock")
    with run.locked("run", "busy"):
        pass

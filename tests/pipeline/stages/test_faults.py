"""What happens to a run when its files are damaged or the machine gives out under it."""

import contextlib
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.runtime.artifacts import Artifact, Artifacts
from pipeline.runtime.atomic import file_digest

RunCli = Callable[..., tuple[int, str, str]]
LARGEST_FILE_BYTES = 20_000  # below a checkpoint and a packed file, above a receipt and a view of the tiny contest


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("file", "step"),
    [
        (lambda made: made.contest, "prepare-decode"),
        (lambda made: made.clean("training"), "prepare-decode"),
        (lambda made: made.view("teacher", "training", 1), "prepare-teacher-training-001"),
        (lambda made: made.view("student", "testing", 1), "prepare-student-testing-001"),
        (lambda made: made.member(0), "teach-00"),
        (lambda made: made.member_log_probs(1), "export-01"),
        (lambda made: made.soft_labels, "export-soft-labels"),
        (lambda made: made.student, "distill"),
        (lambda made: made.quantised_student, "quantise"),
        (lambda made: made.packed("fp16"), "pack"),
        (lambda made: made.predictions, "predict"),
    ],
)
def test_damaged_files_are_told_in_one_line_and_made_again_alone(
    smoke_copy, run_cli: RunCli, file: Callable[[Artifacts], Artifact], step: str
):
    path, before = file(smoke_copy.artifacts).path, smoke_copy.receipts()
    expected = file_digest(path)
    damage(path)
    code, out, err = run_cli(smoke_copy.argv, smoke_copy.root)
    assert code == 0, err
    assert f"{step}: {path.name} is damaged, done again\n" in out
    assert file_digest(path) == expected
    assert smoke_copy.redone(before) == {step}


def test_a_damaged_receipt_redoes_its_step_alone(smoke_copy, run_cli: RunCli):
    before, expected = smoke_copy.receipts(), file_digest(smoke_copy.artifacts.soft_labels.path)
    damage(smoke_copy.run.receipt("export-soft-labels"))
    smoke_copy.run.receipt("export-soft-labels").write_bytes(b'{"step": "export-soft-la')
    code, out, err = run_cli(smoke_copy.argv, smoke_copy.root)
    assert code == 0, err
    assert "export-soft-labels: its receipt is damaged, done again\n" in out
    assert file_digest(smoke_copy.artifacts.soft_labels.path) == expected
    assert smoke_copy.redone(before) == {"export-soft-labels"}


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """Let the kernel refuse to write past LARGEST_FILE_BYTES of a file, as it does on a full disk."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_later(smoke_copy, run_cli: RunCli):
    expected = file_digest(smoke_copy.run.submission / "student.bin")
    smoke_copy.forget(["distill", "quantise", "pack", "predict", "deliver"])
    for folder in (
        smoke_copy.artifacts.student.path.parent,
        smoke_copy.artifacts.pack_record.path.parent,
        smoke_copy.run.submission,
    ):
        shutil.rmtree(folder)
    with small_disk():
        code, _, err = run_cli(smoke_copy.argv, smoke_copy.root)
    assert code == 3
    assert err.startswith("error: the machine failed: ")
    assert err.count("\n") == 1
    assert not smoke_copy.run.submission.exists()
    assert "distill" not in smoke_copy.receipts()
    code, _, err = run_cli(smoke_copy.argv, smoke_copy.root)
    assert code == 0, err
    assert file_digest(smoke_copy.run.submission / "student.bin") == expected


def test_a_place_that_cannot_be_written_is_the_machines_fault(tiny_contest, run_cli: RunCli, tmp_path: Path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "runs").write_bytes(b"a file where a folder should be")
    code, out, err = run_cli(["--data", tiny_contest(), "--preset", "smoke"], tmp_path / "root")
    assert code == 3
    assert err.startswith("error: the machine failed: ")
    assert err.count("\n") == 1
    assert "epoch" not in out

"""The command predict: the CSV from a packed file and test images alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

RunCli = Callable[..., tuple[int, str, str]]


def test_predict_gives_the_delivered_csv(smoke_run, run_cli: RunCli, tmp_path: Path):
    student, out = smoke_run.run.submission / "student.bin", tmp_path / "new" / "out.csv"
    code, out_text, _ = run_cli(["predict", student, "--data", smoke_run.data, "--out", out], tmp_path)
    form = "CSV: header Id,label (no sample submission, so it is this program's); first line 1 with a class, such as 0"
    assert (code, out_text) == (0, f"{form}\n{out}: 12 predictions\n")
    assert out.read_bytes() == (smoke_run.run.submission / "predictions.csv").read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("folder", ["alone/testing", "alone"])
def test_predict_needs_test_images_alone(smoke_run, run_cli: RunCli, tmp_path: Path, folder: str):
    shutil.copytree(smoke_run.data / "testing", tmp_path / folder)
    shutil.copy(smoke_run.run.submission / "student.bin", tmp_path / "s.bin")  # the packed file alone
    argv = ["predict", tmp_path / "s.bin", "--data", tmp_path / "alone", "--out", tmp_path / "out.csv"]
    assert run_cli(argv, tmp_path)[0] == 0
    assert (tmp_path / "out.csv").read_bytes() == (smoke_run.run.submission / "predictions.csv").read_bytes()


def test_predict_refuses_a_foreign_file(smoke_run, run_cli: RunCli, tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"x" * 1000)
    argv = ["predict", tmp_path / "model.pt", "--data", smoke_run.data, "--out", tmp_path / "out.csv"]
    code, out, err = run_cli(argv, tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path / 'model.pt'}: ")
    assert err.count("\n") == 1

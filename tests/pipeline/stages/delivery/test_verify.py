"""The command verify: bytes on disk against the budget, and damaged or foreign files."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

RunCli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(("more", "code", "word"), [(-1, 1, "over"), (0, 0, "fits"), (1, 0, "fits")])
def test_verify_at_the_edge(smoke_run, run_cli: RunCli, tmp_path: Path, more: int, code: int, word: str):
    student = smoke_run.run.submission / "student.bin"
    size = student.stat().st_size
    found, out, err = run_cli(["verify", student, "--budget", str(size + more)], tmp_path)
    assert (found, err) == (code, "")
    first, last = out.splitlines()
    assert last == f"{word}: {size} of {size + more} bytes"
    assert "plain(16, 0), 3 classes, 16x16 pixels" in first
    assert first.endswith("transductive, flip TTA, check-sum right")


def test_verify_has_the_contests_budget(smoke_run, run_cli: RunCli, tmp_path: Path):
    packed = smoke_run.artifacts.packed("fp32").path
    code, out, _ = run_cli(["verify", packed], tmp_path)
    assert code == 1
    assert out.splitlines()[-1] == f"over: {packed.stat().st_size} of 300000 bytes"


@pytest.mark.parametrize("budget", ["300,000", "300_000"])
def test_verify_reads_numbers_as_people_write_them(smoke_run, run_cli: RunCli, tmp_path: Path, budget: str):
    student = smoke_run.run.submission / "student.bin"
    code, out, _ = run_cli(["verify", student, "--budget", budget], tmp_path)
    assert code == 0
    assert out.endswith("of 300000 bytes\n")


def test_a_damaged_packed_file_proves_nothing(smoke_run, run_cli: RunCli, tmp_path: Path):
    content = bytearray((smoke_run.run.submission / "student.bin").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.bin").write_bytes(content)
    (tmp_path / "cut.bin").write_bytes(content[:-1])
    argvs = itertools.product(["verify", "predict"], ["flipped.bin", "cut.bin"])
    for command, name in argvs:
        more = [] if command == "verify" else ["--data", smoke_run.data, "--out", tmp_path / "out.csv"]
        code, out, err = run_cli([command, tmp_path / name, *more], tmp_path)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {tmp_path / name}: ")
        assert err.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()


def test_verify_weighs_a_foreign_file(run_cli: RunCli, tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"x" * 1000)
    code, out, err = run_cli(["verify", tmp_path / "model.pt", "--budget", "1000"], tmp_path)
    first, last = out.splitlines()
    assert (code, err, last) == (0, "", "fits: 1000 of 1000 bytes")
    assert first == "model.pt: not a packed file of this program, only its size is checked"
    assert run_cli(["verify", tmp_path / "model.pt", "--budget", "999"], tmp_path)[0] == 1

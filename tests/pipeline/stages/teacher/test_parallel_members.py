"""Members in parallel: how many, equal to members trained in turn, and what happens when one fails."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipeline.runtime.folder import RunFolder
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.request import Job, Request
from pipeline.stages.teacher import member_steps


@pytest.mark.parametrize(
    ("where", "workers", "expected"), [("cpu", 2, 2), ("cpu", 1, 1), ("cpu", 0, 6), ("cuda", 16, 1), ("cuda", 0, 1)]
)
def test_how_many_members_are_parallel(where, workers, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(member_steps, "usable_device", lambda _: torch.device(where))
    monkeypatch.setattr(member_steps, "worker_count", lambda setting: setting or 6)
    settings = load_settings("smoke", [f"device.workers={workers}"])
    request = Request(name="r", data="nowhere", preset="smoke", settings=settings)
    assert member_steps.members_at_once(Job(RunFolder(tmp_path, "r"), request)) == expected


def digests(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*/*.safetensors"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_parallel_members_equal_members_in_turn(smoke_copy, run_cli):
    members = smoke_copy.run.folder / "members"
    in_turn = digests(members)
    assert len(in_turn) == 4
    before = smoke_copy.receipts()
    smoke_copy.forget(step for step in before if step.startswith(("teach-", "export-0")))
    for path in members.glob("*/*.safetensors"):
        path.unlink()
    code, _, err = run_cli((*smoke_copy.argv, "--set", "device.workers=2"), smoke_copy.root)
    assert code == 0, err
    assert digests(members) == in_turn
    redone = {"teach-00", "teach-01", "export-00", "export-01"}
    assert {name for name in smoke_copy.redone(before) if name.startswith(("teach", "export"))} == redone


def test_a_failing_parallel_member_is_one_line(smoke_copy, run_cli):
    smoke_copy.forget(("teach-00", "teach-01"))
    wild = ("teach.learning_rate=1e30", "teach.optimizer=sgd", "device.workers=2")
    code, _, err = run_cli((*smoke_copy.argv, "--set", *wild), smoke_copy.root)
    assert code == 3
    assert err.count("\n") == 1
    assert "the loss is not finite: member " in err


def children_of(pid: int) -> set[int]:
    """Every process that a process or one of its children started."""
    direct = {int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return direct.union(*(children_of(child) for child in direct if Path(f"/proc/{child}").exists()))


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs the /proc of Linux")
@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)], ids=["terminated", "killed"]
)
def test_when_the_program_ends_its_processes_end(tiny_contest, smoke_arguments, tmp_path, how, code):
    process = start(tiny_contest(), smoke_arguments, tmp_path)
    wait_for_members(process)
    children = children_of(process.pid)
    assert len(children) >= 2
    process.send_signal(how)
    assert process.wait(timeout=30) == code
    deadline = time.monotonic() + 20
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if alive(child)]
    err = process.communicate(timeout=30)[1]
    if how == signal.SIGTERM:
        assert err == "error: terminated; the same command resumes\n"


def start(contest: Path, smoke_arguments: tuple[str, ...], root: Path) -> subprocess.Popen[str]:
    """A run whose two members train for ever, in its own process."""
    repository = str(Path(__file__).resolve().parents[4])
    program = (
        f"import sys; sys.path.insert(0, {repository!r}); from pathlib import Path; "
        "from pipeline.__main__ import main; from pipeline.runtime.exit_codes import end_on_signals; "
        f"end_on_signals(); sys.exit(main(sys.argv[1:], Path({str(root)!r})))"
    )
    argv = ["--data", str(contest), "--preset", "smoke", "--name", "ended", *smoke_arguments]
    more = ["--set", "device.workers=2", "teach.epochs=100000"]
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program, *argv, *more], stdout=pipe, stderr=pipe, text=True)


def wait_for_members(process: subprocess.Popen[str]) -> None:
    """Wait until both have finished an epoch."""
    assert process.stdout is not None
    waited_for = {"member 0: epoch", "member 1: epoch"}
    while waited_for:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        waited_for = {beginning for beginning in waited_for if not line.startswith(beginning)}

"""What the command line answers: help, the networks, and an exit code and one line for each kind of failure."""

import errno
import inspect
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch
from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline import __main__ as command_line
from pipeline.runtime.errors import MachineError
from pipeline.runtime.exit_codes import SignalReceived
from pipeline.stages.run import STAGES
from tests.models.students.test_build import REFERENCE_PARAMETERS

RunCli = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(command_line.__file__).parents[1]


def test_without_data_there_are_the_digits(run_cli: RunCli, tmp_path: Path):
    code, out, err = run_cli(["--budget", "1"], tmp_path)
    assert code == 2
    assert out == "no --data and no data/ beside run.sh: using scikit-learn's handwritten digits\n"
    assert "--budget 1: the smallest student takes about 829 bytes, nothing was trained" in err
    folder = tmp_path / "runs" / "digits" / "digits"
    counts = {split: len(list((folder / split).iterdir())) for split in ("training", "validation", "testing")}
    assert counts == {"training": 1077, "validation": 360, "testing": 360}


@pytest.fixture
def fail(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, smoke_run, tmp_path: Path) -> Callable[..., tuple]:
    """Run with a distillation that raises; the labels of the smoke run spare the teachers."""

    def run(error: BaseException) -> tuple[int, str, str]:
        def distill(*_: object) -> None:
            raise error

        monkeypatch.setattr("pipeline.stages.student.distill.distill", distill)
        labels = smoke_run.run.submission / "soft_labels.safetensors"
        found = run_cli([*smoke_run.argv, "--soft-labels", str(labels)], tmp_path)
        assert not (tmp_path / "submissions").exists()
        return found

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the machine failed: I/O error: No space"),
        (RuntimeError("CUDA error: unspecified launch failure"), "the machine failed: CUDA error: unspecified launch"),
        (BrokenProcessPool("a child was killed"), "the machine failed: a process was ended by the system, for want of"),
        (TerminatedWorkerError("SIGKILL(-9)"), "the machine failed: a process was ended by the system, for want of"),
        (OSError(errno.ENOSPC, "No space left on device"), "the machine failed: [Errno 28] No space left on device"),
        (OSError(errno.EDQUOT, "Quota exceeded"), f"the machine failed: [Errno {errno.EDQUOT}] Quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "the machine failed: [Errno 13] Permission denied"),
        (MemoryError(), "out of memory: ; try a smaller batch_size"),
        (torch.OutOfMemoryError("CUDA out of memory.\nTried"), "out of memory: CUDA out of memory.; try a smaller"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "out of memory: [enforce",
        ),
        (MachineError("the loss is not finite: student"), "the loss is not finite: student"),
    ],
)
def test_the_machine_fails(fail, error: Exception, line: str):
    code, _, err = fail(error)
    assert code == 3
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shapes differ"),
        FileNotFoundError(errno.ENOENT, "gone", "x.bin"),
        process_executor.BrokenProcessPool("a task has failed to un-serialize"),
    ],
)
def test_a_bug_comes_with_its_traceback(fail, error: Exception):
    code, _, err = fail(error)
    assert code == 70
    assert err.startswith("Traceback (most recent call last):\n")
    assert "distill" in err
    assert err.endswith("error: this is a bug in the program, please report it with the lines above\n")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted; the same command resumes\n"),
        (SignalReceived(signal.SIGTERM), 143, "error: terminated; the same command resumes\n"),
        (SignalReceived(signal.SIGHUP), 129, "error: the terminal went away; the same command resumes\n"),
    ],
)
def test_interruptions(fail, error: BaseException, code: int, line: str):
    found, _, err = fail(error)
    assert (found, err) == (code, line)


def test_an_error_in_the_wake_of_an_interruption_is_none(fail):
    error = RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")
    error.__context__ = OSError("left over")
    error.__context__.__context__ = SignalReceived(signal.SIGTERM)
    code, _, err = fail(error)
    assert (code, err) == (143, "error: terminated; the same command resumes\n")


def test_a_loss_that_is_not_finite(smoke_run, run_cli: RunCli, tmp_path: Path):
    labels = smoke_run.run.submission / "soft_labels.safetensors"
    argv = [
        *smoke_run.argv,
        "--soft-labels",
        str(labels),
        "--set",
        "distill.optimizer=sgd",
        "distill.learning_rate=1e30",
    ]
    code, _, err = run_cli(argv, tmp_path)
    assert code == 3
    assert re.fullmatch(
        r"error: the loss is not finite: student, epoch \d, step \d+ of \d+; this epoch was not saved, "
        r"try a lower learning_rate\n",
        err,
    )
    assert not (tmp_path / "submissions").exists()


def test_help_lists_the_commands_that_exist(run_cli: RunCli, tmp_path: Path):
    code, out, err = run_cli(["--help"], tmp_path)
    assert (code, err) == (0, "")
    listed = re.findall(r"^  ([a-z]+) +\S.*\.$", out.partition("commands, each with --help")[2], re.MULTILINE)
    names = [name for name in command_line.COMMANDS if name]
    assert listed == [*names, "test"]
    for name in names:
        code, out, _ = run_cli([name, "--help"], tmp_path)
        assert code == 0
        assert out.startswith(f"usage: ./run.sh {name} ")
        assert run_cli(["help", name], tmp_path) == (0, out, "")
    assert run_cli(["help"], tmp_path) == run_cli(["--help"], tmp_path)


def test_every_option_has_a_help_text():
    for name, command in command_line.COMMANDS.items():
        for action in command_line._parser(name, command)._actions:
            assert action.help, (name, action.dest)


def test_every_stage_can_be_carried_out():
    for stage in STAGES:
        parameters = list(inspect.signature(stage.function()).parameters.values())
        required = [p for p in parameters if p.default is p.empty]
        assert [p.name for p in required] == ["job"], stage.name


def test_help_names_every_option_of_a_run(run_cli: RunCli, tmp_path: Path):
    out = run_cli(["--help"], tmp_path)[1]
    for option in ("data", "preset", "minutes", "name", "budget", "soft-labels", "inductive", "final", "set", "rehash"):
        assert f"  --{option}" in out
    assert "cpu, demo, families, gpu, quick, reference, smoke" in " ".join(out.split())


def test_models(run_cli: RunCli, tmp_path: Path):
    code, out, _ = run_cli(["models", "--json"], tmp_path)
    assert code == 0
    assert {row["name"]: row["parameters"] for row in json.loads(out)} == REFERENCE_PARAMETERS
    code, out, _ = run_cli(["models"], tmp_path)
    assert code == 0
    for row, (name, parameters) in zip(
        out.split("\n\n")[0].splitlines()[1:], REFERENCE_PARAMETERS.items(), strict=True
    ):
        assert row.split()[:2] == [name, f"{parameters:,}"]
    assert "  residual-WIDTH-DEPTH-TOP (1 to 512, 1 to 64, 1 to 2048)\n" in out


def test_light_commands_load_no_heavy_library(smoke_run):
    program = """
import contextlib, sys
from pipeline.__main__ import main
from pathlib import Path
code = main(["verify", sys.argv[1]], Path("/nowhere"))
for command in ("models", "settings", "list"):
    code += main([command], Path("/nowhere"))
for argv in (["--help"], ["help", "study"]):
    with contextlib.suppress(SystemExit):
        main(argv, Path("/nowhere"))
heavy = {"torch", "timm", "numpy", "albumentations", "cv2", "pandas", "sklearn"}
print(code, sorted(heavy & set(sys.modules)))
wrong = main(["verfy", "x"], Path("/nowhere")) + main(["--data", "nowhere"], Path("/nowhere"))
wrong += main(["clean", "--name", "x"], Path("/nowhere"))
wrong += main(["study", "frontier", "--data", "nowhere"], Path("/nowhere"))
wrong += main(["study", "frontir", "--data", "nowhere"], Path("/nowhere"))
wrong += main(["quantise", "--name", "x"], Path("/nowhere"))
wrong += main(["bench", "--data", "nowhere"], Path("/nowhere"))
wrong += main(["predict", sys.argv[1], "--data", "nowhere", "--out", "x.csv"], Path("/nowhere"))
code = main(["ledger", sys.argv[1]], Path("/nowhere"))  # decodes the codes, with numpy
print(wrong, code, sorted((heavy - {"numpy"}) & set(sys.modules)))
"""
    student = smoke_run.run.submission / "student.bin"
    found = subprocess.run(
        [sys.executable, "-c", program, student], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0
    assert re.fullmatch(r"(error: [^\n]+\n){8}", found.stderr)
    assert [line for line in found.stdout.splitlines() if line.endswith("]")][-2:] == ["0 []", "16 0 []"]


def test_a_terminated_process_says_so_and_leaves_whole_files(smoke_run, tmp_path: Path):
    program = "import sys\nfrom pathlib import Path\nfrom pipeline import __main__ as m\n"
    program += "m.end_on_signals()\nsys.exit(m.main(sys.argv[2:], Path(sys.argv[1])))\n"
    labels = smoke_run.run.submission / "soft_labels.safetensors"
    argv = [*smoke_run.argv, "--soft-labels", str(labels), "--set", "distill.epochs=100000"]
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path, *argv], cwd=REPOSITORY, stdout=-1, stderr=-1, text=True
    ) as process:
        try:
            assert process.stdout
            assert any("epoch 2 of" in line for line in process.stdout), "no second epoch"
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (143, "error: terminated; the same command resumes\n")
    assert not list(tmp_path.rglob("*.part"))
    assert (tmp_path / "runs" / "tiny" / "student" / "last.safetensors").is_file()


def test_a_signal_that_nohup_ignores_stays_ignored():
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        command_line.end_on_signals()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        with pytest.raises(SignalReceived):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""What the command line answers: help, the networks, and an exit code and one line for each kind of failure."""

import errno
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

RunCli = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(command_line.__file__).parents[1]
PARAMETERS = {
    "report-student": 120_859,
    "report-plain-cnn": 242_203,
    "report-depthwise": 161_819,
    "report-depthwise-large": 239_899,
    "report-group-half": 163_259,
    "report-group-quarter": 166_139,
    "report-group-eighth": 171_899,
    "report-group-one": 243_323,
    "report-group-large": 237_043,
    "studentnet": 256_779,
}


def test_without_data_there_are_the_digits(run_cli: RunCli, tmp_path: Path):
    code, out, err = run_cli(["--budget", "1"], tmp_path)
    assert code == 2
    assert out == "no --data and no data/ beside run.sh: using scikit-learn's handwritten digits\n"
    assert "the smallest packed file of report-student takes " in err
    folder = tmp_path / "runs" / "digits" / "digits"
    counts = {split: len(list((folder / split).iterdir())) for split in ("training", "validation", "testing")}
    assert counts == {"training": 1077, "validation": 360, "testing": 360}


@pytest.fixture
def fail(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, smoke_run, tmp_path: Path) -> Callable[..., tuple]:
    """Run with a distillation that raises; the labels of the smoke run spare the teachers."""

    def run(error: BaseException) -> tuple[int, str, str]:
        def distill_student(*_: object) -> None:
            raise error

        monkeypatch.setattr("pipeline.stages.student.distill.distill_student", distill_student)
        labels = smoke_run.run.submission / "soft_labels.safetensors"
        found = run_cli([*smoke_run.argv, "--labels", str(labels)], tmp_path)
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
    assert "distill_student" in err
    assert err.endswith("error: this is a bug in the program, please report it with the lines above\n")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted; the same command resumes\n"),
        (command_line._Terminated(), 143, "error: terminated; the same command resumes\n"),
    ],
)
def test_interruptions(fail, error: BaseException, code: int, line: str):
    found, _, err = fail(error)
    assert (found, err) == (code, line)


def test_an_error_in_the_wake_of_an_interruption_is_none(fail):
    error = RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated.")
    error.__context__ = OSError("left over")
    error.__context__.__context__ = command_line._Terminated()
    code, _, err = fail(error)
    assert (code, err) == (143, "error: terminated; the same command resumes\n")


def test_a_loss_that_is_not_finite(smoke_run, run_cli: RunCli, tmp_path: Path):
    labels = smoke_run.run.submission / "soft_labels.safetensors"
    argv = [*smoke_run.argv, "--labels", str(labels), "--set", "distill.optimizer=sgd", "distill.learning_rate=1e30"]
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
    listed = re.findall(r"^  ([a-z]+) +\S.*\.$", out.partition("other commands")[2], re.MULTILINE)
    assert listed == [*command_line.COMMANDS, "test"]
    for name in command_line.COMMANDS:
        code, out, _ = run_cli([name, "--help"], tmp_path)
        assert code == 0
        assert out.startswith(f"usage: ./run.sh {name} ")


def test_help_names_every_option_of_a_run(run_cli: RunCli, tmp_path: Path):
    out = run_cli(["--help"], tmp_path)[1]
    for option in ("data", "preset", "name", "budget", "labels", "inductive", "final", "set", "verify"):
        assert f"  --{option}" in out
    assert "cpu, demo, families, gpu, quick, report, smoke" in out


def test_models(run_cli: RunCli, tmp_path: Path):
    code, out, _ = run_cli(["models", "--json"], tmp_path)
    assert code == 0
    assert {row["name"]: row["parameters"] for row in json.loads(out)} == PARAMETERS
    code, out, _ = run_cli(["models"], tmp_path)
    assert code == 0
    for row, (name, parameters) in zip(out.splitlines()[1:], PARAMETERS.items(), strict=True):
        assert row.split()[:2] == [name, f"{parameters:,}"]


def test_help_and_verify_answer_without_the_heavy_libraries(smoke_run):
    program = """
import contextlib, sys
from pipeline.__main__ import main
from pathlib import Path
code = main(["verify", sys.argv[1]], Path("/nowhere"))
code += main(["models"], Path("/nowhere"))
with contextlib.suppress(SystemExit):
    main(["--help"], Path("/nowhere"))
print(code, sorted({"torch", "timm", "numpy", "albumentations", "cv2", "pandas", "sklearn"} & set(sys.modules)))
"""
    student = smoke_run.run.submission / "student.bin"
    found = subprocess.run(
        [sys.executable, "-c", program, student], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines()[-1] == "0 []"


def test_a_terminated_process_says_so_and_leaves_whole_files(smoke_run, tmp_path: Path):
    program = "import sys\nfrom pathlib import Path\nimport signal\nfrom pipeline import __main__ as m\n"
    program += "signal.signal(signal.SIGTERM, m._terminate)\nsys.exit(m.main(sys.argv[2:], Path(sys.argv[1])))\n"
    labels = smoke_run.run.submission / "soft_labels.safetensors"
    argv = [*smoke_run.argv, "--labels", str(labels), "--set", "distill.epochs=100000"]
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

"""What the command line answers: exit codes and the one line, whatever is wrong."""

import errno
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline import __main__ as command_line
from pipeline.errors import MachineError

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


@pytest.fixture
def refused(run_cli: RunCli, tmp_path: Path) -> Callable[..., str]:
    """The one line for a request that is wrong; nothing was trained, nothing delivered."""

    def ask(*argv: object, root: Path = tmp_path / "root") -> str:
        code, out, err = run_cli([str(argument) for argument in argv], root)
        assert code == 2, err
        assert re.fullmatch(r"error: [^\n]+\n", err)
        assert "epoch" not in out
        assert not (root / "submissions").exists()
        return err.removeprefix("error: ").rstrip("\n")

    return ask


def test_a_contest_that_does_not_exist(refused, tmp_path: Path):
    expected = f"--data {tmp_path / 'gone'} does not exist; expected a contest's folder or zip"
    assert refused("--preset", "smoke", "--data", tmp_path / "gone") == expected


def test_a_file_that_is_no_zip(refused, tmp_path: Path):
    (tmp_path / "c.zip").write_bytes(b"<html>")
    assert f"{tmp_path / 'c.zip'} is not a readable zip" in refused("--preset", "smoke", "--data", tmp_path / "c.zip")


def test_a_folder_that_is_no_contest(refused, tmp_path: Path):
    (tmp_path / "c").mkdir()
    assert f"{tmp_path / 'c'} has no training folder" in refused("--preset", "smoke", "--data", tmp_path / "c")


@pytest.mark.parametrize("split", ["training", "validation", "testing"])
def test_an_empty_split(refused, tiny_contest, split: str):
    contest = tiny_contest()
    for path in (contest / split).iterdir():
        path.unlink()
    assert f"{contest / split} holds no images" in refused("--preset", "smoke", "--data", contest)


def test_a_missing_testing_folder(refused, tiny_contest):
    contest = tiny_contest(splits=("training", "validation"))
    assert f"{contest / 'testing'} does not exist" in refused("--preset", "smoke", "--data", contest)


def test_one_class_only(refused, tiny_contest):
    line = refused("--preset", "smoke", "--data", tiny_contest(classes=1))
    assert "all training images have label 0, expected at least 2 classes" in line


def test_broken_images_are_counted_and_ten_are_named(refused, tiny_contest):
    line = refused("--preset", "smoke", "--data", tiny_contest(broken=12))
    assert ": 12 of 42 images are broken: " in line
    names = re.findall(r"training/\d_\d+\.jpg \(", line)
    assert len(names) == len(set(names)) == 10
    assert ", ...; expected whole images" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("distill.epoch=3", "preset smoke: unknown setting distill.epoch (did you mean distill.epochs?)"),
        ("distill.epochs=many", "preset smoke: distill.epochs: input should be a valid integer, found 'many'"),
        (
            "distill.network=report-studnt",
            "distill.network: unknown network 'report-studnt' (did you mean report-student?)",
        ),
        ("teach.members.0.network=report-cn", "teach.members: unknown network 'report-cn' (did you mean report-cnn?)"),
        ("teach.members.1.network=resnet1", "teach.members: unknown network 'resnet1' (did you mean resnet18?)"),
        ("teach.members.0.pretrained=true", "teach.members: report-cnn has no published weights"),
        ("teach.members.0.weights=gone.st", "teach.members: weights: no such file gone.st"),
        ("teach.members=[]", "preset smoke: teach.members is empty, expected at least one row"),
        ("teach.members.0.options={widht=8}", "teach.members: report-cnn: "),
    ],
)
def test_bad_settings(refused, tiny_contest, change: str, message: str):
    assert refused("--preset", "smoke", "--data", tiny_contest(), "--set", change).startswith(message)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here CUDA runs")
def test_cuda_where_there_is_none(refused, tiny_contest):
    line = refused("--preset", "smoke", "--data", tiny_contest(), "--set", "device.kind=cuda")
    assert line.startswith("device.kind: cuda was asked for, but no CUDA kernel runs here: ")


@pytest.mark.parametrize("budget", ["0", "-1", "abc", "1e6", "", "300 KB", "3.5"])
@pytest.mark.parametrize("command", ["run", "verify"])
def test_bad_budgets(refused, tiny_contest, budget: str, command: str):
    before = ["verify", __file__] if command == "verify" else ["--preset", "smoke", "--data", tiny_contest()]
    expected = f"--budget {budget}: expected a number of bytes above 0, such as 300000"
    assert refused(*before, f"--budget={budget}") == expected


def test_a_hopeless_budget_is_refused_before_any_work(refused, tiny_contest, tmp_path: Path):
    argv = ["--preset", "smoke", "--data", tiny_contest()]
    line = refused(*argv, "--budget", "50000")
    match = re.fullmatch(
        r"--budget 50000: the smallest packed file of report-student takes (\d+) bytes \(uint8-tensor\), "
        r"nothing was trained",
        line,
    )
    assert match
    assert not list((tmp_path / "root").rglob("*.npy"))
    smallest = int(match[1])
    assert f"takes {smallest} bytes" in refused(*argv, "--budget", str(smallest - 1))
    # one byte more and the budget is no longer what is wrong
    assert refused(*argv, "--budget", match[1], "--set", "teach.members=[]").startswith("preset smoke: teach.members")


def test_a_fixed_precision_has_its_own_smallest_size(refused, tiny_contest):
    line = refused("--preset", "smoke", "--data", tiny_contest(), "--set", "pack.precision=fp32")
    assert line.startswith("--budget 300000: the smallest packed file of report-student takes 4")
    assert "(fp32)" in line


@pytest.mark.parametrize("name", ["a/b", ".x", "", "../x", "a" * 101])
def test_bad_run_names(refused, tiny_contest, name: str):
    expected = f"--name {name!r}: expected letters, digits, '.', '_' and '-'"
    assert refused("--preset", "smoke", "--data", tiny_contest(), f"--name={name}").startswith(expected)
    assert refused("pack", f"--name={name}").startswith(expected)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--preset", "smok"], "unknown preset 'smok' (did you mean smoke?)"),
        (["--bogus"], "unrecognized arguments: --bogus (./run.sh --help shows what there is)"),
        (["trane"], "unrecognized arguments: trane (./run.sh --help"),
        (["run"], "unrecognized arguments: run (./run.sh --help"),
        (["--inductiv"], "unrecognized arguments: --inductiv "),  # no abbreviations: they break when options are added
        (["--set"], "argument --set: expected at least one argument"),
        (["--labels", "/gone.safetensors"], "--labels /gone.safetensors: no such file"),
        (["teach"], "the following arguments are required: --name"),
        (["verify"], "the following arguments are required: file"),
        (["verify", "/gone.bin"], "/gone.bin: no such file"),
        (["verify", "/"], "/: no such file"),
        (["predict", "/gone.bin", "--data", "/", "--out", "/gone.csv"], "/gone.bin: no such file"),
        (["models", "--jsn"], "unrecognized arguments: --jsn"),
        (["pack", "--name", "x", "--member", "1"], "unrecognized arguments: --member 1"),
    ],
)
def test_bad_words(refused, tiny_contest, argv: list[str], message: str):
    is_run = argv[0].startswith("--") and "--preset" not in argv
    more = ["--preset", "smoke", "--data", tiny_contest()] if is_run else []
    assert refused(*more, *argv).startswith(message)


def test_labels_that_are_none(refused, smoke_run):
    picture = next((smoke_run.data / "testing").iterdir())
    assert refused(*smoke_run.argv, "--labels", picture).startswith(f"{picture}: damaged or not a safetensors file")
    member = smoke_run.run.member(0)
    assert refused(*smoke_run.argv, "--labels", member) == f"{member}: a safetensors file, but not of soft labels"


def test_predict_refuses_what_it_cannot_do(refused, smoke_run, tmp_path: Path):
    argv = ["predict", smoke_run.run.submission / "student.bin", "--data"]
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out.csv"
    assert f"{tmp_path / 'empty'} has no test images" in refused(*argv, tmp_path / "empty", "--out", out)
    assert "gone does not exist" in refused(*argv, tmp_path / "gone", "--out", out)
    folder = tmp_path / "empty"
    assert refused(*argv, smoke_run.data, "--out", folder) == f"--out {folder}: is a folder, expected the name of a CSV"
    file = next((smoke_run.data / "testing").iterdir())
    line = refused(*argv, smoke_run.data, "--out", file / "a" / "out.csv")
    assert line == f"--out {file / 'a' / 'out.csv'}: {file} is a file, expected a folder"
    assert not out.exists()


def test_data_beside_run_sh_is_found(refused, tiny_contest, tmp_path: Path):
    tiny_contest("data")
    line = refused("--preset", "smoke", "--budget", "1", root=tmp_path)
    assert "the smallest packed file of report-student takes 109" in line
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["data"]


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

        monkeypatch.setattr("pipeline.stages.distill_student.distill_student", distill_student)
        labels = smoke_run.run.submission / "soft_labels.safetensors"
        found = run_cli([*smoke_run.argv, "--labels", str(labels)], tmp_path)
        assert not (tmp_path / "submissions").exists()
        return found

    return run


@pytest.mark.parametrize(
    ("error", "line"),
    [
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


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), FileNotFoundError(errno.ENOENT, "gone", "x.bin")])
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
    assert "cpu, demo, gpu, quick, report, smoke" in out


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

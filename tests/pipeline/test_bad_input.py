"""What is wrong in a request is answered in one line, before any work: data, settings, budgets, names, words."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

RunCli = Callable[..., tuple[int, str, str]]


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
    assert f"{tmp_path / 'c'} has no training images" in refused("--preset", "smoke", "--data", tmp_path / "c")


@pytest.mark.parametrize("split", ["training", "validation", "testing"])
def test_an_empty_split(refused, tiny_contest, split: str):
    contest = tiny_contest()
    for path in (contest / split).iterdir():
        path.unlink()
    assert f"{contest / split} holds no images" in refused("--preset", "smoke", "--data", contest)


def test_test_images_that_are_demanded_and_missing(refused, tiny_contest):
    contest = tiny_contest(splits=("training", "validation"))
    line = refused("--preset", "smoke", "--data", contest, "--set", "distill.final_phase.images=testing")
    assert line == 'distill.final_phase.images: "testing", but the contest has no test images; expected "auto"'


def test_one_class_only(refused, tiny_contest):
    line = refused("--preset", "smoke", "--data", tiny_contest(classes=1))
    assert "all training images have label 0, expected at least 2 classes" in line


def test_broken_images_are_counted_and_some_are_named(refused, tiny_contest):
    line = refused("--preset", "smoke", "--data", tiny_contest(broken=12))
    assert ": 12 of 54 images are broken: " in line
    names = re.findall(r"training/\d_\d+\.jpg \(", line)
    assert 2 <= len(names) == len(set(names)) < 12
    assert ", ...; expected whole images, or --set data.broken=skip" in line
    assert len(line) <= 300 + len(str(line.split("tiny:")[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("distill.epoch=3", "preset smoke: unknown setting distill.epoch (did you mean distill.epochs?)"),
        ("distill.epochs=many", "preset smoke: distill.epochs: input should be a valid integer, found 'many'"),
        (
            "distill.network=reference-studnt",
            "distill.network: unknown network 'reference-studnt' (did you mean reference-student?)",
        ),
        (
            "teach.members.0.network=reference-cn",
            "teach.members: unknown network 'reference-cn' (did you mean reference-cnn?)",
        ),
        ("teach.members.1.network=resnet1", "teach.members: unknown network 'resnet1' (did you mean resnet18?)"),
        ("teach.members.0.pretrained=true", "teach.members: reference-cnn has no published weights"),
        ("teach.members.0.weights=gone.st", "teach.members: weights: no such file gone.st"),
        ("teach.members=[]", "preset smoke: teach.members is empty, expected at least one row"),
        ("teach.members.0.options={widht=8}", "teach.members: reference-cnn: "),
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
    line = refused(*argv, "--budget", "20000")
    match = re.fullmatch(
        r"--budget 20000: the smallest packed file of reference-student takes about (\d+) bytes \(low-bit\), "
        r"nothing was trained",
        line,
    )
    assert match
    assert not list((tmp_path / "root").rglob("*.npy"))
    smallest = int(match[1])
    assert f"takes about {smallest} bytes" in refused(*argv, "--budget", str(smallest - 1))
    # one byte more and the budget is no longer what is wrong
    assert refused(*argv, "--budget", match[1], "--set", "teach.members=[]").startswith("preset smoke: teach.members")


def test_a_fixed_precision_has_its_own_smallest_size(refused, tiny_contest):
    line = refused("--preset", "smoke", "--data", tiny_contest(), "--set", "pack.precision=fp32")
    assert line.startswith("--budget 300000: the packed file of reference-student takes 4")
    assert "(fp32)" in line


def test_a_line_break_in_a_name_makes_no_second_line(refused, tiny_contest):
    contest = tiny_contest()
    (contest / "training" / "a\nb.jpg").write_bytes(b"x")
    assert "training/a b.jpg: expected a name with its label first, {label}_{n}" in refused(
        "--preset", "smoke", "--data", contest
    )


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
        (["verfy", "x"], "unknown command 'verfy' (did you mean verify?); ./run.sh help lists them all"),
        (["run"], "unknown command 'run'; ./run.sh help lists them all"),
        (["tst"], "unknown command 'tst' (did you mean test?); ./run.sh help lists them all"),
        (["hlep"], "unknown command 'hlep' (did you mean help?); ./run.sh help lists them all"),
        (["help", "test"], "run.sh itself does this: ./run.sh test [--long] [arguments of pytest]"),
        (["predict", "--dta", "x"], "unrecognized arguments: --dta x (did you mean --data?) (./run.sh predict --help"),
        (["help", "trane"], "unknown command 'trane'; ./run.sh help lists them all"),
        (["--labels", "x"], "unrecognized arguments: --labels x (did you mean --soft-labels?) "),
        # no abbreviations: they break when options are added
        (["--inductiv"], "unrecognized arguments: --inductiv (did you mean --inductive?) "),
        (["--verify"], "unrecognized arguments: --verify (a command: ./run.sh verify) (./run.sh --help"),
        (["--data="], "--data is empty; expected a contest's folder or zip"),
        (["tests"], "unknown command 'tests' (did you mean --data tests?); ./run.sh help lists them all"),
        (["--preset", "gone.toml"], "preset gone.toml: no such file"),
        (["--soft-labels", "/"], "--soft-labels /: is a folder, expected a file of soft labels"),
        (["--set", "distill.epoch=3"], "preset smoke: unknown setting distill.epoch (did you mean distill.epochs?)"),
        (["--set", "distill.focus=testing"], "preset smoke: unknown setting distill.focus"),
        (["--set"], "argument --set: expected at least one argument"),
        (["--soft-labels", "/gone.safetensors"], "--soft-labels /gone.safetensors: no such file"),
        (["teach"], "the following arguments are required: --name"),
        (["verify"], "the following arguments are required: FILE"),
        (["verify", "/gone.bin"], "/gone.bin: no such file"),
        (["verify", "/"], "/: is a folder, expected a file"),
        (["predict", "/gone.bin", "--data", "/", "--out", "/gone.csv"], "/gone.bin: no such file"),
        (["models", "--jsn"], "unrecognized arguments: --jsn (did you mean --json?) (./run.sh models --help"),
        (["settings", "distil"], "unknown section 'distil' (did you mean distill?); expected one of data, views, "),
        (["clean", "--name", "gone"], "--name gone: no such run (looked for "),
        (["study", "frontiers", "--data", "/"], "unknown study 'frontiers' (did you mean frontier?); expected one of "),
        (["pack", "--name", "x", "--member", "1"], "unrecognized arguments: --member 1"),
    ],
)
def test_bad_words(refused, tiny_contest, argv: list[str], message: str):
    is_run = argv[0].startswith("--") and "--preset" not in argv
    more = ["--preset", "smoke", "--data", tiny_contest()] if is_run else []
    assert refused(*more, *argv).startswith(message)


def test_files_that_hold_no_soft_labels(refused, smoke_run):
    image = next((smoke_run.data / "testing").iterdir())
    assert refused(*smoke_run.argv, "--soft-labels", image).startswith(f"{image}: damaged or not a safetensors file")
    member = smoke_run.artifacts.member(0).path
    assert refused(*smoke_run.argv, "--soft-labels", member) == f"{member}: a safetensors file, but not of soft labels"


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
    assert refused(*argv, smoke_run.data, "--out", "/dev/null").startswith("--out /dev/null: is no regular file")
    assert not out.exists()


def test_data_beside_run_sh_is_found(refused, tiny_contest, tmp_path: Path):
    tiny_contest("data")
    line = refused("--preset", "smoke", "--budget", "1", root=tmp_path)
    assert "the smallest packed file of reference-student takes about 30" in line
    assert not (tmp_path / "runs").exists()


def test_a_submission_of_another_contest_is_not_written_over(smoke_copy, run_cli: RunCli):
    shutil.rmtree(smoke_copy.run.folder)  # cleaned, or a fresh clone
    manifest = smoke_copy.run.submission / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"contest": "tiny"', '"contest": "huge"'))
    before = manifest.read_bytes()
    code, out, err = run_cli(smoke_copy.argv, smoke_copy.root)
    assert (code, "epoch" in out) == (2, False)
    assert err == (
        f"error: --name tiny: {smoke_copy.run.submission} is of another contest (huge); give this run another name\n"
    )
    assert manifest.read_bytes() == before


@pytest.mark.parametrize("stage", ["teach", "export", "distill", "quantise", "pack"])
def test_a_stage_before_the_contest_was_read(smoke_copy, run_cli: RunCli, stage: str):
    shutil.rmtree(smoke_copy.run.receipt("x").parent)
    smoke_copy.artifacts.contest.path.unlink()
    code, _, err = run_cli([stage, "--name", "tiny"], smoke_copy.root)
    expected = "run tiny: prepare-decode is not done yet; run ./run.sh prepare --name tiny first"
    assert (code, err) == (2, f"error: {expected}\n")

"""Whole runs of contests that are not as they should be: no test images, broken files, open questions."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.packed.student_file import unpack_student
from tests.conftest import BATCHES, COLOURS, CPU, CommandLine

ONE_MEMBER = ("--set", 'teach.members=[{network = "test_resnet", seed = 2}]', *BATCHES)

MIXED = ("--set", "views.student_mixing=half")


def picture(path: Path, label: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.normal(COLOURS[label], 30, (16, 16, 3)).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95)


def rows_of(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))


def manifest(root: Path, name: str) -> dict:
    return json.loads((root / "submissions" / name / "manifest.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, run_cli: CommandLine) -> tuple[Path, Path, str]:
    """A run of class folders alone, judged by macro F1: its root, its contest and what it said."""
    folder = tmp_path_factory.mktemp("alone")
    for label, name in enumerate(("ant", "bee", "cow")):
        for n in range(18):
            picture(folder / "zoo" / name / f"{n}.jpg", label, 100 * label + n)
    argv = ("--data", folder / "zoo", "--preset", "smoke", "--metric", "macro-f1", *MIXED, *ONE_MEMBER, *CPU)
    code, out, err = run_cli(argv, folder)
    assert code == 0, err
    return folder, folder / "zoo", out


def test_without_test_images_a_run_is_inductive_and_writes_no_csv(alone: tuple[Path, Path, str]):
    root, _, out = alone
    found = manifest(root, "zoo")
    assert found["protocol"] == "inductive"
    assert found["final_phase"] == "none"
    assert found["agreement"]["split"] == "validation"
    assert set(found["fidelity"]) == {"training", "validation"}
    files = sorted(path.name for path in (root / "submissions" / "zoo").iterdir())
    assert files == ["manifest.json", "settings.toml", "soft_labels.safetensors", "student.bin"]
    assert "CSV: none, as there are no test images; the run is inductive and delivers student.bin" in out
    assert "no CSV           the contest has no test images" in out
    assert unpack_student((root / "submissions/zoo/student.bin").read_bytes()).header.inductive


def test_the_metric_is_told(alone: tuple[Path, Path, str]):
    root, _, out = alone
    found = manifest(root, "zoo")
    assert found["metric"] == "macro-f1"
    assert f"macro-f1         {found['metric_value']:.4f} on validation" in out
    shipped = next(row for row in found["precisions"] if row["precision"] == found["precision"])
    assert (
        found["metric_value"]
        == shipped["validation_metric"]
        == max(row["validation_metric"] for row in found["precisions"] if row["precision"] != "int8-cast")
    )


def test_it_resumes_without_doing_anything_again(alone: tuple[Path, Path, str], run_cli: CommandLine):
    root, data, _ = alone
    before = {path: path.stat().st_mtime_ns for path in (root / "runs" / "zoo" / "receipts").iterdir()}
    argv = ("--data", data, "--preset", "smoke", "--metric", "macro-f1", *MIXED, *ONE_MEMBER, *CPU)
    assert run_cli(argv, root)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_single_image_and_labelled_folders_are_predicted(
    alone: tuple[Path, Path, str], run_cli: CommandLine, tmp_path: Path
):
    root, _, _ = alone
    student = root / "submissions" / "zoo" / "student.bin"
    picture(tmp_path / "one.jpg", 1, 7)
    code, out, err = run_cli(("predict", student, "--data", tmp_path / "one.jpg", "--out", tmp_path / "one.csv"), root)
    assert code == 0, err
    assert (tmp_path / "one.csv").read_text().splitlines()[1].startswith("one.jpg,")
    assert (
        "CSV: header Id,label (no sample submission, so it is this program's); first line one.jpg with a class" in out
    )
    for label, name in enumerate(("ant", "bee", "elk")):
        picture(tmp_path / "test" / name / f"{name}.picture", label, label)
    (tmp_path / "form.csv").write_text("picture,kind\nelk,?\nant,?\nbee,?\n")
    argv = (
        "predict",
        student,
        "--data",
        tmp_path / "test",
        "--out",
        tmp_path / "b.csv",
        "--sample",
        tmp_path / "form.csv",
    )
    code, out, err = run_cli(argv, root)
    assert code == 0, err
    assert "folders that are no class of the file: elk" in out
    assert "2 images lie in folders of classes: accuracy " in out
    assert [row[0] for row in rows_of(tmp_path / "b.csv")] == ["picture", "elk", "ant", "bee"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of words, broken images in training and test, and a sample of fractions; tests in class folders."""
    top = tmp_path_factory.mktemp("asked") / "pets"
    for label, name in enumerate(("cat", "dog")):
        for n in range(20):
            picture(top / "train" / name / f"{n}.jpg", label, 100 * label + n)
        for n in range(4):
            picture(top / "test" / name / f"{name}{n}.jpg", label, 1000 + 100 * label + n)
    (top / "train" / "cat" / "0.jpg").write_bytes(b"")
    half = (top / "test" / "cat" / "cat0.jpg").read_bytes()
    (top / "test" / "cat" / "cat0.jpg").write_bytes(half[: len(half) * 3 // 4])
    (top / "test" / "dog" / "dog0.jpg").write_bytes(b"not an image at all")
    ids = [f"{name}{n}" for name in ("cat", "dog") for n in range(4)]
    (top / "sample_submission.csv").write_text("id,label\n" + "".join(f"{id_},0.5\n" for id_ in ids))
    return top


def test_each_choice_is_asked_for_before_anything_is_trained(asked: Path, run_cli: CommandLine, tmp_path: Path):
    argv = ["--data", asked, "--preset", "smoke", *ONE_MEMBER, *CPU]
    code, _, err = run_cli(argv, tmp_path)
    assert (code, "say it with --positive cat or --positive dog" in err) == (2, True)
    code, _, err = run_cli([*argv, "--positive", "dog"], tmp_path)
    assert code == 2
    assert (
        "1 of 40 images are broken: train/cat/0.jpg (0 bytes); expected whole images, or --set data.broken=skip" in err
    )


def test_a_probability_of_the_positive_class_calibrated_for_log_loss(asked: Path, run_cli: CommandLine, tmp_path: Path):
    choices = (
        "--positive",
        "dog",
        "--metric",
        "log-loss",
        "--set",
        "data.broken=skip",
        "distill.class_weights=balanced",
    )
    code, out, err = run_cli(("--data", asked, "--preset", "smoke", *ONE_MEMBER, *choices, *CPU), tmp_path)
    assert code == 0, err
    found = manifest(tmp_path, "pets")
    assert found["skipped_images"] == ["train/cat/0.jpg"]
    assert [claim["split"] for claim in found["accuracy"]] == ["validation", "testing"]
    assert found["accuracy"][1]["images"] == 8
    packed = unpack_student((tmp_path / "submissions/pets/student.bin").read_bytes())
    assert packed.header.temperature == found["temperature"] != 1.0
    rows = rows_of(tmp_path / "submissions/pets/predictions.csv")
    assert rows[0] == ["id", "label"]
    probs = {id_: float(cell) for id_, cell in rows[1:]}
    assert all(0 <= prob <= 1 for prob in probs.values())
    labels = json.loads((tmp_path / "runs/pets/contest.json").read_text())["labels"]["training"]
    assert probs["dog0"] == pytest.approx(sum(labels) / len(labels), abs=1e-6)  # nothing is known but the shares
    assert "1 test images are cut short, answered from what is there: test/cat/cat0.jpg" in out
    assert "1 test images cannot be decoded, answered by the shares of the classes: test/dog/dog0.jpg" in out
    assert "8 test images have labels, which nothing learned from: accuracy " in out


def test_check_says_everything_and_writes_nothing(asked: Path, run_cli: CommandLine, tmp_path: Path):
    argv = ["check", "--data", asked, "--preset", "smoke", "--positive", "dog", "--no-plan", *ONE_MEMBER, *CPU]
    code, out, err = run_cli(argv, tmp_path)
    assert (code, err) == (1, "")
    assert "contest pets: labels from class folders in train; 32 training, 8 validation and 8 test images" in out
    assert "classes: 2, with labelled images: cat 20, dog 20" in out
    assert "CSV: header id,label; first line cat0 with the probability of class dog" in out
    assert "note: 2 test images are broken, a run answers them all the same: test/cat/cat0.jpg (" in out
    assert "the CSV begins:\n  id,label\n  cat0,<probability>\n" in out
    assert out.splitlines()[-1] == (
        "stops a run: 1 labelled images are broken: train/cat/0.jpg (0 bytes); mend them, or --set data.broken=skip"
    )
    code, out, _ = run_cli([*argv, "--set", "data.broken=skip"], tmp_path)
    assert (code, out.splitlines()[-1]) == (0, "check: nothing stops a run")
    assert list(tmp_path.iterdir()) == []


def test_check_of_what_cannot_be_read_is_one_line(run_cli: CommandLine, asked: Path, tmp_path: Path):
    code, out, err = run_cli(["check", "--data", asked, "--preset", "smoke", "--no-plan", *ONE_MEMBER, *CPU], tmp_path)
    assert (code, err) == (1, "")
    assert out.splitlines()[-1].startswith("stops a run: ")
    assert out.splitlines()[-1].endswith("say it with --positive cat or --positive dog")


def test_check_finds_duplicates_and_makes_a_plan(run_cli: CommandLine, tmp_path: Path):
    top = tmp_path / "zoo"
    for label, name in enumerate(("ant", "bee")):
        for n in range(12 if label else 150):
            picture(top / "train" / name / f"{n}.jpg", label, 1000 * label + n)
    picture(top / "test" / "1.jpg", 0, 3)  # the pixels of train/ant/3.jpg
    picture(top / "train" / "bee" / "twin.jpg", 0, 3)
    argv = ["check", "--data", top, "--preset", "smoke", *ONE_MEMBER, *CPU]
    code, out, err = run_cli(argv, tmp_path / "root")
    assert code == 0, err
    assert "note: imbalance: 150 labelled images of ant, 13 of bee" in out
    assert "test images that are labelled too, with the same pixels: train/ant/3.jpg = test/1.jpg" in out
    assert "pairs of two classes with the same pixels: train/ant/3.jpg = train/bee/twin.jpg" in out
    assert "minutes: preset smoke takes about " in out
    assert "disk: about " in out
    assert "delivers: submissions/zoo with student.bin of at most 300,000 bytes, predictions.csv, manifest.json" in out
    assert not (tmp_path / "root").exists() or list((tmp_path / "root").iterdir()) == []

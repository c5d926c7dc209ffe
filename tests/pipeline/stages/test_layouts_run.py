"""A contest in each layout, from its files to the CSV, which is checked here with the csv module alone."""

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CommandLine = Callable[..., tuple[int, str, str]]
COLOURS = {"Blue, dark": (30, 30, 160), "grün": (60, 200, 60), "red": (200, 60, 60)}
TEST_IDS = ["0010", "2", "NA", "1e5", "0001", "7"]


@dataclass(frozen=True)
class Written:
    """A contest on disk and what its CSV must hold."""

    data: Path
    header: list[str]
    ids: list[str]
    true: dict[str, str]  # colour of each test image, by id


def paint(path: Path, name: str, random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = random.normal(COLOURS[name], 30, (16, 16, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=95)


def write_rows(path: Path, rows: Sequence[Sequence[str]], encoding: str = "utf-8") -> None:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)


def paint_testing(folder: Path, random: np.random.Generator) -> dict[str, str]:
    true = dict(zip(TEST_IDS, list(COLOURS) * 2, strict=True))
    for id_, name in true.items():
        paint(folder / f"{id_}.png", name, random)
    return true


def class_folders(top: Path) -> Written:
    """Layout 2, without a sample."""
    random = np.random.default_rng(1)
    for split, count in (("train", 10), ("val", 3)):
        for name in COLOURS:
            for n in range(count):
                paint(top / split / name / f"{n}.jpg", name, random)
    true = {f"{id_}.png": name for id_, name in paint_testing(top / "test", random).items()}
    return Written(top, ["Id", "label"], sorted(true), true)


def tables(top: Path) -> Written:
    """Layout 3 with a sample of two columns; Windows' line ends and BOM."""
    random, rows = np.random.default_rng(2), [["file", "colour", "camera"]]
    for n in range(36):
        name = list(COLOURS)[n % 3]
        paint(top / "photos" / f"{n:04d}.jpg", name, random)
        rows.append([f"{n:04d}.jpg", name, "x"])
    true = paint_testing(top / "test", random)
    write_rows(top / "train.csv", rows, "utf-8-sig")
    write_rows(top / "sample_submission.csv", [["file", "colour"], *([id_, "red"] for id_ in TEST_IDS)], "utf-8-sig")
    return Written(top, ["file", "colour"], TEST_IDS, true)


def probabilities(top: Path) -> Written:
    """Layout 3 with one column per class, in an order of its own."""
    written = tables(top)
    header = ["file", "red", "Blue, dark", "grün"]
    write_rows(top / "sample_submission.csv", [header, *([id_, "0.3", "0.3", "0.4"] for id_ in TEST_IDS)])
    return Written(top, header, TEST_IDS, written.true)


@pytest.mark.parametrize("write", [class_folders, tables, probabilities])
def test_a_contest_runs_through_and_its_csv_is_right(
    tmp_path: Path, run_cli: CommandLine, smoke_arguments: tuple[str, ...], write: Callable[[Path], Written]
):
    written = write(tmp_path / "colours")
    argv = ["--data", written.data, "--preset", "smoke", *smoke_arguments]
    code, _, err = run_cli(argv, tmp_path / "root")
    assert code == 0, err
    delivered = tmp_path / "root" / "submissions" / "colours"
    for name in ("predictions.csv", "teacher_predictions.csv"):
        predicted = check_csv(delivered / name, written)
        assert sum(predicted[id_] == name for id_, name in written.true.items()) >= 5  # three plain colours are learnt

    for data, out in ((written.data, "whole.csv"), (written.data / "test", "alone.csv")):
        if data.name == "test" and (written.data / "sample_submission.csv").is_file():
            (data / "sample_submission.csv").write_bytes((written.data / "sample_submission.csv").read_bytes())
        argv = ["predict", delivered / "student.bin", "--data", data, "--out", tmp_path / out]
        assert run_cli(argv, tmp_path / "root")[0] == 0
        assert (tmp_path / out).read_bytes() == (delivered / "predictions.csv").read_bytes()


def check_csv(path: Path, written: Written) -> dict[str, str]:
    """The class that each id is given, after all that a scorer would refuse has been looked for."""
    assert b"\r" not in path.read_bytes()
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == written.header
    assert [row[0] for row in rows] == written.ids
    if len(header) == 2:
        assert {row[1] for row in rows} <= set(COLOURS)
        return {row[0]: row[1] for row in rows}
    probs = {row[0]: list(map(float, row[1:])) for row in rows}
    assert all(math.isclose(sum(values), 1.0, abs_tol=1e-6) and min(values) >= 0 for values in probs.values())
    return {id_: header[1 + values.index(max(values))] for id_, values in probs.items()}

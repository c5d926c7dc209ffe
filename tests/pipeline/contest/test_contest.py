import os
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.contest.contest import Contest, read_contest
from pipeline.contest.decode import decode_images
from pipeline.contest.open_source import open_source
from pipeline.contest.testing_alone import read_testing
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

FOOD11_DATA = os.environ.get("FOOD11_DATA")
TRAINING = [f"training/{label}_{n}.jpg" for label in (2, 10, 0) for n in range(4)]
VALIDATION = ["validation/0_0.jpg", "validation/10_0.PNG", "validation/2_0.webp"]
TESTING = [f"testing/{n}.jpg" for n in ("0001", "0002", "0010", "0000")]


def make(top: Path, names: Iterable[str], sample: str | bytes | None = None) -> Path:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path, "PNG")
    if sample is not None:
        (top / "sample_submission.csv").write_bytes(sample if isinstance(sample, bytes) else sample.encode())
    return top


def read(path: Path, *, fraction: float = 0.25, seed: int = 0, **changes: Any) -> Contest:
    return read_contest(open_source(path), DataSettings(validation_fraction=fraction, seed=seed, **changes))


def refused(path: Path, message: str) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_reference_layout(tmp_path: Path):
    contest = read(make(tmp_path / "soup", TRAINING + VALIDATION + TESTING))
    assert contest.name == "soup"
    assert contest.classes == ("0", "2", "10")
    assert {name: len(records) for name, records in contest.splits.items()} == {
        "training": 12,
        "validation": 3,
        "testing": 4,
    }
    assert [(r.id, r.file, r.label) for r in contest.splits["validation"]] == [
        ("0_0", "validation/0_0.jpg", 0),
        ("10_0", "validation/10_0.PNG", 2),
        ("2_0", "validation/2_0.webp", 1),
    ]
    assert [(r.id, r.label) for r in contest.splits["testing"]][:2] == [("0000", -1), ("0001", -1)]


@pytest.mark.parametrize("root", ["", "soup", "data/soup"])
def test_nested_zip_reads_as_the_folder_does(tmp_path: Path, root: str):
    top = make(tmp_path / "soup", TRAINING + VALIDATION + TESTING)
    with zipfile.ZipFile(tmp_path / "soup.zip", "w") as archive:
        for file in top.rglob("*.*"):
            archive.write(file, str(Path(root, file.relative_to(top))))
    from_zip, from_folder = read(tmp_path / "soup.zip"), read(top)
    assert from_zip.name == "soup"
    assert from_zip.submission == from_folder.submission
    assert [r.id for r in from_zip.splits["training"]] == [r.id for r in from_folder.splits["training"]]


def test_other_files_are_ignored(tmp_path: Path):
    top = make(tmp_path, TRAINING + VALIDATION + TESTING)
    (top / "training" / "readme.txt").write_text("hello")
    (top / "testing" / "Thumbs.db").write_text("")
    assert len(read(top).splits["training"]) == 12


def test_validation_that_is_split_off_is_stratified_seeded_and_disjoint(tmp_path: Path):
    names = [f"training/{label}_{n}.jpg" for label, count in ((0, 40), (1, 20), (5, 12)) for n in range(count)]
    top = make(tmp_path, names + TESTING)
    contest = read(top)
    training, validation = contest.splits["training"], contest.splits["validation"]
    assert Counter(r.label for r in validation) == {0: 10, 1: 5, 2: 3}
    assert sorted(r.file for r in training + validation) == sorted(names)
    assert read(top) == contest
    assert read(top, seed=1).splits["validation"] != validation


@pytest.mark.parametrize("fraction", [0.01, 0.5])
def test_splitting_off_validation_leaves_every_class_in_training(tmp_path: Path, fraction: float):
    names = [f"training/{label}_{n}.jpg" for label, count in ((0, 7), (1, 2), (2, 2)) for n in range(count)]
    contest = read(make(tmp_path, names + TESTING), fraction=fraction)
    assert {r.label for r in contest.splits["training"]} == {0, 1, 2}
    assert len(contest.splits["validation"]) >= 3


def test_no_training_folder(tmp_path: Path):
    refused(
        make(tmp_path, TESTING), r"has no training images; looked for train/\{class\}/, training/\{label\}_\{n\}\.jpg"
    )


def test_folders_around_the_whole_contest_do_not_count(tmp_path: Path):
    contest = read(make(tmp_path, [f"a/b/c/d/{name}" for name in TRAINING + TESTING]))
    assert contest.splits["testing"][0].id == "0000"
    assert contest.name == "d"


def test_training_too_deep(tmp_path: Path):
    names = [f"a/b/c/d/{name}" for name in TRAINING + TESTING]
    refused(
        make(tmp_path, [*names, "z/1.jpg"]),
        r"two levels of class folders, such as a/b; say which is the class with --set data\.class_folders=outer or",
    )


def test_two_contests_in_one_folder(tmp_path: Path):
    names = [f"{root}/{name}" for root in ("a", "b") for name in TRAINING + TESTING]
    refused(
        make(tmp_path, names),
        r"found 2 \(a/training, b/training\); expected one of them: say which with --set data\.training_folder=",
    )


@pytest.mark.parametrize("split", ["training", "validation", "testing"])
def test_empty_split(tmp_path: Path, split: str):
    top = make(tmp_path, [n for n in TRAINING + VALIDATION + TESTING if not n.startswith(split)])
    (top / split).mkdir()
    (top / split / "readme.txt").write_text("nothing yet")
    refused(top, f"{split} holds no images, expected files such as .avif, .bmp, ")


def test_empty_validation_folder_is_not_a_missing_one(tmp_path: Path):
    top = make(tmp_path, TRAINING + TESTING)
    (top / "validation").mkdir()
    refused(top, "validation holds no images")


def test_no_testing_folder(tmp_path: Path):
    contest = read(make(tmp_path, TRAINING))
    assert contest.splits["testing"] == ()
    assert contest.submission.ids == ()


def test_one_class_only(tmp_path: Path):
    names = ["training/3_0.jpg", "training/3_1.jpg", *TESTING]
    refused(make(tmp_path, names), "all training images have label 3, expected at least 2 classes")


def test_validation_class_absent_from_training(tmp_path: Path):
    names = [*TRAINING, "validation/7_0.jpg", *TESTING]
    refused(make(tmp_path, names), r"validation/7_0\.jpg: found class 7, expected one that training has")


def test_a_class_of_one_image_stays_in_training(tmp_path: Path):
    contest = read(make(tmp_path, [*TRAINING, "training/7_0.jpg", *TESTING]))
    assert contest.classes == ("0", "2", "7", "10")
    assert [record.file for record in contest.splits["training"] if record.label == 2] == ["training/7_0.jpg"]
    assert contest.notes == ("classes with a single training image, without a validation image: 1 (7)",)


def test_classes_of_one_image_each_are_refused(tmp_path: Path):
    names = [f"training/{label}_0.jpg" for label in range(3)]
    refused(make(tmp_path, names + TESTING), "every class has a single image, so none can be held out for validation")


def test_two_testing_images_with_one_id(tmp_path: Path):
    refused(
        make(tmp_path, [*TRAINING, "testing/a.jpg", "testing/a.png"]), r"a\.jpg and testing/a\.png have the same id 'a'"
    )


def test_integer_ids_in_numeric_order(tmp_path: Path):
    names = ["testing/10.jpg", "testing/002.jpg", "testing/1.jpg"]
    contest = read(make(tmp_path, TRAINING + names))
    assert contest.submission.header == ("Id", "label")
    assert contest.submission.ids == ("1", "2", "10")
    assert [contest.splits["testing"][row].id for row in contest.submission.rows] == ["1", "002", "10"]
    assert contest.submission.labels == ("0", "2", "10")


def test_text_ids_in_text_order(tmp_path: Path):
    contest = read(make(tmp_path, [*TRAINING, "testing/b.jpg", "testing/10.jpg", "testing/2.jpg"]))
    assert contest.submission.ids == ("10", "2", "b")
    assert [contest.splits["testing"][row].id for row in contest.submission.rows] == ["10", "2", "b"]


def test_two_testing_images_with_one_number(tmp_path: Path):
    refused(
        make(tmp_path, [*TRAINING, "testing/1.jpg", "testing/01.jpg"]), r"01\.jpg and testing/1\.jpg both give Id 1"
    )


def test_sample_gives_header_ids_and_order(tmp_path: Path):
    sample = "image_id,category\n0010,0\n0001,0\n0000.jpg,0\n2,0\n"
    contest = read(make(tmp_path, TRAINING + TESTING, sample))
    assert contest.submission.header == ("image_id", "category")
    assert contest.submission.ids == ("0010", "0001", "0000.jpg", "2")
    assert [contest.splits["testing"][row].id for row in contest.submission.rows] == ["0010", "0001", "0000", "0002"]


def test_sample_ids_stay_text(tmp_path: Path):
    names = ["testing/NA.jpg", "testing/1e5.jpg", "testing/007.jpg", "testing/1.jpg", "testing/01.jpg"]
    sample = b"\xef\xbb\xbfId,label\r\nNA,0\r\n1e5,0\r\n007,0\r\n01,0\r\n1,0\r\n"
    contest = read(make(tmp_path, TRAINING + names, sample))
    assert contest.submission.header == ("Id", "label")
    assert contest.submission.ids == ("NA", "1e5", "007", "01", "1")
    assert [contest.splits["testing"][row].id for row in contest.submission.rows] == ["NA", "1e5", "007", "01", "1"]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("Id,a,b,c\n1,0,0,1\n", r"columns without a training image: 3 \(a, b, c\); classes without a column: 3 \("),
        ("Id,0,2,10,2\n1,0,0,1,0\n", r"columns repeated: 1 \(2\); expected the id and one column per class"),
        ("Id\n1\n", "line 1: found 1 columns, expected an id and a label or classes"),
        ("Id,Label\n0,0\n1,0,0\n", "line 3: found 3 columns, expected 2"),
        ("", "sample_submission.csv is empty"),
        ("\n\r\n", "sample_submission.csv is empty"),
        (b"\xffI,d\0", "is not a CSV in UTF-8"),
        ('Id,Label\n"0,0\n', "is not a CSV in UTF-8"),
        ("Id,Label\n0,0\n1,0\n1,0\n2,0\n10,0\n", r"ids repeated: 1 \(1\)"),
        ("Id,Label\n0,0\n1,0\n0001,0\n2,0\n10,0\n", r"ids repeated: 2 \(1, 0001\)"),
        ("Id,Label\n0,0\n1,0\n2,0\n10,0\n11,0\n", r"ids without a testing image: 1 \(11\)"),
        ("Id,Label\n0,0\n1,0\n2,0\n", r"testing images without an id: 1 \(0010\.jpg\)"),
    ],
)
def test_sample_problems(tmp_path: Path, sample: str | bytes, message: str):
    refused(make(tmp_path, TRAINING + TESTING, sample), message)


def test_sample_problems_are_listed_up_to_ten(tmp_path: Path):
    sample = "Id,Label\n" + "".join(f"x{n},0\n" for n in range(12))
    listed = ", ".join(f"x{n}" for n in range(10))
    refused(make(tmp_path, TRAINING + TESTING, sample), rf"testing image: 12 \({listed}, \.\.\.\); testing .*: 4 \(")


@pytest.mark.parametrize("folder", ["", "testing/", "test/", "test_images/", "shots/", "shots/test/", "a/b/"])
def test_read_testing_alone(tmp_path: Path, folder: str):
    source = open_source(make(tmp_path, [f"{folder}{n}.jpg" for n in (2, 10)]))
    found = read_testing(source, ["0", "1"], DataSettings())
    assert found.files == (f"{folder}10.jpg", f"{folder}2.jpg")
    assert (found.submission.ids, found.submission.rows) == (("2", "10"), (1, 0))
    assert read_testing(source, ["cat", "dog"], DataSettings()).submission.ids == ("10.jpg", "2.jpg")


def test_read_testing_of_a_contest_is_its_testing_split(tmp_path: Path):
    source = open_source(make(tmp_path, TRAINING + TESTING, "Id,Label\n10,0\n2,0\n1,0\n0,0\n"))
    contest = read_contest(source, DataSettings(validation_fraction=0.25))
    found = read_testing(source, contest.classes, DataSettings())
    assert list(found.files) == [record.file for record in contest.splits["testing"]]
    assert found.submission == contest.submission


@pytest.mark.parametrize("names", [["readme.png.txt"], ["training/0_1.jpg"]])
def test_read_testing_without_images(tmp_path: Path, names: list[str]):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(RequestError, match="has no test images; looked for test/, testing/ and images at its top"):
        read_testing(open_source(tmp_path), ["0", "1"], DataSettings())


@pytest.mark.skipif(FOOD11_DATA is None, reason="FOOD11_DATA names no contest")
def test_food11():
    source = open_source(Path(str(FOOD11_DATA)))
    contest = read_contest(source, DataSettings(validation_fraction=0.1))
    assert [len(contest.splits[name]) for name in ("training", "validation", "testing")] == [9866, 3430, 3347]
    assert contest.classes == tuple(map(str, range(11)))
    assert contest.submission.ids == tuple(map(str, range(3347)))
    files = [record.file for record in contest.splits["testing"][:50]]
    out = np.zeros((50, 64, 64, 3), np.uint8)
    decode_images(source, files, 64, out, workers=2, on_done=lambda _: None)
    assert all(image.std() > 1 for image in out)

"""Layout 2, one folder per class: what is read and what is refused."""

from pathlib import Path

import pytest

from tests.pipeline.contest.made_contests import CATS_AND_DOGS, TEST_IMAGES, labels, make, read, refused


@pytest.mark.parametrize("training", ["train", "training"])
@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
@pytest.mark.parametrize("testing", ["test", "testing", "test_images"])
def test_folder_per_class(tmp_path: Path, training: str, validation: str, testing: str):
    names = [f"{training}/dog/1.jpg", f"{training}/cat/1.jpg", f"{training}/cat/old/2.jpg"]
    names += [f"{validation}/cat/9.jpg", f"{validation}/dog/9.jpg", f"{testing}/0010.jpg", f"{testing}/2.png"]
    contest = read(make(tmp_path / "pets", names))
    assert (contest.name, contest.classes) == ("pets", ("cat", "dog"))
    expected = {f"{training}/cat/1.jpg": "cat", f"{training}/cat/old/2.jpg": "cat", f"{training}/dog/1.jpg": "dog"}
    assert labels(contest, "training") == expected
    assert labels(contest, "validation") == {f"{validation}/cat/9.jpg": "cat", f"{validation}/dog/9.jpg": "dog"}
    assert [record.file for record in contest.splits["testing"]] == [f"{testing}/0010.jpg", f"{testing}/2.png"]
    assert contest.submission.header == ("Id", "label")
    assert contest.submission.ids == ("0010.jpg", "2.png")
    assert contest.submission.labels == ("cat", "dog")


def test_ids_do_not_depend_on_the_place_of_the_contest(tmp_path: Path):
    plain, nested = (
        make(tmp_path / "a", CATS_AND_DOGS + TEST_IMAGES),
        make(tmp_path / "b" / "c", CATS_AND_DOGS + TEST_IMAGES),
    )
    ids = [record.id for record in read(plain).splits["training"]]
    assert ids[0].startswith("train/")
    assert len(set(ids)) == len(ids)
    assert ids == [record.id for record in read(nested.parent).splits["training"]]


def test_class_folders_that_are_numbers_are_in_numeric_order(tmp_path: Path):
    names = [f"train/{label}/{n}.jpg" for label in (10, 9, 0) for n in range(2)]
    assert read(make(tmp_path, names + TEST_IMAGES)).classes == ("0", "9", "10")


def test_a_class_may_be_called_train(tmp_path: Path):
    names = [f"train/{label}/{n}_1.jpg" for label in ("bus", "car", "train") for n in range(3)]
    assert read(make(tmp_path, names + TEST_IMAGES)).classes == ("bus", "car", "train")


def test_class_folders_one_folder_deeper(tmp_path: Path):
    names = [name.replace("train/", "Train/images/") for name in CATS_AND_DOGS]
    contest = read(make(tmp_path, [*names, "TEST/1.jpg"]))
    assert contest.classes == ("cat", "dog")
    found = labels(contest, "training") | labels(contest, "validation")
    assert found == {name: name.split("/")[2] for name in names}


def test_decomposed_accents_of_a_mac(tmp_path: Path):
    names = [f"train/{label}/{n}.jpg" for label in ("cafe\u0301", "dog") for n in range(3)]
    sample = "id,caf\u00e9,dog\nNA,1,0\n2,1,0\n0010,1,0\n"
    contest = read(make(tmp_path, names + TEST_IMAGES, sample_submission=sample))
    assert contest.classes == ("caf\u00e9", "dog")
    assert contest.submission.columns == (0, 1)


def test_test_images_unpacked_into_a_folder_of_the_zips_name(tmp_path: Path):
    names = [f"train/{name}" for name in CATS_AND_DOGS]
    contest = read(make(tmp_path, [*names, "test/test/1.jpg", "test/test/2.jpg"]))
    assert contest.classes == ("cat", "dog")
    assert contest.submission.ids == ("1.jpg", "2.jpg")


def test_test_images_in_the_only_folder_of_test(tmp_path: Path):
    contest = read(make(tmp_path, [*CATS_AND_DOGS, "test/unknown/1.jpg"]))
    assert [record.file for record in contest.splits["testing"]] == ["test/unknown/1.jpg"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/7.jpg"], r"train: found images directly in it: 1 \(7\.jpg\), and others in folders; expected all"),
        (["val/7.jpg"], r"val: images without a label: 1 \(7\.jpg\); expected one folder per class"),
        (
            ["train/cow/readme.txt"],
            r"train: classes without an image: 1 \(cow\); expected at least one image",
        ),
        (["val/cat/1.jpg", "val/dog/1.jpg", "val/cow/1.jpg"], r"val/cow/1\.jpg: found class cow, expected one that"),
        (["val/readme.txt"], r"val holds no images"),
        (
            ["val/cat/1.jpg", "valid/cat/1.jpg"],
            r"found 2 \(val, valid\); expected one of them: say which with --set data\.validation_folder=val",
        ),
        (["training/cat/1.jpg"], r"found 2 \(train, training\); .* --set data\.training_folder=train"),
        (["testing/1.jpg"], r"found 2 \(test, testing\); .* --set data\.test_folder=test"),
    ],
)
def test_refused_class_folders(tmp_path: Path, names: list[str], message: str):
    refused(make(tmp_path, CATS_AND_DOGS + TEST_IMAGES + names), message)


def test_one_class_folder(tmp_path: Path):
    refused(make(tmp_path, ["train/cat/1.jpg", "train/cat/2.jpg", *TEST_IMAGES]), "all training images have label cat")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["test/readme.txt"], r"test holds no images, expected files such as \.avif"),
        (["test/1.jpg", "test/b/2.jpg"], "test: found images directly in it and in folders, expected one of both"),
    ],
)
def test_no_test_images(tmp_path: Path, names: list[str], message: str):
    refused(make(tmp_path, CATS_AND_DOGS + names), message)


def test_archives_in_the_contest_are_named(tmp_path: Path):
    path = make(tmp_path, ["train.7z", "test.tar.gz"])
    refused(path, r"no training images \(it holds 2 \(test\.tar\.gz, train\.7z\): unpack first\)")

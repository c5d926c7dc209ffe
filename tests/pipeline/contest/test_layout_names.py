"""Labels in file names: what is read, what is no label, and what is asked about."""

import re
from pathlib import Path

import pytest

from tests.pipeline.contest.made_contests import make, read, refused

TRAINING = [f"training/{label}_{n}.jpg" for label in (2, 10, 0) for n in range(4)]
TESTING = [f"testing/{n}.jpg" for n in ("0001", "0002", "0010", "0000")]


def test_words_in_names(tmp_path: Path):
    names = [f"train/{name}{mark}{n}.jpg" for name in ("cat", "great dane") for n in range(4) for mark in "._- "]
    contest = read(make(tmp_path, [*names, "train/cat (7).jpg", "test/1.jpg"]))
    assert contest.classes == ("cat", "great dane")
    assert sum(map(len, contest.splits.values())) == 34


def test_numbers_and_words_in_names_are_asked_about(tmp_path: Path):
    names = [*TRAINING, "training/cat_1.jpg", *TESTING]
    refused(make(tmp_path, names), "some names begin with a number, such as 0, others with a word, such as cat")


def test_names_that_are_rather_ids(tmp_path: Path):
    """Patients 10 to 29 with two images each: read as labels only where the user says so."""
    names = [f"training/{patient}_{side}.jpg" for patient in range(10, 30) for side in (1, 2)]
    path = make(tmp_path, names + TESTING)
    refused(path, r"20 labels for 40 images, or these are ids; say it with --set data\.labels_from=names or the path")
    assert len(read(path, labels_from="names").classes) == 20


@pytest.mark.parametrize(
    "name", ["-1_3.jpg", "7.jpg", "1.5_2.jpg", "²_1.jpg", "10_left.jpg", "img_1_cat.jpg", "_1.jpg"]
)
def test_label_that_is_no_integer(tmp_path: Path, name: str):
    refused(make(tmp_path, [*TRAINING, f"training/{name}", *TESTING]), f"training/{re.escape(name)}: expected a name")

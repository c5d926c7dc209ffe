"""Samples under any usual name and place, zips inside a contest, and names of zips in other encodings."""

import zipfile
from pathlib import Path

import pytest

from pipeline.contest.contest import read_contest
from pipeline.contest.open_source import open_source
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError
from tests.pipeline.contest.made_contests import CATS_AND_DOGS, TEST_IMAGES, make, read, refused

TWO = "id,label\n" + "".join(f"{n},{n % 2}\n" for n in range(8))
NUMBERED = [f"train/{n}.jpg" for n in range(8)]
TESTS = ["test/100.jpg", "test/101.jpg"]


def test_zips_inside_a_contest_are_folders(tmp_path: Path):
    (tmp_path / "c").mkdir()
    path = make(tmp_path / "c", [], train=TWO)
    for split, names in (("train", NUMBERED), ("test", TESTS)):
        with zipfile.ZipFile(path / f"{split}.zip", "w") as archive:
            for name in names:
                archive.writestr(name, b"not read here")
    assert [record.file for record in read(path).splits["testing"]] == ["test/test/100.jpg", "test/test/101.jpg"]
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        for file in path.iterdir():
            archive.write(file, f"whole/{file.name}")
    assert read(tmp_path / "whole.zip").submission == read(path).submission
    make(path, TESTS)  # unpacked beside: the zip is not read
    assert [record.file for record in read(path).splits["testing"]] == ["test/100.jpg", "test/101.jpg"]


@pytest.mark.parametrize(
    "name", ["sample_submission", "SampleSubmission", "kaggle-sample-submission", "submission_format"]
)
@pytest.mark.parametrize("folder", ["", "meta/", "a/b/"])
def test_names_and_places_of_a_sample(tmp_path: Path, name: str, folder: str):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    path = make(tmp_path, NUMBERED + TESTS, train=TWO, **{f"{folder}{name}": "Name;guess\n101;0\n100;1\n"})
    submission = read(path).submission
    assert (submission.header, submission.ids, submission.separator) == (("Name", "guess"), ("101", "100"), ";")


def test_two_samples_are_asked_about(tmp_path: Path):
    samples = {"sample_submission": "id,label\n100,0\n101,1\n", "sample_submission_2": "image,label\n101,1\n100,0\n"}
    path = make(tmp_path, NUMBERED + TESTS, train=TWO, **samples)
    refused(
        path, r"found 2 \(sample_submission\.csv, sample_submission_2\.csv\); say which is the sample with --sample"
    )
    assert read(path, sample="sample_submission_2.csv").submission.header == ("image", "label")
    assert read(path, sample="none").submission.header == ("Id", "label")
    refused(path, r"--sample gone\.csv: no such file in", sample="gone.csv")


def write_gbk(path: Path) -> Path:
    class Gbk(zipfile.ZipInfo):
        def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802
            return self.filename.encode("gbk"), 0

    with zipfile.ZipFile(path, "w") as archive:
        for name in [f"train/{label}/{n}.jpg" for label in ("\u6977\u4e66", "\u884c\u4e66") for n in range(4)] + [
            "test/1.jpg"
        ]:
            archive.writestr(Gbk(name), b"not read here")
    return path


def test_names_of_a_zip_in_another_encoding_are_asked_about(tmp_path: Path):
    path = write_gbk(tmp_path / "c.zip")
    with pytest.raises(
        RequestError, match=r"file names are not in UTF-8 \(one reads .*\); say their encoding with --set"
    ):
        open_source(path)
    contest = read_contest(open_source(path, "gbk"), DataSettings(zip_encoding="gbk"))
    assert contest.classes == ("\u6977\u4e66", "\u884c\u4e66")
    with pytest.raises(RequestError, match=r"data\.zip_encoding klingon: no such encoding"):
        open_source(path, "klingon")


def test_a_zip_with_backslashes(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for name in [*CATS_AND_DOGS, *TEST_IMAGES]:
            entry = zipfile.ZipInfo("x")
            entry.filename = name.replace("/", "\\")
            archive.writestr(entry, b"not read here")
    assert read(tmp_path / "c.zip").classes == ("cat", "dog")

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.submission import validate_submission, write_submission
from pipeline.data.submission_format import SubmissionFormat
from pipeline.errors import RequestError

FORMAT = SubmissionFormat(("Id", "Label"), ("0001", "2", "NA"), (2, 0, 1), ("0", "1", "10"))


def test_csv_as_the_csv_module_reads_it(tmp_path: Path):
    path = tmp_path / "predictions.csv"
    write_submission(path, FORMAT, np.array([0, 1, 2]))
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["Id", "Label"], ["0001", "10"], ["2", "0"], ["NA", "1"]]
    assert path.read_bytes() == b"Id,Label\n0001,10\n2,0\nNA,1\n"
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]


def test_names_with_commas_quotes_and_accents(tmp_path: Path):
    odd = SubmissionFormat(("file", "species"), ('a,"b".jpg', "é"), (0, 1), ("cat, big", "dog"))
    write_submission(tmp_path / "p.csv", odd, np.array([0, 1]))
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["file", "species"], ['a,"b".jpg', "cat, big"], ["é", "dog"]]


@pytest.mark.parametrize("predictions", [np.array([0, 1]), np.array([0, 1, 3]), np.array([0, -1, 1]), np.zeros(3)])
def test_wrong_predictions_are_a_bug_and_leave_the_old_file(tmp_path: Path, predictions: np.ndarray):
    path = tmp_path / "p.csv"
    path.write_text("old")
    with pytest.raises(AssertionError, match="prediction"):
        write_submission(path, FORMAT, predictions)
    assert path.read_text() == "old"


def test_a_format_that_contradicts_itself_is_a_bug(tmp_path: Path):
    twice = SubmissionFormat(("Id", "Label"), ("1", "1"), (0, 1), ("0", "1"))
    with pytest.raises(AssertionError, match=r"does not fit its own format: .*line 3: found id '1' a second time"):
        write_submission(tmp_path / "p.csv", twice, np.array([0, 1]))
    assert list(tmp_path.iterdir()) == []


def test_bom_and_crlf_are_accepted(tmp_path: Path):
    path = tmp_path / "p.csv"
    path.write_bytes(b"\xef\xbb\xbfId,Label\r\n0001,10\r\n2,0\r\nNA,1\r\n")
    assert validate_submission(path, FORMAT) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,Label\n0001,10\n2,0\nNA,1\n", "line 1: found header ['id', 'Label'], expected ['Id', 'Label']"),
        ("Id,Label\n1,10\n2,0\nNA,1\n", "line 2: found id '1', expected '0001'"),
        ("Id,Label\n2,0\n0001,10\nNA,1\n", "line 2: found id '2', expected '0001'"),
        ("Id,Label\n0001,10\n0001,0\nNA,1\n", "line 3: found id '0001' a second time, expected '2'"),
        ("Id,Label\n0001,10\n2,1.0\nNA,1\n", "line 3: found label '1.0', expected one of 0, 1, 10"),
        ("Id,Label\n0001,10\n2,7\nNA,1\n", "line 3: found label '7', expected one of 0, 1, 10"),
        ("Id,Label\n0001,10\n2,\nNA,1\n", "line 3: found label '', expected one of 0, 1, 10"),
        ("Id,Label\n0001,10\n2,0,0\nNA,1\n", "line 3: found 3 columns, expected 2"),
        ("Id,Label\n0001,10\n2,0\n", "line 3: found 2 predictions, expected 3"),
        ("Id,Label\n0001,10\n2,0\nNA,1\n5,1\n", "line 5: found 4 predictions, expected 3"),
        ("", "is empty"),
    ],
)
def test_bad_submissions(tmp_path: Path, text: str, message: str):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(RequestError, match=re.escape(message)):
        validate_submission(tmp_path / "p.csv", FORMAT)

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.contest.read_table import read_table
from pipeline.contest.submission import validate_submission, write_submission
from pipeline.contest.submission_format import SubmissionFormat
from pipeline.runtime.errors import RequestError

COMMITTED = sorted((Path(__file__).resolve().parents[3] / "submissions").glob("*/*predictions.csv"))
LOG_PROBS = np.log(np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.05, 0.05, 0.9]], np.float32))
FORMAT = SubmissionFormat(("Id", "Label"), ("0001", "2", "NA"), (2, 0, 1), ("0", "1", "10"))


def test_csv_as_the_csv_module_reads_it(tmp_path: Path):
    path = tmp_path / "predictions.csv"
    write_submission(path, FORMAT, LOG_PROBS)
    with path.open(newline="") as file:
        assert list(csv.reader(file)) == [["Id", "Label"], ["0001", "10"], ["2", "0"], ["NA", "1"]]
    assert path.read_bytes() == b"Id,Label\n0001,10\n2,0\nNA,1\n"
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_predictions_are_reproduced(path: Path, tmp_path: Path):
    table = read_table(path.read_bytes(), str(path)).cells
    ids, texts = (table[name].tolist() for name in table)
    labels = sorted(set(texts))
    rows = np.random.default_rng(0).permutation(len(ids))  # the line of each id is not its testing record
    log_probs_NC = np.full((len(ids), len(labels)), -9.0, np.float32)
    log_probs_NC[rows, [labels.index(text) for text in texts]] = -0.1
    committed = SubmissionFormat(tuple(table), tuple(ids), tuple(rows.tolist()), tuple(labels))
    write_submission(tmp_path / "p.csv", committed, log_probs_NC)
    assert (tmp_path / "p.csv").read_bytes() == path.read_bytes()


def test_names_with_commas_quotes_and_accents(tmp_path: Path):
    odd = SubmissionFormat(("file", "species"), ('a,"b".jpg', "é"), (0, 1), ("cat, big", "dog"))
    write_submission(tmp_path / "p.csv", odd, LOG_PROBS[:2, :2])
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["file", "species"], ['a,"b".jpg', "cat, big"], ["é", "dog"]]


@pytest.mark.parametrize("log_probs_NC", [LOG_PROBS[:2], LOG_PROBS[:, :2], LOG_PROBS.argmax(1), LOG_PROBS * np.nan])
def test_wrong_predictions_are_a_bug_and_leave_the_old_file(tmp_path: Path, log_probs_NC: np.ndarray):
    path = tmp_path / "p.csv"
    path.write_text("old")
    with pytest.raises(AssertionError, match="log_probs"):
        write_submission(path, FORMAT, log_probs_NC)
    assert path.read_text() == "old"


def test_probabilities_are_in_the_columns_of_the_sample(tmp_path: Path):
    columns = SubmissionFormat(("Id", "b", "c", "a"), ("0001", "2", "NA"), (2, 0, 1), ("a", "b", "c"), (1, 2, 0))
    write_submission(tmp_path / "p.csv", columns, LOG_PROBS)
    assert (tmp_path / "p.csv").read_text() == "Id,b,c,a\n0001,0.05,0.9,0.05\n2,0.1,0.1,0.8\nNA,0.7,0.1,0.2\n"


def test_probabilities_of_half_precision_sum_to_one(tmp_path: Path):
    classes = tuple(map(str, range(120)))
    logits = np.random.default_rng(0).normal(0, 4, (50, 120))
    log_probs_NC = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float16)
    ids = tuple(map(str, range(50)))
    wide = SubmissionFormat(("id", *classes), ids, tuple(range(50)), classes, tuple(range(120)))
    write_submission(tmp_path / "p.csv", wide, log_probs_NC)
    with (tmp_path / "p.csv").open(newline="") as file:
        probs_NC = np.array([[float(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])
    assert np.abs(probs_NC.sum(1) - 1).max() < 1e-6  # the tolerance of Kaggle's own metrics
    assert (probs_NC > 0).all()
    assert (probs_NC.argmax(1) == log_probs_NC.argmax(1)).all()


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("0.5,0.4,0.1", ""),
        ("0.5,0.4,0.2", "line 2: found probabilities that sum to 1.100000, expected 1"),
        ("1.5,-0.4,-0.1", "line 2: found 1.5, -0.4, -0.1, expected numbers from 0 to 1"),
        ("nan,0.5,0.5", "line 2: found nan, 0.5, 0.5, expected numbers from 0 to 1"),
        ("a,0.5,0.5", "line 2: found no probability (could not convert string to float: 'a')"),
        ("0.5,0.5", "line 2: found 3 columns, expected 4"),
    ],
)
def test_bad_probabilities(tmp_path: Path, cells: str, message: str):
    columns = SubmissionFormat(("Id", "b", "c", "a"), ("7",), (0,), ("a", "b", "c"), (1, 2, 0))
    (tmp_path / "p.csv").write_text(f"Id,b,c,a\n7,{cells}\n")
    if not message:
        assert validate_submission(tmp_path / "p.csv", columns) is None
        return
    with pytest.raises(RequestError, match=re.escape(message)):
        validate_submission(tmp_path / "p.csv", columns)


def test_a_format_that_contradicts_itself_is_a_bug(tmp_path: Path):
    twice = SubmissionFormat(("Id", "Label"), ("1", "1"), (0, 1), ("0", "1"))
    with pytest.raises(AssertionError, match=r"does not fit its own format: .*line 3: found id '1' a second time"):
        write_submission(tmp_path / "p.csv", twice, LOG_PROBS[:2, :2])
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

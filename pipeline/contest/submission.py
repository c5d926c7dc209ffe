"""The predictions CSV: written, read back and checked before it takes its place. N testing records, C classes."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.contest.submission_format import SubmissionFormat, read_table
from pipeline.runtime.atomic import atomic_file
from pipeline.runtime.errors import RequestError

# Seven significant digits, all that float32 has: rows sum to 1 within the 1e-6 that Kaggle's own metrics allow.
PROBABILITY_FORMAT = ".7g"
SUM_TOLERANCE = 1e-6


def write_submission(path: Path, submission: SubmissionFormat, log_probs_NC: np.ndarray) -> None:
    """Write the CSV atomically, after the temporary file has passed validate_submission.

    log_probs_NC: floats [testing records, classes], in record order.
    """
    expected = (len(submission.rows), len(submission.labels))
    assert log_probs_NC.shape == expected, f"log_probs have shape {log_probs_NC.shape}, expected {expected}"
    assert np.isfinite(log_probs_NC).all(), "log_probs are not finite"
    answers = (_probabilities if submission.columns else _label)(submission, log_probs_NC)
    with atomic_file(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(submission.header)
            writer.writerows([id_, *answers[row]] for id_, row in zip(submission.ids, submission.rows, strict=True))
        try:
            validate_submission(temporary, submission)
        except RequestError as error:
            raise AssertionError(f"the CSV that was written does not fit its own format: {error}") from error


def validate_submission(path: Path, submission: SubmissionFormat) -> None:
    """Check a CSV against the format: header, ids as text, in order, each once, and known labels or probabilities.

    Raises RequestError with the line number, what was found and what was expected.
    """
    table = read_table(path.read_bytes(), str(path))
    line, header = table[0]
    if tuple(header) != submission.header:
        raise RequestError(f"{path}, line {line}: found header {header}, expected {list(submission.header)}")
    seen: set[str] = set()
    for (line, cells), expected_id in zip(table[1:], submission.ids, strict=False):
        problem = _problem(cells, expected_id, submission, seen)
        if problem:
            raise RequestError(f"{path}, line {line}: {problem}")
        seen.add(cells[0])
    if len(table) - 1 != len(submission.ids):
        raise RequestError(
            f"{path}, line {table[-1][0]}: found {len(table) - 1} predictions, expected {len(submission.ids)}"
        )


def _label(submission: SubmissionFormat, log_probs_NC: np.ndarray) -> list[list[str]]:
    return [[submission.labels[label]] for label in log_probs_NC.argmax(1)]


def _probabilities(submission: SubmissionFormat, log_probs_NC: np.ndarray) -> list[list[str]]:
    probs_NC = np.exp(log_probs_NC.astype(np.float64))
    probs_NC /= probs_NC.sum(1, keepdims=True)  # float16 answers sum to 1 only roughly
    return [[format(prob, PROBABILITY_FORMAT) for prob in row] for row in probs_NC[:, list(submission.columns)]]


def _problem(cells: list[str], expected_id: str, submission: SubmissionFormat, seen: set[str]) -> str:
    if len(cells) != len(submission.header):
        return f"found {len(cells)} columns, expected {len(submission.header)}"
    if cells[0] in seen:
        return f"found id {cells[0]!r} a second time, expected {expected_id!r}"
    if cells[0] != expected_id:
        return f"found id {cells[0]!r}, expected {expected_id!r}"
    if submission.columns:
        return _problem_of_probabilities(cells[1:])
    if cells[1] not in submission.labels:
        return f"found label {cells[1]!r}, expected one of {', '.join(submission.labels[:12])}"
    return ""


def _problem_of_probabilities(cells: Sequence[str]) -> str:
    try:
        probs = [float(cell) for cell in cells]
    except ValueError as error:
        return f"found no probability ({error}), expected numbers from 0 to 1"
    if not all(0.0 <= prob <= 1.0 for prob in probs):  # false for NaN too
        return f"found {', '.join(cells[:12])}, expected numbers from 0 to 1"
    if abs(sum(probs) - 1.0) > SUM_TOLERANCE:
        return f"found probabilities that sum to {sum(probs):.6f}, expected 1"
    return ""

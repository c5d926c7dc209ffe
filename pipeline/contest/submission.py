"""The predictions CSV: written, read back and checked before it takes its place. N testing records, C classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.contest.read_table import read_table
from pipeline.contest.submission_format import SubmissionFormat
from pipeline.runtime.atomic import atomic_file
from pipeline.runtime.errors import RequestError

# Seven significant digits, all that float32 has: rows sum to 1 within the 1e-6 that Kaggle's own metrics allow.
PROBABILITY_FORMAT = "%.7g"
SUM_TOLERANCE = 1e-6


def write_submission(path: Path, submission: SubmissionFormat, log_probs_NC: np.ndarray) -> None:
    """Write the CSV atomically, after the temporary file has passed validate_submission.

    log_probs_NC: floats [testing records, classes], in record order.
    """
    expected = (len(submission.rows), len(submission.labels))
    assert log_probs_NC.shape == expected, f"log_probs have shape {log_probs_NC.shape}, expected {expected}"
    assert np.isfinite(log_probs_NC).all(), "log_probs are not finite"
    columns_of = _probabilities if submission.columns else _label
    table = pd.DataFrame(columns_of(submission, log_probs_NC)[list(submission.rows)], columns=submission.header[1:])
    table.insert(0, submission.header[0], submission.ids, allow_duplicates=True)
    with atomic_file(path) as temporary:
        table.to_csv(
            temporary, index=False, sep=submission.separator, lineterminator="\n", float_format=PROBABILITY_FORMAT
        )
        try:
            validate_submission(temporary, submission)
        except RequestError as error:
            raise AssertionError(f"the CSV that was written does not fit its own format: {error}") from error


def validate_submission(path: Path, submission: SubmissionFormat) -> None:
    """Check a CSV against the format: header, ids as text, in order, each once, and known labels or probabilities.

    Raises RequestError with the line number, what was found and what was expected.
    """
    table = read_table(path.read_bytes(), str(path)).cells
    if tuple(table) != submission.header:
        raise RequestError(f"{path}, line 1: found header {list(table)}, expected {list(submission.header)}")
    seen: set[str] = set()
    for (line, id_, *cells), expected_id in zip(table.itertuples(name=None), submission.ids, strict=False):
        problem = _problem_of_id(id_, expected_id, seen) or _problem_of_cells(cells, submission)
        if problem:
            raise RequestError(f"{path}, line {line}: {problem}")
        seen.add(id_)
    if len(table) != len(submission.ids):
        last = [1, *table.index][-1]
        raise RequestError(f"{path}, line {last}: found {len(table)} predictions, expected {len(submission.ids)}")


def _label(submission: SubmissionFormat, log_probs_NC: np.ndarray) -> np.ndarray:
    """Text of the most probable class, [N, 1]."""
    return np.array(submission.labels, object)[log_probs_NC.argmax(1)][:, None]


def _probabilities(submission: SubmissionFormat, log_probs_NC: np.ndarray) -> np.ndarray:
    """Probabilities [N, columns] of the classes of the columns, float64."""
    probs_NC = np.exp(log_probs_NC.astype(np.float64))
    probs_NC /= probs_NC.sum(1, keepdims=True)  # those of float16 sum to 1 only roughly
    return probs_NC[:, list(submission.columns)]


def _problem_of_id(id_: str, expected_id: str, seen: set[str]) -> str:
    if id_ in seen:
        return f"found id {id_!r} a second time, expected {expected_id!r}"
    return "" if id_ == expected_id else f"found id {id_!r}, expected {expected_id!r}"


def _problem_of_cells(cells: Sequence[str], submission: SubmissionFormat) -> str:
    if submission.columns:
        return _problem_of_probabilities(cells, whole=len(submission.columns) == len(submission.labels))
    if cells[0] not in submission.labels:
        return f"found label {cells[0]!r}, expected one of {', '.join(submission.labels[:12])}"
    return ""


def _problem_of_probabilities(cells: Sequence[str], *, whole: bool) -> str:
    """`whole`: there is a column for every class."""
    try:
        probs = [float(cell) for cell in cells]
    except ValueError as error:
        return f"found no probability ({error}), expected numbers from 0 to 1"
    if not all(0.0 <= prob <= 1.0 for prob in probs):  # false for NaN too
        return f"found {', '.join(cells[:12])}, expected numbers from 0 to 1"
    if whole and abs(sum(probs) - 1.0) > SUM_TOLERANCE:
        return f"found probabilities that sum to {sum(probs):.6f}, expected 1"
    return ""

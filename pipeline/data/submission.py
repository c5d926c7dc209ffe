"""The predictions CSV: written, read back and checked before it takes its place."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.atomic import atomic_file
from pipeline.data.submission_format import SubmissionFormat, read_table
from pipeline.errors import RequestError


def write_submission(path: Path, submission: SubmissionFormat, predictions: np.ndarray) -> None:
    """Write the CSV atomically, after the temporary file has passed validate_submission.

    predictions: int64 [testing records], class indices in record order.
    """
    assert predictions.shape == (len(submission.rows),), f"predictions have shape {predictions.shape}"
    assert np.issubdtype(predictions.dtype, np.integer), f"predictions are {predictions.dtype}"
    assert ((predictions >= 0) & (predictions < len(submission.labels))).all(), "a prediction is no class"
    labels = (submission.labels[int(predictions[row])] for row in submission.rows)
    with atomic_file(path) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(submission.header)
            writer.writerows(zip(submission.ids, labels, strict=True))
        try:
            validate_submission(temporary, submission)
        except RequestError as error:
            raise AssertionError(f"the CSV that was written does not fit its own format: {error}") from error


def validate_submission(path: Path, submission: SubmissionFormat) -> None:
    """Check a CSV against the format: header, ids as text, in order, each once, and known label texts.

    Raises RequestError with the line number, what was found and what was expected.
    """
    table = read_table(path.read_bytes(), str(path))
    line, header = table[0]
    if tuple(header) != submission.header:
        raise RequestError(f"{path}, line {line}: found header {header}, expected {list(submission.header)}")
    seen: set[str] = set()
    for (line, cells), expected_id in zip(table[1:], submission.ids, strict=False):
        problem = _problem(cells, expected_id, submission.labels, seen)
        if problem:
            raise RequestError(f"{path}, line {line}: {problem}")
        seen.add(cells[0])
    if len(table) - 1 != len(submission.ids):
        raise RequestError(
            f"{path}, line {table[-1][0]}: found {len(table) - 1} predictions, expected {len(submission.ids)}"
        )


def _problem(cells: list[str], expected_id: str, labels: Sequence[str], seen: set[str]) -> str:
    if len(cells) != 2:
        return f"found {len(cells)} columns, expected 2"
    found_id, label = cells
    if found_id in seen:
        return f"found id {found_id!r} a second time, expected {expected_id!r}"
    if found_id != expected_id:
        return f"found id {found_id!r}, expected {expected_id!r}"
    if label not in labels:
        return f"found label {label!r}, expected one of {', '.join(labels[:12])}"
    return ""

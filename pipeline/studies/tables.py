"""A study's rows as CSV, and read back."""

import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.atomic import write_bytes


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of the same columns, the first row's order; lines end in a line feed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; the error of one value is not known and given as 0."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.fmean(values), error

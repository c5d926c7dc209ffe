"""A study's rows as CSV, and the mean of several seeds with its standard error."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.runtime.atomic import write_bytes


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of the same columns, the first row's order; lines end in a line feed."""
    # as objects: a column of integers with an empty cell would become one of floats
    text = pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n")
    write_bytes(path, text.encode())


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; the error of one value is not known and given as 0."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.fmean(values), error

"""A study's rows as CSV and as lines, and the mean of several seeds with its standard error."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.console import table
from pipeline.runtime.records import Record

RecordT = TypeVar("RecordT", bound=Record)
SHARES = (
    *("validation_accuracy", "validation_agreement", "training_accuracy", "testing_agreement"),
    *("best_epochs_accuracy", "mean", "best"),
)  # shown in percent
SHOWN = {
    "StudentRow": (
        "cell seed network precision protocol final_phase tta_flip parameters predicted_bytes packed_bytes "
        "validation_accuracy validation_agreement validation_kl"
    ),
    "TrainingRow": (
        "cell seed network precision parameters fp16_bytes packed_bytes training_accuracy validation_accuracy "
        "best_epochs_accuracy testing_agreement seconds"
    ),
    "PruneRow": "cell seed network step parameters validation_accuracy seconds",
    "MemberRow": "cell seed parameters seconds validation_accuracy",
}


def write_table(path: Path, rows: Sequence[Record]) -> None:
    """Write rows of one kind as CSV, a column per field, `format` last; lines end in a line feed."""
    values = [row.model_dump() for row in rows]
    columns = [name for name in (values[0] if values else {}) if name != "format"]
    # as objects: a column of integers with an empty cell would become one of floats
    frame = pd.DataFrame(values, columns=[*columns, "format"], dtype=object)
    write_bytes(path, frame.to_csv(index=False, lineterminator="\n").encode())


def read_table(path: Path, kind: type[RecordT]) -> list[RecordT]:
    """The rows of a table that `write_table` wrote. Raises ValueError where they are of another kind."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False)
    texts = {name for name, field in kind.model_fields.items() if field.annotation is str}
    rows = [
        {name: text if text or name in texts else None for name, text in row.items()} | {"format": int(row["format"])}
        for row in frame.to_dict("records")
    ]
    return [kind.model_validate(row, strict=False) for row in rows]


def table_lines(rows: Sequence[Record]) -> list[str]:
    """The most important columns of rows of one kind, aligned."""
    columns = SHOWN[type(rows[0]).__name__].split()
    left = sum(isinstance(getattr(rows[0], name), str) for name in columns) + 1
    return table(columns, [[_cell(name, getattr(row, name)) for name in columns] for row in rows], left=left)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; the error of one value is not known and given as 0."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return statistics.fmean(values), error


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in SHARES:
        return f"{value:.2%}"
    if isinstance(value, float):
        return f"{value:,.0f}" if name == "seconds" else f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and name != "seed" else str(value)

"""The plot of a study, drawn without a screen."""

import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pipeline.runtime.atomic import write_bytes
from pipeline.studies.engine.study import Study
from pipeline.studies.engine.tables import mean_and_error

AXES = {  # column -> what the axis says, and the factor on the values
    "parameters": ("parameters, thousands", 1e-3),
    "packed_bytes": ("bytes on disk, thousands", 1e-3),
    "seconds": ("seconds of training", 1.0),
    "testing_agreement": ("agreement with the ensemble on test images, %", 100.0),
    "validation_accuracy": ("validation accuracy, %", 100.0),
    "validation_kl": ("KL divergence from the ensemble on validation, nats", 1.0),
}


def plot_study(path: Path, study: Study, rows: Sequence[Any], protocol: str) -> None:
    """Draw y against x: a point for every cell and file, the mean of its seeds; points of a series are joined.

    Bars are standard errors over seeds, where there are several.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for label, points in _series(study, rows).items():
        (xs, ys, errors) = zip(*sorted(points), strict=True)
        axes.errorbar(xs, ys, errors, marker="o", capsize=3, label=label)
    if study.logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(AXES[study.x][0])
    axes.set_ylabel(f"{AXES[study.y][0]} ({protocol})")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    image = io.BytesIO()
    figure.savefig(image, dpi=120, metadata={"Software": None})
    write_bytes(path, image.getvalue())


def _series(study: Study, rows: Sequence[Any]) -> dict[str, list[tuple[float, float, float]]]:
    """x, y and the standard error of y, of every point of every line."""
    groups: dict[tuple[str, str, str, int], list[Any]] = defaultdict(list)
    for row in rows:
        groups[study.series(row), row.cell, getattr(row, "precision", ""), getattr(row, "step", 0)].append(row)
    lines: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for (label, *_), group in groups.items():
        (x, _), (y, error) = (
            mean_and_error([AXES[axis][1] * getattr(row, axis) for row in group]) for axis in (study.x, study.y)
        )
        lines[label].append((x, y, error))
    return lines

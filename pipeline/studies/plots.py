"""Plots of studies, drawn without a screen."""

import io
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pipeline.runtime.atomic import write_bytes
from pipeline.studies.tables import mean_and_error


def plot_frontier(path: Path, rows: Sequence[dict[str, Any]], protocol: str) -> None:
    """Validation accuracy against bytes on disk (log scale): sized students as a line, the reference's as points.

    Bars are standard errors over seeds, where there are several.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["cell"], row["precision"]].append(row)
    sized = sorted(_place(group) for (cell, _), group in groups.items() if cell.isdigit())
    if sized:
        sizes, accuracies, errors = zip(*sized, strict=True)
        axes.errorbar(sizes, accuracies, errors, marker="o", capsize=3, label="sized for the budget, low-bit")
    for (cell, precision), group in groups.items():
        if not cell.isdigit():
            size, accuracy, error = _place(group)
            axes.errorbar([size], [accuracy], [error], marker="s", capsize=3, label=f"reference's network, {precision}")
    axes.set_xscale("log")
    axes.set_xticks(sorted({row["budget_bytes"] for row in rows}), minor=False)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:.0f}")
    axes.minorticks_off()
    axes.set_xlabel("bytes on disk, thousands")
    axes.set_ylabel(f"validation accuracy, % ({protocol})")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    image = io.BytesIO()
    figure.savefig(image, dpi=120, metadata={"Software": None})
    write_bytes(path, image.getvalue())


def _place(group: Sequence[dict[str, Any]]) -> tuple[float, float, float]:
    """Bytes, mean accuracy in percent and its standard error."""
    mean, error = mean_and_error([100 * row["validation_accuracy"] for row in group])
    return mean_and_error([row["packed_bytes"] for row in group])[0], mean, error

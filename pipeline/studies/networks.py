"""Which kind of network holds the most accuracy in a given number of bytes, all trained alike.

Widths are the largest whose low-bit files are expected to fit. Writes submissions/<name>/networks.csv.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from pipeline.request import Job
from pipeline.studies.points import Point
from pipeline.studies.tables import write_table

BUDGETS = (100_000,)
CANDIDATES = (  # family, depth, bits
    ("residual", 2, "4"),
    ("straight", 2, "4"),
    ("squeezed", 2, "4"),
    ("residual", 3, "4"),
    ("residual", 2, "3"),
    ("residual", 1, "4"),
    ("shuffled", 2, "4"),
    ("inverted", 2, "4"),
    ("dense", 5, "4"),
    ("tied", 2, "4"),
)


def network_points(budgets: Sequence[int], seeds: int) -> list[Point]:
    """Every candidate at every limit."""
    points = []
    for budget, (family, depth, bits), seed in itertools.product(budgets, CANDIDATES, range(seeds)):
        made = {
            "distill": {"network": f"auto-{family}-{depth}"},
            "quantise": {"bits": bits},
            "pack": {"precision": "low-bit"},
        }
        points.append(Point(f"{family}-{depth}-{bits}bit-{budget}", budget, seed, ("low-bit",), made))
    return points


def write_networks(study: Job, _: Point, rows: Sequence[dict[str, Any]]) -> None:
    """Bring the table up to a point that was just trained."""
    write_table(study.run.submission / "networks.csv", rows)

"""Which kind of network holds the most accuracy in a given number of bytes, all trained alike.

Widths are the largest whose low-bit files are expected to fit. Writes submissions/<name>/networks.csv.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from pipeline.runtime.request import Job
from pipeline.studies.points import Point
from pipeline.studies.tables import write_table

BUDGETS = (100_000,)
CANDIDATES = (
    "auto-squeezed-1",
    "auto-plain-0",  # the report's, wider
    "auto-residual-1",
    "auto-dense-5",
    "auto-inverted-2",
    "auto-tied-2",
    "auto-residual-2",
    "auto-straight-2",
    "auto-shuffled-2",
)


def network_points(budgets: Sequence[int], seeds: int) -> list[Point]:
    """Every candidate at every limit."""
    points = []
    for budget, network, seed in itertools.product(budgets, CANDIDATES, range(seeds)):
        made = {"distill": {"network": network}, "pack": {"precision": "low-bit"}}
        points.append(Point(f"{network.removeprefix('auto-')}-{budget}", budget, seed, ("low-bit",), made))
    return points


def write_networks(study: Job, _: Point, rows: Sequence[dict[str, Any]]) -> None:
    """Bring the table up to a point that was just trained."""
    write_table(study.run.submission / "networks.csv", rows)

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
CANDIDATES = (  # network, bits
    ("auto-residual-2", "4"),
    ("auto-plain-0", "4"),  # the report's, wider
    ("auto-residual-1", "4"),
    ("auto-squeezed-1", "4"),
    ("auto-squeezed-1", "3"),
    ("auto-residual-3", "4"),
    ("auto-straight-2", "4"),
    ("auto-dense-5", "4"),
    ("auto-inverted-2", "4"),
    ("auto-tied-2", "4"),
    ("auto-shuffled-2", "4"),
)


def network_points(budgets: Sequence[int], seeds: int) -> list[Point]:
    """Every candidate at every limit."""
    points = []
    for budget, (network, bits), seed in itertools.product(budgets, CANDIDATES, range(seeds)):
        made = {"distill": {"network": network}, "quantise": {"bits": bits}, "pack": {"precision": "low-bit"}}
        name = f"{network.removeprefix('auto-')}-{bits}bit-{budget}"
        points.append(Point(name, budget, seed, ("low-bit",), made))
    return points


def write_networks(study: Job, _: Point, rows: Sequence[dict[str, Any]]) -> None:
    """Bring the table up to a point that was just trained."""
    write_table(study.run.submission / "networks.csv", rows)

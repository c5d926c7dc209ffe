"""Which kind of network holds the most accuracy in a given number of bytes, all trained alike.

Widths are the largest whose low-bit files are expected to fit. Writes submissions/<name>/networks.csv.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from pipeline.runtime.request import Job
from pipeline.studies.cells import Cell
from pipeline.studies.tables import write_table

BUDGETS = (100_000,)
CANDIDATES = (
    "auto-squeezed-1",
    "auto-plain-0",  # the reference's, wider
    "auto-residual-1",
    "auto-dense-5",
    "auto-inverted-2",
    "auto-tied-2",
    "auto-residual-2",
    "auto-straight-2",
    "auto-shuffled-2",
)


def network_cells(budgets: Sequence[int], seeds: int) -> list[Cell]:
    """Every candidate at every budget."""
    cells = []
    for budget, network, seed in itertools.product(budgets, CANDIDATES, range(seeds)):
        sized = {"distill": {"network": network}, "pack": {"precision": "low-bit"}}
        cells.append(Cell(f"{network.removeprefix('auto-')}-{budget}", budget, seed, ("low-bit",), sized))
    return cells


def write_networks(study: Job, _: Cell, rows: Sequence[dict[str, Any]]) -> None:
    """Bring the table up to a cell that was just trained."""
    write_table(study.run.submission / "networks.csv", rows)

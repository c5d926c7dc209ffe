"""Which kind of network holds the most accuracy in a given number of bytes, all trained alike."""

import itertools

from pipeline.studies.engine.rows import student_rows
from pipeline.studies.engine.study import Cell, Options, Study

FAMILIES = (
    "shortresnet-1",
    "squeezed-1",
    "plain-0",  # the reference's, wider
    "residual-1",
    "dense-5",
    "inverted-2",
    "tied-2",
    "residual-2",
    "straight-2",
    "shuffled-2",
)


def cells(options: Options) -> list[Cell]:
    """Every family at every budget, as wide as its low-bit file may be."""
    found = []
    for budget, family, seed in itertools.product(options.budgets, FAMILIES, range(options.seeds)):
        changes = {"distill.network": f"auto-{family}", "pack.precision": "low-bit", "distill.seed": seed}
        found.append(Cell(f"{family}-{budget}", changes, seed, budget))
    return found


STUDY = Study(
    cells=cells,
    x="packed_bytes",
    y="validation_accuracy",
    reading="At one budget the highest point is the family to take. "
    "Families that differ by less than their standard errors are equal.",
    rows=student_rows,
    budgets=(100_000,),
    series=lambda row: row.cell.rpartition("-")[0],
)

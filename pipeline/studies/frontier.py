"""The byte frontier: accuracy against bytes on disk, from small limits to large, beside the reference's network."""

from pipeline.studies.engine.rows import StudentRow, student_rows
from pipeline.studies.engine.study import Cell, Options, Study

REFERENCE_SEEDS = 3  # the reference's own spread is what differences are measured against


def cells(options: Options) -> list[Cell]:
    """The reference's network at four precisions, then a student sized for each budget."""
    reference = {"distill.network": "reference-student"}
    shown = ("fp16", "uint8", "uint8-tensor", "low-bit")
    seeds = range(max(options.seeds, REFERENCE_SEEDS))
    found = [Cell("reference", reference | {"distill.seed": seed}, seed, precisions=shown) for seed in seeds]
    for budget in options.budgets:
        for seed in range(options.seeds):
            sized = {"distill.network": "auto", "pack.precision": "low-bit", "distill.seed": seed}
            found.append(Cell(str(budget), sized, seed, budget))
    return found


def series(row: StudentRow) -> str:
    """The students that are sized for their budgets are a line, the reference's files are points."""
    return "sized for the budget, low-bit" if row.cell.isdigit() else f"reference's network, {row.precision}"


STUDY = Study(
    cells=cells,
    x="packed_bytes",
    y="validation_accuracy",
    reading="The line is the best accuracy that this recipe gives for so many bytes. "
    "A point of the reference's network below it is a file that could be smaller or more accurate.",
    rows=student_rows,
    budgets=(25_000, 50_000, 100_000, 150_000, 200_000, 300_000),
    series=series,
    logarithmic=True,
    delivers=True,
)

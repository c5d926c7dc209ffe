"""The byte frontier: accuracy against bytes on disk, from small limits to large, with the reference's files beside it.

Writes submissions/<name>/: <budget>.bin and <budget>.csv for each budget, reference-fp16.bin, frontier.csv and
frontier.png.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.engine import available_cores
from pipeline.runtime.request import Job
from pipeline.runtime.settings import BUDGET_BYTES
from pipeline.stages.delivery.predict import predict_folder
from pipeline.studies.cells import Cell
from pipeline.studies.plots import plot_frontier
from pipeline.studies.tables import write_table

BUDGETS = (25_000, 50_000, 100_000, 150_000, 200_000, 300_000)
REFERENCE = "reference"
REFERENCE_PRECISIONS = ("fp16", "uint8", "uint8-tensor", "low-bit")
REFERENCE_SEEDS = 3  # the reference's own spread is what differences are measured against


def frontier_cells(budgets: Sequence[int], seeds: int) -> list[Cell]:
    """The reference's network first, then a student sized for each budget."""
    reference = {"distill": {"network": "reference-student"}}
    reference_seeds = range(max(seeds, REFERENCE_SEEDS))
    cells = [Cell(REFERENCE, BUDGET_BYTES, seed, REFERENCE_PRECISIONS, reference) for seed in reference_seeds]
    sized = {"distill": {"network": "auto"}, "pack": {"precision": "low-bit"}}
    return cells + [Cell(str(budget), budget, seed, ("low-bit",), sized) for budget in budgets for seed in range(seeds)]


def write_frontier(study: Job, cell: Cell, rows: Sequence[dict[str, Any]]) -> None:
    """Bring table, plot and delivered files up to a cell that was just trained; files are those of seed 0."""
    run, folder = cell.job(study).run, study.run.submission
    write_table(folder / "frontier.csv", rows)
    plot_frontier(folder / "frontier.png", rows, study.request.protocol)
    if cell.seed > 0:
        return
    if cell.name == REFERENCE:
        write_bytes(folder / "reference-fp16.bin", run.packed("fp16").read_bytes())
        return
    packed, predictions = folder / f"{cell.name}.bin", folder / f"{cell.name}.csv"
    data = run.packed("low-bit").read_bytes()
    if predictions.is_file() and packed.is_file() and packed.read_bytes() == data:
        return  # delivered before
    write_bytes(packed, data)
    predict_folder(packed, Path(study.request.data), predictions, available_cores())

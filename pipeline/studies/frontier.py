"""The byte frontier: accuracy against bytes on disk, from small limits to large, with the report's files beside it.

Writes submissions/<name>/: <budget>.bin and <budget>.csv for each limit, report-fp16.bin, frontier.csv, frontier.png.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.cores import available_cores
from pipeline.runtime.request import Job
from pipeline.runtime.settings import BUDGET_BYTES
from pipeline.studies.plots import plot_frontier
from pipeline.studies.points import Point
from pipeline.studies.tables import write_table

BUDGETS = (25_000, 50_000, 100_000, 150_000, 200_000, 300_000)
REPORT = "report"
REPORT_PRECISIONS = ("fp16", "uint8", "uint8-tensor", "low-bit")
REPORT_SEEDS = 3  # the reference's own spread is what differences are measured against


def frontier_points(budgets: Sequence[int], seeds: int) -> list[Point]:
    """What is trained: the report's network for the reference, then a student made for each limit."""
    report = {"distill": {"network": "report-student"}}
    reference = range(max(seeds, REPORT_SEEDS))
    points = [Point(REPORT, BUDGET_BYTES, seed, REPORT_PRECISIONS, report) for seed in reference]
    made = {"distill": {"network": "auto"}, "pack": {"precision": "low-bit"}}
    return points + [
        Point(str(budget), budget, seed, ("low-bit",), made) for budget in budgets for seed in range(seeds)
    ]


def write_frontier(study: Job, point: Point, rows: Sequence[dict[str, Any]]) -> None:
    """Bring table, picture and delivered files up to a point that was just trained; files are those of seed 0."""
    run, folder = point.job(study).run, study.run.submission
    write_table(folder / "frontier.csv", rows)
    plot_frontier(folder / "frontier.png", rows, study.request.protocol)
    if point.seed > 0:
        return
    if point.name == REPORT:
        write_bytes(folder / "report-fp16.bin", run.packed("fp16").read_bytes())
        return
    from pipeline.stages.delivery.predict import predict_folder

    packed, predictions = folder / f"{point.name}.bin", folder / f"{point.name}.csv"
    data = run.packed("low-bit").read_bytes()
    if predictions.is_file() and packed.is_file() and packed.read_bytes() == data:
        return  # delivered before
    write_bytes(packed, data)
    predict_folder(packed, Path(study.request.data), predictions, available_cores())

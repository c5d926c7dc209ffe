"""What stands beside the table of a study, so that its figures can be made again: settings, machine, what it found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.runtime.device import pick_device
from pipeline.runtime.records import Record
from pipeline.runtime.request import Job
from pipeline.studies.engine.study import Finished, Summary


class StudyRecord(Record):
    """One study as it was carried out."""

    study: str
    contest: str
    preset: str
    stated: dict[str, Any]  # what preset and --set state over the defaults
    protocol: str
    seeds: tuple[int, ...]
    cells: tuple[str, ...]
    device: str
    minutes: float  # of the command that ended it; steps that were done before took none of them
    reading: str
    summary: tuple[str, ...]
    findings: tuple[dict[str, Any], ...] = ()


def study_record(
    job: Job, stated: Mapping[str, Any], finished: Sequence[Finished], reading: str, summary: Summary, seconds: float
) -> StudyRecord:
    """The record of a study whose cells are done."""
    request = job.request
    return StudyRecord(
        study=request.study,
        contest=Path(request.data).name,
        preset=request.preset,
        stated=dict(stated),
        protocol=request.protocol,
        seeds=tuple(sorted({done.cell.seed for done in finished})),
        cells=tuple(dict.fromkeys(done.cell.name for done in finished)),
        device=pick_device(finished[0].job.device).description,
        minutes=round(seconds / 60, 1),
        reading=reading,
        summary=tuple(summary.lines),
        findings=tuple(row.model_dump(exclude={"format"}) for row in summary.tables.get("findings", ())),
    )

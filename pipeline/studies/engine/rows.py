"""The rows of a study's table: what one cell reached, read from the records of its steps."""

from collections.abc import Sequence
from typing import Any

from models.students.short_form import name_of
from pipeline.contest.facts import load_contest
from pipeline.runtime.records import Measurement, Record
from pipeline.runtime.request import Job
from pipeline.runtime.steps import read_notes
from pipeline.stages.shipped import pack_record
from pipeline.stages.student.network import expected_bytes
from pipeline.stages.student.smaller import float_student, student_steps, trained_architecture
from pipeline.studies.engine.study import Cell

DIGITS = 6  # of figures


class StudentRow(Record):
    """One packed file of one student. The figures of the other splits are those of the file that is shipped."""

    cell: str
    seed: int
    budget_bytes: int
    packed_bytes: int
    predicted_bytes: int
    validation_accuracy: float
    validation_agreement: float
    validation_kl: float | None = None
    protocol: str
    final_phase: str
    precision: str
    tta_flip: bool
    bits: str  # of low-bit weights
    step_scale: float
    network: str
    parameters: int
    seconds: float  # of its training and packing
    training_agreement: float | None = None
    training_kl: float | None = None
    testing_agreement: float | None = None
    testing_kl: float | None = None


class MemberRow(Record):
    """One member of an ensemble."""

    cell: str
    network: str
    seed: int
    parameters: int
    epochs: int
    seconds: float
    validation_accuracy: float


def student_rows(cell: Cell, job: Job) -> Sequence[StudentRow]:
    """A row for each file of a cell that is of interest."""
    record = pack_record(job)
    fidelity = read_notes(job.run, "predict")["fidelity"]
    others = {
        f"{split}_{name}": round(fidelity[split][name], DIGITS)
        for split in ("training", "testing")
        for name in ("agreement", "kl")
    }
    wanted = cell.precisions or (record.chosen,)
    measured = {found.precision: found for found in record.measured}
    return [
        _student_row(cell, job, measured[precision], others if precision == record.chosen else {})
        for precision in wanted
    ]


def rows_by_precision(cell: Cell, job: Job) -> Sequence[StudentRow]:
    """The same, each named by its precision where a cell has several files."""
    rows = student_rows(cell, job)
    return [row.model_copy(update={"cell": row.precision}) for row in rows] if len(rows) > 1 else rows


def member_rows(cell: Cell, job: Job) -> Sequence[MemberRow]:
    """The row of a cell with one member."""
    (row,) = job.settings.teach.members
    taught = read_notes(job.run, job.artifacts.member(0).step)
    exported = read_notes(job.run, job.artifacts.member_log_probs(0).step)
    return [
        MemberRow(
            cell=cell.name,
            network=row.network,
            seed=row.seed,
            parameters=taught["parameters"],
            epochs=row.epochs,
            seconds=round(taught["seconds"], 1),
            validation_accuracy=round(exported["validation_accuracy"], DIGITS),
        )
    ]


def _student_row(cell: Cell, job: Job, measured: Measurement, others: dict[str, Any]) -> StudentRow:
    precision, architecture = measured.precision, trained_architecture(job)
    classes = load_contest(job.artifacts.contest.path).classes
    measurement = {f"validation_{name}" for name in ("accuracy", "agreement", "kl")}
    figures: dict[str, Any] = {name: round(getattr(measured, name), DIGITS) for name in measurement}
    return StudentRow(
        cell=cell.name,
        seed=cell.seed,
        budget_bytes=cell.budget_bytes,
        packed_bytes=measured.packed_bytes,
        predicted_bytes=expected_bytes(job.settings.quantise, architecture, classes, precision),
        protocol=job.request.protocol,
        final_phase="testing" if job.request.final_phase else "none",
        precision=precision,
        tta_flip=job.settings.tta_flip(),
        bits=job.settings.quantise.bits if precision == "low-bit" else "",
        step_scale=round(measured.step_scale or 1.0, 4),
        network=name_of(architecture),
        parameters=read_notes(job.run, float_student(job).step)["parameters"],
        seconds=round(sum(read_notes(job.run, step)["seconds"] for step in student_steps(job)), 1),
        **figures,
        **others,
    )

"""Rows that are read from the steps of a cell: how its student was trained, and what pruning left of it."""

import statistics
from collections.abc import Sequence

import numpy as np

from models.students.short_form import name_of
from pipeline.contest.facts import load_contest
from pipeline.runtime.records import Record, read_epochs
from pipeline.runtime.request import Job
from pipeline.runtime.steps import read_notes
from pipeline.runtime.tensor_file import load_tensors
from pipeline.stages.shipped import pack_record
from pipeline.stages.student.smaller import float_student, pruning_steps, student_steps, trained_architecture
from pipeline.studies.engine.rows import DIGITS
from pipeline.studies.engine.study import Cell
from pipeline.training.metrics import accuracy

BEST_EPOCHS = 5  # whose mean the reference reports


class TrainingRow(Record):
    """One student: sizes, and accuracy where it learned and where it did not."""

    cell: str
    seed: int
    network: str
    parameters: int
    fp16_bytes: int
    packed_bytes: int  # of the file that is shipped
    precision: str
    training_accuracy: float  # of the decoded file, as are the next two
    validation_accuracy: float
    testing_agreement: float
    best_epochs_accuracy: float | None  # float weights, validation, mean of the best five epochs
    last_epoch_accuracy: float | None  # float weights, validation, EMA of the last epoch
    seconds: float  # of its training and packing


class PruneRow(Record):
    """One student after one step of pruning; step 0 is the student before."""

    cell: str
    seed: int
    step: int
    network: str
    parameters: int
    validation_accuracy: float  # float weights
    seconds: float  # of all steps so far, the student's own training left out


def training_rows(cell: Cell, job: Job) -> Sequence[TrainingRow]:
    """The row of a cell with a packed student."""
    record = pack_record(job)
    measured = {found.precision: found for found in record.measured}
    facts = load_contest(job.artifacts.contest.path)
    log_probs = load_tensors(job.artifacts.student_log_probs.path)[0]
    epochs = read_epochs(job.artifacts.student_metrics.path)
    validated = [epoch.validation_accuracy for epoch in epochs if epoch.validation_accuracy is not None]
    best = sorted(validated)[-BEST_EPOCHS:]
    shipped, on_validation = measured[record.chosen], measured[record.chosen].validation_accuracy
    assert on_validation is not None
    on_training = accuracy(log_probs["training"].numpy(), np.array(facts.labels["training"]))
    agreement = read_notes(job.run, "predict")["fidelity"]["testing"]["agreement"]
    return [
        TrainingRow(
            cell=cell.name,
            seed=cell.seed,
            network=name_of(trained_architecture(job)),
            parameters=read_notes(job.run, float_student(job).step)["parameters"],
            fp16_bytes=measured["fp16"].packed_bytes,
            packed_bytes=shipped.packed_bytes,
            precision=record.chosen,
            training_accuracy=round(on_training, DIGITS),
            validation_accuracy=round(on_validation, DIGITS),
            testing_agreement=round(agreement, DIGITS),
            best_epochs_accuracy=round(statistics.fmean(best), DIGITS) if best else None,
            last_epoch_accuracy=round(validated[-1], DIGITS) if validated else None,
            seconds=round(sum(read_notes(job.run, step)["seconds"] for step in student_steps(job)), 1),
        )
    ]


def prune_rows(cell: Cell, job: Job) -> Sequence[PruneRow]:
    """A row for the student and for every step of pruning."""
    distilled = read_notes(job.run, "distill")
    last = read_epochs(job.artifacts.student_metrics.path)[-1].validation_accuracy
    assert last is not None
    rows, seconds = [_prune_row(cell, 0, distilled["parameters"], last, 0.0)], 0.0
    for step in range(1, len(pruning_steps(job)) + 1):
        notes = read_notes(job.run, job.artifacts.pruned_student(step).step)
        seconds += notes["seconds"]
        rows.append(_prune_row(cell, step, notes["parameters"], notes["validation_accuracy"], seconds))
    return rows


def _prune_row(cell: Cell, step: int, parameters: int, on_validation: float, seconds: float) -> PruneRow:
    return PruneRow(
        cell=cell.name,
        seed=cell.seed,
        step=step,
        network=str(cell.changes["distill.network"]),
        parameters=parameters,
        validation_accuracy=round(on_validation, DIGITS),
        seconds=round(seconds, 1),
    )

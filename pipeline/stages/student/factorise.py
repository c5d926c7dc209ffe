"""Factorise: layers of the student become low-rank, where that makes them smaller, and it may train on.

Reads: the student, pruned or not; where it trains student views, soft labels and labels. Writes:
factorised/student.safetensors (float32, with its architecture), factorised/metrics.jsonl.
"""

from collections.abc import Iterator, Mapping

from torch import Tensor

from models.compress.low_rank import Form, low_rank, ranks_for, ranks_within, spectra
from models.students.architecture import Architecture
from models.students.build import build_student, count_parameters
from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.runtime.compression_settings import FactoriseSettings
from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Notes, Opened, Step
from pipeline.runtime.training_settings import QuantiseSettings
from pipeline.runtime.waves import Wave
from pipeline.stages.student.network import expected_bytes, load_student
from pipeline.stages.student.smaller import pruned_student
from pipeline.stages.student.train_on import train_on
from pipeline.stages.student.training import (
    METRICS,
    OUTPUT,
    LearningSettings,
    learning_settings,
    student_inputs,
)


class FactoriseStepSettings(Section):
    """What decides the low-rank student, beside the one before and what it learns from."""

    training: FactoriseSettings
    learning: LearningSettings
    precision: str  # of the file that is to have `size_bytes`
    quantise: QuantiseSettings


def factorise(job: Job) -> Iterator[Wave]:
    """Replace layers by thinner ones in a row, and train on, for no epoch at all where the settings say so."""
    artifacts, before = job.artifacts, pruned_student(job)
    before.digest()  # refuses where there is no student
    precision = job.settings.pack.precision
    settings = FactoriseStepSettings(
        training=job.settings.factorise,
        learning=learning_settings(job, only_final_phase=True),
        precision="low-bit" if precision == "auto" else precision,
        quantise=job.settings.quantise,
    )
    inputs = student_inputs(job) | {"float student": before}
    outputs = {OUTPUT: artifacts.factorised_student, METRICS: artifacts.factorised_metrics}
    yield Wave([Step(job.run, artifacts.factorised_student.step, 1, inputs, settings, outputs, _factorise)])


def _factorise(opened: Opened[FactoriseStepSettings]) -> Notes:
    own, facts = opened.settings.training, load_contest(opened.inputs["contest"])
    student, architecture = load_student(opened.inputs["float student"])
    assert own.form != "none"  # the stage is not needed then
    form: Form = own.form
    ranks = _ranks(opened.settings, architecture, student.state_dict(), facts, form)
    smaller, tensors = low_rank(architecture, student.state_dict(), form, ranks)
    network = build_student(smaller)
    network.load_state_dict(tensors)
    say(f"low-rank student: {form}, {count_parameters(network):,} of {count_parameters(student):,} parameters")
    return train_on(opened, network, smaller, own if own.epochs else None, stage="factorise")


def _ranks(
    settings: FactoriseStepSettings,
    architecture: Architecture,
    tensors: Mapping[str, Tensor],
    facts: ContestFacts,
    form: Form,
) -> dict[str, tuple[int, ...]]:
    own, found = settings.training, spectra(architecture, tensors, form)
    if not own.size_bytes:
        return ranks_for(found, own.energy)

    def size_of(smaller: Architecture) -> int:
        return expected_bytes(settings.quantise, smaller, facts.classes, settings.precision)

    try:
        return ranks_within(architecture, found, form, size_of, own.size_bytes)
    except ValueError as error:
        raise RequestError(f"factorise.size_bytes: {error}") from None

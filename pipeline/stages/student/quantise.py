"""Quantise: the student trains on with low-bit weights (LSQ).

Reads: student, student views, soft labels, labels. Writes: quantised/student.safetensors (float weights, the learned
step sizes and the architecture), quantised/metrics.jsonl.
"""

from collections.abc import Iterator

from models.compress.lsq import low_bit_weights, prepare_lsq
from models.packed.rate_control import fit_initial_clip
from models.packed.student_file import pack_low_bit
from models.students.architecture import Architecture
from pipeline.contest.facts import load_contest
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Notes, Opened, Step
from pipeline.runtime.training_settings import QuantiseSettings
from pipeline.runtime.waves import Wave
from pipeline.stages.student.network import (
    bit_plan,
    expected_bytes,
    file_settings,
    fits_budget,
    load_student,
    packed_header,
)
from pipeline.stages.student.smaller import float_student, trained_architecture
from pipeline.stages.student.training import (
    METRICS,
    OUTPUT,
    LearningSettings,
    learning_settings,
    save_trained,
    student_inputs,
    train_student,
    training_device,
)
from pipeline.stages.student.warm_start import init_is_low_bit

ROOMY = 0.97  # of the budget: a file that is expected to be smaller keeps the clip of the settings
# What an epoch with rounded weights adds to a file: 3 add 0.8 to 0.9 %, 5 add 1.2 %, on eight students of food11.
# After a warm start from a low-bit file: -0.4 to +0.5 % on five, and four more came out above the budget; pack
# then multiplies the steps until it fits. Predicted codes grow as codes of order 0 do: 2 epochs add 0.30 % either way,
# on four students.
GROWTH, GROWING_EPOCHS = 0.0024, 5


class QuantiseStepSettings(Section):
    """What decides the low-bit student, beside the float one and what it learns from."""

    training: QuantiseSettings  # with the initial clip that is used
    learning: LearningSettings


def quantise(job: Job) -> Iterator[Wave]:
    """Give the student low-bit weights and train it on, for no epoch at all where the settings say so."""
    artifacts = job.artifacts
    inputs = student_inputs(job) | {"float student": float_student(job)}
    float_student(job).digest()  # refuses where there is no student
    # that of the settings, unless the budget asks for another
    clip = _clip_for_limit(job, trained_architecture(job))
    settings = QuantiseStepSettings(
        training=job.settings.quantise.model_copy(update={"initial_clip_std": clip}),
        learning=learning_settings(job, only_final_phase=True),
    )
    outputs = {OUTPUT: artifacts.quantised_student, METRICS: artifacts.quantised_metrics}
    yield Wave([Step(job.run, artifacts.quantised_student.step, 3, inputs, settings, outputs, _quantise)])


def _quantise(opened: Opened[QuantiseStepSettings]) -> Notes:
    own, device = opened.settings.training, training_device(opened, opened.settings.training)
    student, architecture = load_student(opened.inputs["float student"])
    network = prepare_lsq(student, bit_plan(own, architecture), own.initial_clip_std)
    say(f"low-bit student: {own.bits} bits, head {own.head_bits}, {own.epochs} epochs")
    seconds = 0.0
    if own.epochs:
        trained = train_student(opened, network, own, stage="quantise", device=device)
        network, seconds = trained.network, trained.earlier_seconds
    save_trained(opened, network, architecture, own.epochs)
    return {"device": device.description, "earlier_seconds": seconds}


def expected_growth(epochs: int, *, low_bit_before: bool) -> float:
    """By what factor low-bit epochs make a file larger than its weights, rounded before them, would be."""
    return 1.0 if low_bit_before else 1 + GROWTH * min(epochs, GROWING_EPOCHS)


def _clip_for_limit(job: Job, architecture: Architecture) -> float:
    """The clip with which the student's file is expected to end just below the budget, from its weights as they are."""
    budget_bytes, own = job.request.budget_bytes, job.settings.quantise
    fill = fits_budget(job.settings) and not job.settings.makes_smaller()
    facts = load_contest(job.artifacts.contest.path)
    plan, header = bit_plan(own, architecture), packed_header(architecture, facts, file_settings(job))
    if (
        not fill
        and expected_bytes(job.settings.quantise, architecture, header.classes, "low-bit") < ROOMY * budget_bytes
    ):
        return own.initial_clip_std
    student, _ = load_student(float_student(job).path)
    growth = expected_growth(own.epochs, low_bit_before=init_is_low_bit(job.settings.distill.init_from))

    def size_of(clip: float) -> float:
        folded, weights = low_bit_weights(prepare_lsq(student, plan, clip))
        return growth * len(pack_low_bit(folded, header, weights))

    return fit_initial_clip(size_of, own.initial_clip_std, budget_bytes, fill=fill)

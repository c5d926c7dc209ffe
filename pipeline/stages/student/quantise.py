"""Quantise: the student trains on with low-bit weights (LSQ).

Reads: student, student views, soft labels, labels. Writes: quantised/student.safetensors (float weights, the learned
step sizes and the architecture), one line per epoch in metrics.jsonl.
"""

from typing import Any

from models.compress.lsq import low_bit_weights, prepare_lsq
from models.packed.rate_control import fit_initial_clip
from models.packed.student_file import pack_low_bit
from models.students.architecture import Architecture
from pipeline.runtime.atomic import value_digest
from pipeline.runtime.console import say
from pipeline.runtime.device import Device
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, run_step
from pipeline.stages.student.network import (
    bit_plan,
    expected_bytes,
    fits_budget,
    packed_header,
    save_student,
    trained_architecture,
    trained_student,
)
from pipeline.stages.student.training import StudentPhase, student_reads, train_student
from pipeline.stages.student.warm_start import init_is_low_bit

ROOMY = 0.97  # of the budget: a file that is expected to be smaller keeps the clip of the settings
# What an epoch with rounded weights adds to a file: 3 add 0.8 to 0.9 %, 5 add 1.2 %, on eight students of food11.
# After a warm start from a low-bit file: -0.4 to +0.5 % on five, and four more came out above the budget; pack
# then multiplies the steps until it fits. Predicted codes grow as codes of order 0 do: 2 epochs add 0.30 % either way,
# on four students.
GROWTH, GROWING_EPOCHS = 0.0024, 5


def quantise(job: Job, device: Device) -> None:
    """Give the student low-bit weights and train it on, for no epoch at all where the settings say so."""
    own, distill = job.settings.quantise, job.settings.distill
    reads = student_reads(job) | {"student": job.artifacts.student.digest()}
    architecture = trained_architecture(job)
    plan = bit_plan(job.settings, architecture)
    shared = {
        "alpha": distill.alpha,
        "temperature": distill.temperature,
        "seed": distill.seed,
    } | distill.shaping_final_phase()
    settings = own.shaping() | shared
    clip = _clip_for_limit(job, architecture)
    settings |= {"initial_clip_std": clip}  # that of the settings, unless the budget asks for another
    step = Step("quantise", 2, reads, settings, (job.run.quantised_student,))

    def work() -> dict[str, Any]:
        network = prepare_lsq(trained_student(job), plan, clip)
        say(f"low-bit student: {own.bits} bits, head {own.head_bits}, {own.epochs} epochs")
        seconds = 0.0
        if own.epochs:
            identity = value_digest([step.reads, step.settings, step.version, str(device.dtype)])
            checkpoint = job.run.checkpoint(job.run.quantised_student)
            # all of its epochs belong to the final phase
            training = StudentPhase("low-bit student", "quantise", own, 1.0, checkpoint, identity)
            trained = train_student(job, device, network, training)
            network, seconds = trained.network, trained.earlier_seconds
        save_student(job.run.quantised_student, network, architecture)
        job.run.checkpoint(job.run.quantised_student).unlink(missing_ok=True)
        return {"device": device.description, "earlier_seconds": seconds}

    run_step(job.run, step, work, full_check=job.full_check)


def expected_growth(epochs: int, *, low_bit_before: bool) -> float:
    """By what factor low-bit epochs make a file larger than its weights, rounded before them, would be."""
    return 1.0 if low_bit_before else 1 + GROWTH * min(epochs, GROWING_EPOCHS)


def _clip_for_limit(job: Job, architecture: Architecture) -> float:
    """The clip with which the student's file is expected to end just below the budget, from its weights as they are."""
    budget_bytes, own, fill = job.request.budget_bytes, job.settings.quantise, fits_budget(job.settings)
    plan, header = bit_plan(job.settings, architecture), packed_header(job, architecture)
    if not fill and expected_bytes(job.settings, architecture, header.classes, "low-bit") < ROOMY * budget_bytes:
        return own.initial_clip_std
    student = trained_student(job)
    growth = expected_growth(own.epochs, low_bit_before=init_is_low_bit(job.settings.distill.init_from))

    def size_of(clip: float) -> float:
        folded, weights = low_bit_weights(prepare_lsq(student, plan, clip))
        return growth * len(pack_low_bit(folded, header, weights))

    return fit_initial_clip(size_of, own.initial_clip_std, budget_bytes, fill=fill)

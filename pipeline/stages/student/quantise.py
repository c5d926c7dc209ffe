"""Quantise: the student goes on learning while its weights are rounded to a few levels.

Reads: student, student views, soft labels, labels. Writes: quantised/student.safetensors (float weights and the steps
that round them), one line per epoch in metrics.jsonl.
"""

from typing import TYPE_CHECKING, Any

from pipeline.runtime.atomic import value_digest
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, output_digest, run_step
from pipeline.stages.student.network import (
    StudentNetwork,
    bit_plan,
    expected_bytes,
    packed_header,
    student_network,
    trained_student,
)
from pipeline.stages.student.training import StudentTraining, student_reads, train_student
from pipeline.stages.student.warm_start import starts_low_bit

if TYPE_CHECKING:
    from pipeline.runtime.device import Device

ROOMY = 0.97  # of the limit: a file that is expected to be smaller keeps the clip of the settings
# What an epoch with rounded weights adds to a file: 3 add 0.8 to 0.9 %, 5 add 1.2 %, on eight students of food11.
# A student that goes on from a low-bit file: -0.4 to +0.5 % on five, and four more came out above the limit; what
# exceeds it, coarser steps take off.
GROWTH, GROWING_EPOCHS = 0.0024, 5


def quantise_student(job: Job, device: "Device") -> None:
    """Give the student low-bit weights and train it on, for no epoch at all where the settings say so."""
    from models.compress.lsq import learn_steps
    from pipeline.runtime.tensor_file import save_tensors

    chosen, quantise, distill = student_network(job), job.settings.quantise, job.settings.distill
    plan = bit_plan(job.settings, chosen)
    reads = student_reads(job) | {"student": output_digest(job.run, "distill", job.run.student)}
    shared = {"alpha": distill.alpha, "temperature": distill.temperature, "seed": distill.seed} | distill.end_game()
    settings = quantise.shaping() | shared | {"image_size": job.settings.data.image_size, "network": chosen.name}
    clip = _clip_for_limit(job, chosen)
    settings |= {"clip": clip}  # that of the settings, unless the limit asks for another
    step = Step("quantise", 1, reads, settings, (job.run.quantised_student,))

    def work() -> dict[str, Any]:
        network = learn_steps(trained_student(job, chosen), plan, clip)
        say(f"low-bit student: {quantise.bits} bits, head {quantise.head_bits}, {quantise.epochs} epochs")
        seconds = 0.0
        if quantise.epochs:
            identity = value_digest([step.reads, step.settings, step.version, str(device.dtype)])
            checkpoint = job.run.checkpoint(job.run.quantised_student)
            own = StudentTraining(
                "low-bit student", "quantise", quantise, 1.0, checkpoint, identity
            )  # they are the end
            trained = train_student(job, device, network, own)
            network, seconds = trained.network, trained.earlier_seconds
        save_tensors(job.run.quantised_student, network.state_dict(), {"network": chosen.name})
        job.run.checkpoint(job.run.quantised_student).unlink(missing_ok=True)
        return {"device": device.description, "earlier_seconds": seconds}

    run_step(job.run, step, work, full_check=job.full_check)


def expected_growth(epochs: int, *, low_bit_before: bool) -> float:
    """By what factor low-bit epochs make a file larger than its weights, rounded before them, would be."""
    return 1.0 if low_bit_before else 1 + GROWTH * min(epochs, GROWING_EPOCHS)


def _clip_for_limit(job: Job, chosen: StudentNetwork) -> float:
    """The clip with which the student's file is expected to end just below the limit, from its weights as they are."""
    from models.compress.lsq import learn_steps, low_bit_weights
    from models.packed.rate_control import fit_clip
    from models.packed.student_file import pack_low_bit

    limit_bytes, quantise = job.request.budget_bytes, job.settings.quantise
    if not chosen.made and expected_bytes(job.settings, chosen, "low-bit") < ROOMY * limit_bytes:
        return quantise.clip
    plan, header = bit_plan(job.settings, chosen), packed_header(job, chosen)
    student = trained_student(job, chosen)
    growth = expected_growth(quantise.epochs, low_bit_before=starts_low_bit(job.settings.distill.start))

    def size_of(clip: float) -> float:
        folded, weights = low_bit_weights(learn_steps(student, plan, clip))
        return growth * len(pack_low_bit(folded, header, weights))

    return fit_clip(size_of, quantise.clip, limit_bytes, fill=chosen.made)

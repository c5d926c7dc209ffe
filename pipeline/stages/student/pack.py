"""Pack: the student as bytes at every precision, measured from the decoded file, and the choice of the one to ship.

Reads: student, quantised student, soft labels (for the fidelity). Writes: packed/<precision>.bin, packed/pack.json.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from models.compress.batchnorm_recalibration import recalibrate_batchnorm
from models.compress.gptq import gptq_round, second_moments
from models.compress.lsq import low_bit_weights, prepare_lsq, snap_scales, with_scaled_steps
from models.packed.container import Header
from models.packed.ledger import ledger
from models.packed.precisions import CODEC_NAMES, DEMONSTRATION, PRECISIONS, Codec
from models.packed.rate_control import fit_limit
from models.packed.student_file import pack_low_bit, pack_student, unpack_student
from models.students.architecture import Architecture
from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.batches import Normalisation
from pipeline.data.soft_labels import SoftLabels, load_soft_labels
from pipeline.runtime.artifacts import digests
from pipeline.runtime.atomic import write_bytes, write_json
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, run_step
from pipeline.runtime.tensor_file import load_tensors
from pipeline.stages.calibration import calibration_images
from pipeline.stages.evaluation import evaluate_split
from pipeline.stages.student.network import bit_plan, packed_header, trained_architecture, trained_student
from pipeline.training.inference import predict_with_packed


def pack(job: Job, _: object) -> None:
    """Write and measure the packed files, and choose the one to ship.

    Always on the CPU and in float32: what is measured is the file, not the machine.
    """
    settings = job.settings.pack.model_dump() | {"budget_bytes": job.request.budget_bytes, "final": job.request.final}
    artifacts = job.artifacts
    inputs = {"student": artifacts.student, "quantised student": artifacts.quantised_student}
    reads = digests(inputs | {"soft labels": artifacts.soft_labels, "contest": artifacts.contest})
    architecture = trained_architecture(job)
    settings |= {"inductive": job.request.inductive, "tta_flip": job.settings.tta_flip()}
    settings |= {"levels": bit_plan(job.settings, architecture)}
    writes = (job.run.pack_record, *(job.run.packed(precision) for precision in _offered()))
    run_step(
        job.run, Step("pack", 7, reads, settings, writes), lambda: _pack(job, architecture), full_check=job.full_check
    )


def choose(measured: list[dict[str, Any]], wanted: str, budget_bytes: int) -> str:
    """The precision to ship: the one that is wanted, or for `auto` the most accurate on validation that fits.

    `measured` is in order of falling fidelity; where no validation accuracy is known (--final), and between equals,
    the highest fidelity wins. The bare cast is never chosen. When nothing fits, the smallest: the gate refuses it.
    """
    candidates = [m for m in measured if m["precision"] != DEMONSTRATION] if wanted == "auto" else measured
    candidates = [m for m in candidates if wanted in ("auto", m["precision"])]
    fitting = [m for m in candidates if m["packed_bytes"] <= budget_bytes]
    if not fitting:
        return min(candidates, key=lambda m: m["packed_bytes"])["precision"]
    return max(fitting, key=lambda m: m.get("validation_accuracy", 0.0))["precision"]


def _offered() -> tuple[str, ...]:
    """What is packed and measured, in order of falling fidelity."""
    return (*PRECISIONS, CODEC_NAMES[Codec.LOW_BIT])


def _pack(job: Job, architecture: Architecture) -> dict[str, Any]:
    facts, soft_labels = load_contest(job.run.contest), load_soft_labels(job.run.soft_labels)
    measured = []
    for precision, data, step_scale in _packed_files(job, packed_header(job, architecture)):
        write_bytes(job.run.packed(precision), data)
        measured.append(_measure(job, facts, soft_labels, precision) | step_scale)
        say(_line(measured[-1]))
    shipped = choose(measured, job.settings.pack.precision, job.request.budget_bytes)
    rows = [asdict(row) for row in ledger(job.run.packed(shipped).read_bytes())]
    write_json(job.run.pack_record, {"chosen": shipped, "measured": measured, "ledger": rows})
    say(f"pack: {shipped} is shipped")
    return {}


def _packed_files(job: Job, header: Header) -> Iterator[tuple[str, bytes, dict[str, float]]]:
    """Name and bytes of every precision: of the float student, then of the low-bit one, made to fit the budget.

    With the latter, the factor on its learned steps. BatchNorm is recalibrated on clean training images, for the
    low-bit student in the network as it is rounded.
    """
    student, images = trained_student(job), calibration_images(job, Normalisation(header.mean, header.std))
    plan = bit_plan(job.settings, header.architecture)
    quantised = prepare_lsq(student, plan, job.settings.quantise.initial_clip_std)
    quantised.load_state_dict(load_tensors(job.run.quantised_student)[0])
    recalibrate_batchnorm(student, images)
    yield from ((precision, pack_student(student, header, precision), {}) for precision in PRECISIONS)
    uses_gptq = job.settings.pack.rounding == "gptq"
    moments = second_moments(low_bit_weights(quantised)[0], images) if uses_gptq else {}

    def pack_scaled(step_scale: float) -> bytes:
        rounded = with_scaled_steps(quantised, step_scale)
        recalibrate_batchnorm(rounded, images)
        snap_scales(rounded)
        recalibrate_batchnorm(rounded, images)
        folded, weights = low_bit_weights(rounded)
        if moments:
            weights = gptq_round(folded, weights, moments)
        return pack_low_bit(folded, header, weights)

    fitted = fit_limit(pack_scaled, job.request.budget_bytes)
    yield CODEC_NAMES[Codec.LOW_BIT], fitted.data, {"step_scale": fitted.step_scale}


def _measure(job: Job, facts: ContestFacts, soft_labels: SoftLabels, precision: str) -> dict[str, Any]:
    """Bytes on disk, and accuracy and fidelity of the file as it decodes, where validation may be claimed."""
    path = job.run.packed(precision)
    found: dict[str, Any] = {"precision": precision, "packed_bytes": path.stat().st_size}
    if "validation" not in job.request.claimable_splits:
        return found
    images_NHWC = np.load(job.run.clean("validation"), mmap_mode="r")
    log_probs_NC = predict_with_packed(unpack_student(path.read_bytes()), images_NHWC)
    return found | evaluate_split(job, facts, "validation", log_probs_NC, soft_labels)


def _line(measured: dict[str, Any]) -> str:
    on_validation = measured.get("validation_accuracy")
    shown = "" if on_validation is None else f", validation {on_validation:.2%} (from the decoded file)"
    if measured.get("step_scale", 1.0) != 1.0:
        shown += f", learned steps times {measured['step_scale']:.3f}"
    return f"pack: {measured['precision']}: {measured['packed_bytes']:,} bytes{shown}"

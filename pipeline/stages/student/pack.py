"""Pack: the student as bytes at every precision, measured from the decoded file, and the choice of the one to ship.

Reads: student, quantised student, soft labels (for the fidelity). Writes: packed/<precision>.bin, packed/pack.json.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import numpy as np
from torch import nn

from models.compress.batchnorm_recalibration import recalibrate_batchnorm
from models.compress.gptq import gptq_round, second_moments
from models.compress.lsq import low_bit_weights, prepare_lsq, snap_scales, with_scaled_steps
from models.packed.container import Header
from models.packed.ledger import ledger
from models.packed.precisions import CODEC_NAMES, DEMONSTRATION, PRECISIONS, Codec
from models.packed.rate_control import fit_limit
from models.packed.student_file import pack_low_bit, pack_student, unpack_student
from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.data.batches import Normalisation
from pipeline.data.soft_labels import SoftLabels, load_soft_labels
from pipeline.runtime.atomic import write_bytes
from pipeline.runtime.console import say
from pipeline.runtime.records import Measurement, PackRecord, write_record
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Input, Opened, Step
from pipeline.runtime.tensor_file import load_tensors
from pipeline.runtime.waves import Wave
from pipeline.stages.calibration import calibration_images
from pipeline.stages.evaluation import evaluate_split
from pipeline.stages.student.network import (
    FileSettings,
    bit_plan,
    file_settings,
    load_student,
    packed_header,
    trained_architecture,
)
from pipeline.training.inference import predict_with_packed

RECORD = "record"  # among the outputs
_ANY_CLIP = 1.0  # where steps begin; those of the checkpoint take their place


class PackStepSettings(Section):
    """What decides the packed files, beside the students."""

    precision: str
    rounding: str
    budget_bytes: int
    levels: dict[str, int]  # of every layer with weights
    file: FileSettings
    claimable_splits: tuple[str, ...]


def pack(job: Job) -> Iterator[Wave]:
    """Write and measure the packed files, and choose the one to ship.

    Always on the CPU and in float32: what is measured is the file, not the machine.
    """
    artifacts = job.artifacts
    inputs: dict[str, Input] = {"student": artifacts.student, "quantised student": artifacts.quantised_student}
    inputs |= {"soft labels": artifacts.soft_labels, "contest": artifacts.contest}
    inputs |= {f"clean {split}": artifacts.clean(split) for split in ("training", "validation")}
    artifacts.student.digest()  # refuses where there is no student
    settings = PackStepSettings(
        precision=job.settings.pack.precision,
        rounding=job.settings.pack.rounding,
        budget_bytes=job.request.budget_bytes,
        levels=bit_plan(job.settings.quantise, trained_architecture(job)),
        file=file_settings(job),
        claimable_splits=job.request.claimable_splits,
    )
    outputs = {RECORD: artifacts.pack_record} | {precision: artifacts.packed(precision) for precision in _offered()}
    yield Wave([Step(job.run, artifacts.pack_record.step, 8, inputs, settings, outputs, _pack)])


def choose(measured: Sequence[Measurement], wanted: str, budget_bytes: int) -> str:
    """The precision to ship: the one that is wanted, or for `auto` the most accurate on validation that fits.

    `measured` is in order of falling fidelity; where no validation accuracy is known (--final), and between equals,
    the highest fidelity wins. The bare cast is never chosen. When nothing fits, the smallest: the gate refuses it.
    """
    candidates = [m for m in measured if m.precision != DEMONSTRATION] if wanted == "auto" else measured
    candidates = [m for m in candidates if wanted in ("auto", m.precision)]
    fitting = [m for m in candidates if m.packed_bytes <= budget_bytes]
    if not fitting:
        return min(candidates, key=lambda m: m.packed_bytes).precision
    return max(fitting, key=lambda m: m.validation_accuracy or 0.0).precision


def _offered() -> tuple[str, ...]:
    """What is packed and measured, in order of falling fidelity."""
    return (*PRECISIONS, CODEC_NAMES[Codec.LOW_BIT])


def _pack(opened: Opened[PackStepSettings]) -> None:
    own, facts = opened.settings, load_contest(opened.inputs["contest"])
    soft_labels = load_soft_labels(opened.inputs["soft labels"])
    student, architecture = load_student(opened.inputs["student"])
    header = packed_header(architecture, facts, own.file)
    measured = []
    for precision, data, step_scale in _packed_files(opened, student, header):
        write_bytes(opened.outputs[precision], data)
        measured.append(_measure(opened, facts, soft_labels, precision, step_scale))
        say(_line(measured[-1]))
    shipped = choose(measured, own.precision, own.budget_bytes)
    rows = tuple(asdict(row) for row in ledger(opened.outputs[shipped].read_bytes()))
    write_record(opened.outputs[RECORD], PackRecord(chosen=shipped, measured=tuple(measured), ledger=rows))
    say(f"pack: {shipped} is shipped")


def _packed_files(
    opened: Opened[PackStepSettings], student: nn.Module, header: Header
) -> Iterator[tuple[str, bytes, float | None]]:
    """Name and bytes of every precision: of the float student, then of the low-bit one, made to fit the budget.

    With the latter, the factor on its learned steps. BatchNorm is recalibrated on clean training images, for the
    low-bit student in the network as it is rounded.
    """
    own = opened.settings
    images = calibration_images(opened.inputs["clean training"], Normalisation(header.mean, header.std))
    quantised = prepare_lsq(student, own.levels, _ANY_CLIP)
    quantised.load_state_dict(load_tensors(opened.inputs["quantised student"])[0])
    recalibrate_batchnorm(student, images)
    yield from ((precision, pack_student(student, header, precision), None) for precision in PRECISIONS)
    moments = second_moments(low_bit_weights(quantised)[0], images) if own.rounding == "gptq" else {}

    def pack_scaled(step_scale: float) -> bytes:
        rounded = with_scaled_steps(quantised, step_scale)
        recalibrate_batchnorm(rounded, images)
        snap_scales(rounded)
        recalibrate_batchnorm(rounded, images)
        folded, weights = low_bit_weights(rounded)
        if moments:
            weights = gptq_round(folded, weights, moments)
        return pack_low_bit(folded, header, weights)

    fitted = fit_limit(pack_scaled, own.budget_bytes)
    yield CODEC_NAMES[Codec.LOW_BIT], fitted.data, fitted.step_scale


def _measure(
    opened: Opened[PackStepSettings],
    facts: ContestFacts,
    soft_labels: SoftLabels,
    precision: str,
    step_scale: float | None,
) -> Measurement:
    """Bytes on disk, and accuracy and fidelity of the file as it decodes, where validation may be claimed."""
    path, claimable = opened.outputs[precision], opened.settings.claimable_splits
    found = Measurement(precision=precision, packed_bytes=path.stat().st_size, step_scale=step_scale)
    if "validation" not in claimable:
        return found
    images_NHWC = np.load(opened.inputs["clean validation"], mmap_mode="r")
    log_probs_NC = predict_with_packed(unpack_student(path.read_bytes()), images_NHWC)
    return found.model_copy(update=evaluate_split(claimable, facts, "validation", log_probs_NC, soft_labels))


def _line(measured: Measurement) -> str:
    on_validation = measured.validation_accuracy
    shown = "" if on_validation is None else f", validation {on_validation:.2%} (from the decoded file)"
    if measured.step_scale not in (None, 1.0):
        shown += f", learned steps times {measured.step_scale:.3f}"
    return f"pack: {measured.precision}: {measured.packed_bytes:,} bytes{shown}"

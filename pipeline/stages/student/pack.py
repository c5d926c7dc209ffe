"""Pack: the student as bytes at every precision, measured from the decoded file, and the choice of the one to ship.

Reads: student, quantised student, soft labels (for the fidelity). Writes: packed/<precision>.bin, packed/pack.json.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

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
from pipeline.runtime.settings import MetricName
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
)
from pipeline.stages.student.smaller import float_student, trained_architecture
from pipeline.training.contest_metrics import METRICS, NOT_ONE, best_temperature
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
    metric: MetricName
    claimable_splits: tuple[str, ...]


def pack(job: Job) -> Iterator[Wave]:
    """Write and measure the packed files, and choose the one to ship.

    Always on the CPU and in float32: what is measured is the file, not the machine.
    """
    artifacts = job.artifacts
    inputs: dict[str, Input] = {"student": float_student(job), "quantised student": artifacts.quantised_student}
    inputs |= {"soft labels": artifacts.soft_labels, "contest": artifacts.contest}
    inputs |= {f"clean {split}": artifacts.clean(split) for split in ("training", "validation")}
    float_student(job).digest()  # refuses where there is no student
    settings = PackStepSettings(
        precision=job.settings.pack.precision,
        rounding=job.settings.pack.rounding,
        budget_bytes=job.request.budget_bytes,
        levels=bit_plan(job.settings.quantise, trained_architecture(job)),
        file=file_settings(job),
        metric=job.settings.pack.metric,
        claimable_splits=job.request.claimable_splits,
    )
    outputs = {RECORD: artifacts.pack_record} | {precision: artifacts.packed(precision) for precision in _offered()}
    yield Wave([Step(job.run, artifacts.pack_record.step, 9, inputs, settings, outputs, _pack)])


def choose(measured: Sequence[Measurement], wanted: str, budget_bytes: int, metric: MetricName = "accuracy") -> str:
    """The precision to ship: the one that is wanted, or for `auto` the best on validation that fits, by the metric.

    `measured` is in order of falling fidelity; where no validation accuracy is known (--final), and between equals,
    the highest fidelity wins. The bare cast is never chosen. When nothing fits, the smallest: the gate refuses it.
    """
    candidates = [m for m in measured if m.precision != DEMONSTRATION] if wanted == "auto" else measured
    candidates = [m for m in candidates if wanted in ("auto", m.precision)]
    fitting = [m for m in candidates if m.packed_bytes <= budget_bytes]
    if not fitting:
        return min(candidates, key=lambda m: m.packed_bytes).precision
    return max(fitting, key=lambda m: _merit(m, metric)).precision


def _merit(measured: Measurement, metric: MetricName) -> float:
    """More is better; equal where nothing is known."""
    value = measured.validation_accuracy if metric == "accuracy" else measured.validation_metric
    if value is None or np.isnan(value):
        return 0.0
    return value if METRICS[metric].more_is_better else -value


def _offered() -> tuple[str, ...]:
    """What is packed and measured, in order of falling fidelity."""
    return (*PRECISIONS, CODEC_NAMES[Codec.LOW_BIT])


def _pack(opened: Opened[PackStepSettings]) -> None:
    own, facts = opened.settings, load_contest(opened.inputs["contest"])
    soft_labels = load_soft_labels(opened.inputs["soft labels"])
    student, architecture = load_student(opened.inputs["student"])
    header = packed_header(architecture, facts, own.file)
    calibrates = own.metric == "log-loss" and "validation" in own.claimable_splits
    header = replace(header, temperature=NOT_ONE) if calibrates else header
    measured, temperatures = [], {}
    for precision, pack_with, step_scale in _packed_files(opened, student, header):
        data = pack_with(header)
        if calibrates:
            temperatures[precision] = _temperature(opened, facts, data)
            data = pack_with(replace(header, temperature=temperatures[precision]))
        write_bytes(opened.outputs[precision], data)
        measured.append(_measure(opened, facts, soft_labels, precision, step_scale))
        say(_line(measured[-1], own.metric))
    shipped = choose(measured, own.precision, own.budget_bytes, own.metric)
    rows = tuple(asdict(row) for row in ledger(opened.outputs[shipped].read_bytes()))
    record = PackRecord(chosen=shipped, measured=tuple(measured), temperature=temperatures.get(shipped), ledger=rows)
    write_record(opened.outputs[RECORD], record)
    say(f"pack: {shipped} is shipped")


def _packed_files(
    opened: Opened[PackStepSettings], student: nn.Module, header: Header
) -> Iterator[tuple[str, Callable[[Header], bytes], float | None]]:
    """Name of every precision and how it is packed: of the float student, then of the low-bit one, made to fit.

    With the latter, the factor on its learned steps. BatchNorm is recalibrated on clean training images, for the
    low-bit student in the network as it is rounded.
    """
    own = opened.settings
    images = calibration_images(opened.inputs["clean training"], Normalisation(header.mean, header.std))
    quantised = prepare_lsq(student, own.levels, _ANY_CLIP)
    quantised.load_state_dict(load_tensors(opened.inputs["quantised student"])[0])
    recalibrate_batchnorm(student, images)
    for precision in PRECISIONS:
        yield precision, functools.partial(_pack_float, student, precision), None
    moments = second_moments(low_bit_weights(quantised)[0], images) if own.rounding == "gptq" else {}

    def pack_scaled(header: Header, step_scale: float) -> bytes:
        rounded = with_scaled_steps(quantised, step_scale)
        recalibrate_batchnorm(rounded, images)
        snap_scales(rounded)
        recalibrate_batchnorm(rounded, images)
        folded, weights = low_bit_weights(rounded)
        if moments:
            weights = gptq_round(folded, weights, moments)
        return pack_low_bit(folded, header, weights)

    fitted = fit_limit(functools.partial(pack_scaled, header), own.budget_bytes)

    def pack_fitted(wanted: Header) -> bytes:
        return fitted.data if wanted == header else pack_scaled(wanted, fitted.step_scale)

    yield CODEC_NAMES[Codec.LOW_BIT], pack_fitted, fitted.step_scale


def _pack_float(student: nn.Module, precision: str, header: Header) -> bytes:
    return pack_student(student, header, precision)


def _temperature(opened: Opened[PackStepSettings], facts: ContestFacts, data: bytes) -> float:
    """The temperature that is best for the log-loss of a packed file on validation."""
    packed, images_NHWC = unpack_student(data), np.load(opened.inputs["clean validation"], mmap_mode="r")
    plain = replace(packed, header=replace(packed.header, temperature=1.0, tta_flip=False))
    versions = [images_NHWC, images_NHWC[:, :, ::-1]] if packed.header.tta_flip else [images_NHWC]
    logits_VNC = np.stack([predict_with_packed(plain, version) for version in versions])
    return best_temperature(logits_VNC, np.array(facts.labels["validation"]))


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
    figures: dict[str, float] = evaluate_split(claimable, facts, "validation", log_probs_NC, soft_labels)
    if opened.settings.metric != "accuracy":
        metric = METRICS[opened.settings.metric]
        figures |= {"validation_metric": metric.value(log_probs_NC, np.array(facts.labels["validation"]))}
    return found.model_copy(update=figures)


def _line(measured: Measurement, metric: str) -> str:
    on_validation = measured.validation_accuracy
    shown = "" if on_validation is None else f", validation {on_validation:.2%} (from the decoded file)"
    if measured.validation_metric is not None:
        shown += f", {metric} {measured.validation_metric:.4f}"
    if measured.step_scale not in (None, 1.0):
        shown += f", learned steps times {measured.step_scale:.3f}"
    return f"pack: {measured.precision}: {measured.packed_bytes:,} bytes{shown}"

"""What runs and studies leave for a reader: typed, frozen, each with the number of its format.

Accuracies, agreements and shares are fractions, KL divergences nats per image. A figure that is not known is None, and
is left out where a record is written.
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from pipeline.runtime.atomic import write_bytes, write_json
from pipeline.runtime.section import Section, setting

FORMAT = 1
Fraction = float | None


class Record(Section):
    """One record. `format` is raised when the meaning of a field changes."""

    format: Literal[1] = FORMAT

    def written(self) -> dict[str, Any]:
        """Its JSON value, without what is not known."""
        return self.model_dump(mode="json", exclude_none=True)

    @classmethod
    def read(cls, value: Any) -> Self:
        """The record of a JSON value. Raises pydantic's ValidationError, a ValueError, when it is none."""
        return cls.model_validate_json(json.dumps(value))


class Measurement(Record):
    """One packed file: its bytes, and its figures on validation as it decodes, where they may be claimed."""

    precision: str
    packed_bytes: int
    step_scale: float | None = None  # factor on the learned steps that made the file fit
    validation_accuracy: Fraction = None
    validation_agreement: Fraction = None
    validation_kl: float | None = None
    validation_metric: float | None = None  # the contest's own, where that is not accuracy


class PackRecord(Record):
    """Everything that was packed, and which of it is shipped. `ledger`: where the bytes of that file go."""

    chosen: str
    measured: tuple[Measurement, ...]
    temperature: float | None = None  # of the shipped file, where it is not 1
    ledger: tuple[dict[str, Any], ...]

    @property
    def shipped(self) -> Measurement:
        """The measurement of the file that is shipped."""
        return next(found for found in self.measured if found.precision == self.chosen)


class EpochMetrics(Record):
    """One epoch of one training: a line of metrics.jsonl."""

    stage: Literal["teach", "distill", "prune", "factorise", "quantise"]
    member: int | None = None
    epoch: int  # from 1
    loss: float  # mean over its steps
    learning_rate: float  # of its last step
    seconds: float
    validation_accuracy: Fraction = None
    validation_agreement: Fraction = None
    validation_kl: float | None = None
    testing_agreement: Fraction = None  # where nothing may be claimed on validation
    testing_kl: float | None = None


class Fidelity(Section):
    """How nearly the shipped file predicts what the ensemble predicts, on one split."""

    agreement: float
    kl: float
    images: int


class Claim(Section):
    """An accuracy that is claimed, and how it came about."""

    split: str
    protocol: str
    value: float
    images: int
    measured_on: str
    chosen_on_it: tuple[str, ...] = ()  # settings that were chosen by this very figure


class Agreement(Section):
    """The share of images for which file and ensemble predict the same class."""

    split: str
    value: float
    images: int


class MemberRecord(Section):
    """One member of the ensemble behind the soft labels."""

    network: str
    seed: int
    parameters: int | None = None
    epochs: int
    validation_accuracy: Fraction = None
    seconds: float = setting(0.0, "what its training took, whenever it was done", "seconds", execution=True)
    weights_sha256: str | None = None  # of a member that was supplied


class TeacherRecord(Section):
    """The ensemble. `soft_labels`: the names of given files; empty where the run made its own."""

    soft_labels: str
    soft_labels_sha256: tuple[str, ...] | None = None
    ensemble: Fraction = None  # accuracy on validation
    fitted: dict[str, Any] | None = None
    chosen_on_it: tuple[str, ...] | None = None
    members: tuple[MemberRecord, ...] = ()


class CpuArithmetic(Record):
    """The arithmetic of training on one kind of CPU, chosen by a trial: it lies in the folder of a run."""

    cpu: str  # its name
    dtype: Literal["float32", "bfloat16"]
    conv_as_matmul: bool  # convolutions of small feature maps as matrix products
    images_per_second: dict[str, float]  # of each choice, in the trial

    @property
    def figures(self) -> str:
        """What was measured, for a person."""
        rates = ", ".join(f"{name} {rate:,.0f}" for name, rate in self.images_per_second.items())
        return f"images per second in a trial: {rates}"


class Manifest(Record):
    """How each file and figure of a submission came about; None where it is not known."""

    name: str
    contest: str
    protocol: str
    final_phase: str
    seeds: dict[str, Any]
    minutes: dict[str, float] | None = None  # of a run that was planned for some: asked for, and planned
    budget_bytes: int
    packed_bytes: int
    fits: bool
    precision: str
    tta_flip: bool
    network: str
    parameters: int
    init_from: str | None = None  # sha256 of the packed file of a warm start; empty: random weights
    sha256: dict[str, str]
    metric: str | None = None  # what the contest judges by, where it is not accuracy
    metric_value: float | None = None  # of student.bin on validation, where it is not accuracy
    temperature: float | None = None  # that stands in student.bin, where it is not 1
    skipped_images: tuple[str, ...] | None = None  # labelled images that were left out as broken
    accuracy: tuple[Claim, ...]
    precisions: tuple[Measurement, ...]
    teacher: TeacherRecord | None = None
    agreement: Agreement
    fidelity: dict[str, Fidelity]
    device: str | None = None
    versions: dict[str, str] | None = None
    preset: str | None = None
    settings: dict[str, Any] | None = None
    settings_sha256: str | None = None
    commit: str | None = None
    stage_seconds: dict[str, float] | None = None
    shared: dict[str, dict[str, str]] = Field(default_factory=dict)  # files that another submission has
    made: str | None = None  # of a file that no single run delivered
    fidelity_to: dict[str, str] | None = None  # the soft labels that fidelity is measured against, where not its own


def read_manifest(path: Path) -> Manifest:
    """The manifest of a submission. Raises FileNotFoundError, or ValueError when it is damaged."""
    return Manifest.model_validate_json(path.read_bytes())


def write_record(path: Path, record: Record) -> None:
    """Write a record as JSON."""
    write_json(path, record.written())


def append_epoch(path: Path, metrics: EpochMetrics) -> None:
    """Put one line behind those of the epochs before it, in a single write: a killed process leaves whole lines."""
    keep_epochs(path, metrics.epoch - 1)
    with path.open("ab") as stream:
        stream.write(_line(metrics))
        stream.flush()
        os.fsync(stream.fileno())


def keep_epochs(path: Path, epochs: int) -> None:
    """Cut a file of metrics to its first epochs: a training begins anew, or goes on after so many of them.

    A line that a full disk cut short ends it too.
    """
    found = path.read_bytes() if path.exists() else None
    kept = b"".join(map(_line, _epochs_up_to(epochs, (found or b"").splitlines())))
    if kept != found:
        write_bytes(path, kept)


def _epochs_up_to(epochs: int, lines: Sequence[bytes]) -> Iterator[EpochMetrics]:
    for line in lines:
        try:
            metrics = EpochMetrics.model_validate_json(line)
        except ValueError:
            return
        if metrics.epoch <= epochs:
            yield metrics


def read_epochs(path: Path) -> list[EpochMetrics]:
    """All lines of a file of metrics."""
    return [EpochMetrics.model_validate_json(line) for line in path.read_bytes().splitlines()]


def _line(metrics: EpochMetrics) -> bytes:
    return (json.dumps(metrics.written(), allow_nan=False) + "\n").encode()

"""The network of a run's student: the architecture that the settings ask for, then the one of its checkpoint."""

import dataclasses
import re
from pathlib import Path

from torch import nn

from models.compress.bit_plan import Bits
from models.packed.header import Header
from models.packed.size import NoneFitsError, low_bit_size_bytes, packed_size_bytes, propose_network
from models.students import architecture_json
from models.students.architecture import Architecture
from models.students.build import build_student
from models.students.families import SCALABLE_FAMILIES, STUDENTS, network_named
from models.teachers.reference_cnn import reference_architecture
from pipeline.contest.facts import ContestFacts
from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import nearest
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.settings import Settings
from pipeline.runtime.tensor_file import TensorFileError, load_tensors, save_tensors
from pipeline.runtime.training_settings import QuantiseSettings

LARGE_CNN, LARGE_WIDTH = re.compile(r"reference-cnn(?:-(?P<width>[1-9]\d{0,2}))?"), 64  # the teacher's kind, 40.7 MB
AUTO = re.compile(r"auto(?:-(?P<family>[a-z]+)-(?P<depth>\d{1,2}))?")


def choose_architecture(settings: Settings, classes: tuple[str, ...], budget_bytes: int) -> Architecture:
    """The network that the settings name, or the largest that fits the budget; only what creates a student asks.

    Raises RequestError for one that does not exist, or when none fits.
    """
    name = settings.distill.network
    if fits_budget(settings):
        return _propose(settings, classes, budget_bytes)
    try:
        if large := LARGE_CNN.fullmatch(name):
            return reference_architecture(len(classes), settings.data.image_size, int(large["width"] or LARGE_WIDTH))
        return network_named(name).architecture(len(classes), settings.data.image_size)
    except ValueError as error:
        near = nearest(name, list(STUDENTS))
        raise RequestError(f"distill.network: {error}{near}; ./run.sh models lists them") from None


def fits_budget(settings: Settings) -> bool:
    """Whether the student is sized for the budget, which its file is to fill."""
    return AUTO.fullmatch(settings.distill.network) is not None


def _propose(settings: Settings, classes: tuple[str, ...], budget_bytes: int) -> Architecture:
    name, image_size = settings.distill.network, settings.data.image_size
    automatic = AUTO.fullmatch(name)
    assert automatic
    if settings.pack.precision not in ("auto", "low-bit"):
        raise RequestError(
            f"distill.network: {name} is sized for low-bit files, pack.precision is {settings.pack.precision}"
        )
    if automatic["family"] and automatic["family"] not in SCALABLE_FAMILIES:
        raise RequestError(f"distill.network: {name}: expected a family of {', '.join(SCALABLE_FAMILIES)}")
    kind = {"family": automatic["family"], "depth": int(automatic["depth"])} if automatic["family"] else {}
    try:
        network = propose_network(
            budget_bytes, classes=classes, image_size=image_size, bits=wanted_bits(settings.quantise), **kind
        )
    except NoneFitsError as error:
        raise RequestError(f"--budget {budget_bytes}: {error}, nothing was trained") from None
    except ValueError as error:
        raise RequestError(f"distill.network: {error}") from None
    return network.architecture(len(classes), image_size)


def wanted_bits(quantise: QuantiseSettings) -> Bits:
    """How finely the settings want the weights to be stored."""
    return Bits(quantise.bits, quantise.head_bits, quantise.layer_bits, quantise.initial_clip_std)


def bit_plan(quantise: QuantiseSettings, architecture: Architecture) -> dict[str, int]:
    """Levels of every layer with weights. Raises RequestError for a layer that the network does not have."""
    try:
        return wanted_bits(quantise).of_layers(architecture)
    except ValueError as error:
        raise RequestError(f"quantise.layer_bits: {error}") from None


def expected_bytes(
    quantise: QuantiseSettings,
    architecture: Architecture,
    classes: tuple[str, ...],
    precision: str,
    step_scale: float = 1.0,
) -> int:
    """Size of the file in bytes: exact for all precisions but low-bit, where `step_scale` multiplies the steps."""
    if precision == "low-bit":
        bits = wanted_bits(quantise)
        bits = dataclasses.replace(bits, initial_clip_std=bits.initial_clip_std * step_scale)
        return low_bit_size_bytes(architecture, classes=classes, bits=bits)
    return packed_size_bytes(architecture, classes=classes, precision=precision)


def save_student(path: Path, student: nn.Module, architecture: Architecture) -> None:
    """Write a checkpoint: weights, and the architecture that they belong to."""
    save_tensors(path, student.state_dict(), {"architecture": architecture_json.to_json(architecture)})


def load_architecture(path: Path) -> Architecture:
    """The architecture of a checkpoint; TensorFileError for one without."""
    return _architecture_of(path, load_tensors(path)[1])


def load_student(path: Path) -> tuple[nn.Module, Architecture]:
    """The student of a checkpoint, float weights, and the architecture by which the checkpoint describes it."""
    tensors, facts = load_tensors(path)
    architecture = _architecture_of(path, facts)
    student = build_student(architecture)
    student.load_state_dict(tensors)
    return student, architecture


class FileSettings(Section):
    """What the header of a packed file says of how its student was trained and predicts."""

    inductive: bool
    final: bool
    tta_flip: bool


def file_settings(job: Job) -> FileSettings:
    """What a run's packed files say of it."""
    request = job.request
    return FileSettings(inductive=request.trains_inductively, final=request.final, tta_flip=job.settings.tta_flip())


def packed_header(architecture: Architecture, facts: ContestFacts, own: FileSettings) -> Header:
    """The header of a packed file."""
    return Header(
        architecture=architecture,
        classes=facts.classes,
        mean=facts.mean,
        std=facts.std,
        inductive=own.inductive,
        final=own.final,
        tta_flip=own.tta_flip,
    )


def _architecture_of(path: Path, facts: dict[str, object]) -> Architecture:
    try:
        return architecture_json.from_json(facts.get("architecture"))
    except ValueError as error:
        raise TensorFileError(f"{path}: {error}") from None

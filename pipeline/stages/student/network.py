"""The network of a run's student, named in the settings or sized for the budget, and the levels of its layers."""

import dataclasses
import re
from dataclasses import dataclass

from torch import nn

from models.compress.bit_plan import Bits
from models.packed.header import Header
from models.packed.size import low_bit_size_bytes, packed_size_bytes, propose_network
from models.students.build import build_student
from models.students.families import SCALABLE_FAMILIES, STUDENTS, Network, network_named
from models.students.layers import parameter_shapes
from pipeline.contest.facts import load_contest
from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import nearest
from pipeline.runtime.request import Job
from pipeline.runtime.settings import Settings
from pipeline.runtime.tensor_file import load_tensors

AUTO = re.compile(r"auto(?:-(?P<family>[a-z]+)-(?P<depth>\d{1,2}))?")


@dataclass(frozen=True)
class StudentNetwork:
    """A student's network; `name` is its family and integers where it has no name of its own.

    `fits_budget`: it was sized for the budget, which its file is to fill.
    """

    name: str
    network: Network
    classes: tuple[str, ...]
    fits_budget: bool = False


def student_network(job: Job) -> StudentNetwork:
    """The network of a run whose contest has been read."""
    return choose_network(job.settings, load_contest(job.run.contest).classes, job.request.budget_bytes)


def choose_network(settings: Settings, classes: tuple[str, ...], budget_bytes: int) -> StudentNetwork:
    """The network of the settings. Raises RequestError for one that does not exist, or when none fits the budget."""
    name, image_size = settings.distill.network, settings.data.image_size
    automatic = AUTO.fullmatch(name)
    if not automatic:
        try:
            network = network_named(name)
            parameter_shapes(network, len(classes), image_size)  # raises where the network cannot exist
            return StudentNetwork(name, network, classes)
        except ValueError as error:
            near = nearest(name, list(STUDENTS))
            raise RequestError(f"distill.network: {error}{near}; ./run.sh models lists them") from None
    if settings.pack.precision not in ("auto", "low-bit"):
        raise RequestError(
            f"distill.network: {name} is sized for low-bit files, pack.precision is {settings.pack.precision}"
        )
    if automatic["family"] and automatic["family"] not in SCALABLE_FAMILIES:
        raise RequestError(f"distill.network: {name}: expected a family of {', '.join(SCALABLE_FAMILIES)}")
    kind = {"family": automatic["family"], "depth": int(automatic["depth"])} if automatic["family"] else {}
    try:
        network = propose_network(
            budget_bytes, classes=classes, image_size=image_size, bits=wanted_bits(settings), **kind
        )
    except ValueError as error:
        raise RequestError(f"--budget {budget_bytes}: {error}, nothing was trained") from None
    name = "-".join((network.family, *map(str, network.integers)))
    return StudentNetwork(name, network, classes, fits_budget=True)


def wanted_bits(settings: Settings) -> Bits:
    """How finely the settings want the weights to be stored."""
    quantise = settings.quantise
    return Bits(quantise.bits, quantise.head_bits, quantise.layer_bits, quantise.initial_clip_std)


def bit_plan(settings: Settings, chosen: StudentNetwork) -> dict[str, int]:
    """Levels of every layer with weights. Raises RequestError for a layer that the network does not have."""
    try:
        return wanted_bits(settings).of_layers(chosen.network, len(chosen.classes), settings.data.image_size)
    except ValueError as error:
        raise RequestError(f"quantise.layer_bits: {error}") from None


def expected_bytes(settings: Settings, chosen: StudentNetwork, precision: str, step_scale: float = 1.0) -> int:
    """Size of the file in bytes: exact for all precisions but low-bit, where `step_scale` multiplies the steps."""
    classes, image_size = chosen.classes, settings.data.image_size
    if precision == "low-bit":
        bits = wanted_bits(settings)
        bits = dataclasses.replace(bits, initial_clip_std=bits.initial_clip_std * step_scale)
        return low_bit_size_bytes(chosen.network, classes=classes, image_size=image_size, bits=bits)
    return packed_size_bytes(chosen.network, classes=classes, image_size=image_size, precision=precision)


def build_float_student(settings: Settings, chosen: StudentNetwork) -> nn.Module:
    """The network with float weights, freshly initialised."""
    return build_student(chosen.network, classes=len(chosen.classes), image_size=settings.data.image_size)


def trained_student(job: Job, chosen: StudentNetwork) -> nn.Module:
    """The student as it was distilled, float weights."""
    student = build_float_student(job.settings, chosen)
    student.load_state_dict(load_tensors(job.run.student)[0])
    return student


def packed_header(job: Job, chosen: StudentNetwork) -> Header:
    """The header of a run's packed file."""
    facts = load_contest(job.run.contest)
    return Header(
        network=chosen.network,
        image_size=job.settings.data.image_size,
        classes=facts.classes,
        mean=facts.mean,
        std=facts.std,
        inductive=job.request.inductive,
        final=job.request.final,
        tta_flip=job.settings.tta_flip(),
    )

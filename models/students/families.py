"""Families of student networks: functions from a few integers to an architecture, and their names (no torch)."""

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.students import layers, short_resnet, staged
from models.students.architecture import Architecture
from models.students.limits import check_class_count, check_image_size, check_range
from models.students.rows import Layer


@dataclass(frozen=True)
class IntegerRange:
    """One integer of a family: its name and its inclusive limits."""

    name: str
    lowest: int
    highest: int


@dataclass(frozen=True)
class Family:
    """A kind of network: its number in a packed file and the integers that complete it.

    `rows` makes the layer table of integers, number of classes and image size.
    """

    id: int  # never 0, which stands for rows
    integers: tuple[IntegerRange, ...]
    rows: Callable[[tuple[int, ...], int, int], Iterator[Layer]]


WIDTH_RANGE = (1, 512)
TOP_RANGE = (1, 2048)
_WIDTH = IntegerRange("width", *WIDTH_RANGE)
_DEPTH = IntegerRange("depth", 1, 64)
_STAGED = (_WIDTH, _DEPTH, IntegerRange("top", *TOP_RANGE))
_HIDDEN = IntegerRange("hidden", 0, 4096)  # 0: no hidden layer in the head

FAMILIES: dict[str, Family] = {
    "plain": Family(1, (_WIDTH, _HIDDEN), layers.plain),
    "grouped": Family(
        2,
        (
            IntegerRange("last_width", 1, 512),
            IntegerRange("blocks_after_pool", 1, 8),
            IntegerRange("channels_per_group", 0, 32),  # 0: an ordinary convolution, 1: depthwise
            _HIDDEN,
        ),
        layers.grouped,
    ),
    "studentnet": Family(3, (_WIDTH,), layers.studentnet),
    "residual": Family(4, _STAGED, functools.partial(staged.staged, staged.residual)),
    "straight": Family(5, _STAGED, functools.partial(staged.staged, staged.straight)),
    "inverted": Family(6, _STAGED, functools.partial(staged.staged, staged.inverted)),
    "shuffled": Family(7, _STAGED, functools.partial(staged.staged, staged.shuffled)),
    "squeezed": Family(8, _STAGED, functools.partial(staged.staged, staged.squeezed)),
    "dense": Family(9, (IntegerRange("growth", *WIDTH_RANGE), _DEPTH), staged.dense),
    "tied": Family(10, _STAGED, functools.partial(staged.staged, staged.tied)),
    "shortresnet": Family(11, _STAGED, short_resnet.short_resnet),
    "separable": Family(12, (_WIDTH, _HIDDEN), layers.separable),
}

# made for a limit
SCALABLE_FAMILIES = (
    *("shortresnet", "plain", "residual", "straight", "inverted"),
    *("shuffled", "squeezed", "dense", "tied"),
)


@dataclass(frozen=True)
class Network:
    """A network in the short form: a family and its integers, complete but for image size and number of classes.

    `integers` follow the order of `FAMILIES[family].integers`. Raises ValueError for an unknown family, a wrong number
    of integers or one out of its range, so that an invalid network cannot exist, whichever file it was read from.
    """

    family: str
    integers: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"unknown network family {self.family!r}, expected one of {', '.join(FAMILIES)}")
        ranges = FAMILIES[self.family].integers
        if len(self.integers) != len(ranges):
            names = ", ".join(limits.name for limits in ranges)
            raise ValueError(f"{self.family}: {len(self.integers)} integers, expected {len(ranges)} ({names})")
        for value, limits in zip(self.integers, ranges, strict=True):
            check_range(f"{self.family}: {limits.name}", value, limits.lowest, limits.highest)

    def rows(self, classes: int, image_size: int) -> tuple[Layer, ...]:
        """The layer table, not checked but for its two sizes; ValueError for what the family cannot have."""
        check_image_size(image_size)
        check_class_count(classes)
        return tuple(FAMILIES[self.family].rows(self.integers, classes, image_size))

    def architecture(self, classes: int, image_size: int) -> Architecture:
        """The network for images of so many pixels per side; ValueError for one that cannot be, or is too large."""
        return Architecture(self.rows(classes, image_size), image_size)


def family_of_id(family_id: int) -> str:
    """Return the name of the family with this number; ValueError when there is none."""
    for name, family in FAMILIES.items():
        if family.id == family_id:
            return name
    known = ", ".join(str(family.id) for family in FAMILIES.values())
    raise ValueError(f"unknown network family number {family_id}, expected one of {known}")


STUDENTS: dict[str, Network] = {
    "reference-student": Network("plain", (16, 0)),
    "reference-plain-cnn": Network("plain", (16, 128)),
    "reference-depthwise": Network("grouped", (64, 1, 1, 128)),
    "reference-depthwise-large": Network("grouped", (96, 2, 1, 128)),
    "reference-group-half": Network("grouped", (64, 1, 2, 128)),
    "reference-group-quarter": Network("grouped", (64, 1, 4, 128)),
    "reference-group-eighth": Network("grouped", (64, 1, 8, 128)),
    "reference-group-one": Network("grouped", (64, 1, 0, 128)),
    "reference-group-large": Network("grouped", (88, 2, 8, 128)),
    "reference-all-depthwise": Network("separable", (16, 128)),
    "studentnet": Network("studentnet", (16,)),
}


def network_named(name: str) -> Network:
    """The network of a name in STUDENTS, or of family and integers, such as "residual-20-2-80".

    Raises ValueError for anything else, with what was found and expected.
    """
    if name in STUDENTS:
        return STUDENTS[name]
    family, *integers = name.split("-")
    if family not in FAMILIES or not all(re.fullmatch(r"0|[1-9]\d{0,8}", text, re.ASCII) for text in integers):
        raise ValueError(f"unknown network {name!r}")
    return Network(family, tuple(map(int, integers)))


def families_help() -> list[str]:
    """A line per family with the form of its names, such as residual-WIDTH-DEPTH-TOP, and what its integers may be."""
    lines = ["families, for distill.network, such as residual-20-2-80; auto or auto-dense-5 is sized for the budget:"]
    for name, family in FAMILIES.items():
        form = "-".join((name, *(limits.name.upper() for limits in family.integers)))
        lines.append(f"  {form} ({', '.join(f'{limits.lowest} to {limits.highest}' for limits in family.integers)})")
    return lines

"""Names, families and permitted sizes of the student networks; without torch, for settings and file headers."""

import re
from dataclasses import dataclass

CLASS_COUNT_RANGE = (2, 65_535)
IMAGE_SIZE_RANGE = (16, 1024)
IMAGE_SIZE_STEP = 16  # every family halves the image four times


@dataclass(frozen=True)
class IntegerRange:
    """One integer of a family: its name and its inclusive limits."""

    name: str
    lowest: int
    highest: int


@dataclass(frozen=True)
class Family:
    """A kind of network: its number in a packed file and the integers that complete it."""

    id: int
    integers: tuple[IntegerRange, ...]


WIDTH_RANGE = (1, 512)
TOP_RANGE = (1, 2048)
_WIDTH = IntegerRange("width", *WIDTH_RANGE)
_DEPTH = IntegerRange("depth", 1, 64)
_STAGED = (_WIDTH, _DEPTH, IntegerRange("top", *TOP_RANGE))
_HIDDEN = IntegerRange("hidden", 0, 4096)  # 0: no hidden layer in the head

FAMILIES: dict[str, Family] = {
    "plain": Family(1, (_WIDTH, _HIDDEN)),
    "grouped": Family(
        2,
        (
            IntegerRange("last_width", 1, 512),
            IntegerRange("blocks_after_pool", 1, 8),
            IntegerRange("channels_per_group", 0, 32),  # 0: an ordinary convolution, 1: depthwise
            _HIDDEN,
        ),
    ),
    "studentnet": Family(3, (_WIDTH,)),
    "residual": Family(4, _STAGED),
    "straight": Family(5, _STAGED),
    "inverted": Family(6, _STAGED),
    "shuffled": Family(7, _STAGED),
    "squeezed": Family(8, _STAGED),
    "dense": Family(9, (IntegerRange("growth", *WIDTH_RANGE), _DEPTH)),
    "tied": Family(10, _STAGED),
}

# made for a limit
SCALABLE_FAMILIES = ("plain", "residual", "straight", "inverted", "shuffled", "squeezed", "dense", "tied")


@dataclass(frozen=True)
class Network:
    """A student network, complete but for the image size and the number of classes.

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
            _check_range(f"{self.family}: {limits.name}", value, limits.lowest, limits.highest)


def family_of_id(family_id: int) -> str:
    """Return the name of the family with this number; ValueError when there is none."""
    for name, family in FAMILIES.items():
        if family.id == family_id:
            return name
    known = ", ".join(str(family.id) for family in FAMILIES.values())
    raise ValueError(f"unknown network family number {family_id}, expected one of {known}")


def check_image_size(image_size: int) -> None:
    """Raise ValueError unless `image_size` (pixels per side) is a multiple of 16 from 16 to 1024."""
    lowest, highest = IMAGE_SIZE_RANGE
    _check_range("image size", image_size, lowest, highest)
    if image_size % IMAGE_SIZE_STEP:
        raise ValueError(f"image size {image_size}, expected a multiple of {IMAGE_SIZE_STEP}")


def check_class_count(classes: int) -> None:
    """Raise ValueError unless the number of classes lies in 2..65535."""
    _check_range("number of classes", classes, *CLASS_COUNT_RANGE)


def _check_range(what: str, value: int, lowest: int, highest: int) -> None:
    if type(value) is not int:  # True is an int to isinstance, and no width
        raise ValueError(f"{what} {value!r}, expected a whole number from {lowest} to {highest}")
    if not lowest <= value <= highest:
        raise ValueError(f"{what} {value}, expected {lowest} to {highest}")


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

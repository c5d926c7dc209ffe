"""The header of a packed file: all that is needed to rebuild the network and to predict with it (no torch).

Layout: family number, the family's integers, image size, number of classes (varints); flags (a byte: bit 0 inductive,
bit 1 final, bit 2 class names follow, bit 3 tta_flip); class names (varint length, utf-8) unless they are "0".."n-1";
channel mean and standard deviation (3 + 3 bytes, units of 1/255).
"""

from dataclasses import dataclass

from models.packed.byte_reader import ByteReader, PackedFileError, varint
from models.students.families import FAMILIES, Network, check_class_count, family_of_id
from models.students.layers import parameter_shapes

MAX_CLASS_NAME_BYTES = 1024
_INDUCTIVE, _FINAL, _NAMES, _TTA_FLIP = 1, 2, 4, 8

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Header:
    """What a packed file records of its network.

    `mean` and `std` are per channel, whole numbers in units of 1/255 (0..255; std at least 1). `inductive`: testing
    images took no part in training; `final`: validation took part. `tta_flip`: the prediction is the mean of the
    probabilities of the image and of its mirror image. Raises ValueError for what a file cannot hold.
    """

    network: Network
    image_size: int
    classes: tuple[str, ...]
    mean: Rgb
    std: Rgb
    inductive: bool = False
    final: bool = False
    tta_flip: bool = False

    def __post_init__(self) -> None:
        parameter_shapes(self.network, len(self.classes), self.image_size)  # raises where the network cannot exist
        _check_names(self.classes)
        _check_bytes("mean", self.mean, lowest=0)
        _check_bytes("std", self.std, lowest=1)


def default_classes(count: int) -> tuple[str, ...]:
    """Return the names "0".."count-1", which take no bytes in a file."""
    return tuple(str(number) for number in range(count))


def write_header(header: Header) -> bytes:
    """Return the header's bytes."""
    named = header.classes != default_classes(len(header.classes))
    flags = _INDUCTIVE * header.inductive | _FINAL * header.final | _NAMES * named | _TTA_FLIP * header.tta_flip
    numbers = (
        FAMILIES[header.network.family].id,
        *header.network.integers,
        header.image_size,
        len(header.classes),
    )
    names = [name.encode() for name in header.classes] if named else []
    return b"".join(
        (
            *map(varint, numbers),
            bytes([flags]),
            *(varint(len(name)) + name for name in names),
            bytes(header.mean),
            bytes(header.std),
        )
    )


def read_header(reader: ByteReader) -> Header:
    """Return the header at the reader's position; PackedFileError for what write_header could not have made."""
    try:
        return _read_header(reader)
    except PackedFileError:
        raise
    except ValueError as error:
        raise PackedFileError(f"header: {error}") from error


def _read_header(reader: ByteReader) -> Header:
    family = family_of_id(reader.varint("family"))
    network = Network(family, tuple(reader.varint(limits.name) for limits in FAMILIES[family].integers))
    image_size = reader.varint("image size")
    count = reader.varint("number of classes")
    check_class_count(count)  # before any name is made
    flags = reader.byte("flags")
    if flags >= 2 * _TTA_FLIP:
        raise PackedFileError(f"header: flags {flags:#04x}, expected no bit beyond the first four")
    classes = _read_names(reader, count) if flags & _NAMES else default_classes(count)
    red, green, blue, *deviations = reader.take(6, "mean and std")
    return Header(
        network=network,
        image_size=image_size,
        classes=classes,
        mean=(red, green, blue),
        std=(deviations[0], deviations[1], deviations[2]),
        inductive=bool(flags & _INDUCTIVE),
        final=bool(flags & _FINAL),
        tta_flip=bool(flags & _TTA_FLIP),
    )


def _read_names(reader: ByteReader, count: int) -> tuple[str, ...]:
    names = tuple(reader.take(reader.varint("class name"), "class name").decode() for _ in range(count))
    if names == default_classes(count):
        raise PackedFileError('header: class names "0" to "n-1" are stored, expected none')
    return names


def _check_names(names: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"class name {name!r} occurs twice, expected different names")
        seen.add(name)
        if not 1 <= len(name.encode()) <= MAX_CLASS_NAME_BYTES:
            raise ValueError(f"a class name of {len(name.encode())} bytes, expected 1 to {MAX_CLASS_NAME_BYTES}")


def _check_bytes(what: str, values: tuple[int, ...], *, lowest: int) -> None:
    if len(values) != 3 or any(type(value) is not int or not lowest <= value <= 255 for value in values):
        raise ValueError(f"{what} {values}, expected three whole numbers from {lowest} to 255 (units of 1/255)")

"""The header of a packed file: all that is needed to rebuild the network and to predict with it (no torch).

Layout: family number, the family's integers, image size, number of classes (varints); where the family number is 0,
the rows (`models.packed.row_bytes`); flags (a byte: bit 0 inductive, bit 1 final, bit 2 class names follow, bit 3
tta_flip, bit 4 fields follow); class names (varint length, utf-8) unless they are "0".."n-1"; channel mean and standard
deviation (3 + 3 bytes, units of 1/255); the optional fields (`models.packed.header_fields`). Rows are written, and
accepted, only where the network is of no family.
"""

from dataclasses import dataclass

from models.packed.byte_reader import ByteReader, PackedFileError, varint
from models.packed.header_fields import check_temperature, read_fields, write_fields
from models.packed.row_bytes import read_rows, write_rows
from models.students.architecture import Architecture
from models.students.families import FAMILIES, Network, family_of_id
from models.students.limits import check_class_count, check_image_size
from models.students.short_form import short_form

MAX_CLASS_NAME_BYTES = 1024
_ROWS_FOLLOW = 0  # in place of a family's number
_INDUCTIVE, _FINAL, _NAMES, _TTA_FLIP, _FIELDS = 1, 2, 4, 8, 16

Rgb = tuple[int, int, int]


@dataclass(frozen=True)
class Header:
    """What a packed file records of its network.

    `mean` and `std` are per channel, whole numbers in units of 1/255 (0..255; std at least 1). `inductive`: testing
    images took no part in training; `final`: validation took part. `tta_flip`: the prediction is the mean of the
    probabilities of the image and of its mirror image. `temperature`: what the logits are divided by before they become
    probabilities, a multiple of 1/256 (Guo et al. 2017, arXiv 1706.04599). A file keeps no names of layers: one of a
    family is read with the family's, any other with `numbered` ones. Raises ValueError for what a file cannot hold.
    """

    architecture: Architecture
    classes: tuple[str, ...]
    mean: Rgb
    std: Rgb
    inductive: bool = False
    final: bool = False
    tta_flip: bool = False
    temperature: float = 1.0

    @property
    def protocol(self) -> str:
        """`transductive` or `inductive`, with `, final` where validation took part in training."""
        return ("inductive" if self.inductive else "transductive") + (", final" if self.final else "")

    def __post_init__(self) -> None:
        if len(self.classes) != self.architecture.classes:
            raise ValueError(f"{len(self.classes)} class names, the network has {self.architecture.classes} classes")
        _check_names(self.classes)
        _check_bytes("mean", self.mean, lowest=0)
        _check_bytes("std", self.std, lowest=1)
        check_temperature(self.temperature)

    @property
    def image_size(self) -> int:
        """Pixels per side of the images."""
        return self.architecture.image_size


def default_classes(count: int) -> tuple[str, ...]:
    """Return the names "0".."count-1", which take no bytes in a file."""
    return tuple(str(number) for number in range(count))


def write_header(header: Header) -> bytes:
    """Return the header's bytes."""
    named = header.classes != default_classes(len(header.classes))
    fields = write_fields(header.temperature)
    flags = _INDUCTIVE * header.inductive | _FINAL * header.final | _NAMES * named | _TTA_FLIP * header.tta_flip
    flags |= _FIELDS * bool(fields)
    names = [name.encode() for name in header.classes] if named else []
    return b"".join(
        (
            _write_architecture(header.architecture),
            bytes([flags]),
            *(varint(len(name)) + name for name in names),
            bytes(header.mean),
            bytes(header.std),
            fields,
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
    architecture = _read_architecture(reader)
    flags = reader.byte("flags")
    if flags >= 2 * _FIELDS:
        raise PackedFileError(f"header: flags {flags:#04x}, expected no bit beyond the first five")
    classes = _read_names(reader, architecture.classes) if flags & _NAMES else default_classes(architecture.classes)
    red, green, blue, *deviations = reader.take(6, "mean and std")
    return Header(
        architecture=architecture,
        classes=classes,
        mean=(red, green, blue),
        std=(deviations[0], deviations[1], deviations[2]),
        inductive=bool(flags & _INDUCTIVE),
        final=bool(flags & _FINAL),
        tta_flip=bool(flags & _TTA_FLIP),
        temperature=read_fields(reader) if flags & _FIELDS else 1.0,
    )


def _write_architecture(architecture: Architecture) -> bytes:
    sizes = (architecture.image_size, architecture.classes)
    if network := short_form(architecture):
        return b"".join(map(varint, (FAMILIES[network.family].id, *network.integers, *sizes)))
    return b"".join(map(varint, (_ROWS_FOLLOW, *sizes))) + write_rows(architecture)


def _read_architecture(reader: ByteReader) -> Architecture:
    number = reader.varint("family")
    network = None if number == _ROWS_FOLLOW else _read_network(reader, family_of_id(number))
    image_size = reader.varint("image size")
    classes = reader.varint("number of classes")
    check_image_size(image_size)
    check_class_count(classes)  # before any row or name is made
    if network:
        return network.architecture(classes, image_size)
    architecture = read_rows(reader, image_size, classes)
    if network := short_form(architecture):
        number = FAMILIES[network.family].id
        raise ValueError(f"rows of a network of family {network.family}, expected its number {number}")
    return architecture


def _read_network(reader: ByteReader, family: str) -> Network:
    return Network(family, tuple(reader.varint(limits.name) for limits in FAMILIES[family].integers))


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

"""The packed file as bytes: one self-describing format for every network and precision (no torch, no numpy).

Layout: magic (4 bytes), format version (1 byte), header, then for every parameter of the folded network, in order, its
codec (1 byte), payload length (varint) and payload; last, the CRC-32 of everything before (4 bytes, lowest first).
Names, shapes and the number of tensors follow from the header's architecture, so they take no bytes and cannot lie.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from models.packed.byte_reader import ByteReader, PackedFileError, varint
from models.packed.header import Header, read_header, write_header
from models.packed.precisions import Codec, payload_limits
from models.students.architecture import parameter_shapes

__all__ = [
    "PREFIX_BYTES",
    "Entry",
    "Header",
    "PackedFileError",
    "check_payloads",
    "is_packed",
    "read_container",
    "write_container",
]

MAGIC = b"\x89FIT"  # not ASCII, as in PNG: a transfer that mangles text is noticed at the first byte
PREFIX_BYTES = len(MAGIC)  # enough to distinguish a packed file from any other
FORMAT_VERSION = 2
CHECKSUM_BYTES = 4
_PREFIX = MAGIC + bytes([FORMAT_VERSION])


@dataclass(frozen=True)
class Entry:
    """One stored tensor: the number of its codec and its encoded bytes."""

    codec: int
    payload: bytes


def write_container(header: Header, entries: Sequence[Entry]) -> bytes:
    """Return the file's bytes; ValueError unless there is one entry, of a known codec, per parameter of the network."""
    expected = _tensor_count(header)
    if len(entries) != expected:
        raise ValueError(f"{len(entries)} tensors, expected {expected} for this network")
    body = b"".join((_PREFIX, write_header(header), *map(_write_entry, entries)))
    return body + _checksum(body)


def read_container(data: bytes) -> tuple[Header, list[Entry]]:
    """Return the header and the entries; PackedFileError for truncated, foreign, damaged or hostile bytes.

    Payloads are copied, so memory use is the size of the data; they are decoded by `models.packed.codecs`.
    """
    _check_prefix(data)
    body = memoryview(data)[:-CHECKSUM_BYTES]
    if data[-CHECKSUM_BYTES:] != _checksum(body):
        raise PackedFileError("the check-sum does not match: the file is damaged or cut short")
    reader = ByteReader(body, offset=len(_PREFIX))
    header = read_header(reader)
    entries = [_read_entry(reader) for _ in range(_tensor_count(header))]
    if reader.left:
        raise PackedFileError(f"{reader.left} bytes after the last tensor, expected none")
    return header, entries


def is_packed(data_prefix: bytes) -> bool:
    """Return whether a file that begins with these bytes (at least 4) claims to be a packed file."""
    return data_prefix[: len(MAGIC)] == MAGIC


def check_payloads(header: Header, entries: Sequence[Entry]) -> None:
    """Raise PackedFileError unless every payload has a length that its tensor's shape and codec permit."""
    shapes = parameter_shapes(header.architecture)
    for (name, shape), entry in zip(shapes, entries, strict=True):
        if entry.codec == Codec.BIAS and len(shape) > 1:
            raise PackedFileError(f"{name} {shape} is stored as a bias, expected one axis")
        fewest, most = payload_limits(shape, Codec(entry.codec))
        if not fewest <= len(entry.payload) <= most:
            needed = f"{fewest}" if fewest == most else f"{fewest} to {most}"
            raise PackedFileError(f"{name} has {len(entry.payload)} bytes, its shape {shape} needs {needed}")


def header_bytes(header: Header) -> int:
    """Return the size of everything before the first tensor."""
    return len(_PREFIX) + len(write_header(header))


def entry_bytes(payload_bytes: int) -> int:
    """Return the size of a stored tensor: codec, length and payload."""
    return 1 + len(varint(payload_bytes)) + payload_bytes


def _check_prefix(data: bytes) -> None:
    if not is_packed(data):
        raise PackedFileError(
            f"not a packed file: it begins with {data[: len(MAGIC)].hex()!r}, expected {MAGIC.hex()!r}"
        )
    if len(data) < len(_PREFIX) + CHECKSUM_BYTES:
        raise PackedFileError(f"cut short: {len(data)} bytes, expected at least {len(_PREFIX) + CHECKSUM_BYTES}")
    version = data[len(MAGIC)]
    if version != FORMAT_VERSION:
        known = "is no longer read: pack the student again" if version == 1 else "is unknown"
        raise PackedFileError(f"format version {version} {known}, expected {FORMAT_VERSION}")


def _tensor_count(header: Header) -> int:
    return len(parameter_shapes(header.architecture))


def _write_entry(entry: Entry) -> bytes:
    return bytes([Codec(entry.codec)]) + varint(len(entry.payload)) + entry.payload


def _read_entry(reader: ByteReader) -> Entry:
    codec = reader.byte("codec")
    if codec not in tuple(Codec):
        raise PackedFileError(f"unknown codec {codec}, expected one of {', '.join(str(int(known)) for known in Codec)}")
    return Entry(codec, reader.take(reader.varint("payload length"), "payload"))


def _checksum(body: bytes | memoryview) -> bytes:
    return zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "little")

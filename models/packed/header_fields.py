"""The optional fields at the end of a header: what most files do without, and what comes later (no torch, no numpy).

Layout: number of fields (varint, at least 1), then for each its tag (varint), the length of its value (varint) and the
value; tags ascend. A tag that is not known is refused: a file means what all of its fields say, or nothing.
    1 temperature   what the logits are divided by, in units of 1/256 (2 bytes, lowest first; neither 0 nor 256)
Source of the form: the ancillary chunks of PNG, without the permission to skip them.
"""

from models.packed.byte_reader import ByteReader, PackedFileError, varint

TEMPERATURE_ONE = 256  # parts of a temperature; the largest is 65,535 of them
_TEMPERATURE = 1
_LENGTHS = {_TEMPERATURE: 2}


def check_temperature(temperature: float) -> None:
    """Raise ValueError unless a temperature is a whole number, 1 to 65,535, of 1/256."""
    parts = temperature * TEMPERATURE_ONE
    if not 1 <= parts < 2**16 or parts != int(parts):
        raise ValueError(f"temperature {temperature}, expected a multiple of 1/256 from 1/256 to below 256")


def write_fields(temperature: float) -> bytes:
    """Return the fields that are needed, nothing where none is."""
    if temperature == 1:
        return b""
    value = int(temperature * TEMPERATURE_ONE).to_bytes(_LENGTHS[_TEMPERATURE], "little")
    return varint(1) + varint(_TEMPERATURE) + varint(len(value)) + value


def read_fields(reader: ByteReader) -> float:
    """Return the temperature at the reader's position; PackedFileError for what write_fields does not make."""
    fields: dict[int, bytes] = {}
    for _ in range(_count(reader)):
        tag, length = reader.varint("tag of a field"), reader.varint("length of a field")
        if tag not in _LENGTHS:
            raise PackedFileError(f"header: unknown field {tag}, expected one of {', '.join(map(str, _LENGTHS))}")
        if fields and tag <= max(fields):
            raise PackedFileError(f"header: field {tag} after field {max(fields)}, expected ascending tags")
        if length != _LENGTHS[tag]:
            raise PackedFileError(f"header: field {tag} has {length} bytes, expected {_LENGTHS[tag]}")
        fields[tag] = reader.take(length, "value of a field")
    parts = int.from_bytes(fields[_TEMPERATURE], "little")
    if parts in (0, TEMPERATURE_ONE):
        raise PackedFileError(f"header: a temperature of {parts} / {TEMPERATURE_ONE}, expected neither 0 nor 1")
    return parts / TEMPERATURE_ONE


def _count(reader: ByteReader) -> int:
    count = reader.varint("number of fields")
    if not 1 <= count <= len(_LENGTHS):
        raise PackedFileError(f"header: {count} fields, expected 1 to {len(_LENGTHS)}")
    return count

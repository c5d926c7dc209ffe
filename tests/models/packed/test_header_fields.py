"""The optional fields at the end of a header: byte by byte, and what is none of them refused."""

import pytest

from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.container import Entry, Header, read_container, write_container
from models.packed.header_fields import check_temperature, read_fields, write_fields
from models.students.families import Network

TINY = Network("plain", (1, 0)).architecture(2, 16)
ENTRIES = [Entry(1, bytes(2)) for _ in range(16)]


def read(data: bytes) -> float:
    reader = ByteReader(memoryview(data), offset=0)
    temperature = read_fields(reader)
    assert not reader.left
    return temperature


def test_fields_by_hand():
    assert write_fields(1.0) == b""
    assert write_fields(0.5) == bytes([1, 1, 2, 0x80, 0x00])  # one field, tag 1, two bytes: 128 of 256
    assert write_fields(255.99609375) == bytes([1, 1, 2, 0xFF, 0xFF])


@pytest.mark.parametrize("temperature", [1 / 256, 0.5, 0.99609375, 1.25, 200.0])
def test_a_temperature_is_read_again(temperature):
    assert read(write_fields(temperature)) == temperature


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_header_keeps_its_temperature(temperature):
    header = Header(TINY, ("a", "b"), (1, 2, 3), (4, 5, 6), tta_flip=True, temperature=temperature)
    data = write_container(header, ENTRIES)
    assert read_container(data)[0] == header
    plain = write_container(Header(TINY, ("a", "b"), (1, 2, 3), (4, 5, 6), tta_flip=True), ENTRIES)
    assert len(data) - len(plain) == (0 if temperature == 1 else 5)


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1 / 300, 256.0, float("nan")])
def test_temperatures_that_a_file_cannot_hold(temperature):
    with pytest.raises(ValueError, match=r"temperature .*, expected a multiple of 1/256"):
        check_temperature(temperature)
    with pytest.raises(ValueError, match="temperature"):
        Header(TINY, ("a", "b"), (1, 2, 3), (4, 5, 6), temperature=temperature)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes([0]), "header: 0 fields, expected 1 to 1"),
        (bytes([2, 1, 2, 1, 0, 1, 2, 1, 0]), "header: 2 fields, expected 1 to 1"),
        (bytes([1, 2, 0]), "header: unknown field 2, expected one of 1"),
        (bytes([1, 0, 0]), "header: unknown field 0, expected one of 1"),
        (bytes([1, 1, 1, 9]), "header: field 1 has 1 bytes, expected 2"),
        (bytes([1, 1, 2, 9]), "value of a field: 2 bytes expected at byte 3, 1 left"),
        (bytes([1, 1, 2, 0, 0]), "header: a temperature of 0 / 256, expected neither 0 nor 1"),
        (bytes([1, 1, 2, 0, 1]), "header: a temperature of 256 / 256, expected neither 0 nor 1"),
        (b"", "number of fields: 1 bytes expected at byte 0, 0 left"),
    ],
)
def test_fields_that_are_none(data, message):
    with pytest.raises(PackedFileError, match=message):
        read(data)

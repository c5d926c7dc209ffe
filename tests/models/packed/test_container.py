"""The format byte by byte, and that damaged, foreign and hostile files are refused with one kind of error."""

import zlib
from dataclasses import replace

import pytest

from models.packed.byte_reader import ByteReader, varint
from models.packed.container import (
    Entry,
    Header,
    PackedFileError,
    check_payloads,
    entry_bytes,
    is_packed,
    read_container,
    write_container,
)
from models.packed.header import default_classes
from models.students.families import Network
from models.students.short_form import short_form

TINY = Network("plain", (1, 0))
PREFIX = bytes.fromhex("89464954") + b"\x02"
# family 1, width 1, hidden 0, 16 pixels, 2 classes, no flags, mean 1 2 3, std 4 5 6
HEADER_BYTES = bytes([1, 1, 0, 16, 2, 0, 1, 2, 3, 4, 5, 6])
ENTRIES = [Entry(1, bytes([number, 0])) for number in range(16)]
ENTRY_BYTES = b"".join(bytes([1, 2, number, 0]) for number in range(16))


def header(**changes) -> Header:
    fields = {"network": TINY, "image_size": 16, "classes": ("0", "1"), "mean": (1, 2, 3), "std": (4, 5, 6)} | changes
    network, image_size = fields.pop("network"), fields.pop("image_size")
    return Header(network.architecture(len(fields["classes"]), image_size), **fields)


def sealed(body: bytes) -> bytes:
    """Return the body with a check-sum that is right, as a hostile author would."""
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_the_format_by_hand():
    assert write_container(header(), ENTRIES) == sealed(PREFIX + HEADER_BYTES + ENTRY_BYTES)


@pytest.mark.parametrize(("name", "bit"), [("inductive", 1), ("final", 2), ("tta_flip", 8)])
def test_a_flag_is_a_bit(name, bit):
    flagged = HEADER_BYTES[:5] + bytes([bit]) + HEADER_BYTES[6:]
    assert write_container(header(**{name: True}), ENTRIES) == sealed(PREFIX + flagged + ENTRY_BYTES)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"inductive": True},
        {"final": True},
        {"tta_flip": True},
        {"tta_flip": True, "final": True, "classes": ("bread", "rice")},
        {"inductive": True, "final": True, "classes": ("bread", "mì", "餃子")},
        {"mean": (0, 0, 0), "std": (255, 255, 255)},
        {"network": Network("plain", (130, 0)), "image_size": 64},
    ],
)
def test_what_is_written_is_read(changes):
    assert read_container(write_container(header(**changes), ENTRIES)) == (header(**changes), ENTRIES)


def test_every_family_is_read():
    for network, tensors in ((Network("grouped", (8, 1, 0, 4)), 24), (Network("studentnet", (2,)), 32)):
        entries = [Entry(0, b"") for _ in range(tensors)]
        found, _ = read_container(write_container(header(network=network), entries))
        assert short_form(found.architecture) == network


def test_class_names_take_bytes_only_when_they_are_not_the_default():
    numbered = len(write_container(header(), ENTRIES))
    assert len(write_container(header(classes=("0", "two")), ENTRIES)) == numbered + len(b"\x010\x03two")
    assert len(write_container(header(classes=default_classes(100)), ENTRIES)) == numbered


def test_is_packed_reads_the_first_bytes():
    assert is_packed(write_container(header(), ENTRIES)[:4])
    assert not any(is_packed(prefix) for prefix in (b"", b"\x89FI", b"PK\x03\x04", b"\x89PNG"))


def test_entry_bytes_count_the_framing():
    assert [entry_bytes(size) for size in (0, 127, 128, 16_384)] == [2, 129, 131, 16_388]


def test_truncation_at_every_byte_is_refused():
    data = write_container(header(classes=("a", "bc")), ENTRIES)
    for length in range(len(data)):
        with pytest.raises(PackedFileError, match=r"not a packed file|cut short|check-sum"):
            read_container(data[:length])


def test_truncation_with_a_right_check_sum_is_refused():
    body = write_container(header(classes=("a", "bc")), ENTRIES)[:-4]
    for length in range(len(PREFIX), len(body)):
        with pytest.raises(PackedFileError, match=r"bytes expected at byte \d+, \d+ left"):
            read_container(sealed(body[:length]))


def test_every_flipped_bit_is_refused():
    data = write_container(header(), ENTRIES)
    for position in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(PackedFileError, match=r"not a packed file|format version|check-sum"):
            read_container(bytes(flipped))


@pytest.mark.parametrize("foreign", [b"", b"\x89", b"PK\x03\x04" + bytes(50), b"\x89PNG\r\n\x1a\n", bytes(1000)])
def test_foreign_bytes_are_refused(foreign):
    with pytest.raises(PackedFileError, match="not a packed file"):
        read_container(foreign)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (1, "^format version 1 is no longer read: pack the student again, expected 2$"),
        (3, "^format version 3 is unknown, expected 2$"),
    ],
)
def test_another_version_is_refused(version, message):
    with pytest.raises(PackedFileError, match=message):
        read_container(sealed(PREFIX[:4] + bytes([version]) + HEADER_BYTES + ENTRY_BYTES))


def test_trailing_bytes_are_refused():
    data = write_container(header(), ENTRIES)
    with pytest.raises(PackedFileError, match="check-sum"):
        read_container(data + b"\x00")
    with pytest.raises(PackedFileError, match="3 bytes after the last tensor"):
        read_container(sealed(data[:-4] + b"abc"))


@pytest.mark.parametrize(
    ("header_bytes", "message"),
    [
        (bytes([99]) + HEADER_BYTES[1:], "unknown network family number 99"),
        (bytes([1, 0]) + HEADER_BYTES[2:], "width 0, expected 1 to 512"),
        (bytes([1]) + varint(2**32 - 1) + HEADER_BYTES[2:], "width 4294967295, expected 1 to 512"),
        (bytes([1]) + b"\xff" * 9 + b"\x01" + HEADER_BYTES[2:], "width: not a number of at most 5 bytes"),
        (bytes([1, 0x81, 0x00]) + HEADER_BYTES[2:], "width: not a number .* in its shortest form"),
        (bytes([1, 1, 0, 17]) + HEADER_BYTES[4:], "image size 17, expected a multiple of 16"),
        (bytes([1, 1, 0, 16, 1]) + HEADER_BYTES[5:], "number of classes 1, expected 2 to 65535"),
        (bytes([1, 1, 0, 16]) + varint(2**32 - 1) + HEADER_BYTES[5:], "number of classes 4294967295"),
        (bytes([1, 1, 0, 16]) + b"\x80" * 8 + b"\x10" + HEADER_BYTES[5:], "number of classes: not a number"),
        (
            bytes([1]) + varint(512) + varint(4096) + varint(1024) + varint(65_535) + bytes(7),
            "expected at most 16777216",
        ),
        (bytes([1, 1, 0, 16, 2, 32]) + HEADER_BYTES[6:], "flags 0x20"),
        (bytes([1, 1, 0, 16, 2, 16]) + HEADER_BYTES[6:] + bytes([1, 9, 0]), "unknown field 9, expected one of 1"),
        (bytes([1, 1, 0, 16, 2, 4]) + varint(2**31) + HEADER_BYTES[6:], "class name: 2147483648 bytes expected"),
        (bytes([1, 1, 0, 16, 2, 4]) + b"\x01a\x01a" + HEADER_BYTES[6:], "class name 'a' occurs twice"),
        (bytes([1, 1, 0, 16, 2, 4]) + b"\x00\x01a" + HEADER_BYTES[6:], "a class name of 0 bytes"),
        (bytes([1, 1, 0, 16, 2, 4]) + b"\x010\x011" + HEADER_BYTES[6:], "are stored, expected none"),
        (bytes([1, 1, 0, 16, 2, 4]) + b"\x01\xff\x01a" + HEADER_BYTES[6:], "codec can't decode byte 0xff"),
        (HEADER_BYTES[:-1] + b"\x00", r"std \(4, 5, 0\), expected three whole numbers from 1"),
    ],
)
def test_hostile_headers_are_refused(header_bytes, message):
    with pytest.raises(PackedFileError, match=message) as caught:
        read_container(sealed(PREFIX + header_bytes + ENTRY_BYTES))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (b"\x07\x00", "unknown codec 7, expected one of 0, 1, 2, 3, 4, 5, 6"),
        (b"\x01" + varint(2**32 - 1), "payload: 4294967295 bytes expected"),
        (b"\x01" + b"\xff" * 9 + b"\x01", "payload length: not a number"),
    ],
)
def test_hostile_entries_are_refused(entry, message):
    with pytest.raises(PackedFileError, match=message):
        read_container(sealed(PREFIX + HEADER_BYTES + entry + ENTRY_BYTES))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("only",)}, "number of classes 1, expected 2"),
        ({"classes": ("a", "a")}, "'a' occurs twice"),
        ({"classes": ("a", "b" * 1025)}, "a class name of 1025 bytes"),
        ({"std": (1, 0, 1)}, r"std \(1, 0, 1\)"),
        ({"mean": (1, 256, 1)}, r"mean \(1, 256, 1\)"),
        ({"mean": (0.5, 0.5, 0.5)}, "three whole numbers"),
        ({"image_size": 50}, "image size 50"),
    ],
)
def test_a_header_that_no_file_can_hold_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        header(**changes)


def test_class_names_and_the_head_agree():
    with pytest.raises(ValueError, match="3 class names, the network has 2 classes"):
        replace(header(), classes=("a", "b", "c"))


def test_the_wrong_number_of_tensors_is_not_written():
    with pytest.raises(ValueError, match="15 tensors, expected 16"):
        write_container(header(), ENTRIES[1:])
    with pytest.raises(ValueError, match="9 is not a valid Codec"):
        write_container(header(), [Entry(9, b""), *ENTRIES[1:]])


def test_payloads_that_their_shape_cannot_have_are_named():
    header_only = [Entry(0, bytes(4 * weights)) for weights in (27, 1, 9, 1, 18, 2, 36, 2, 72, 4, 144, 4, 144, 4, 8, 2)]
    check_payloads(header(), header_only)
    with pytest.raises(PackedFileError, match=r"conv1.bias has 3 bytes, its shape \(1,\) needs 4"):
        check_payloads(header(), [header_only[0], Entry(0, bytes(3)), *header_only[2:]])
    with pytest.raises(PackedFileError, match=r"conv1.weight has 4 bytes, its shape \(1, 3, 3, 3\) needs 5 to 1108"):
        check_payloads(header(), [Entry(5, bytes(4)), *header_only[1:]])


@pytest.mark.parametrize(("value", "expected"), [(0, "00"), (127, "7f"), (128, "8001"), (2**32 - 1, "ffffffff0f")])
def test_varints_by_hand(value, expected):
    assert varint(value).hex() == expected
    assert ByteReader(memoryview(bytes.fromhex(expected)), offset=0).varint("it") == value


@pytest.mark.parametrize("value", [-1, 2**32])
def test_varints_have_a_limit(value):
    with pytest.raises(ValueError, match=f"cannot store {value}"):
        varint(value)

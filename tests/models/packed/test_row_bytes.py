"""Rows byte by byte; every other spelling, and every network that cannot be, is refused."""

import random

import pytest

from models.packed.byte_reader import ByteReader, PackedFileError, varint
from models.packed.container import Entry, Header, read_container, write_container
from models.packed.row_bytes import read_rows, write_rows
from models.students.architecture import Architecture, parameter_shapes
from models.students.families import FAMILIES, STUDENTS, Network
from models.students.rows import Conv, Linear, Operation, numbered
from models.teachers.reference_cnn import reference_architecture
from tests.models.compress.made_students import NETWORKS
from tests.models.packed.made_rows import SMALLEST, irregular
from tests.models.packed.test_container import PREFIX, sealed

# conv with norm (4), pool (8) and relu (16), 5 outputs; global_pool; flatten
SMALLEST_BYTES = bytes([3, 4 + 8 + 16, 5, 2, 2 + (1 << 2)])
IRREGULAR_BYTES = bytes(
    [
        *(16,),  # rows; the head is not one of them
        *(2 + (6 << 2),),  # pixel_unshuffle
        *(
            4 + 16,
            6,
        ),
        *(2 + (8 << 2),),  # silu
        *(
            3,
            3,
            4 + 16,
            5,
            4,
            6,
        ),  # residual of three rows: conv, conv without activation
        *(
            3 + (2 << 2),
            3,
            2 + (7 << 2),
            16 + 64,
            1,
            1,
            48 + 64,
            6,
            1,
        ),  # squeeze of three: mean_max_pool, 1x1, 1x1 with hard_sigmoid
        *(
            4 + 8 + 32,
            11,
        ),  # relu6
        *(
            3 + 16 + 32,
            2,
            2,
            4 + 16,
            7,
            4 + 16,
            11,
        ),  # residual, not rectified, twice, of two rows
        *(
            64,
            4,
            1,
        ),
        *(
            4 + 16 + 64,
            13,
            5,
        ),
        *(
            3 + (1 << 2),
            1,
            4 + 16,
            3,
        ),  # dense of one row
        *(
            2 + (4 << 2),
            4,
        ),  # shuffle of four groups
        *(
            4 + 16 + 128,
            0xC8,
            1,
            4,
        ),  # 200 outputs, four groups
        *(2 + (2 << 2),),  # dropout2d
        *(
            2 + (5 << 2),
            2,
        ),  # average_pool to 2 x 2
        *(2 + (1 << 2),),  # flatten
        *(
            1 + 16,
            10,
        ),  # linear with relu
        *(2 + (3 << 2),),  # dropout
    ]
)
LAST = bytes([0, 1, 2, 3, 4, 5, 6])  # no flags; mean 1 2 3, std 4 5 6


def read(data: bytes, image_size: int = 16, classes: int = 2) -> Architecture:
    return read_rows(ByteReader(memoryview(data), offset=0), image_size, classes)


def with_numbers(architecture: Architecture) -> Architecture:
    return Architecture(numbered(architecture.rows), architecture.image_size)


def test_rows_by_hand():
    assert write_rows(SMALLEST) == SMALLEST_BYTES
    assert write_rows(irregular()) == IRREGULAR_BYTES
    assert len(IRREGULAR_BYTES) == 52  # for 13 layers with weights and 8 without, in blocks and not


def test_kernels_of_one_row_or_column_by_hand():
    tall, wide = Conv("conv1", 3, 4, form="tall"), Conv("conv2", 4, 5, kernel=5, norm=False, form="wide")
    rows = (tall, wide, Operation("global_pool3", "global_pool"), Operation("flatten4", "flatten"))
    architecture = Architecture((*rows, Linear("linear5", 5, 2)), 16)
    data = bytes([4, 4 + 16 + 64, 4, 2 * 3, 16 + 64, 5, 4 * 5, 2, 2 + (1 << 2)])
    assert write_rows(architecture) == data
    assert read(data) == architecture


def test_what_is_written_is_read():
    assert read(SMALLEST_BYTES) == with_numbers(SMALLEST)
    assert read(IRREGULAR_BYTES, classes=3) == with_numbers(irregular())


def test_names_are_kind_and_place():
    names = [name for name, _ in parameter_shapes(read(IRREGULAR_BYTES, classes=3)) if name.endswith("weight")]
    assert [name.removesuffix(".weight") for name in names] == [
        *("conv2", "residual4.conv1", "residual4.conv2", "residual4.squeeze3.conv2", "residual4.squeeze3.conv3"),
        *("conv5", "residual6.conv1", "residual6.conv2", "conv7", "conv8", "dense9.conv1", "conv11"),
        *("linear15", "linear17"),
    ]


@pytest.mark.parametrize("network", NETWORKS)
def test_rows_of_every_family_can_be_written_and_read(network):
    architecture = network.architecture(11, 64)
    assert read(write_rows(architecture), 64, 11) == with_numbers(architecture)


def test_a_header_of_rows_by_hand():
    header = Header(SMALLEST, ("0", "1"), (1, 2, 3), (4, 5, 6))
    entries = [Entry(1, b"")] * 4
    data = write_container(header, entries)
    assert data == sealed(PREFIX + bytes([0, 16, 2]) + SMALLEST_BYTES + LAST + b"\x01\x00" * 4)
    found, _ = read_container(data)
    assert found == Header(with_numbers(SMALLEST), ("0", "1"), (1, 2, 3), (4, 5, 6))
    assert write_container(found, entries) == data


def test_the_reference_cnn_takes_nineteen_bytes():
    rows = write_rows(reference_architecture(11, 64))
    convolutions = [28, 64, 28, 0x80, 1, 28, 0x80, 2, 28, 0x80, 4, 20, 0x80, 4]
    assert rows == bytes([7, *convolutions, 6, 17, 0xF8, 5])


@pytest.mark.parametrize("network", [*NETWORKS, Network("tied", (4, 1, 8)), STUDENTS["reference-group-one"]])
def test_rows_of_a_family_are_written_by_its_number_and_refused_otherwise(network):
    for architecture in (network.architecture(2, 16), with_numbers(network.architecture(2, 16))):
        count = len(parameter_shapes(architecture))
        data = write_container(Header(architecture, ("0", "1"), (1, 2, 3), (4, 5, 6)), [Entry(1, b"")] * count)
        assert data[5] != 0
        twin = sealed(PREFIX + bytes([0, 16, 2]) + write_rows(architecture) + LAST + b"\x01\x00" * count)
        with pytest.raises(
            PackedFileError, match=r"header: rows of a network of family [a-z]+, expected its number \d"
        ):
            read_container(twin)


def test_a_family_keeps_its_own_number_where_another_differs_in_names_alone():
    tied, residual = Network("tied", (4, 1, 8)).architecture(2, 16), Network("residual", (4, 1, 8)).architecture(2, 16)
    assert numbered(tied.rows) == numbered(residual.rows)
    first = [
        write_container(Header(one, ("0", "1"), (1, 2, 3), (4, 5, 6)), [Entry(1, b"")] * len(parameter_shapes(one)))[5]
        for one in (tied, residual, with_numbers(tied))
    ]
    assert first == [FAMILIES["tied"].id, FAMILIES["residual"].id, FAMILIES["residual"].id]


CONV, HEAD = bytes([28, 5]), bytes([2, 6])  # as in SMALLEST


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (bytes([0x83, 0]) + CONV + HEAD, "number of rows: not a number .* in its shortest form"),
        (bytes([3, 28, 0x85, 0]) + HEAD, "outputs: not a number .* in its shortest form"),
        (varint(2049) + CONV, "2049 rows, expected at most 2048"),
        (varint(2**32 - 1) + CONV, "4294967295 rows, expected at most 2048"),
        (bytes([4]) + CONV + bytes([3]) + varint(2045), "2049 rows, expected at most 2048"),
        (bytes([3, 28, 0]) + HEAD, "conv1: outputs 0, expected 1 to 65535"),
        (bytes([3, 28]) + varint(65_536) + HEAD, "conv1: outputs 65536, expected 1 to 65535"),
        (bytes([3, 28 + 64, 5, 3]) + HEAD, "kernel 3 stored, expected none"),
        (bytes([3, 28 + 64, 5, 8]) + HEAD, "conv1: kernel 8, expected an odd one"),
        (bytes([3, 28 + 64, 5, 17]) + HEAD, "conv1: kernel 17, expected 1 to 15"),
        (bytes([3, 28 + 64, 5, 0]) + HEAD, "conv1: kernel 0, expected 1 to 15"),
        (bytes([3, 28 + 128, 5, 1]) + HEAD, "groups 1 stored, expected none"),
        (bytes([3, 28 + 128, 6, 2]) + HEAD, "conv1: 2 groups, expected a divisor of 3 inputs and 6 outputs"),
        (bytes([3, 28 + 128, 5, 3]) + HEAD, "conv1: 3 groups, expected a divisor of 3 inputs and 5 outputs"),
        (bytes([3, 28 + 128, 5, 4]) + HEAD, "conv1: groups 4, expected 1 to 3"),
        (bytes([7]) + CONV * 5 + HEAD, "conv5: pools maps of a single pixel"),
        (bytes([2]) + CONV + bytes([2]), "linear3: follows maps of 1 pixels per side, expected a flatten between"),
        (bytes([3, 1, 9]) + HEAD, "linear1: follows maps of 16 pixels per side"),
        (bytes([4]) + CONV + HEAD + CONV, "conv4: follows a flatten, expected a linear layer or dropout there"),
        (bytes([4]) + CONV + HEAD + bytes([6]), "flatten4: follows a flatten"),
        (bytes([4]) + CONV + HEAD + bytes([1 + 4, 9]), "row 0x05: unknown bits, expected none beyond 0x31"),
        (bytes([4]) + CONV + HEAD + bytes([1 + 128, 9]), "row 0x81: unknown bits"),
        (bytes([4]) + CONV + bytes([2 + (9 << 2)]) + HEAD, "row 0x26: an operation of kind 9"),
        (
            bytes([5]) + bytes([28 + 64, 5, 1]) * 3 + bytes([2 + (6 << 2)] * 2) + HEAD,
            "pixel_unshuffle5: maps of 1 pixels per side, expected an even number",
        ),
        (bytes([6]) + CONV * 4 + bytes([2 + (6 << 2)]) + HEAD, "pixel_unshuffle5: maps of 1 pixels per side"),
        (bytes([4]) + CONV + bytes([2 + 128]) + HEAD, "row 0x82: an operation of kind 32"),
        (bytes([4]) + CONV + bytes([2 + (3 << 2)]) + HEAD, "dropout2: dropout of maps, expected dropout2d"),
        (bytes([4]) + CONV + bytes([2 + (4 << 2), 2]) + HEAD, "shuffle2: 2 groups, expected a divisor of 5 channels"),
        (bytes([4]) + CONV + bytes([2 + (4 << 2), 1]) + HEAD, "shuffle2: groups 1, expected 2 to 5"),
        (bytes([4]) + CONV + bytes([2 + (5 << 2), 8]) + HEAD, "average_pool2: side 8, expected 2 to 7"),
        (bytes([4]) + CONV + bytes([2 + (5 << 2), 1]) + HEAD, "average_pool2: side 1, expected 2 to 7"),
        (bytes([4]) + CONV + bytes([3 + (3 << 2), 1]) + CONV + HEAD, "row 0x0f: a block of kind 3"),
        (bytes([4]) + CONV + bytes([3 + 64, 1]) + CONV + HEAD, "row 0x43: unknown bits, expected none beyond 0x3f"),
        (bytes([4]) + CONV + bytes([3, 0]) + HEAD, "residual2: a block without a convolution"),
        (bytes([4]) + CONV + bytes([3, 1, 10]) + HEAD, "residual2: a block without a convolution"),
        (
            bytes([4]) + CONV + bytes([3, 1, 20, 4]) + HEAD,
            "residual2: residual: its layers give 4 channels of 8 pixels per side, expected 5 channels of 8",
        ),
        (
            bytes([4]) + CONV + bytes([3, 1]) + CONV + HEAD,
            "its layers give 5 channels of 4 pixels per side, expected 5",
        ),
        (bytes([4]) + CONV + bytes([3 + 8, 1, 20, 5]) + HEAD, "squeeze2: squeeze: its layers give .* of 8 .* of 1 "),
        (bytes([4]) + CONV + bytes([3, 2, 20, 5, 6]) + HEAD, "residual2: residual: its layers give 320 channels of 0"),
        (bytes([4]) + CONV + bytes([3 + 32, 1, 1, 20, 5]) + HEAD, "times 1 stored, expected none"),
        (bytes([4]) + CONV + bytes([3 + 32, 0, 1, 20, 5]) + HEAD, "residual2: times 0, expected 1 to 64"),
        (bytes([4]) + CONV + bytes([3 + 32, 65, 1, 20, 5]) + HEAD, "residual2: times 65, expected 1 to 64"),
        (
            bytes([4]) + CONV + bytes([3 + 32, 8, 1, 3 + 32, 9, 1, 20, 5]) + HEAD,
            "residual2: residual1: times 9, expected 1 to 8",
        ),
        (bytes([4]) + CONV + bytes([3 + 4 + 32, 2, 1, 20, 5]) + HEAD, "dense2: dense: times 2, rectified True, which"),
        (bytes([4]) + CONV + bytes([3 + 4 + 16, 1, 20, 5]) + HEAD, "dense2: dense: times 1, rectified False, which"),
        (bytes([4]) + CONV + bytes([3, 1]) * 5 + bytes([20, 5]) + HEAD, "blocks inside each other, expected at most 4"),
        (bytes([1]) + bytes([3, 1]) * 1023, "blocks inside each other, expected at most 4"),
        (
            bytes([4, 28]) + varint(60_000) + bytes([3 + 4, 1, 20]) + varint(60_000) + HEAD,
            "120000, expected 1 to 65535",
        ),
    ],
)
def test_rows_that_no_network_has_are_refused(rows, message):
    with pytest.raises(PackedFileError, match=message) as caught:
        read_container(sealed(PREFIX + bytes([0, 16, 2]) + rows + LAST))
    assert "\n" not in str(caught.value)


def test_rows_that_are_cut_short_are_refused():
    body = PREFIX + bytes([0, 16, 3]) + IRREGULAR_BYTES + LAST
    for length in range(len(PREFIX), len(body)):
        with pytest.raises(PackedFileError, match=r"bytes expected at byte \d+, \d+ left"):
            read_container(sealed(body[:length]))


def test_too_many_parameters_or_activations_are_refused_by_arithmetic():
    wide = bytes([4, 28]) + varint(4096) + bytes([20]) + varint(456) + HEAD
    with pytest.raises(PackedFileError, match=r"the network has 16\d{6} parameters, expected at most 16777216"):
        read_container(sealed(PREFIX + bytes([0, 16, 2]) + wide + LAST))
    large = bytes([3, 28 + 64]) + varint(1025) + bytes([1]) + HEAD
    with pytest.raises(PackedFileError, match=r"conv1: 1025 channels of 1024 .* expected at most 1073741824 values"):
        read_container(sealed(PREFIX + bytes([0]) + varint(1024) + bytes([2]) + large + LAST))


def test_what_is_read_of_mutated_rows_is_written_as_the_same_bytes():
    """One spelling: no two tables of bytes are read as the same network."""
    chance, read_at_all = random.Random(3), 0
    for _ in range(3000):
        changed = bytearray(IRREGULAR_BYTES)
        for _ in range(chance.randint(1, 2)):
            changed[chance.randrange(len(changed))] = chance.choice((chance.randrange(256), chance.randrange(20)))
        reader = ByteReader(memoryview(bytes(changed)), offset=0)
        try:
            architecture = read_rows(reader, 16, 3)
        except ValueError:
            continue
        read_at_all += 1
        assert write_rows(architecture) == bytes(changed[: reader.offset])
    assert read_at_all > 100

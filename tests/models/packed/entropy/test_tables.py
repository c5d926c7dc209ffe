"""Frequency tables from a few bytes: by hand, and always 65,536 in sum."""

from itertools import pairwise

import numpy as np
import pytest

from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.tables import CURVE, HISTOGRAM, TOTAL, read_frequencies, scaled, small_float

ONE = 0x60  # small_float(0x60) = 16 << 6: as frequent as magnitude 1
HALF = 0xF0  # 16 << 15 = 2**19: half of a fall or bend
SLIGHT = 0x00  # 16 / 2**20: all but no fall or bend


def table(description: bytes, lowest: int, count: int) -> list[int]:
    return read_frequencies(ByteReader(memoryview(description), offset=0), lowest, count).tolist()


def test_small_floats_by_hand():
    assert [small_float(byte) for byte in (0x00, 0x01, 0x0F, 0x10, 0x1F, 0xFF)] == [16, 17, 31, 32, 62, 31 << 15]
    values = [small_float(byte) for byte in range(256)]
    assert all(before < after <= before * 17 / 16 for before, after in pairwise(values))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1, 1], [32768, 32768]),
        ([3, 1], [49152, 16384]),
        ([1, 1, 1], [21846, 21845, 21845]),  # the one that is missing goes to the first of equals
        ([0, 0], [32768, 32768]),
        ([65535, 1, 0], [65534, 1, 1]),
        ([10**9, 0, 0, 0], [65533, 1, 1, 1]),
        ([1, 2, 5], [8192, 16384, 40960]),
    ],
)
def test_scaled_weights_by_hand(weights, expected):
    assert scaled(weights).tolist() == expected


@pytest.mark.parametrize("count", [2, 3, 17, 255, 256])
def test_scaled_weights_always_add_up(count):
    random = np.random.default_rng(count)
    for spread in (0, 1, 5, 20):
        weights = np.exp(random.normal(0, spread, count)).clip(0, 2**34).astype(np.int64)
        frequencies = scaled(weights.tolist())
        assert frequencies.sum() == TOTAL
        assert frequencies.min() >= 1


@pytest.mark.parametrize(
    ("parameters", "lowest", "expected"),
    [
        # weights 1/4 1/2 1 | 1 | 1 1/2 1/4 (all but no bend): 65536 / 4.5 = 14563.6
        ((ONE, HALF, SLIGHT), -3, [3641, 7282, 14564, 14564, 14564, 7282, 3641]),
        # the bend halves the ratio each time: 1/8 1/2 1 | 1 | 1 1/2 1/8, 65536 / 4.25 = 15420.2
        ((ONE, HALF, HALF), -3, [1928, 7710, 15420, 15420, 15420, 7710, 1928]),
        # four times as many zeros: 1 | 4 | 1
        ((0x80, HALF, SLIGHT), -1, [10923, 43691, 10922]),
    ],
)
def test_curves_by_hand(parameters, lowest, expected):
    found = table(bytes([CURVE, *parameters]), lowest, len(expected))
    assert sum(found) == TOTAL
    assert np.abs(np.array(found) - expected).max() <= 1


def test_a_curve_knows_where_zero_is():
    # 4 : 1, the slot that is missing to the first
    assert table(bytes([CURVE, 0x80, HALF, SLIGHT]), 0, 2) == [52429, 13107]
    assert table(bytes([CURVE, 0x80, HALF, SLIGHT]), 1, 2) == [43691, 21845]  # 1 : 1/2


def test_a_histogram_by_hand():
    assert table(bytes([HISTOGRAM, 0x00, 0x10, 0x10, 0x30]), -2, 4) == [5041, 10082, 10082, 40331]  # 1 2 2 8


@pytest.mark.parametrize("kind", [CURVE, HISTOGRAM])
@pytest.mark.parametrize("lowest", [-128, -3, 0, 90])
def test_any_bytes_make_a_table(kind, lowest):
    random = np.random.default_rng(lowest + 128)
    for _ in range(50):
        count = int(random.integers(2, 128 - max(lowest, 0) + min(128, -min(lowest, 0))))
        found = table(bytes([kind, *random.integers(0, 256, 256).tolist()]), lowest, count)
        assert (sum(found), len(found)) == (TOTAL, count)
        assert min(found) >= 1


def test_descriptions_that_are_none():
    with pytest.raises(PackedFileError, match="unknown kind of frequency table 2, expected 0 or 1"):
        table(bytes([2, 0, 0, 0]), -1, 3)
    with pytest.raises(PackedFileError, match="frequency table: 3 bytes expected at byte 1, 2 left"):
        table(bytes([CURVE, 0, 0]), -1, 3)
    with pytest.raises(PackedFileError, match="frequency table: 16 bytes expected at byte 1, 15 left"):
        table(bytes([HISTOGRAM, *range(15)]), -8, 16)
    with pytest.raises(PackedFileError, match="kind of frequency table: 1 bytes expected at byte 0, 0 left"):
        table(b"", -1, 3)

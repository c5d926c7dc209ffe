"""The range coder: exact decoding, streams near the ideal size, and the same bytes on every machine."""

import numpy as np
import pytest

from models.packed.byte_reader import PackedFileError
from models.packed.entropy import range_coder
from models.packed.entropy.fit import ideal_bits
from models.packed.entropy.range_coder import decode, encode
from models.packed.entropy.tables import TOTAL, scaled


def sample(frequencies: np.ndarray, count: int, *, lowest: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).choice(len(frequencies), count, p=frequencies / TOTAL)
    return (drawn + lowest).astype(np.int8)


def exact_stream(codes: list[int], frequencies: np.ndarray, lowest: int) -> bytes:
    """The coder once more, in whole numbers of any length: 64 bits of range, 24 bits of frequency, 32-bit words."""
    count = len(frequencies)
    sums = [int(frequencies[:end].sum()) * (2**24 - count) // TOTAL + end for end in range(count)] + [2**24]
    low, span, words = 0, 2**64 - 1, 0
    for code in codes:
        step = span >> 24
        low, span = low + step * sums[code - lowest], step * (sums[code - lowest + 1] - sums[code - lowest])
        if span < 2**32:
            low, span, words = low << 32, span << 32, words + 1
    end = (low + 2**32 - 1) >> 32
    return b"".join((end >> 32 * place & 2**32 - 1).to_bytes(4, "little") for place in range(words, -1, -1))


@pytest.mark.parametrize("count", [2, 3, 16, 256])
def test_the_stream_is_that_of_exact_arithmetic(count):
    random = np.random.default_rng(count)
    for seed in range(20):
        frequencies = scaled(np.exp(random.normal(0, 3, count)).astype(int).tolist())
        codes = sample(frequencies, 200, lowest=-(count // 2), seed=seed)
        exact = exact_stream(codes.tolist(), frequencies, -(count // 2))
        assert encode(codes, frequencies, -(count // 2)) == exact.rstrip(b"\0")


def test_a_stream_by_hand():
    # code 1 of 4096 parts 1 : 1000 : 3000 : 95 begins at 1/4096 of 2**64: 0x0010.. and a little for the four places
    codes, frequencies = np.array([1, 2, 3, 0, 2, 2, 1], np.int8), np.array([1, 1000, 3000, 95])
    assert encode(codes, frequencies, 0) == bytes.fromhex("ab230d3c")
    assert decode(bytes.fromhex("ab230d3c"), 7, frequencies, 0).tolist() == codes.tolist()


@pytest.mark.parametrize(("count", "lowest"), [(2, 0), (2, -128), (3, -1), (16, -8), (16, 112), (64, -32), (256, -128)])
def test_codes_are_decoded_exactly(count, lowest):
    frequencies = scaled([1 + (place * 7) % 5 for place in range(count)])
    for length in (1, 2, 3, 100, 5000):
        codes = sample(frequencies, length, lowest=lowest, seed=length)
        decoded = decode(encode(codes, frequencies, lowest), length, frequencies, lowest)
        assert decoded.dtype == np.int8
        assert np.array_equal(decoded, codes)


@pytest.mark.parametrize("count", [3, 4, 8, 16, 64, 256])
def test_the_stream_is_nearly_as_short_as_the_ideal(count):
    centre = (count - 1) / 2
    frequencies = scaled([int(1000 * np.exp(-(((place - centre) / count * 5) ** 2))) for place in range(count)])
    codes = sample(frequencies, 600_000, lowest=-(count // 2))
    promised = ideal_bits(np.bincount(codes.astype(int) + count // 2, minlength=count), frequencies) / 8
    assert len(encode(codes, frequencies, -(count // 2))) <= 1.001 * promised + 4


def test_one_code_takes_no_bytes():
    codes = np.full(1000, -7, np.int8)
    assert encode(codes, np.array([TOTAL]), -7) == b""
    assert np.array_equal(decode(b"", 1000, np.array([TOTAL]), -7), codes)


def test_pieces_make_no_difference(monkeypatch):
    frequencies = scaled([1, 5, 9, 5, 1])
    codes = sample(frequencies, 1000, lowest=-2)
    whole = encode(codes, frequencies, -2)
    monkeypatch.setattr(range_coder, "CHUNK", 7)
    assert encode(codes, frequencies, -2) == whole
    assert np.array_equal(decode(whole, 1000, frequencies, -2), codes)


def test_a_stream_ends_in_no_zero_and_zeros_change_nothing():
    frequencies = np.array([4094, 1, 1])
    codes = np.zeros(100, np.int8)
    assert encode(codes, frequencies, 0) == b""  # the lowest stretch of all: nothing but zeros
    assert np.array_equal(decode(b"", 100, frequencies, 0), codes)
    for seed in range(300):
        stream = encode(sample(frequencies, 500, lowest=0, seed=seed), frequencies, 0)
        assert not stream.endswith(b"\0")
        assert np.array_equal(decode(stream, 500, frequencies, 0), decode(stream + bytes(9), 500, frequencies, 0))


@pytest.mark.parametrize("stream", [b"", b"\x40", b"\x01" * 400, bytes(range(256))])
def test_most_bytes_decode_to_some_codes(stream):
    codes = decode(stream, 300, scaled([3, 1, 1, 3]), -2)
    assert codes.shape == (300,)
    assert set(codes.tolist()) <= {-2, -1, 0, 1}


def test_a_point_beyond_all_codes_is_refused():
    with pytest.raises(PackedFileError, match="no 300 codes give this stream of 400 bytes"):
        decode(b"\xff" * 400, 300, scaled([3, 1, 1, 3]), -2)


def test_a_code_without_a_frequency_is_refused():
    with pytest.raises(KeyError, match="zero probability"):
        encode(np.array([0, 2], np.int8), np.array([2048, 2048]), 0)

"""rANS: exact decoding, streams near the ideal size, one stream for the same symbols, and the same bytes everywhere."""

import numpy as np
import pytest

from models.packed.byte_reader import PackedFileError
from models.packed.entropy import ans
from models.packed.entropy.ans import TOTAL, Decoder, Encoder
from models.packed.entropy.tables import scaled


def rows_of(*tables: list[int]) -> np.ndarray:
    """Tables of frequencies as rows."""
    return np.array([[0, *np.cumsum(scaled(weights))] for weights in tables])


def encoded(symbols: np.ndarray, rows: np.ndarray, which: np.ndarray | None = None) -> bytes:
    encoder = Encoder()
    encoder.code(rows, np.zeros(len(symbols), np.int64) if which is None else which, symbols.astype(np.uint8))
    return encoder.finish()


def decoded(stream: bytes, count: int, rows: np.ndarray, which: np.ndarray | None = None) -> np.ndarray:
    decoder = Decoder(stream)
    symbols = decoder.code(rows, np.zeros(count, np.int64) if which is None else which)
    decoder.finish()
    return symbols


def exact_stream(symbols: list[int], row: list[int]) -> bytes:
    """The coder once more, from its definition alone."""
    state, taken = 0, []
    for symbol in reversed(symbols):
        start, frequency = row[symbol], row[symbol + 1] - row[symbol]
        while (state // frequency) * TOTAL + start + state % frequency >= 2**32:
            taken.append(state % 256)
            state //= 256
        state = (state // frequency) * TOTAL + start + state % frequency
    first = state.to_bytes((state.bit_length() + 7) // 8, "big")
    return first + bytes(reversed(taken))


def sample(rows: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice(rows.shape[1] - 1, count, p=np.diff(rows[0]) / TOTAL)


@pytest.mark.parametrize("count", [2, 3, 16, 256])
def test_the_stream_is_that_of_exact_arithmetic(count):
    random = np.random.default_rng(count)
    for seed in range(20):
        rows = rows_of(np.exp(random.normal(0, 3, count)).astype(int).tolist())
        symbols = sample(rows, 200, seed)
        assert encoded(symbols, rows) == exact_stream(symbols.tolist(), rows[0].tolist())


def test_a_stream_by_hand():
    # Halves: of state 0 the last symbol, 1, makes 32768, the 1 before it (32768 // 32768) * 65536 + 32768 + 0 = 98304
    halves = rows_of([1, 1])
    assert encoded(np.array([1]), halves) == bytes([0x80, 0x00])
    assert encoded(np.array([1, 1]), halves) == bytes([0x01, 0x80, 0x00])
    assert encoded(np.array([0, 1]), halves) == bytes([0x01, 0x00, 0x00])
    assert decoded(bytes([0x01, 0x00, 0x00]), 2, halves).tolist() == [0, 1]
    assert encoded(np.zeros(1000, int), halves) == b""  # the first symbol leaves the state 0 as it is


@pytest.mark.parametrize("count", [2, 3, 16, 64, 256])
def test_symbols_are_decoded_exactly(count):
    rows = rows_of([1 + (place * 7) % 5 for place in range(count)])
    for length in (0, 1, 2, 3, 100, 5000):
        symbols = sample(rows, length, seed=length)
        found = decoded(encoded(symbols, rows), length, rows)
        assert found.dtype == np.uint8
        assert np.array_equal(found, symbols)


def test_every_symbol_may_have_a_table_of_its_own():
    rows, random = rows_of([1, 5, 9, 5, 1], [9, 1, 1, 1, 9], [1, 1, 1, 1, 1]), np.random.default_rng(3)
    symbols, which = random.integers(0, 5, 4000), random.integers(0, 3, 4000)
    stream = encoded(symbols, rows, which)
    assert np.array_equal(decoded(stream, 4000, rows, which), symbols)
    with pytest.raises(PackedFileError, match="the stream is not that of its codes"):
        decoded(stream, 4000, rows, (which + 1) % 3)


def test_parts_of_a_stream_follow_one_another():
    rows, wide = rows_of([1, 5, 9]), rows_of(list(range(1, 101)))
    encoder, first, second = Encoder(), sample(rows, 500), sample(wide, 300)
    for table, symbols in ((rows, first), (wide, second)):
        encoder.code(table, np.zeros(len(symbols), np.int64), symbols.astype(np.uint8))
    bits = encoder.bits
    stream = encoder.finish()
    decoder = Decoder(stream)
    assert decoder.bytes_read == 0
    assert np.array_equal(decoder.code(rows, np.zeros(500, np.int64)), first)
    middle = decoder.bytes_read
    assert np.array_equal(decoder.code(wide, np.zeros(300, np.int64)), second)
    decoder.finish()
    assert decoder.bytes_read == len(stream)
    assert middle == pytest.approx(float(-np.log2(np.diff(rows[0])[first] / TOTAL).sum() / 8), abs=2)
    assert len(stream) == pytest.approx(bits / 8, abs=3)


@pytest.mark.parametrize("count", [3, 4, 8, 16, 64, 256])
def test_the_stream_is_nearly_as_short_as_the_ideal(count):
    centre = (count - 1) / 2
    rows = rows_of([int(1000 * np.exp(-(((place - centre) / count * 5) ** 2))) for place in range(count)])
    symbols = sample(rows, 200_000)
    promised = -np.log2(np.diff(rows[0])[symbols] / TOTAL).sum() / 8
    assert promised - 3 <= len(encoded(symbols, rows)) <= 1.0005 * promised + 3


def test_pieces_make_no_difference(monkeypatch):
    rows = rows_of([1, 5, 9, 5, 1])
    symbols = sample(rows, 1000)
    whole = encoded(symbols, rows)
    monkeypatch.setattr(ans, "CHUNK", 7)
    assert encoded(symbols, rows) == whole
    assert np.array_equal(decoded(whole, 1000, rows), symbols)


def test_random_bytes_are_the_stream_of_what_they_decode_to_or_refused():
    rows, random, refused = rows_of([3, 1, 1, 3]), np.random.default_rng(0), 0
    for _ in range(500):
        stream = random.bytes(int(random.integers(0, 30)))
        try:
            symbols = decoded(stream, 100, rows)
        except PackedFileError:
            refused += 1
        else:
            assert encoded(symbols, rows) == stream
    assert 450 < refused < 500


@pytest.mark.parametrize("longer", [b"\0", b"\1", bytes(8)])
def test_bytes_after_a_stream_are_refused(longer):
    rows = rows_of([3, 1, 1, 3])
    stream = encoded(sample(rows, 100), rows)
    for changed in (stream + longer, stream[:-1], stream[:-4]):
        with pytest.raises(PackedFileError, match="the stream is not that of its codes"):
            decoded(changed, 100, rows)


def test_a_stream_that_begins_with_a_zero_byte_is_refused():
    with pytest.raises(PackedFileError, match="a stream begins with a zero byte"):
        Decoder(b"\0\1")

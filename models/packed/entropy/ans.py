"""rANS: symbols as bytes, in nearly as few bits as their tables promise, in whole numbers alone (plain Python).

The state is one number, 0 before the first symbol that the encoder takes, which is the last that the decoder gives: the
encoder works from the end to the beginning. With a symbol that has `frequency` of TOTAL slots from `start` on,
    encoding  state -> (state // frequency) * TOTAL + start + state % frequency
    decoding  state -> frequency * (state // TOTAL) + state % TOTAL - start
are the inverse of each other. The encoder takes a byte off the state's low end while the new state would reach 2**32;
the decoder puts bytes back while the state is below 2**24 and bytes are left. A stream is the final state, then those
bytes, the last one taken off first; so it begins with no zero byte. As every step has an inverse, a stream is that of
its symbols exactly where all of it has been read and the state is 0 again: nothing has to be encoded twice.
Source: Duda 2013, arXiv:1311.2540; bytes as in Giesen 2014, arXiv:1402.3392.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from models.packed.byte_reader import PackedFileError

TOTAL_BITS = 16
TOTAL = 2**TOTAL_BITS
LEAST_STATE = 2**24  # of a state from which a byte was taken off
CHUNK = 2**16  # symbols that are Python's numbers at a time

# Rows [T, L + 1]: of T tables the slot at which each of L symbols starts, from 0, and TOTAL.
Rows = NDArray[np.int64]
Symbols = NDArray[np.uint8]


class Encoder:
    """Collects symbols in the order in which they will be read; `finish` makes the stream."""

    def __init__(self) -> None:
        self._taken: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]] = []

    def code(self, rows: Rows, which_N: NDArray[np.int64], symbols_N: Symbols) -> Symbols:
        """Take N symbols, each with the table `rows[which]`, and return them, as a Decoder does."""
        starts_N = rows[which_N, symbols_N]
        frequencies_N = rows[which_N, symbols_N.astype(np.int64) + 1] - starts_N
        self._taken.append((starts_N.astype(np.uint32), frequencies_N.astype(np.uint32)))
        return symbols_N

    @property
    def bits(self) -> float:
        """The bits that the tables promise for the symbols so far."""
        return sum(float((TOTAL_BITS - np.log2(frequencies_N)).sum()) for _, frequencies_N in self._taken)

    def finish(self) -> bytes:
        """Return the stream of all symbols."""
        state, emitted = 0, bytearray()
        for starts_N, frequencies_N in reversed(self._taken):
            for end in range(len(starts_N), 0, -CHUNK):
                chunk = slice(max(0, end - CHUNK), end)
                state = _put(state, emitted, starts_N[chunk].tolist(), frequencies_N[chunk].tolist())
        while state:
            emitted.append(state & 0xFF)
            state >>= 8
        emitted.reverse()
        return bytes(emitted)


class Decoder:
    """Gives the symbols of a stream in order. Raises PackedFileError for a stream that begins with a zero byte."""

    def __init__(self, stream: bytes | memoryview) -> None:
        if stream[:1] == b"\0":
            raise PackedFileError("a stream begins with a zero byte")
        self._stream, self._read, self._state = stream, 0, 0
        self._refill()

    def code(self, rows: Rows, which_N: NDArray[np.int64], symbols_N: Symbols | None = None) -> Symbols:
        """Return the next N symbols, each of the table `rows[which]`; what is known of them is not needed."""
        del symbols_N
        tables = rows.tolist()
        symbols = bytearray()
        for start in range(0, len(which_N), CHUNK):
            which = which_N[start : start + CHUNK]
            symbols += self._take(repeat(tables[0], len(which)) if len(tables) == 1 else _picked(tables, which))
        return np.frombuffer(symbols, np.uint8)

    @property
    def bytes_read(self) -> int:
        """How much of the stream the symbols so far took, in whole bytes."""
        return self._read - (self._state.bit_length() + 7) // 8

    def finish(self) -> None:
        """Raise PackedFileError unless these bytes are the stream of the symbols that were read."""
        if self._state or self._read < len(self._stream):
            raise PackedFileError("the stream is not that of its codes")

    def _refill(self) -> None:
        while self._state < LEAST_STATE and self._read < len(self._stream):
            self._state = self._state << 8 | self._stream[self._read]
            self._read += 1

    def _take(self, picked: Iterable[list[int]]) -> bytearray:
        stream, length, read, state, symbols = self._stream, len(self._stream), self._read, self._state, bytearray()
        for row in picked:
            slot = state & TOTAL - 1
            place = bisect_right(row, slot)
            start = row[place - 1]
            state = (row[place] - start) * (state >> TOTAL_BITS) + slot - start
            while state < LEAST_STATE and read < length:
                state = state << 8 | stream[read]
                read += 1
            symbols.append(place - 1)
        self._read, self._state = read, state
        return symbols


def _picked(tables: list[list[int]], which_N: NDArray[np.int64]) -> Iterable[list[int]]:
    return map(tables.__getitem__, which_N.tolist())


def _put(state: int, emitted: bytearray, starts: list[int], frequencies: list[int]) -> int:
    for start, frequency in zip(reversed(starts), reversed(frequencies), strict=True):
        while state >= frequency << 16:  # the new state would be 2**32 or more
            emitted.append(state & 0xFF)
            state >>= 8
        high, low = divmod(state, frequency)
        state = (high << TOTAL_BITS) + start + low
    return state

"""Order 0: codes that have one table, whatever stands before them. The fallback where prediction does not pay.

Side information: how far the lowest and the highest code lie within the levels' range (1 byte each), then the frequency
table of these codes (see `entropy.tables`) unless there is only one. N codes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.compress.bit_plan import code_range
from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.ans import CHUNK, TOTAL, Decoder, Encoder
from models.packed.entropy.fit import fit_description
from models.packed.entropy.tables import Frequencies, read_frequencies


@dataclass(frozen=True)
class OrderZero:
    """The frequencies of the codes from `lowest` on."""

    lowest: int
    frequencies: Frequencies

    def code(self, channel: Encoder | Decoder, codes_N: NDArray[np.int8]) -> None:
        """Send all codes through a channel: an Encoder takes them, a Decoder writes them into `codes_N`."""
        if len(self.frequencies) == 1:
            codes_N[:] = self.lowest
            return
        rows = np.concatenate(([0], np.cumsum(self.frequencies)))[None]
        for start in range(0, len(codes_N), CHUNK):
            chunk = codes_N[start : start + CHUNK]
            symbols = (chunk.astype(np.int64) - self.lowest).astype(np.uint8)
            found = channel.code(rows, np.zeros(len(chunk), np.int64), symbols)
            chunk[:] = found.astype(np.int64) + self.lowest

    def check(self, codes_N: NDArray[np.int8]) -> None:
        """Raise PackedFileError unless the lowest and the highest code both occur: a table has one spelling."""
        found = (int(codes_N.min()), int(codes_N.max()))
        expected = (self.lowest, self.lowest + len(self.frequencies) - 1)
        if found != expected:
            raise PackedFileError(f"codes {found[0]} to {found[1]}, expected {expected[0]} to {expected[1]}")


def fit_order_zero(codes_N: NDArray[np.int8], levels: int) -> tuple[OrderZero, bytes]:
    """Return the model with which the codes take the fewest bytes, and its side information."""
    values, found = np.unique(codes_N, return_counts=True)
    first, last = int(values[0]), int(values[-1])
    counts = np.zeros(last - first + 1, np.int64)
    counts[values.astype(np.int64) - first] = found
    lowest, highest = code_range(levels)
    side = bytes([first - lowest, highest - last]) + (fit_description(counts, first) if len(counts) > 1 else b"")
    return read_order_zero(ByteReader(memoryview(side), offset=0), levels), side


def read_order_zero(reader: ByteReader, levels: int) -> OrderZero:
    """Return the model at the reader's position; PackedFileError for ends that leave no code, and for no table."""
    lowest, highest = code_range(levels)
    lowest, highest = lowest + reader.byte("lowest code"), highest - reader.byte("highest code")
    if lowest > highest:
        raise PackedFileError(f"codes {lowest} to {highest} of {levels} levels")
    count = highest - lowest + 1
    return OrderZero(lowest, read_frequencies(reader, lowest, count) if count > 1 else np.array([TOTAL], np.int64))

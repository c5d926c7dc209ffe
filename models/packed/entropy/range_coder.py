"""Range coding: codes as bytes, in nearly as few bits as their frequency table promises (constriction's range coder).

A stream is the coder's 32-bit words, lowest byte first, without the zero bytes at the end: past its end the decoder
reads zeros. Why every machine gives the same bytes: the coder works in 64-bit integers, and what it makes of our n
frequencies are sums of 24 bits, floor((sum of those before) * (2**24 - n) / 4096) + place. That product has at most
13 + 24 bits and the divisor is a power of two, so in float64 nothing is rounded but by that floor.
Source: Bamler 2022, arXiv:2201.01741 (constriction); Martin 1979 (range coding).
"""

from typing import Any

import numpy as np
from constriction import stream as coders  # pyright: ignore[reportAttributeAccessIssue]: compiled, without stubs
from numpy.typing import NDArray

from models.packed.byte_reader import PackedFileError
from models.packed.entropy.tables import TOTAL, Frequencies

WORD_BYTES = 4
CHUNK = 2**20  # codes at a time: the coder wants them as 32-bit numbers, four times their size


def encode(codes: NDArray[np.int8], frequencies: Frequencies, lowest: int) -> bytes:
    """Return the stream of codes [count], all within lowest..lowest + len(frequencies) - 1.

    Where only one code exists the stream is empty. Raises KeyError for a code without a frequency.
    """
    if len(frequencies) == 1:
        return b""
    model, encoder = _model(frequencies), coders.queue.RangeEncoder()
    for start in range(0, len(codes), CHUNK):
        encoder.encode(codes[start : start + CHUNK].astype(np.int32) - lowest, model)
    return encoder.get_compressed().astype("<u4", copy=False).tobytes().rstrip(b"\0")


def decode(stream: bytes | memoryview, count: int, frequencies: Frequencies, lowest: int) -> NDArray[np.int8]:
    """Return `count` codes, int8 [count], of a stream.

    Raises PackedFileError for bytes that no codes give; most that are no stream decode to some codes all the same.
    """
    if len(frequencies) == 1:
        return np.full(count, lowest, np.int8)
    codes = np.empty(count, np.int8)
    model, decoder = _model(frequencies), coders.queue.RangeDecoder(_words(stream))
    for start in range(0, count, CHUNK):
        end = min(start + CHUNK, count)
        try:
            codes[start:end] = decoder.decode(model, end - start) + lowest
        except AssertionError as error:  # constriction's error for a point beyond the last code's share
            raise PackedFileError(f"no {count} codes give this stream of {len(stream)} bytes") from error
    return codes


def _words(stream: bytes | memoryview) -> NDArray[np.uint32]:
    padded = np.zeros(len(stream) + -len(stream) % WORD_BYTES, np.uint8)
    padded[: len(stream)] = np.frombuffer(stream, np.uint8)
    return padded.view("<u4").astype(np.uint32, copy=False)


def _model(frequencies: Frequencies) -> Any:
    # perfect=True would search for its own approximation, with logarithms whose last bit differs between machines.
    return coders.model.Categorical(frequencies.astype(np.float64) / TOTAL, lazy=False, perfect=False)

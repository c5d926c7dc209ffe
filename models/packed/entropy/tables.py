"""How often each code is expected: 16-bit frequencies from a description of a few bytes, by integer arithmetic alone.

A table belongs to the codes lowest..highest, at least two of them: every code has a frequency of at least 1 and all add
up to TOTAL. Its description is a kind (1 byte), then small floats (1 byte each, see `small_float`):
    curve      centre, fall, bend: with 1 - fall = r and 1 - bend = q the weight of magnitude 1 is 1, each further one
               is r, r * q, r * q * q ... times the one before, and code 0 has the weight `centre`. From Laplace
               (q near 1) to Gauss (q near r * r), with as many zeros as there are.
    histogram  a weight per code, in order
The weights are scaled to TOTAL. No float takes part, so every machine builds the very same table.
"""

import numpy as np
from numpy.typing import NDArray

from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.ans import TOTAL

CURVE, HISTOGRAM = 0, 1
CURVE_PARAMETERS = 3
CENTRE_ONE = 2**10  # the small float with which code 0 is as frequent as magnitude 1
ONE = 2**20  # the units of fall and bend
FIRST_WEIGHT = 2**24  # of magnitude 1; with it all products below stay within 63 bits

_FINE = 2**8  # steps of the scale per unit of TOTAL: no step adds more than 1 to any frequency

Frequencies = NDArray[np.int64]


def small_float(byte: int) -> int:
    """Return 16..31 shifted by 0..15: 16 to 1,015,808, each value at most 1/16 above the one before."""
    return (16 + (byte & 15)) << (byte >> 4)


def read_frequencies(reader: ByteReader, lowest: int, count: int) -> Frequencies:
    """Return the frequencies [count] of the codes from `lowest` on, from the description at the reader's position.

    Raises PackedFileError for an unknown kind and a description that is cut short.
    """
    kind = reader.byte("kind of frequency table")
    if kind == CURVE:
        return scaled(_curve_weights(reader.take(CURVE_PARAMETERS, "frequency table"), lowest, count))
    if kind == HISTOGRAM:
        return scaled([small_float(byte) for byte in reader.take(count, "frequency table")])
    raise PackedFileError(f"unknown kind of frequency table {kind}, expected {CURVE} or {HISTOGRAM}")


def scaled(weights: list[int]) -> Frequencies:
    """Return whole numbers in proportion to at least two weights (at least 0), each at least 1, that add up to TOTAL.

    The scale is the largest with which they do not exceed TOTAL; what is then missing, less than one per code, goes to
    the heaviest codes, of equals to the first.
    """
    parts = np.maximum(np.array(weights, np.int64), 1)
    fits, exceeds = 0, 2 * TOTAL * _FINE
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        fits, exceeds = (middle, exceeds) if _at_scale(parts, middle).sum() <= TOTAL else (fits, middle)
    frequencies = _at_scale(parts, fits)
    heaviest = np.argsort(-parts, kind="stable")
    frequencies[heaviest[: TOTAL - frequencies.sum()]] += 1
    assert frequencies.sum() == TOTAL
    return frequencies


def _at_scale(parts: NDArray[np.int64], scale: int) -> Frequencies:
    return np.maximum(parts * scale // (parts.sum() * _FINE), 1)


def _curve_weights(parameters: bytes, lowest: int, count: int) -> list[int]:
    centre, fall, bend = map(small_float, parameters)
    by_magnitude = [FIRST_WEIGHT * centre // CENTRE_ONE, FIRST_WEIGHT]
    ratio = (ONE - fall) * ONE  # in units of 1 / ONE**2, so that many small bends add up
    for _ in range(max(-lowest, lowest + count - 1) - 1):
        by_magnitude.append(by_magnitude[-1] * ratio // ONE**2)
        ratio = ratio * (ONE - bend) // ONE
    return [by_magnitude[abs(code)] for code in range(lowest, lowest + count)]


def nearest_small_floats(values: NDArray[np.float64]) -> list[int]:
    """The bytes of the small floats that come nearest in proportion."""
    known = np.array([small_float(byte) for byte in range(256)], np.float64)
    ratios = np.log(np.maximum(values, known[0]))[:, None] - np.log(known)[None, :]
    return [int(byte) for byte in np.abs(ratios).argmin(axis=1)]

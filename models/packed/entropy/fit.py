"""Finds the description of a frequency table with which given codes take the fewest bytes (see `entropy.tables`).

Floats may be used here: they only choose among descriptions, and every description is exact.
"""

import numpy as np
from numpy.typing import NDArray

from models.packed.byte_reader import ByteReader
from models.packed.entropy.tables import (
    CENTRE_ONE,
    CURVE,
    HISTOGRAM,
    ONE,
    TOTAL,
    Frequencies,
    nearest_small_floats,
    read_frequencies,
    small_float,
)

_VALUES = np.array([small_float(byte) for byte in range(256)], np.float64)
_SMALLEST = 1e-300  # a curve that leaves less than this to all its codes is as bad as one that leaves nothing


def fit_description(counts: NDArray[np.int64], lowest: int) -> bytes:
    """Return the description that makes description and codes smallest; between equals the curve.

    `counts` [2 or more]: how often each code from `lowest` on occurs, the first and the last of them at least once.
    """
    curve = bytes([CURVE, *_fit_curve(counts, lowest)])
    histogram = bytes([HISTOGRAM, *nearest_small_floats(counts * (_VALUES[-1] / counts.max()))])
    return min((curve, histogram), key=lambda description: _bytes_with(description, counts, lowest))


def ideal_bits(counts: NDArray[np.int64], frequencies: Frequencies) -> float:
    """Return the bits that codes of these counts need when their frequencies are taken for the truth."""
    return float((counts * np.log2(TOTAL / frequencies)).sum())


def entropy_bits(counts: NDArray[np.int64]) -> float:
    """Return the bits that codes of these counts need when the counts themselves are known: the empirical entropy."""
    found = counts[counts > 0]
    return float((found * np.log2(found.sum() / found)).sum())


def _bytes_with(description: bytes, counts: NDArray[np.int64], lowest: int) -> float:
    frequencies = read_frequencies(ByteReader(memoryview(description), offset=0), lowest, len(counts))
    return len(description) + ideal_bits(counts, frequencies) / 8


def _fit_curve(counts: NDArray[np.int64], lowest: int) -> list[int]:
    """The bytes of centre, fall and bend.

    Fall and bend depend on the codes other than 0 alone: all 65,536 pairs are tried. The centre then follows.
    """
    magnitudes = np.abs(np.arange(lowest, lowest + len(counts)))
    occurrences = np.bincount(magnitudes, counts).astype(np.float64)
    fall_and_bend, weight_beyond = _best_pair(occurrences[1:], np.bincount(magnitudes)[1:])
    centre = weight_beyond * occurrences[0] / occurrences[1:].sum()
    return [*nearest_small_floats(np.array([centre * CENTRE_ONE])), *fall_and_bend]


def _best_pair(occurrences: NDArray[np.float64], sides: NDArray[np.int64]) -> tuple[tuple[int, int], float]:
    """The bytes of fall and bend with the fewest bits, and what all codes but 0 then weigh together.

    Both by magnitude, from 1 on: `occurrences` of it, and the number of codes that have it (0, 1 or 2).
    """
    steps = np.arange(len(occurrences))
    kept = 1 - _VALUES / ONE
    weight = np.zeros((256, 256))
    term, ratio = np.ones((256, 256)), np.repeat(kept[:, None], 256, axis=1)
    for codes in sides:
        weight += codes * term
        term *= ratio
        ratio *= kept[None, :]
    falls = (occurrences * steps).sum() * np.log2(kept)
    bends = (occurrences * steps * (steps - 1) / 2).sum() * np.log2(kept)
    bits = occurrences.sum() * np.log2(np.maximum(weight, _SMALLEST)) - falls[:, None] - bends[None, :]
    fall, bend = divmod(int(bits.argmin()), 256)
    return (fall, bend), float(weight[fall, bend])

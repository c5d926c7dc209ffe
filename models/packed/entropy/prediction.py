"""Tap prediction: each code of a kernel is expected near a linear prediction from the codes before it in that kernel.

Taps are coded one after the other, each for all kernels: tap k of a kernel has a normal distribution whose mean is
predicted from taps 0 to k - 1 of the same kernel, by weights that a layer's kernels share. Its spread is tap k's own,
times a factor for the kernel's column (its input channel), which follows from how far the column's earlier taps lay
from their predictions, so that it takes no bytes. Encoder and decoder do the very same, in whole numbers.
Shapes: N kernels, T taps, J columns (kernel n belongs to column n mod J), C kernels of a chunk.
"""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from models.packed.entropy.ans import Decoder, Encoder
from models.packed.entropy.normal import MEAN_ONE, SPREAD_ONE, code_normal
from models.packed.entropy.predictor import WEIGHT_BITS, Int, Predictor
from models.packed.entropy.tables import small_float

TABLE_ENTRIES = 2**16  # of all tables that are held at a time: a few MiB, even where every code has its own
FACTOR_ONE = 16  # parts of a factor on the spread
_UNIT = 64  # parts of a spread in which distances from the prediction are summed up
_PRIOR = 64  # the distances of one spread that every column begins with


class Columns:
    """How far the taps so far lay from their predictions, by column."""

    def __init__(self, columns: int) -> None:
        self._sums_J = np.zeros(columns, np.int64)
        self._counts_J = np.zeros(columns, np.int64)

    def factors(self) -> Int:
        """The factor [J] on the spread, in units of 1/16: the root mean square of the distances."""
        mean_J = (self._sums_J + _PRIOR * _UNIT**2) // (self._counts_J + _PRIOR)
        roots = np.array([isqrt(mean) for mean in mean_J.tolist()], np.int64)
        return np.clip((roots + _UNIT // FACTOR_ONE // 2) * FACTOR_ONE // _UNIT, 1, 16 * FACTOR_ONE)

    def add(self, columns_C: Int, distance_C: Int, spread: int) -> None:
        """Add distances (in units of a mean) of a tap with a spread."""
        parts_C = np.abs(distance_C) * (_UNIT * SPREAD_ONE // MEAN_ONE) // spread
        np.add.at(self._sums_J, columns_C, np.minimum(parts_C, 8 * _UNIT) ** 2)
        np.add.at(self._counts_J, columns_C, 1)


def predicted_mean(codes_CT: NDArray[np.int8], weights_T: Int, lowest: int, levels: int) -> Int:
    """The mean [C] of the next tap from the taps before it [C, taps so far], in units of 1/8, rounded."""
    sums_C = codes_CT.astype(np.int64) @ weights_T
    bits = WEIGHT_BITS - (MEAN_ONE.bit_length() - 1)
    return np.clip(sums_C + (1 << bits - 1) >> bits, MEAN_ONE * lowest, MEAN_ONE * (lowest + levels - 1))


def code_taps(
    channel: Encoder | Decoder, codes_NT: NDArray[np.int8], columns: int, predictor: Predictor, lowest: int, levels: int
) -> None:
    """Send all codes through a channel: an Encoder takes them, a Decoder writes them into `codes_NT`."""
    seen, chunk = Columns(columns), TABLE_ENTRIES // levels
    for tap in range(codes_NT.shape[1]):
        factor_J, spread = seen.factors(), small_float(int(predictor.spread_bytes_T[tap]))
        for start in range(0, len(codes_NT), chunk):
            codes_CT = codes_NT[start : start + chunk]
            columns_C = np.arange(start, start + len(codes_CT)) % columns
            mean_C = predicted_mean(codes_CT[:, :tap], predictor.weights_TT[tap, :tap], lowest, levels)
            spread_C = np.maximum(spread * factor_J[columns_C] // FACTOR_ONE, 1)
            codes_CT[:, tap] = code_normal(channel, mean_C, spread_C, codes_CT[:, tap], lowest, levels)
            seen.add(columns_C, codes_CT[:, tap] * np.int64(MEAN_ONE) - mean_C, spread)

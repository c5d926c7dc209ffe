"""The predictor of a layer's kernels: weights and spreads, and how they are stored. T taps; N codes.

Side information: the spread of tap 0 (1 byte, a small float), then where there are more taps the spread of the weights
(the same). In the stream: for every tap k from 1 on its k weights, as differences from the usual ones, normally
distributed with that spread; then for every tap from 1 on the byte of its spread less that of tap 0, normally
distributed about -4 with a spread of 3.
Usual weights are the planar prediction of picture coding (left + above - above left), here as trained filters of food11
have them: 15, 15 and -6 of 32.
"""

from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.ans import Decoder, Encoder
from models.packed.entropy.normal import MEAN_ONE, SPREAD_ONE, code_normal
from models.packed.entropy.tables import small_float

MAX_TAPS = 25  # a 5 x 5 kernel
WEIGHT_BITS = 5  # weights are whole numbers of 1/32
_LEFT, _ABOVE, _ABOVE_LEFT = 15, 15, -6
_SPREAD_DIFFERENCE = (-4 * MEAN_ONE, 3 * SPREAD_ONE)
_LOWEST, _LEVELS = -128, 256

Int = NDArray[np.int64]
PredictorSide = tuple[int, int]  # the spreads of tap 0 and of the weights, small floats as bytes


@dataclass(frozen=True)
class Predictor:
    """The weight of tap j < k for tap k, `weights_TT[k, j]`, in units of 1/32, and each tap's spread as a small float.

    A weight is at most 128 below and 127 above the usual one. `weight_spread`: see above, 0 where there is one tap.
    """

    weights_TT: Int
    spread_bytes_T: Int
    weight_spread: int


def usual_weights(taps: int) -> Int:
    """The weights [T, T] that stored ones are differences from; taps form a square, row by row, or a line."""
    weights_TT = np.zeros((taps, taps), np.int64)
    side = isqrt(taps) if isqrt(taps) ** 2 == taps else taps
    for tap in range(taps):
        if tap % side:
            weights_TT[tap, tap - 1] = _LEFT
        if tap >= side:
            weights_TT[tap, tap - side] = _ABOVE
        if tap % side and tap >= side:
            weights_TT[tap, tap - side - 1] = _ABOVE_LEFT
    return weights_TT


def encode_predictor(encoder: Encoder, predictor: Predictor) -> bytes:
    """Put a predictor into a stream and return what stands before it."""
    taps = len(predictor.spread_bytes_T)
    first = int(predictor.spread_bytes_T[0])
    if taps == 1:
        return bytes([first])
    differences = (predictor.weights_TT - usual_weights(taps))[np.tril_indices(taps, -1)]
    _code(encoder, differences, 0, small_float(predictor.weight_spread))
    _code(encoder, predictor.spread_bytes_T[1:] - first, *_SPREAD_DIFFERENCE)
    return bytes([first, predictor.weight_spread])


def read_predictor_side(reader: ByteReader, taps: int) -> PredictorSide:
    """Return the spreads of tap 0 and of the weights at the reader's position."""
    return reader.byte("spread of the codes"), reader.byte("spread of the weights") if taps > 1 else 0


def decode_predictor(decoder: Decoder, taps: int, side: PredictorSide) -> Predictor:
    """Return the predictor of a stream; PackedFileError for a spread that is no byte."""
    first, weight_spread = side
    weights_TT, spread_bytes_T = usual_weights(taps), np.full(taps, first, np.int64)
    if taps > 1:
        count = taps * (taps - 1) // 2
        differences = _code(decoder, np.zeros(count, np.int64), 0, small_float(weight_spread))
        weights_TT[np.tril_indices(taps, -1)] += differences
        spread_bytes_T[1:] += _code(decoder, np.zeros(taps - 1, np.int64), *_SPREAD_DIFFERENCE)
    if spread_bytes_T.min() < 0 or spread_bytes_T.max() > 255:
        raise PackedFileError("a spread is no byte")
    return Predictor(weights_TT, spread_bytes_T, weight_spread)


def _code(channel: Encoder | Decoder, numbers_N: Int, mean: int, spread: int) -> Int:
    count = len(numbers_N)
    filled = np.full(count, mean, np.int64), np.full(count, spread, np.int64)
    return code_normal(channel, *filled, numbers_N.astype(np.int8), _LOWEST, _LEVELS).astype(np.int64)

"""Fits a predictor to a layer's codes (see `entropy.prediction`). Floats may be used: they only choose the description.

Shapes: N kernels, T taps, J columns.
"""

import numpy as np
from numpy.typing import NDArray

from models.packed.entropy.normal import MEAN_ONE, SPREAD_ONE
from models.packed.entropy.prediction import FACTOR_ONE, Columns, predicted_mean
from models.packed.entropy.predictor import WEIGHT_BITS, Int, Predictor, usual_weights
from models.packed.entropy.tables import nearest_small_floats, small_float

# Weights lie about 0.09 around the usual ones, codes about 2 around their prediction: the worth of a weight in squares.
RIDGE = 400.0
_ROUNDING = 1 / 12  # the variance that rounding to a whole code adds
_LEAST_VARIANCE = 0.01


def fit_predictor(codes_NT: NDArray[np.int8], columns: int, lowest: int, levels: int) -> Predictor:
    """Return the weights and spreads that nearly leave the fewest bits: least squares, drawn to the usual weights."""
    taps = codes_NT.shape[1]
    weights_TT, spread_bytes_T = _fit_weights(codes_NT), np.zeros(taps, np.int64)
    seen, columns_N = Columns(columns), np.arange(len(codes_NT)) % columns
    for tap in range(taps):
        mean_N = predicted_mean(codes_NT[:, :tap], weights_TT[tap, :tap], lowest, levels)
        distance_N = codes_NT[:, tap] * np.int64(MEAN_ONE) - mean_N
        factor_N = seen.factors()[columns_N] / FACTOR_ONE
        variance = float(np.mean((distance_N / MEAN_ONE / factor_N) ** 2))
        spread_bytes_T[tap] = _spread_byte(max(variance - _ROUNDING, _LEAST_VARIANCE) ** 0.5)
        seen.add(columns_N, distance_N, small_float(int(spread_bytes_T[tap])))
    differences = (weights_TT - usual_weights(taps))[np.tril_indices(taps, -1)]
    weight_spread = _spread_byte(float(np.mean(differences**2)) ** 0.5) if taps > 1 else 0
    return Predictor(
        weights_TT, np.clip(spread_bytes_T, spread_bytes_T[0] - 128, spread_bytes_T[0] + 127), weight_spread
    )


def _fit_weights(codes_NT: NDArray[np.int8]) -> Int:
    taps = codes_NT.shape[1]
    moments_TT = codes_NT.T.astype(np.float64) @ codes_NT.astype(np.float64)  # whole numbers: exact in any order
    usual_TT = usual_weights(taps)
    weights_TT = np.zeros((taps, taps), np.int64)
    for tap in range(1, taps):
        usual_T = usual_TT[tap, :tap]
        ridged = moments_TT[:tap, :tap] + RIDGE * np.eye(tap)
        solved = np.linalg.solve(ridged, moments_TT[:tap, tap] + RIDGE * usual_T / 2**WEIGHT_BITS)
        weights_TT[tap, :tap] = np.clip(np.rint(solved * 2**WEIGHT_BITS), usual_T - 128, usual_T + 127)
    return weights_TT


def _spread_byte(deviation: float) -> int:
    return nearest_small_floats(np.array([SPREAD_ONE * deviation]))[0]

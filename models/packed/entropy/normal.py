"""Tables of rounded normal distributions, by integer arithmetic alone: the same on every machine.

A code c is expected with the share of the normal distribution between c - 1/2 and c + 1/2, the outermost codes with all
beyond them. Means are whole numbers of MEAN_ONE parts of a code, spreads (standard deviations) of SPREAD_ONE parts.
Shapes: T tables, L levels, N codes.
"""

import numpy as np
from numpy.typing import NDArray

from models.packed.entropy.ans import TOTAL, TOTAL_BITS, Decoder, Encoder, Rows

MEAN_ONE = 8
SPREAD_ONE = 128
# The share below i / 16 standard deviations, in units of 1 / TOTAL: round(TOTAL * Phi(i / 16)).
_BELOW = (
    32768, 34401, 36028, 37642, 39237, 40807, 42347, 43852, 45316, 46735, 48104, 49422, 50684, 51888, 53033, 54116,
    55138, 56099, 56997, 57835, 58612, 59331, 59994, 60602, 61158, 61664, 62123, 62537, 62911, 63245, 63544, 63810,
    64045, 64253, 64435, 64595, 64735, 64856, 64961, 65051, 65129, 65195, 65252, 65300, 65341, 65375, 65404, 65428,
    65448, 65464, 65478, 65489, 65498, 65506, 65512, 65517, 65521, 65524, 65527, 65529, 65530, 65531, 65533, 65533,
    65534, 65534, 65535, 65535, 65535, 65535, 65536,
)  # fmt: skip
_STEP = 64  # parts of a sixteenth of a standard deviation, between which the shares are interpolated


def normal_rows(mean_T: NDArray[np.int64], spread_T: NDArray[np.int64], lowest: int, levels: int) -> Rows:
    """Return the tables [T, L + 1] of the codes from `lowest` on; every code has at least one slot.

    `mean_T` may be anything of at most 2**20, `spread_T` at least 1.
    """
    inner_L = np.arange(lowest + 1, lowest + levels)  # codes that begin at an edge
    edges_TL = (2 * inner_L - 1) * (SPREAD_ONE // 2) - mean_T[:, None] * (SPREAD_ONE // MEAN_ONE)
    shares_TL = _share_below(edges_TL * (16 * _STEP) // spread_T[:, None])
    rows_TL = np.empty((len(mean_T), levels + 1), np.int64)
    rows_TL[:, 0], rows_TL[:, levels] = 0, TOTAL
    rows_TL[:, 1:levels] = (shares_TL * (TOTAL - levels) >> TOTAL_BITS) + np.arange(1, levels)
    return rows_TL


def _share_below(deviations: NDArray[np.int64]) -> NDArray[np.int64]:
    """The share below a number of standard deviations, in units of 1 / (16 * _STEP), from 0 to TOTAL."""
    table, last = np.array(_BELOW), len(_BELOW) - 1
    distance = np.minimum(np.abs(deviations), last * _STEP)
    place, part = np.minimum(distance // _STEP, last - 1), distance - np.minimum(distance // _STEP, last - 1) * _STEP
    share = table[place] + ((table[place + 1] - table[place]) * part // _STEP)
    return np.where(deviations < 0, TOTAL - share, share)


def code_normal(
    channel: Encoder | Decoder,
    mean_C: NDArray[np.int64],
    spread_C: NDArray[np.int64],
    codes_C: NDArray[np.int8],
    lowest: int,
    levels: int,
) -> NDArray[np.int8]:
    """Send codes of normal distributions through a channel and return them. A table is made once for each pair."""
    least = int(mean_C.min())
    pairs, which_C = np.unique((mean_C - least) << 32 | spread_C, return_inverse=True)
    rows = normal_rows((pairs >> 32) + least, pairs & 2**32 - 1, lowest, levels)
    symbols_C = (codes_C.astype(np.int64) - lowest).astype(np.uint8)
    return (channel.code(rows, which_C, symbols_C).astype(np.int64) + lowest).astype(np.int8)

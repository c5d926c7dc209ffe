"""Whole numbers of ten bits, bell-shaped about 0: a normal code for the highest eight, the lowest two as they are.

N numbers from -512 to 511.
"""

import numpy as np
from numpy.typing import NDArray

from models.packed.entropy.ans import TOTAL, Decoder, Encoder
from models.packed.entropy.normal import MEAN_ONE, SPREAD_ONE, code_normal
from models.packed.entropy.tables import nearest_small_floats, small_float

LOW_BITS = 2
LOWEST, HIGHEST = -512, 511
_HIGH_LOWEST, _HIGH_LEVELS = -128, 256
_LOW_ROWS = np.arange(2**LOW_BITS + 1)[None] * (TOTAL >> LOW_BITS)
_MEAN = MEAN_ONE * (1 - 2**LOW_BITS) // 2**LOW_BITS // 2  # what rounding down takes off the mean of the highest bits

Int = NDArray[np.int64]


def spread_of(numbers_N: Int) -> int:
    """The spread of the highest bits, a small float as a byte, that suits these numbers."""
    deviation = float(np.sqrt(np.mean((numbers_N / 2**LOW_BITS) ** 2))) if len(numbers_N) else 0.0
    return nearest_small_floats(np.array([SPREAD_ONE * deviation]))[0]


def code_numbers(channel: Encoder | Decoder, numbers_N: Int, spread: int) -> Int:
    """Send numbers through a channel and return them; a Decoder needs to know only how many there are."""
    count = len(numbers_N)
    mean_N, spread_N = np.full(count, _MEAN, np.int64), np.full(count, small_float(spread), np.int64)
    high_N = (numbers_N >> LOW_BITS).astype(np.int8)
    high_N = code_normal(channel, mean_N, spread_N, high_N, _HIGH_LOWEST, _HIGH_LEVELS).astype(np.int64)
    low_N = (numbers_N & 2**LOW_BITS - 1).astype(np.uint8)
    low_N = channel.code(_LOW_ROWS, np.zeros(count, np.int64), low_N).astype(np.int64)
    return high_N << LOW_BITS | low_N


def code_bits(channel: Encoder | Decoder, bits_N: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Send bits, each as likely as not, through a channel and return them."""
    even = np.array([[0, TOTAL // 2, TOTAL]])
    return channel.code(even, np.zeros(len(bits_N), np.int64), bits_N.astype(np.uint8)).astype(bool)

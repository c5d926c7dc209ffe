"""Weights as small whole numbers with one scale per output channel: what a low-bit file holds (plain numpy).

A weight is `code * scale[channel]`; the codes of `levels` levels run from -(levels // 2) to (levels - 1) // 2, so that 0
is always one of them: ternary -1..1, 2 bits -2..1, 4 bits -8..7, 8 bits -128..127. A scale may be negative: that is
where the sign of a folded BatchNorm goes, and the codes stay as they were trained.
Shapes: O output channels; codes have the tensor's shape [O, ...].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = {"ternary": 3, "2": 4, "3": 8, "4": 16, "5": 32, "6": 64, "8": 256}  # name of a bit width -> its levels


@dataclass(frozen=True)
class LowBit:
    """One tensor: codes int8 [O, ...] within `code_range(levels)`, finite scales float16 [O]."""

    codes: NDArray[np.int8]
    scale: NDArray[np.float16]
    levels: int

    def values(self) -> NDArray[np.float32]:
        """The weights, float32 [O, ...]: one multiplication each, so the same bits on every machine."""
        return self.codes.astype(np.float32) * spread(self.scale.astype(np.float32), self.codes.ndim)


def code_range(levels: int) -> tuple[int, int]:
    """Smallest and largest code of a number of levels."""
    return -(levels // 2), (levels - 1) // 2


def spread(per_channel: NDArray, axes: int) -> NDArray:
    """A value per output channel, [O], in a shape that broadcasts over a tensor of so many axes."""
    return per_channel.reshape(-1, *(1 for _ in range(axes - 1)))


def round_to_nearest(weights: NDArray[np.float32], scale: NDArray[np.float16], levels: int) -> LowBit:
    """The nearest code for every weight [O, ...] at given scales [O]; beyond the range the outermost code.

    A channel of scale 0 has code 0 throughout. The quotient is taken in float64 and halves go to the even code.
    """
    divisor = np.where(scale == 0, np.inf, scale.astype(np.float64))
    lowest, highest = code_range(levels)
    codes = np.rint(weights.astype(np.float64) / spread(divisor, weights.ndim))
    return LowBit(np.clip(codes, lowest, highest).astype(np.int8), scale, levels)

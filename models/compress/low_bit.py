"""Low-bit weights: small whole numbers, the codes, and one scale per output channel (plain numpy).

A weight is `code * scale[channel]`. A scale may be negative: it takes the sign of a folded BatchNorm, so that the codes
stay as they were trained. Shapes: O output channels; codes have the tensor's shape [O, ...].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.compress.bit_plan import code_range


@dataclass(frozen=True)
class LowBit:
    """One tensor: codes int8 [O, ...] within `code_range(levels)`, finite scales float16 [O]."""

    codes: NDArray[np.int8]
    scale: NDArray[np.float16]
    levels: int

    def values(self) -> NDArray[np.float32]:
        """The weights, float32 [O, ...]: one multiplication each, so the same bits on every machine.

        In one array: a network has to decode within 8 bytes a parameter and 64 MiB.
        """
        return np.multiply(self.codes, spread(self.scale.astype(np.float32), self.codes.ndim), dtype=np.float32)


def spread(per_channel: NDArray, axes: int) -> NDArray:
    """A value per output channel, [O], reshaped to broadcast over a tensor of so many axes."""
    return per_channel.reshape(-1, *(1 for _ in range(axes - 1)))


def nearest_codes(weights: NDArray[np.floating], scale: NDArray[np.floating], levels: int) -> NDArray[np.int8]:
    """The nearest code for every weight [O, ...] at given scales [O]; beyond the range the outermost code.

    A channel of scale 0 has code 0 throughout. The quotient is taken in float64 and halves go to the even code.
    """
    divisor = np.where(scale == 0, np.inf, scale.astype(np.float64))
    lowest, highest = code_range(levels)
    codes = np.rint(weights.astype(np.float64) / spread(divisor, weights.ndim))
    return np.clip(codes, lowest, highest).astype(np.int8)

"""Min-max quantisation to 8 bits, per tensor or per output channel, in plain numpy.

A value is stored as a code 0..255 and read back as `minimum + code * scale`, for a whole tensor or for each output
channel (axis 0). The scale is rounded UP to the type it is stored in: the last code still reaches the maximum, and
    |value - decoded| <= scale / 2 + 2**-22 * max|value|
holds with the stored scale; the second term is the float32 rounding of the product and the sum.
A channel stores a float32 minimum (a constant channel stays exact) and a float16 scale (rounded up by at most 0.1 % for
ranges above 0.016, and by less than 6e-8 below): 6 bytes instead of 8, for codes that hardly differ.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST_MAGNITUDE = 65_504.0  # of float16; a weight beyond it is a sign of a broken network
LAST_CODE = 255


@dataclass(frozen=True)
class Quantised:
    """Codes (uint8, the tensor's shape) with their minimum (float32) and scale; both of shape () or (channels,)."""

    codes: NDArray[np.uint8]
    minimum: NDArray[np.float32]
    scale: NDArray[np.floating]


def finite_float32(values: ArrayLike, *, largest: float = np.inf) -> NDArray[np.float32]:
    """Return the values as float32; ValueError for NaN, infinity and magnitudes beyond `largest`."""
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.asarray(values, dtype=np.float32)
    if np.isnan(array).any():
        raise ValueError(f"{int(np.isnan(array).sum())} of {array.size} weights are NaN, expected finite values")
    if np.isinf(array).any():
        raise ValueError(f"{int(np.isinf(array).sum())} of {array.size} weights are infinite, expected finite values")
    magnitude = float(np.abs(array).max(initial=0.0))
    if magnitude > largest:
        raise ValueError(f"a weight of magnitude {magnitude:g}, expected at most {largest:g} (the float16 range)")
    return array


def quantise_per_tensor(values: ArrayLike) -> Quantised:
    """Return min-max codes of a whole tensor, minimum and scale in float32 (the reference's 8-bit method).

    Raises ValueError for non-finite values and magnitudes beyond 65,504.
    """
    array = finite_float32(values, largest=LARGEST_MAGNITUDE)
    codes, minimum, scale = _quantise_rows(array.reshape(1, array.size), np.dtype(np.float32))
    return Quantised(codes.reshape(array.shape), minimum.reshape(()), scale.reshape(()))


def quantise_per_channel(values: ArrayLike) -> Quantised:
    """Return min-max codes of each output channel (axis 0), minimum in float32 and scale in float16.

    Raises ValueError for non-finite values, magnitudes beyond 65,504 and a tensor without axes.
    Source: Krishnamoorthi 2018, arXiv:1806.08342, section 3.1.
    """
    array = finite_float32(values, largest=LARGEST_MAGNITUDE)
    if array.ndim == 0:
        raise ValueError("a tensor without axes has no output channels, expected at least one axis")
    channels = array.shape[0]
    rows = array.reshape(channels, array.size // max(channels, 1))
    codes, minimum, scale = _quantise_rows(rows, np.dtype(np.float16))
    return Quantised(codes.reshape(array.shape), minimum, scale)


def dequantise(quantised: Quantised) -> NDArray[np.float32]:
    """Return `minimum + code * scale` as float32, in one new array of the tensor's shape."""
    codes = quantised.codes
    trailing = (1,) * (codes.ndim - quantised.minimum.ndim)
    values = codes.astype(np.float32)
    # In place, so that memory stays bounded; two separate float32 operations give the same bits on every machine.
    values *= quantised.scale.astype(np.float32).reshape(quantised.scale.shape + trailing)
    values += quantised.minimum.reshape(quantised.minimum.shape + trailing)
    return values


def cast_to_int8(values: ArrayLike) -> NDArray[np.int8]:
    """Return the values truncated to whole numbers and clipped to -128..127, without any scale.

    It exists to show a collapse: all |weight| < 1, nearly all of a network, become 0. ValueError for NaN and infinity.
    """
    array = finite_float32(values)
    return np.clip(np.trunc(array), -128, 127).astype(np.int8)


def _quantise_rows(
    rows: NDArray[np.float32], scale_type: np.dtype
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.floating]]:
    """Quantise every row of a matrix with its own minimum and scale."""
    if rows.size == 0:
        return rows.astype(np.uint8), np.zeros(len(rows), np.float32), np.zeros(len(rows), scale_type)
    minimum = rows.min(axis=1)
    offsets = rows.astype(np.float64) - minimum[:, None]
    scale = _round_up(offsets.max(axis=1) / LAST_CODE, scale_type)
    # A constant row has scale 0; dividing its zero offsets by 1 gives code 0, and the minimum is the value itself.
    steps = np.where(scale > 0, scale, 1).astype(np.float64)
    codes = np.clip(np.rint(offsets / steps[:, None]), 0, LAST_CODE).astype(np.uint8)
    return codes, minimum, scale


def _round_up(values: NDArray[np.float64], to: np.dtype) -> NDArray[np.floating]:
    with np.errstate(under="ignore"):
        rounded = values.astype(to)
    too_small = rounded.astype(np.float64) < values
    rounded[too_small] = np.nextafter(rounded[too_small], np.array(np.inf, dtype=to))
    return rounded

"""Scales of eight significant bits in a stream: their steps, about a middle that they share.

Layout: a byte (bits 0-6 the middle, in units of 32 steps, a quarter of an octave; bit 7: signs follow) and the spread
of the steps about it, as a small float (1 byte). In the stream a number for each scale, its step less the middle, -512
for a scale that is 0; then, where signs follow, a bit for each scale. O output channels.
"""

import numpy as np
from numpy.typing import NDArray

from models.compress.short_scales import LAST_STEP, scales_of, steps_of
from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.ans import Decoder, Encoder
from models.packed.entropy.numbers import HIGHEST, LOWEST, code_bits, code_numbers, spread_of

LEAST_COUNT = 3  # fewer scales take no more bytes as float16
_SIGNED = 0x80
_MIDDLE_UNIT = 32
_ZERO = LOWEST

ScalesSide = tuple[int, int]  # the byte of the middle, the spread as a small float


def encode_scales(encoder: Encoder, scale_O: NDArray[np.float16]) -> bytes | None:
    """Put the scales into a stream and return what stands before it; None, and nothing done, where they do not fit."""
    steps_O = steps_of(scale_O)
    if steps_O is None or len(scale_O) < LEAST_COUNT:
        return None
    known = steps_O[steps_O > 0]
    middle = int(np.rint(known.mean() / _MIDDLE_UNIT)) if len(known) else 0
    differences = known - _MIDDLE_UNIT * middle
    if len(known) and not _ZERO < differences.min() <= differences.max() <= HIGHEST:
        return None
    spread, negative_O = spread_of(differences), scale_O < 0
    code_numbers(encoder, np.where(steps_O > 0, steps_O - _MIDDLE_UNIT * middle, _ZERO), spread)
    if negative_O.any():
        code_bits(encoder, negative_O)
    return bytes([middle | _SIGNED * bool(negative_O.any()), spread])


def read_scales_side(reader: ByteReader) -> ScalesSide:
    """Return the two bytes of `encode_scales` at the reader's position."""
    return reader.byte("middle of the scales"), reader.byte("spread of the scales")


def decode_scales(decoder: Decoder, count: int, side: ScalesSide) -> NDArray[np.float16]:
    """Return the scales [count] of a stream; PackedFileError for steps that no scale has, and for needless signs."""
    first, spread = side
    numbers_O = code_numbers(decoder, np.zeros(count, np.int64), spread)
    steps_O = np.where(numbers_O == _ZERO, 0, numbers_O + _MIDDLE_UNIT * (first & ~_SIGNED))
    if steps_O.min() < 0 or steps_O.max() > LAST_STEP or ((steps_O == 0) & (numbers_O != _ZERO)).any():
        raise PackedFileError("a scale beyond float16")
    if not first & _SIGNED:
        return scales_of(steps_O, np.zeros(count, bool))
    negative_O = code_bits(decoder, np.zeros(count, bool))
    if not negative_O.any() or (negative_O & (steps_O == 0)).any():
        raise PackedFileError("signs of scales that have none")
    return scales_of(steps_O, negative_O)

"""What stands before the stream in the payload of a low-bit tensor, and where the payload's bytes go.

Layout: number of levels - 1; the form (bit 0: scales have eight bits and are in the stream, else float16; bits 1-7:
taps of the prediction, 0 for order 0); the model's side information (`entropy.order_zero`, `entropy.predictor`); that
of the scales (`entropy.scales`), or a float16 for each; the stream.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.order_zero import OrderZero, read_order_zero
from models.packed.entropy.predictor import MAX_TAPS, PredictorSide, read_predictor_side
from models.packed.entropy.scales import ScalesSide, read_scales_side
from models.packed.precisions import Codec, Shape, payload_limits

LEVELS_RANGE = (2, 256)
_SHORT = 1  # the form's bit for scales of eight bits


@dataclass(frozen=True)
class Parts:
    """A payload taken apart. `model` is order 0, or the side information of a predictor; `scales` the same of steps.

    `model_bytes` and `scale_bytes` of the side information.
    """

    levels: int
    taps: int
    model: OrderZero | PredictorSide
    scales: NDArray[np.float16] | ScalesSide
    stream: memoryview
    model_bytes: int
    scale_bytes: int


def join(
    levels: int, taps: int, model: bytes, steps: bytes | None, scale_O: NDArray[np.float16], stream: bytes
) -> bytes:
    """Return the payload: `steps` are the side information of the scales, None where float16 is stored."""
    frame = bytes([levels - 1, taps << 1 | _SHORT * (steps is not None)])
    return b"".join((frame, model, scale_O.astype("<f2").tobytes() if steps is None else steps, stream))


def split(payload: bytes, shape: Shape) -> Parts:
    """Take a payload apart; PackedFileError for a length or side information that the shape cannot have."""
    fewest, most = payload_limits(shape, Codec.LOW_BIT)
    if not fewest <= len(payload) <= most:
        raise PackedFileError(f"{len(payload)} bytes, expected {fewest} to {most}")
    reader = ByteReader(memoryview(payload), offset=0)
    levels, form = reader.byte("levels") + 1, reader.byte("form")
    taps = form >> 1
    if levels < LEVELS_RANGE[0]:
        raise PackedFileError(f"{levels} levels, expected {LEVELS_RANGE[0]} to {LEVELS_RANGE[1]}")
    if taps > MAX_TAPS or (taps and prod(shape[1:]) % taps):
        raise PackedFileError(f"{taps} taps, expected at most {MAX_TAPS} that divide {prod(shape[1:])}")
    model_start = reader.offset
    model = read_predictor_side(reader, taps) if taps else read_order_zero(reader, levels)
    model_end = reader.offset
    scales = read_scales_side(reader) if form & _SHORT else _read_scales(reader, shape[0])
    stream = memoryview(payload)[reader.offset :]
    return Parts(levels, taps, model, scales, stream, model_end - model_start, reader.offset - model_end)


def _read_scales(reader: ByteReader, count: int) -> NDArray[np.float16]:
    scale_O = np.frombuffer(reader.take(2 * count, "scales"), "<f2").astype(np.float16)
    if not np.isfinite(scale_O).all():
        raise PackedFileError("scales that are not finite")
    return scale_O

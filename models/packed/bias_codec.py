"""The payload of a bias: ten bits each with one step for all, entropy-coded.

Layout: the step (float16), the spread of the numbers (1 byte, see `entropy.numbers`), the stream of the numbers. A
value is its number times the step. Eight bits are too few: they change 0.6 to 1.0 % of the answers of two students of
food11, ten 0.2 %, for a quarter of a byte a channel more (measurements/entropy-coding.json). O output channels.
"""

from math import prod

import numpy as np
from numpy.typing import NDArray

from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.ans import Decoder, Encoder
from models.packed.entropy.numbers import HIGHEST, code_numbers, spread_of
from models.packed.precisions import Codec, Shape, payload_limits


def encode_bias(bias_O: NDArray[np.float32]) -> bytes:
    """Return the payload of a finite bias; a value is within half a step, 1/1022 of the largest magnitude."""
    largest = float(np.abs(bias_O).max())
    step = np.array(largest / HIGHEST, "<f2")
    exact = bias_O.astype(np.float64) / float(step) if step > 0 else np.zeros(len(bias_O))
    numbers_O = np.clip(np.rint(exact), -HIGHEST, HIGHEST).astype(np.int64)
    encoder, spread = Encoder(), spread_of(numbers_O)
    code_numbers(encoder, numbers_O, spread)
    return step.tobytes() + bytes([spread]) + encoder.finish()


def decode_bias(payload: bytes, shape: Shape) -> NDArray[np.float32]:
    """Return the bias of a payload, float32.

    Raises PackedFileError for several axes, a length that the shape cannot have, a step that is not finite or has a
    sign, and a stream that is not that of its numbers.
    """
    fewest, most = payload_limits(shape, Codec.BIAS)
    if len(shape) != 1 or not fewest <= len(payload) <= most:
        raise PackedFileError(f"{len(payload)} bytes for a bias {shape}, expected {fewest} to {most}")
    reader = ByteReader(memoryview(payload), offset=0)
    step = np.frombuffer(reader.take(2, "step"), "<f2").astype(np.float32)[0]
    if not np.isfinite(step) or np.signbit(step):
        raise PackedFileError(f"a bias {shape} with the step {step}")
    spread = reader.byte("spread")
    decoder = Decoder(memoryview(payload)[reader.offset :])
    numbers_O = code_numbers(decoder, np.zeros(prod(shape), np.int64), spread)
    decoder.finish()
    return (numbers_O.astype(np.float32) * step).reshape(shape)

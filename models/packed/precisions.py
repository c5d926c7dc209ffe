"""The codecs and precisions of a packed file and what each costs in bytes, by arithmetic alone (no numpy, no torch)."""

from enum import IntEnum
from math import prod

Shape = tuple[int, ...]


class Codec(IntEnum):
    """How one tensor is stored; the number stands in the file and never changes its meaning."""

    FP32 = 0
    FP16 = 1
    UINT8_CHANNEL = 2  # minimum (float32) and scale (float16) per output channel, then a byte per weight
    UINT8_TENSOR = 3  # minimum and scale (float32) per tensor, then a byte per weight: the reference's
    INT8_CAST = 4  # a byte per weight and no scale: a demonstration of what fails
    LOW_BIT = 5  # scale (float16) per output channel, few levels, entropy-coded: the size depends on the weights


CODEC_NAMES: dict[Codec, str] = {
    Codec.FP32: "fp32",
    Codec.FP16: "fp16",
    Codec.UINT8_CHANNEL: "uint8",
    Codec.UINT8_TENSOR: "uint8-tensor",
    Codec.INT8_CAST: "int8-cast",
    Codec.LOW_BIT: "low-bit",
}
FLOAT_CODECS: tuple[Codec, ...] = tuple(codec for codec in Codec if codec != Codec.LOW_BIT)  # make any tensor bytes
PRECISIONS: tuple[str, ...] = tuple(CODEC_NAMES[codec] for codec in FLOAT_CODECS)  # in order of falling fidelity
DEMONSTRATION = "int8-cast"  # the one precision that is no deliverable

_BYTES_PER_WEIGHT = {
    Codec.FP32: 4,
    Codec.FP16: 2,
    Codec.UINT8_CHANNEL: 1,
    Codec.UINT8_TENSOR: 1,
    Codec.INT8_CAST: 1,
}
_CHANNEL_BYTES = 6
_TENSOR_BYTES = 8
_LOW_BIT_LEAST_BYTES = 3  # levels and the ends of the codes; a tensor of one code needs neither table nor stream
_LOW_BIT_TABLE_BYTES = 1 + 256  # the kind of a frequency table, a byte for each of 256 codes
_LOW_BIT_CODE_BYTES = 2  # the rarest code costs 12 bits and a little
_LOW_BIT_END_BYTES = 8  # what a stream takes to end: two words


def codec_of_tensor(precision: str, shape: Shape) -> Codec:
    """Return the codec of one tensor at a file's precision; ValueError for an unknown precision.

    Biases (one axis) stay in fp16 below fp32: they are 0.3 % of all, and an error in one shifts a whole channel.
    """
    for codec in FLOAT_CODECS:
        if CODEC_NAMES[codec] == precision:
            return Codec.FP16 if len(shape) == 1 and codec != Codec.FP32 else codec
    raise ValueError(f"unknown precision {precision!r}, expected one of {', '.join(PRECISIONS)}")


def encoded_bytes(shape: Shape, codec: Codec) -> int:
    """Return the payload's size in bytes by one of FLOAT_CODECS; it depends on shape and codec alone."""
    size = coded_bytes(shape, codec)
    if codec == Codec.UINT8_CHANNEL:
        return size + _CHANNEL_BYTES * shape[0]
    if codec == Codec.UINT8_TENSOR:
        return size + _TENSOR_BYTES
    return size


def coded_bytes(shape: Shape, codec: Codec) -> int:
    """Return the bytes of the weights alone, without minima and scales, by one of FLOAT_CODECS."""
    return prod(shape) * _BYTES_PER_WEIGHT[codec]


def payload_limits(shape: Shape, codec: Codec) -> tuple[int, int]:
    """Return the fewest and the most bytes of a payload: one number twice, but for low-bit."""
    if codec != Codec.LOW_BIT:
        return encoded_bytes(shape, codec), encoded_bytes(shape, codec)
    fewest = _LOW_BIT_LEAST_BYTES + 2 * shape[0]
    return fewest, fewest + _LOW_BIT_TABLE_BYTES + _LOW_BIT_CODE_BYTES * prod(shape) + _LOW_BIT_END_BYTES

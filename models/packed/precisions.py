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
    LOW_BIT = 5  # few levels and a scale per output channel, entropy-coded: the size depends on the weights

    BIAS = 6  # ten bits and one step for all, entropy-coded


CODEC_NAMES: dict[Codec, str] = {
    Codec.FP32: "fp32",
    Codec.FP16: "fp16",
    Codec.UINT8_CHANNEL: "uint8",
    Codec.UINT8_TENSOR: "uint8-tensor",
    Codec.INT8_CAST: "int8-cast",
    Codec.LOW_BIT: "low-bit",
    Codec.BIAS: "bias",
}
ENTROPY_CODED: tuple[Codec, ...] = (Codec.LOW_BIT, Codec.BIAS)  # their sizes depend on the weights
FLOAT_CODECS: tuple[Codec, ...] = tuple(codec for codec in Codec if codec not in ENTROPY_CODED)  # for any tensor
BIAS_CODECS: tuple[Codec, ...] = (Codec.FP16, Codec.BIAS)  # of a low-bit file
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
_LOW_BIT_LEAST_BYTES = 5  # levels, form, the spread of the codes, two bytes for scales; a stream may be empty
_BIAS_LEAST_BYTES = 3  # the step and the spread
_LOW_BIT_SIDE_BYTES = 1024  # 256 weights of a histogram, or 324 numbers of a predictor, two bytes each at most
_LOW_BIT_NUMBER_BYTES = 3  # the rarest code costs 16 bits, the rarest number 18
_BIAS_NUMBER_BYTES = 3


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
    """Return the fewest and the most bytes of a payload: one number twice, but for ENTROPY_CODED."""
    if codec in FLOAT_CODECS:
        return encoded_bytes(shape, codec), encoded_bytes(shape, codec)
    if codec == Codec.BIAS:
        return _BIAS_LEAST_BYTES, _BIAS_LEAST_BYTES + _BIAS_NUMBER_BYTES * prod(shape)
    numbers = prod(shape) + shape[0]  # codes and scales
    return _LOW_BIT_LEAST_BYTES, _LOW_BIT_SIDE_BYTES + _LOW_BIT_NUMBER_BYTES * numbers

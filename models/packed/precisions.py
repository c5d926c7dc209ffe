"""The codecs and precisions of a packed file and what each costs in bytes, by arithmetic alone (no numpy, no torch)."""

from enum import IntEnum
from math import prod

Shape = tuple[int, ...]


class Codec(IntEnum):
    """How one tensor is stored; the number stands in the file and never changes its meaning."""

    FP32 = 0
    FP16 = 1
    UINT8_CHANNEL = 2  # minimum (float32) and scale (float16) per output channel, then a byte per weight
    UINT8_TENSOR = 3  # minimum and scale (float32) per tensor, then a byte per weight: the report's
    INT8_CAST = 4  # a byte per weight and no scale: a demonstration of what fails


CODEC_NAMES: dict[Codec, str] = {
    Codec.FP32: "fp32",
    Codec.FP16: "fp16",
    Codec.UINT8_CHANNEL: "uint8",
    Codec.UINT8_TENSOR: "uint8-tensor",
    Codec.INT8_CAST: "int8-cast",
}
PRECISIONS: tuple[str, ...] = tuple(CODEC_NAMES.values())  # in order of falling fidelity
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


def codec_of_tensor(precision: str, shape: Shape) -> Codec:
    """Return the codec of one tensor at a file's precision; ValueError for an unknown precision.

    Biases (one axis) stay in fp16 below fp32: they are 0.3 % of all, and an error in one shifts a whole channel.
    """
    for codec, name in CODEC_NAMES.items():
        if name == precision:
            return Codec.FP16 if len(shape) == 1 and codec != Codec.FP32 else codec
    raise ValueError(f"unknown precision {precision!r}, expected one of {', '.join(PRECISIONS)}")


def encoded_bytes(shape: Shape, codec: Codec) -> int:
    """Return the payload's size in bytes; it depends on shape and codec alone."""
    size = prod(shape) * _BYTES_PER_WEIGHT[codec]
    if codec == Codec.UINT8_CHANNEL:
        return size + _CHANNEL_BYTES * shape[0]
    if codec == Codec.UINT8_TENSOR:
        return size + _TENSOR_BYTES
    return size

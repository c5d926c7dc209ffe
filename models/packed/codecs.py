"""Turns one tensor into the payload of a packed file and back (numpy; all numbers lowest byte first)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.compress import minmax
from models.compress.minmax import Quantised
from models.packed.bias_codec import decode_bias, encode_bias
from models.packed.byte_reader import PackedFileError
from models.packed.low_bit_codec import decode_low_bit
from models.packed.precisions import CODEC_NAMES, FLOAT_CODECS, Codec, Shape, encoded_bytes


def encode_tensor(array: ArrayLike, codec: Codec) -> bytes:
    """Return the payload of a float32 tensor: by one of FLOAT_CODECS, `encoded_bytes(shape, codec)` bytes.

    Raises ValueError for NaN and infinity, for magnitudes beyond 65,504 (float16's) but by fp32 and int8-cast, and for
    low-bit, whose codes do not follow from the weights alone: see `low_bit_codec`.
    """
    match codec:
        case Codec.FP32:
            return _little(minmax.finite_float32(array), "<f4")
        case Codec.FP16:
            return _little(minmax.finite_float32(array, largest=minmax.LARGEST_MAGNITUDE), "<f2")
        case Codec.UINT8_CHANNEL:
            return _join(minmax.quantise_per_channel(array), scale_type="<f2")
        case Codec.UINT8_TENSOR:
            return _join(minmax.quantise_per_tensor(array), scale_type="<f4")
        case Codec.INT8_CAST:
            return minmax.cast_to_int8(array).tobytes()
        case Codec.LOW_BIT:
            raise ValueError("a low-bit tensor is made from codes and scales, not from weights")
        case Codec.BIAS:
            return encode_bias(minmax.finite_float32(array, largest=minmax.LARGEST_MAGNITUDE))


def decode_tensor(payload: bytes, codec: Codec, shape: Shape) -> NDArray[np.float32]:
    """Return the tensor of a payload as a new, writeable float32 array.

    Raises PackedFileError, before anything is allocated, when the payload's length is not one that the shape can have,
    for decoded values that are not finite, and what `decode_low_bit` raises.
    """
    if codec in FLOAT_CODECS and len(payload) != encoded_bytes(shape, codec):
        expected = encoded_bytes(shape, codec)
        raise PackedFileError(f"{len(payload)} bytes for a {CODEC_NAMES[codec]} tensor {shape}, expected {expected}")
    with np.errstate(all="ignore"):  # hostile minima and scales overflow; the check below refuses the result
        values = _decode(payload, codec, shape)
    if not np.isfinite(values).all():
        raise PackedFileError(f"a {CODEC_NAMES[codec]} tensor {shape} holds values that are not finite")
    return values


def _decode(payload: bytes, codec: Codec, shape: Shape) -> NDArray[np.float32]:
    match codec:
        case Codec.FP32:
            return np.frombuffer(payload, "<f4").astype(np.float32).reshape(shape)
        case Codec.FP16:
            return np.frombuffer(payload, "<f2").astype(np.float32).reshape(shape)
        case Codec.UINT8_CHANNEL:
            return minmax.dequantise(_split(payload, shape, (shape[0],), scale_type="<f2"))
        case Codec.UINT8_TENSOR:
            return minmax.dequantise(_split(payload, shape, (), scale_type="<f4"))
        case Codec.INT8_CAST:
            return np.frombuffer(payload, np.int8).astype(np.float32).reshape(shape)
        case Codec.LOW_BIT:
            return decode_low_bit(payload, shape).values()
        case Codec.BIAS:
            return decode_bias(payload, shape)


def _little(array: NDArray[Any], kind: str) -> bytes:
    return array.astype(kind).tobytes()


def _join(quantised: Quantised, *, scale_type: str) -> bytes:
    return _little(quantised.minimum, "<f4") + _little(quantised.scale, scale_type) + quantised.codes.tobytes()


def _split(payload: bytes, shape: Shape, parameter_shape: Shape, *, scale_type: str) -> Quantised:
    count = int(np.prod(parameter_shape, dtype=np.int64))
    scale_start = 4 * count
    codes_start = scale_start + np.dtype(scale_type).itemsize * count
    return Quantised(
        codes=np.frombuffer(payload, np.uint8, offset=codes_start).reshape(shape),
        minimum=np.frombuffer(payload, "<f4", count).reshape(parameter_shape),
        scale=np.frombuffer(payload, scale_type, count, offset=scale_start).reshape(parameter_shape),
    )

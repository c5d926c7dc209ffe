"""The payload of a low-bit tensor: side information of a few bytes, then its codes, entropy-coded.

Layout: number of levels - 1, how far the lowest and the highest code lie within the levels' range (1 byte each), the
frequency table of these codes unless there is only one, a scale (float16) per output channel, the stream.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from models.compress.bit_plan import code_range
from models.compress.low_bit import LowBit
from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.fit import entropy_bits, fit_description, ideal_bits
from models.packed.entropy.range_coder import decode, encode
from models.packed.entropy.tables import TOTAL, Frequencies, read_frequencies
from models.packed.precisions import Codec, Shape, payload_limits

_LEVELS_RANGE = (2, 256)


@dataclass(frozen=True)
class LowBitBytes:
    """Where the bytes of one payload go: side_bytes + stream_bytes is its length.

    `entropy_bits`: what the codes need at least, were their counts known; `table_bits`: what the stored table promises.
    """

    levels: int
    side_bytes: int
    stream_bytes: int
    entropy_bits: float
    table_bits: float


@dataclass(frozen=True)
class _Parts:
    """A payload taken apart; `frequencies` are those of the codes from `lowest` on."""

    levels: int
    lowest: int
    frequencies: Frequencies
    scale: NDArray[np.float16]
    stream: memoryview


def encode_low_bit(tensor: LowBit) -> bytes:
    """Return the payload; ValueError for codes or scales that LowBit does not permit, and for a tensor without any."""
    _check(tensor)
    first, counts = _count(tensor.codes)
    lowest, highest = code_range(tensor.levels)
    ends = bytes([tensor.levels - 1, first - lowest, highest - (first + len(counts) - 1)])
    description = fit_description(counts, first) if len(counts) > 1 else b""
    frequencies = _read_frequencies(ByteReader(memoryview(description), offset=0), first, len(counts))
    stream = encode(tensor.codes.ravel(), frequencies, first)
    return b"".join((ends, description, tensor.scale.astype("<f2").tobytes(), stream))


def decode_low_bit(payload: bytes, shape: Shape) -> LowBit:
    """Return the tensor of a payload.

    Raises PackedFileError, before anything is allocated, for a length that the shape cannot have; then for scales that
    are not finite, for codes that do not fill their range, and for a stream that is not the one the encoder makes of
    its own codes, so that codes and table have one spelling and bytes that only resemble a stream are refused.
    """
    parts = _split(payload, shape)
    codes = decode(parts.stream, prod(shape), parts.frequencies, parts.lowest)
    found = (int(codes.min()), int(codes.max()))
    expected = (parts.lowest, parts.lowest + len(parts.frequencies) - 1)
    if found != expected:
        raise PackedFileError(f"a low-bit tensor {shape} has codes {_range(found)}, expected {_range(expected)}")
    if encode(codes, parts.frequencies, parts.lowest) != parts.stream:
        raise PackedFileError(f"the stream of a low-bit tensor {shape} is not that of its codes")
    return LowBit(codes.reshape(shape), parts.scale, parts.levels)


def measure_low_bit(payload: bytes, shape: Shape) -> LowBitBytes:
    """Return where the payload's bytes go; raises what decode_low_bit raises."""
    parts = _split(payload, shape)
    counts = _count(decode_low_bit(payload, shape).codes)[1]
    stream_bytes = len(parts.stream)
    table_bits = ideal_bits(counts, parts.frequencies)
    return LowBitBytes(parts.levels, len(payload) - stream_bytes, stream_bytes, entropy_bits(counts), table_bits)


def _split(payload: bytes, shape: Shape) -> _Parts:
    fewest, most = payload_limits(shape, Codec.LOW_BIT)
    if not fewest <= len(payload) <= most:
        raise PackedFileError(f"{len(payload)} bytes for a low-bit tensor {shape}, expected {fewest} to {most}")
    reader = ByteReader(memoryview(payload), offset=0)
    levels = reader.byte("levels") + 1
    lowest, highest = code_range(levels)
    lowest, highest = lowest + reader.byte("lowest code"), highest - reader.byte("highest code")
    if levels < _LEVELS_RANGE[0] or lowest > highest:
        raise PackedFileError(f"a low-bit tensor {shape} of {levels} levels with codes {_range((lowest, highest))}")
    frequencies = _read_frequencies(reader, lowest, highest - lowest + 1)
    scale = np.frombuffer(reader.take(2 * shape[0], "scales"), "<f2").astype(np.float16)
    if not np.isfinite(scale).all():
        raise PackedFileError(f"a low-bit tensor {shape} has scales that are not finite")
    return _Parts(levels, lowest, frequencies, scale, memoryview(payload)[reader.offset :])


def _read_frequencies(reader: ByteReader, lowest: int, count: int) -> Frequencies:
    return read_frequencies(reader, lowest, count) if count > 1 else np.array([TOTAL], np.int64)


def _count(codes: NDArray[np.int8]) -> tuple[int, NDArray[np.int64]]:
    """The lowest code, and how often each code from it to the highest occurs."""
    values, found = np.unique(codes, return_counts=True)
    counts = np.zeros(int(values[-1]) - int(values[0]) + 1, np.int64)
    counts[values.astype(np.int64) - int(values[0])] = found
    return int(values[0]), counts


def _check(tensor: LowBit) -> None:
    """Raise ValueError for what cannot be stored."""
    codes, scale = tensor.codes, tensor.scale
    if not _LEVELS_RANGE[0] <= tensor.levels <= _LEVELS_RANGE[1]:
        raise ValueError(f"{tensor.levels} levels, expected {_range(_LEVELS_RANGE)}")
    if codes.dtype != np.int8 or codes.ndim == 0 or codes.size == 0:
        raise ValueError(f"codes {codes.dtype} {codes.shape}, expected int8 with at least one code")
    if scale.dtype != np.float16 or scale.shape != codes.shape[:1] or not np.isfinite(scale).all():
        raise ValueError(f"scales {scale.dtype} {scale.shape}, expected finite float16 {codes.shape[:1]}")
    found, allowed = (int(codes.min()), int(codes.max())), code_range(tensor.levels)
    if found[0] < allowed[0] or found[1] > allowed[1]:
        raise ValueError(f"codes {_range(found)}, expected within {_range(allowed)} ({tensor.levels} levels)")


def _range(ends: tuple[int, int]) -> str:
    return f"{ends[0]} to {ends[1]}"

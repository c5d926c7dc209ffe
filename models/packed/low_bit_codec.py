"""Encodes and decodes the payload of a low-bit tensor (`low_bit_layout`): side information, then one stream.

The stream holds what is entropy-coded: the predictor, the codes, the steps of the scales.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from models.compress.bit_plan import code_range
from models.compress.low_bit import LowBit
from models.packed.byte_reader import PackedFileError
from models.packed.entropy.ans import Decoder, Encoder
from models.packed.entropy.fit import entropy_bits
from models.packed.entropy.fit_prediction import fit_predictor
from models.packed.entropy.order_zero import OrderZero, fit_order_zero
from models.packed.entropy.prediction import code_taps
from models.packed.entropy.predictor import MAX_TAPS, decode_predictor, encode_predictor
from models.packed.entropy.scales import decode_scales, encode_scales
from models.packed.low_bit_layout import LEVELS_RANGE, Parts, join, split
from models.packed.precisions import Shape

_HEAD_SQUARES = (4, 9, 16, 25)  # taps that are tried for a linear layer: a flatten of so many positions before it


@dataclass(frozen=True)
class LowBitBytes:
    """Where the bytes of one payload go; the four parts add up to its length, those of the stream rounded to bytes.

    `taps` of the prediction, 0 for order 0. `entropy_bits`: what the codes need at least if they are independent, were
    their counts known.
    """

    levels: int
    taps: int
    frame_bytes: int
    prediction_bytes: int
    stream_bytes: int
    scale_bytes: int
    entropy_bits: float


def encode_low_bit(tensor: LowBit) -> bytes:
    """Return the payload, the smallest that is found; ValueError for what LowBit does not permit."""
    _check(tensor)
    taps, model, encoder = min(_candidates(tensor), key=lambda found: len(found[1]) + found[2].bits / 8)
    steps = encode_scales(encoder, tensor.scale)
    return join(tensor.levels, taps, model, steps, tensor.scale, encoder.finish())


def decode_low_bit(payload: bytes, shape: Shape) -> LowBit:
    """Return the tensor of a payload.

    Raises PackedFileError, before anything is allocated, for a length that the shape cannot have; then for whatever the
    encoder does not write: scales that are not finite, order 0 whose codes do not fill their range, and a stream that
    is not the one of its codes, so that bytes that only resemble a stream are refused.
    """
    return _decoded(payload, shape)[1]


def measure_low_bit(payload: bytes, shape: Shape) -> LowBitBytes:
    """Return where the payload's bytes go; raises what decode_low_bit raises."""
    parts, tensor, model, scales = _decoded(payload, shape)
    return LowBitBytes(
        levels=parts.levels,
        taps=parts.taps,
        frame_bytes=len(payload) - len(parts.stream) - parts.model_bytes - parts.scale_bytes,
        prediction_bytes=parts.model_bytes + model,
        stream_bytes=len(parts.stream) - model - scales,
        scale_bytes=parts.scale_bytes + scales,
        entropy_bits=entropy_bits(np.unique(tensor.codes, return_counts=True)[1]),
    )


def _candidates(tensor: LowBit) -> Iterator[tuple[int, bytes, Encoder]]:
    """Of every model that may pay: its taps, what stands before the scales, and the stream so far."""
    codes_N, (lowest, _) = tensor.codes.reshape(-1), code_range(tensor.levels)
    order_zero, side = fit_order_zero(codes_N, tensor.levels)
    encoder = Encoder()
    order_zero.code(encoder, codes_N)
    yield 0, side, encoder
    for taps in _possible_taps(tensor.codes.shape):
        codes_NT, columns = codes_N.reshape(-1, taps), prod(tensor.codes.shape[1:]) // taps
        predictor = fit_predictor(codes_NT, columns, lowest, tensor.levels)
        encoder = Encoder()
        side = encode_predictor(encoder, predictor)
        code_taps(encoder, codes_NT, columns, predictor, lowest, tensor.levels)
        yield taps, side, encoder


def _possible_taps(shape: Shape) -> list[int]:
    if len(shape) == 2:
        return [1, *(taps for taps in _HEAD_SQUARES if shape[1] % taps == 0)]
    area = prod(shape[2:])
    return [1, area] if 1 < area <= MAX_TAPS else [1]


def _decoded(payload: bytes, shape: Shape) -> tuple[Parts, LowBit, int, int]:
    """The payload's parts, the tensor, and how many bytes of the stream hold its model and its scales."""
    try:
        parts = split(payload, shape)
        return parts, *_decode_stream(parts, shape)
    except PackedFileError as error:
        raise PackedFileError(f"a low-bit tensor {shape}: {error}") from error


def _decode_stream(parts: Parts, shape: Shape) -> tuple[LowBit, int, int]:
    decoder, codes = Decoder(parts.stream), np.zeros(shape, np.int8)
    model_end = 0
    if isinstance(parts.model, OrderZero):
        parts.model.code(decoder, codes.reshape(-1))
        parts.model.check(codes)
    else:
        predictor = decode_predictor(decoder, parts.taps, parts.model)
        model_end = decoder.bytes_read
        columns, (lowest, _) = prod(shape[1:]) // parts.taps, code_range(parts.levels)
        code_taps(decoder, codes.reshape(-1, parts.taps), columns, predictor, lowest, parts.levels)
    codes_end = decoder.bytes_read
    if isinstance(parts.scales, np.ndarray):
        scale, codes_end = parts.scales, len(parts.stream)
    else:
        scale = decode_scales(decoder, shape[0], parts.scales)
    decoder.finish()
    return LowBit(codes, scale, parts.levels), model_end, len(parts.stream) - codes_end


def _check(tensor: LowBit) -> None:
    """Raise ValueError for what cannot be stored."""
    codes, scale = tensor.codes, tensor.scale
    if not LEVELS_RANGE[0] <= tensor.levels <= LEVELS_RANGE[1]:
        raise ValueError(f"{tensor.levels} levels, expected {_range(LEVELS_RANGE)}")
    if codes.dtype != np.int8 or codes.ndim == 0 or codes.size == 0:
        raise ValueError(f"codes {codes.dtype} {codes.shape}, expected int8 with at least one code")
    if scale.dtype != np.float16 or scale.shape != codes.shape[:1] or not np.isfinite(scale).all():
        raise ValueError(f"scales {scale.dtype} {scale.shape}, expected finite float16 {codes.shape[:1]}")
    found, allowed = (int(codes.min()), int(codes.max())), code_range(tensor.levels)
    if found[0] < allowed[0] or found[1] > allowed[1]:
        raise ValueError(f"codes {_range(found)}, expected within {_range(allowed)} ({tensor.levels} levels)")


def _range(ends: tuple[int, int]) -> str:
    return f"{ends[0]} to {ends[1]}"

"""Payloads byte by byte, their size, their error, and what is refused."""

import struct

import numpy as np
import pytest

from models.packed.byte_reader import PackedFileError
from models.packed.codecs import decode_tensor, encode_tensor
from models.packed.precisions import FLOAT_CODECS, PRECISIONS, Codec, codec_of_tensor, encoded_bytes, payload_limits

WEIGHTS = np.random.default_rng(3).normal(0, 0.1, (8, 4, 3, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("codec", "values", "expected"),
    [
        (Codec.FP32, [1.0, -2.0], struct.pack("<2f", 1.0, -2.0)),
        (Codec.FP16, [1.0, -2.0], bytes.fromhex("003c00c0")),
        (Codec.UINT8_CHANNEL, [[0.0, 255.0], [7.0, 7.0]], struct.pack("<2f2e4B", 0.0, 7.0, 1.0, 0.0, 0, 255, 0, 0)),
        (Codec.UINT8_TENSOR, [-1.0, 254.0, 2.0], struct.pack("<2f3B", -1.0, 1.0, 0, 255, 3)),
        (Codec.INT8_CAST, [0.9, -3.2, 200.0], struct.pack("<3b", 0, -3, 127)),
    ],
)
def test_payload_by_hand(codec, values, expected):
    assert encode_tensor(np.array(values, np.float32), codec) == expected


def test_codec_numbers_are_those_in_existing_files():
    assert [int(codec) for codec in Codec] == [0, 1, 2, 3, 4, 5, 6]
    assert PRECISIONS == ("fp32", "fp16", "uint8", "uint8-tensor", "int8-cast")


@pytest.mark.parametrize("codec", FLOAT_CODECS)
@pytest.mark.parametrize("shape", [(5,), (4, 6), (2, 3, 1, 1), (0,), (3, 0)])
def test_size_shape_and_type_survive(codec, shape):
    payload = encode_tensor(np.ones(shape, np.float32), codec)
    assert len(payload) == encoded_bytes(shape, codec)
    decoded = decode_tensor(payload, codec, shape)
    assert np.array_equal(decoded, np.ones(shape, np.float32))
    assert decoded.dtype == np.float32
    assert decoded.flags.writeable


@pytest.mark.parametrize(
    ("codec", "half_steps"),
    [
        (Codec.FP32, np.zeros((8, 1, 1, 1))),
        (Codec.FP16, np.abs(WEIGHTS) * 2.0**-11 + 2.0**-25),
        (Codec.UINT8_CHANNEL, np.ptp(WEIGHTS, axis=(1, 2, 3), keepdims=True) / 509),
        (Codec.UINT8_TENSOR, np.ptp(WEIGHTS) / 509),
    ],
)
def test_error_stays_within_half_a_step(codec, half_steps):
    decoded = decode_tensor(encode_tensor(WEIGHTS, codec), codec, WEIGHTS.shape)
    assert (np.abs(decoded - WEIGHTS) <= half_steps).all()


@pytest.mark.parametrize("codec", FLOAT_CODECS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_weights_are_refused(codec, value):
    with pytest.raises(ValueError, match=r"1 of 2 weights are (NaN|infinite)"):
        encode_tensor(np.array([[0.5, value]], np.float32), codec)


@pytest.mark.parametrize("value", [65_505.0, -1e30])
def test_weights_beyond_float16_are_refused(value):
    with pytest.raises(ValueError, match="expected at most 65504"):
        encode_tensor(np.array([value], np.float32), Codec.FP16)
    assert decode_tensor(encode_tensor(np.array([value]), Codec.FP32), Codec.FP32, (1,)) == np.float32(value)


@pytest.mark.parametrize("codec", FLOAT_CODECS)
@pytest.mark.parametrize("difference", [-1, 1])
def test_a_payload_of_the_wrong_length_is_refused(codec, difference):
    payload = bytes(encoded_bytes((4, 3), codec) + difference)
    with pytest.raises(PackedFileError, match=rf"tensor \(4, 3\), expected {len(payload) - difference}"):
        decode_tensor(payload, codec, (4, 3))


def test_a_huge_shape_is_refused_by_arithmetic():
    with pytest.raises(PackedFileError, match="3 bytes for a uint8-tensor tensor"):
        decode_tensor(b"abc", Codec.UINT8_TENSOR, (2**40, 2**20))


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        (Codec.FP32, struct.pack("<2f", 0.0, np.nan)),
        (Codec.FP16, struct.pack("<2e", 0.0, np.inf)),
        (Codec.UINT8_CHANNEL, struct.pack("<2f2e2B", 0.0, np.nan, 1.0, 1.0, 0, 0)),
        (Codec.UINT8_TENSOR, struct.pack("<2f2B", 0.0, np.inf, 1, 2)),
        (Codec.UINT8_TENSOR, struct.pack("<2f2B", 3e38, 3e38, 0, 255)),
    ],
)
def test_payloads_that_decode_to_non_finite_values_are_refused(codec, payload):
    with pytest.raises(PackedFileError, match="holds values that are not finite"):
        decode_tensor(payload, codec, (2, 1) if codec == Codec.UINT8_CHANNEL else (2,))


def test_biases_are_fp16_below_fp32():
    assert codec_of_tensor("fp32", (8,)) == Codec.FP32
    assert {codec_of_tensor(precision, (8,)) for precision in PRECISIONS[1:]} == {Codec.FP16}
    assert codec_of_tensor("uint8", (8, 4)) == Codec.UINT8_CHANNEL
    with pytest.raises(ValueError, match="unknown precision 'int4', expected one of fp32, fp16, uint8"):
        codec_of_tensor("int4", (8, 4))


def test_low_bit_is_no_precision_of_weights_alone():
    with pytest.raises(ValueError, match="a low-bit tensor is made from codes and scales, not from weights"):
        encode_tensor(WEIGHTS, Codec.LOW_BIT)
    with pytest.raises(ValueError, match="unknown precision 'low-bit'"):
        codec_of_tensor("low-bit", (8, 4))


def test_limits_of_a_payload():
    assert payload_limits((8, 4), Codec.UINT8_CHANNEL) == (8 * 4 + 8 * 6, 8 * 4 + 8 * 6)
    # levels, form, a spread and two bytes of scales; at most a kilobyte of tables and three bytes a code and a scale
    assert payload_limits((8, 4), Codec.LOW_BIT) == (5, 1024 + 3 * (32 + 8))
    assert payload_limits((8,), Codec.BIAS) == (3, 3 + 3 * 8)

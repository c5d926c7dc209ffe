"""The payload of a low-bit tensor: byte by byte, back again exactly, and everything else refused."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from models.compress.bit_plan import LEVELS
from models.compress.low_bit import LowBit
from models.packed.byte_reader import PackedFileError
from models.packed.codecs import decode_tensor
from models.packed.entropy.range_coder import encode
from models.packed.low_bit_codec import decode_low_bit, encode_low_bit, measure_low_bit
from models.packed.precisions import Codec
from tests.models.packed.made_low_bit import made_tensor

SHAPE = (4, 30)
HALF_AND_MINUS_TWO = bytes.fromhex("003800c0")


def tensor(codes: list, levels: int) -> LowBit:
    return LowBit(np.array(codes, np.int8), np.array([0.5, -2.0], np.float16)[: len(codes)], levels)


def payload_of(levels: int = 16) -> bytes:
    return encode_low_bit(made_tensor(SHAPE, levels))


def test_a_constant_tensor_by_hand():
    # 16 levels are -8..7: the one code 3 lies 11 above the lowest and 4 below the highest; no table, no stream
    constant = tensor([[3] * 50, [3] * 50], 16)
    assert encode_low_bit(constant) == bytes([15, 11, 4]) + HALF_AND_MINUS_TWO
    assert np.array_equal(decode_low_bit(bytes([15, 11, 4]) + HALF_AND_MINUS_TWO, (2, 50)).codes, constant.codes)


def test_a_payload_by_hand():
    # three levels, all used and equally often: a flat curve, whose centre 16 << 6 is as frequent as magnitude 1
    payload = encode_low_bit(tensor([[-1, 0, 1], [1, 0, -1]], 3))
    codes = np.array([-1, 0, 1, 1, 0, -1], np.int8)
    stream = encode(codes, np.array([1366, 1365, 1365]), -1)
    assert len(stream) == 4  # one word for six times 1.6 bits
    assert payload == bytes([2, 0, 0]) + bytes([0, 0x60, 0, 0]) + HALF_AND_MINUS_TWO + stream


@pytest.mark.parametrize("levels", LEVELS.values())
@pytest.mark.parametrize("shape", [(4, 30), (16, 3, 3, 3), (1, 1), (7,), (300, 200)])
def test_tensors_are_decoded_exactly(shape, levels):
    before = made_tensor(shape, levels)
    after = decode_low_bit(encode_low_bit(before), shape)
    assert (after.levels, after.codes.dtype, after.scale.dtype) == (levels, np.int8, np.float16)
    assert np.array_equal(after.codes, before.codes)
    assert np.array_equal(after.scale, before.scale)
    values = decode_tensor(encode_low_bit(before), Codec.LOW_BIT, shape)
    assert values.tobytes() == before.values().tobytes()
    assert values.dtype == np.float32


@pytest.mark.parametrize("laplace", [False, True])
@pytest.mark.parametrize("levels", LEVELS.values())
def test_a_payload_is_within_a_percent_of_the_entropy(levels, laplace):
    shape = (100, 1000)
    made = made_tensor(shape, levels, laplace=laplace)
    payload = encode_low_bit(made)
    found = measure_low_bit(payload, shape)
    assert found.levels == levels
    assert found.side_bytes + found.stream_bytes == len(payload)
    assert found.side_bytes <= 3 + 257 + 2 * 100
    assert 8 * found.stream_bytes <= 1.001 * found.table_bits + 32
    shares = np.unique(made.codes, return_counts=True)[1] / made.codes.size
    assert found.entropy_bits == pytest.approx(made.codes.size * -(shares * np.log2(shares)).sum())
    assert found.entropy_bits <= found.table_bits <= 1.01 * found.entropy_bits


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 1}, "1 levels, expected 2 to 256"),
        ({"levels": 257}, "257 levels, expected 2 to 256"),
        ({"levels": 3}, r"codes -8 to 7, expected within -1 to 1 \(3 levels\)"),
        ({"codes": np.zeros((4, 2), np.int16)}, r"codes int16 \(4, 2\), expected int8 with at least one"),
        ({"codes": np.zeros((4, 0), np.int8)}, r"codes int8 \(4, 0\), expected int8 with at least one"),
        ({"scale": np.ones(4, np.float32)}, r"scales float32 \(4,\), expected finite float16 \(4,\)"),
        ({"scale": np.ones(3, np.float16)}, r"scales float16 \(3,\), expected finite float16 \(4,\)"),
        ({"scale": np.full(4, np.inf, np.float16)}, r"scales float16 \(4,\), expected finite"),
    ],
)
def test_what_cannot_be_stored_is_refused(changes, message):
    full = LowBit(np.tile(np.arange(-8, 8, dtype=np.int8), (4, 1)), np.ones(4, np.float16), 16)
    with pytest.raises(ValueError, match=message):
        encode_low_bit(replace(full, **changes))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", r"0 bytes for a low-bit tensor \(4, 30\), expected 11 to 516"),
        (bytes(10), r"10 bytes for a low-bit tensor \(4, 30\), expected 11 to 516"),
        (bytes(517), "517 bytes for a low-bit tensor"),
        (bytes([0, 0, 0]) + bytes(8), r"of 1 levels with codes 0 to 0"),
        (bytes([15, 9, 7]) + bytes(8), r"of 16 levels with codes 1 to 0"),
        (bytes([15, 0, 0, 7]) + bytes(30), "unknown kind of frequency table 7"),
        (bytes([15, 0, 0, 1]) + bytes(10), "frequency table: 16 bytes expected at byte 4, 10 left"),
        (bytes([15, 0, 0, 0]) + bytes(7), "scales: 8 bytes expected at byte 7, 4 left"),
        (bytes([15, 8, 7]) + b"\x00\x7c" * 4, "has scales that are not finite"),
        (bytes([15, 8, 7]) + b"\x00\x7e" * 4, "has scales that are not finite"),
        (bytes([15, 8, 7]) + bytes(9), r"the stream of a low-bit tensor \(4, 30\) is not that of its codes"),
        (bytes([15, 0, 0, 0, 0, 0, 0]) + bytes(8), r"has codes -8 to -8, expected -8 to 7"),
    ],
)
def test_payloads_that_are_none(payload, message):
    with pytest.raises(PackedFileError, match=message) as caught:
        decode_low_bit(payload, SHAPE)
    assert "\n" not in str(caught.value)
    with pytest.raises(PackedFileError, match=message):
        decode_tensor(payload, Codec.LOW_BIT, SHAPE)


def test_a_stream_has_one_spelling():
    payload = payload_of()
    for longer in (payload + b"\0", payload + b"\1", payload + bytes(8), payload[:-1], payload[:-4]):
        with pytest.raises(PackedFileError, match=r"the stream of .* is not that of its codes|has codes .* expected"):
            decode_low_bit(longer, SHAPE)


def test_random_streams_are_refused_or_spell_themselves():
    payload, random = payload_of(), np.random.default_rng(0)
    stream_bytes = measure_low_bit(payload, SHAPE).stream_bytes
    refused = 0
    for _ in range(300):
        stream = random.bytes(stream_bytes + int(random.integers(-2, 3)))
        try:
            found = decode_low_bit(payload[:-stream_bytes] + stream, SHAPE)
        except PackedFileError:
            refused += 1
        else:
            assert decode_low_bit(encode_low_bit(found), SHAPE).codes.tolist() == found.codes.tolist()
    assert refused >= 290


def test_a_table_that_claims_more_codes_than_occur_is_refused():
    payload = encode_low_bit(tensor([[0, 1, 0, 1], [0, 0, 1, 1]], 16))
    assert payload[1:3] == bytes([8, 6])
    with pytest.raises(PackedFileError, match="codes"):
        decode_low_bit(payload[:1] + bytes([7, 6]) + payload[3:], (2, 4))


def test_a_network_as_large_as_they_get_decodes_within_64_mib():
    shape = (4096, 2048)  # 8 Mi weights: all that a header may ask for
    codes = np.zeros(shape, np.int8)
    codes[0, 0], codes[-1, -1] = -8, 7
    payload = encode_low_bit(LowBit(codes, np.ones(4096, np.float16), 16))
    assert len(payload) < 20_000
    tracemalloc.start()
    try:
        values = decode_tensor(payload, Codec.LOW_BIT, shape)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert values[-1, -1] == 7
    assert peak_bytes <= 64 * 2**20

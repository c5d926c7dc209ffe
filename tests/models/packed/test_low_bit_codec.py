"""The payload of a low-bit tensor: byte by byte, back again exactly, and everything else refused."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from models.compress.bit_plan import LEVELS
from models.compress.low_bit import LowBit
from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.codecs import decode_tensor
from models.packed.entropy.ans import Encoder
from models.packed.entropy.normal import normal_rows
from models.packed.entropy.order_zero import read_order_zero
from models.packed.entropy.tables import HISTOGRAM, small_float
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
    payload = bytes([15, 0, 11, 4]) + HALF_AND_MINUS_TWO
    assert encode_low_bit(constant) == payload
    assert np.array_equal(decode_low_bit(payload, (2, 50)).codes, constant.codes)


def test_a_payload_by_hand():
    # three levels, one tap: the spread 0x66, 22 << 6 of 1/128, is all the side information, and the stream that of rANS
    payload = encode_low_bit(tensor([[-1, 0, 1], [1, 0, -1]], 3))
    spread = payload[2]
    rows = normal_rows(np.array([0]), np.array([small_float(spread)]), -1, 3)
    encoder = Encoder()
    encoder.code(rows, np.zeros(6, np.int64), np.array([0, 1, 2, 2, 1, 0], np.uint8))
    assert payload == bytes([2, 1 << 1, spread]) + HALF_AND_MINUS_TWO + encoder.finish()
    assert small_float(spread) / 128 == pytest.approx(
        (2 / 3 - 1 / 12) ** 0.5, rel=1 / 32
    )  # of the codes, less rounding


def test_scales_of_eight_bits_are_in_the_stream():
    codes = np.tile(np.arange(-8, 8, dtype=np.int8), (40, 1))
    short = encode_low_bit(LowBit(codes, np.full(40, 0.125, np.float16), 16))
    exact = encode_low_bit(LowBit(codes, np.full(40, 0.1, np.float16), 16))
    assert (short[1] & 1, exact[1] & 1) == (1, 0)
    assert len(short) < len(exact) - 2 * 40 + 2 + 40 * 2 / 8 + 3
    assert decode_low_bit(short, (40, 16)).scale.tolist() == [0.125] * 40


def test_the_smallest_model_is_taken():
    random = np.random.default_rng(0)
    smooth = np.clip(np.rint(2 * np.repeat(random.normal(0, 1, (400, 1)), 9, 1)), -8, 7).astype(np.int8)
    of_taps = {"kernels": smooth.reshape(20, 20, 3, 3), "flat": np.repeat(smooth[:, :1], 16, 1).reshape(10, 640)}
    of_taps["noise"] = np.clip(np.rint(random.normal(0, 2, (30, 30, 3, 3))), -8, 7).astype(np.int8)
    of_taps["two humps"] = random.choice(np.array([-7, 6], np.int8), (30, 30, 1, 1))
    found = {
        name: encode_low_bit(LowBit(codes, np.ones(len(codes), np.float16), 16)) for name, codes in of_taps.items()
    }
    assert {name: payload[1] >> 1 for name, payload in found.items()} == {
        "kernels": 9,
        "flat": 16,
        "noise": 1,
        "two humps": 0,
    }
    for name, codes in of_taps.items():
        assert np.array_equal(decode_low_bit(found[name], codes.shape).codes, codes)


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
    assert found.frame_bytes + found.prediction_bytes + found.stream_bytes + found.scale_bytes == len(payload)
    assert (found.frame_bytes, found.scale_bytes) == (2, 2 * 100)
    assert found.prediction_bytes <= 2 + 257
    shares = np.unique(made.codes, return_counts=True)[1] / made.codes.size
    assert found.entropy_bits == pytest.approx(made.codes.size * -(shares * np.log2(shares)).sum())
    assert found.entropy_bits <= 8 * found.stream_bytes <= 1.01 * found.entropy_bits + 16


def test_the_parts_of_a_payload_add_up():
    codes = np.random.default_rng(0).integers(-8, 8, (40, 30, 3, 3)).astype(np.int8)
    codes[:, :, 1:] = codes[:, :, :1]
    payload = encode_low_bit(LowBit(codes, np.full(40, 0.125, np.float16), 16))
    found = measure_low_bit(payload, codes.shape)
    assert (found.taps, found.frame_bytes) == (9, 2)
    assert 2 + 36 / 8 < found.prediction_bytes < 60
    assert 2 + 2 <= found.scale_bytes <= 2 + 40 * 2 / 8 + 3  # what is left in the state at the end takes no bytes
    assert found.prediction_bytes + found.stream_bytes + found.scale_bytes + 2 == len(payload)


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
        (b"", r"0 bytes, expected 5 to 1396"),
        (bytes(4), r"a low-bit tensor \(4, 30\): 4 bytes, expected 5 to 1396"),
        (bytes(1397), "1397 bytes, expected 5 to 1396"),
        (bytes([0, 0, 0]) + bytes(8), r"1 levels, expected 2 to 256"),
        (bytes([15, 0, 9, 7]) + bytes(8), r"codes 1 to 0 of 16 levels"),
        (bytes([15, 0, 0, 0, 7]) + bytes(30), "unknown kind of frequency table 7"),
        (bytes([15, 0, 0, 0, 1]) + bytes(10), "frequency table: 16 bytes expected at byte 5, 10 left"),
        (bytes([15, 0, 0, 0, 0]) + bytes(7), "scales: 8 bytes expected at byte 8, 4 left"),
        (bytes([15, 0, 8, 7]) + b"\x00\x7c" * 4, "scales that are not finite"),
        (bytes([15, 0, 8, 7]) + b"\x00\x7e" * 4, "scales that are not finite"),
        (bytes([15, 0, 8, 7]) + bytes(9), "a stream begins with a zero byte"),
        (bytes([15, 0, 8, 7]) + bytes(8) + b"\1", r"a low-bit tensor \(4, 30\): the stream is not that of its codes"),
        (bytes([15, 0, 0, 0, 0, 0, 0, 0]) + bytes(8), r"codes -8 to -8, expected -8 to 7"),
        (bytes([15, 4 << 1]) + bytes(20), "4 taps, expected at most 25 that divide 30"),
        (bytes([15, 30 << 1]) + bytes(20), "30 taps, expected at most 25 that divide 30"),
        (bytes([15, 1 << 1, 0]) + bytes(6), "scales: 8 bytes expected at byte 3, 6 left"),
        (bytes([15, 3 << 1, 0x60]), "5 bytes|3 bytes"),
        (bytes([15, 1 << 1 | 1, 0x60, 60, 0x60]) + b"\xff" * 90, "the stream is not that of its codes"),
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
        with pytest.raises(PackedFileError, match=r"the stream is not that of its codes"):
            decode_low_bit(longer, SHAPE)


def test_random_streams_are_refused_or_spell_themselves():
    payload, random = payload_of(), np.random.default_rng(0)
    stream_bytes = measure_low_bit(payload, SHAPE).stream_bytes  # the last part: scales of float16 stand before it
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
    codes, side = np.array([0, 1, 0, 1, 0, 0, 1, 1], np.int8), bytes([7, 6, HISTOGRAM, 0, 0, 0])  # -1 to 1 of 16 levels
    model, encoder = read_order_zero(ByteReader(memoryview(side), offset=0), 16), Encoder()
    model.code(encoder, codes)
    payload = bytes([15, 0]) + side + HALF_AND_MINUS_TWO + encoder.finish()
    with pytest.raises(PackedFileError, match="codes 0 to 1, expected -1 to 1"):
        decode_low_bit(payload, (2, 4))


def test_a_large_tensor_decodes_within_its_codes_and_its_weights():
    shape = (512, 2048)
    payload = bytes([15, 1 << 1, 0x60]) + np.ones(512, "<f2").tobytes()  # an empty stream: the lowest code throughout
    tracemalloc.start()
    try:
        values = decode_tensor(payload, Codec.LOW_BIT, shape)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert values[-1, -1] == -8
    assert peak_bytes <= (4 + 1) * 2**20 + 2 * 2**20


def test_a_stream_that_wants_a_table_for_every_code_decodes_within_64_mib():
    side = bytes([255, 9 << 1, 0x80, 0x60])  # 256 levels, 9 taps, random weights: means all over the codes
    payload = side + np.ones(128, "<f2").tobytes() + b"\1" + np.random.default_rng(0).bytes(100_000)
    tracemalloc.start()
    try:
        with pytest.raises(PackedFileError):
            decode_low_bit(payload, (128, 64, 3, 3))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes <= 20 * 2**20

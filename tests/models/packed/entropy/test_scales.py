"""Scales in a stream: by hand, exactly again, and what cannot be one refused."""

import numpy as np
import pytest

from models.compress.short_scales import nearest_scales
from models.packed.byte_reader import PackedFileError
from models.packed.entropy.ans import Decoder, Encoder
from models.packed.entropy.numbers import code_bits, code_numbers
from models.packed.entropy.scales import decode_scales, encode_scales


def again(scale: np.ndarray) -> tuple[bytes, int, np.ndarray]:
    """The side information, the bytes of the stream, and the scales decoded."""
    encoder = Encoder()
    side = encode_scales(encoder, scale)
    assert side is not None
    stream = encoder.finish()
    decoder = Decoder(stream)
    found = decode_scales(decoder, len(scale), (side[0], side[1]))
    decoder.finish()
    return side, len(stream), found


@pytest.mark.parametrize(
    "made", [[0.01, 0.02, 0.015], [0.5, -0.25, 0.0, -1.0], [0.0] * 4, [65_000.0] * 3, [1e-7, 0, 0]]
)
def test_scales_are_decoded_exactly(made):
    scale = nearest_scales(np.array(made))
    found = again(scale)[2]
    assert found.dtype == np.float16
    assert found.tobytes() == scale.tobytes()


def test_side_information_by_hand():
    # 1.0 is 0x3C00, step 0x780 = 1920 = 60 * 32; all alike: the smallest spread. One negative: bit 7
    assert again(np.ones(8, np.float16))[0] == bytes([60, 0])
    assert again(-np.ones(8, np.float16))[0] == bytes([60 | 0x80, 0])
    assert again(np.ones(800, np.float16))[1] < 210  # two bits each


def test_bell_shaped_scales_take_little_more_than_seven_bits():
    scale = nearest_scales(2.0 ** np.random.default_rng(0).normal(-5, 0.25, 1000))
    assert again(scale)[1] < 7.15 * 1000 / 8  # 32 steps of deviation: 7.05


@pytest.mark.parametrize(
    "scale",
    [np.array([0.1, 0.2, 0.3], np.float16), np.array([1, 1], np.float16), np.array([2.0**-10, 1, 1], np.float16)],
    ids=["more than eight bits", "two", "ten octaves"],
)
def test_scales_that_are_better_stored_otherwise_leave_the_stream_alone(scale):
    encoder = Encoder()
    assert encode_scales(encoder, scale) is None
    assert encoder.finish() == b""


def stream_of(numbers: list[int], spread: int, bits: list[bool]) -> Decoder:
    encoder = Encoder()
    code_numbers(encoder, np.array(numbers), spread)
    code_bits(encoder, np.array(bits, bool))
    return Decoder(encoder.finish())


@pytest.mark.parametrize(
    ("numbers", "first", "bits", "message"),
    [
        ([1, -1], 0, [], "a scale beyond float16"),
        ([0, 5], 0, [], "a scale beyond float16"),  # zero has one spelling
        ([511, 1], 124, [], "a scale beyond float16"),  # infinity
        ([1, 1], 0x80 | 60, [False, False], "signs of scales that have none"),
        ([1, -512], 0x80 | 60, [True, True], "signs of scales that have none"),
    ],
)
def test_what_the_encoder_does_not_write_is_refused(numbers, first, bits, message):
    with pytest.raises(PackedFileError, match=message):
        decode_scales(stream_of(numbers, 0x60, bits), 2, (first, 0x60))

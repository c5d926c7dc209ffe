"""Tap prediction: means and factors by hand, exact decoding, and bytes saved where neighbours resemble each other."""

import numpy as np
import pytest

from models.compress.bit_plan import code_range
from models.packed.byte_reader import ByteReader, PackedFileError
from models.packed.entropy.ans import Decoder, Encoder
from models.packed.entropy.fit_prediction import fit_predictor
from models.packed.entropy.numbers import code_numbers
from models.packed.entropy.prediction import TABLE_ENTRIES, Columns, code_taps, predicted_mean
from models.packed.entropy.predictor import (
    Predictor,
    decode_predictor,
    encode_predictor,
    read_predictor_side,
    usual_weights,
)


def smooth_kernels(count: int, levels: int, seed: int = 0) -> np.ndarray:
    """Kernels of 3 x 3 codes whose neighbours resemble each other: white noise, blurred along rows and columns."""
    noise = np.random.default_rng(seed).normal(0, levels / 4, (count, 4, 4))
    blurred = (noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1] + noise[:, :-1, :-1]) / 2
    return np.clip(np.rint(blurred), *code_range(levels)).astype(np.int8).reshape(count, 9)


def through_a_stream(codes_NT: np.ndarray, columns: int, levels: int) -> tuple[int, np.ndarray]:
    """The bytes that the codes take, predictor included, and the codes decoded again."""
    lowest, taps = code_range(levels)[0], codes_NT.shape[1]
    predictor, encoder = fit_predictor(codes_NT, columns, lowest, levels), Encoder()
    side = encode_predictor(encoder, predictor)
    code_taps(encoder, codes_NT, columns, predictor, lowest, levels)
    stream = encoder.finish()
    decoder, found_NT = Decoder(stream), np.zeros_like(codes_NT)
    read = read_predictor_side(ByteReader(memoryview(side), offset=0), taps)
    again = decode_predictor(decoder, taps, read)
    assert np.array_equal(again.weights_TT, predictor.weights_TT)
    assert np.array_equal(again.spread_bytes_T, predictor.spread_bytes_T)
    code_taps(decoder, found_NT, columns, again, lowest, levels)
    decoder.finish()
    return len(side) + len(stream), found_NT


def test_usual_weights_by_hand():
    assert usual_weights(1).tolist() == [[0]]
    assert usual_weights(4).tolist() == [[0, 0, 0, 0], [15, 0, 0, 0], [15, 0, 0, 0], [-6, 15, 15, 0]]
    assert usual_weights(3).tolist() == [[0, 0, 0], [15, 0, 0], [0, 15, 0]]  # no square: a line
    assert usual_weights(9)[8].tolist() == [0, 0, 0, 0, -6, 15, 0, 15, 0]
    assert usual_weights(9)[6].tolist() == [0, 0, 0, 15, 0, 0, 0, 0, 0]


def test_a_mean_by_hand():
    # 3 * 16 - 2 * 8 = 32 of 1/32 is one code: 8 of 1/8; 3 * 1 = 3 rounds to 1, 3 * -2 = -6 to -1 (a half up)
    codes = np.array([[3, -2], [3, 0]], np.int8)
    assert predicted_mean(codes, np.array([16, 8]), -8, 16).tolist() == [8, 12]
    assert predicted_mean(codes[1:], np.array([1, 0]), -8, 16).tolist() == [1]
    assert predicted_mean(codes[1:], np.array([-2, 0]), -8, 16).tolist() == [-1]
    assert predicted_mean(codes[1:], np.array([127, 0]), -8, 16).tolist() == [8 * 7]  # within the codes
    assert predicted_mean(codes[:, :0], np.zeros(0, np.int64), -8, 16).tolist() == [0, 0]


def test_factors_by_hand():
    seen = Columns(2)
    assert seen.factors().tolist() == [16, 16]
    # spread 128 is one code, 8 of a mean; at 16 of a mean every distance is two spreads: 2 * 2 in squares
    seen.add(np.zeros(64, np.int64), np.full(64, -16), 128)
    assert seen.factors().tolist() == [25, 16]  # the root of (64 * 1 + 64 * 4) / 128 = 2.5 is 1.58; 16 times that 25.3
    seen.add(np.ones(1, np.int64), np.array([10**6]), 128)
    assert seen.factors().tolist() == [25, 22]  # a distance counts as 8 spreads at most: (64 + 64) / 65, 1.40, 22.4


@pytest.mark.parametrize("levels", [3, 4, 16, 256])
@pytest.mark.parametrize(("taps", "columns"), [(9, 16), (1, 16), (4, 1), (25, 3)])
def test_codes_are_decoded_exactly(levels, taps, columns):
    codes = np.random.default_rng(taps).integers(*code_range(levels), (columns * 40, taps), endpoint=True)
    taken, found = through_a_stream(codes.astype(np.int8), columns, levels)
    assert np.array_equal(found, codes)
    assert taken <= 1.05 * codes.size * np.log2(levels) / 8 + taps * (taps - 1) / 2 + taps + 10


def test_chunks_of_kernels_follow_one_another():
    codes = smooth_kernels(2 * TABLE_ENTRIES // 16 + 7, 16)
    assert np.array_equal(through_a_stream(codes, 1, 16)[1], codes)


def test_neighbours_that_resemble_each_other_save_bytes():
    codes = smooth_kernels(4000, 16)
    together, _ = through_a_stream(codes, 10, 16)
    alone, _ = through_a_stream(np.ascontiguousarray(codes.reshape(-1, 1)), 90, 16)
    assert together < 0.93 * alone


def test_a_column_that_is_wider_than_others_is_found_without_a_byte():
    random = np.random.default_rng(1)
    wide = np.where(np.arange(4000) % 2, 1.0, 4.0)[:, None]
    codes = np.clip(np.rint(random.normal(0, wide, (4000, 9))), -8, 7).astype(np.int8)
    known, _ = through_a_stream(codes, 2, 16)
    mixed, _ = through_a_stream(codes, 1, 16)
    assert known < 0.93 * mixed


def test_the_predictor_is_found_again():
    # codes that are the code before and as much again of noise: weight 1/2 where the variance doubles from tap to tap
    random = np.random.default_rng(2)
    first = random.normal(0, 8, (20_000, 1))
    codes = np.rint(np.concatenate((first, 0.75 * first + random.normal(0, 4, (20_000, 1))), 1)).astype(np.int8)
    predictor = fit_predictor(codes, 1, -128, 256)
    assert predictor.weights_TT[1, 0] == 24  # of 32
    spreads = [(16 + (byte & 15) << (byte >> 4)) / 128 for byte in predictor.spread_bytes_T.tolist()]
    assert spreads == pytest.approx([8, 4], rel=0.04)


def test_a_spread_that_is_no_byte_is_refused():
    encoder = Encoder()
    encode_predictor(encoder, Predictor(usual_weights(9), np.array([3, *[0] * 8]), 0))
    stream = encoder.finish()
    with pytest.raises(PackedFileError, match="a spread is no byte"):
        decode_predictor(Decoder(stream), 9, (1, 0))


def test_numbers_of_ten_bits_go_through_a_channel():
    numbers = np.concatenate(([-512, 511], np.rint(np.random.default_rng(4).normal(0, 60, 500)))).astype(np.int64)
    encoder = Encoder()
    code_numbers(encoder, numbers, 0x77)  # 23 << 7 of 1/128: 23 codes of 4 numbers
    stream = encoder.finish()
    decoder = Decoder(stream)
    assert np.array_equal(code_numbers(decoder, np.zeros(502, np.int64), 0x77), numbers)
    decoder.finish()
    assert 8 * len(stream) / 502 < np.log2(60 * 4.133) + 0.4

"""Descriptions of frequency tables fitted to counts: the choice between a curve and a histogram."""

import numpy as np
import pytest

from models.packed.byte_reader import ByteReader
from models.packed.entropy.fit import entropy_bits, fit_description, ideal_bits
from models.packed.entropy.tables import CURVE, HISTOGRAM, read_frequencies


def counts_of(sample: np.ndarray) -> tuple[np.ndarray, int]:
    codes = np.rint(sample).astype(int)
    return np.bincount(codes - codes.min()), int(codes.min())


@pytest.mark.parametrize("deviation", [2, 5, 10, 20])
@pytest.mark.parametrize("shape", ["normal", "laplace"])
def test_a_curve_fits_gauss_and_laplace(shape, deviation):
    sample = getattr(np.random.default_rng(1), shape)(0, deviation, 20_000).clip(-128, 127)
    counts, lowest = counts_of(sample)
    description = fit_description(counts, lowest)
    frequencies = read_frequencies(ByteReader(memoryview(description), offset=0), lowest, len(counts))
    assert description[0] == CURVE
    assert ideal_bits(counts, frequencies) <= 1.01 * entropy_bits(counts)


def test_the_histogram_is_chosen_where_no_curve_fits():
    two_humps = np.array([900, 20, 20, 900, 20, 20, 900])
    description = fit_description(two_humps, -3)
    assert description[0] == HISTOGRAM
    frequencies = read_frequencies(ByteReader(memoryview(description), offset=0), -3, 7)
    assert ideal_bits(two_humps, frequencies) <= 1.001 * entropy_bits(two_humps)
    assert fit_description(np.array([3, 1]), 100)[0] == HISTOGRAM  # 3 bytes where a curve takes 4


def test_bits_by_hand():
    assert entropy_bits(np.array([4, 0, 4])) == 8
    assert entropy_bits(np.array([2, 4, 2])) == 2 * 2 + 4 * 1 + 2 * 2
    assert ideal_bits(np.array([1, 3]), np.array([16384, 49152])) == pytest.approx(2 + 3 * np.log2(4 / 3))
    assert ideal_bits(np.array([1, 3]), np.array([32768, 32768])) == 4

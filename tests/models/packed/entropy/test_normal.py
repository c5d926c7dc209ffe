"""Tables of rounded normal distributions: against the error function, always TOTAL in sum, by hand."""

from math import erf

import numpy as np
import pytest

from models.packed.entropy import normal
from models.packed.entropy.ans import TOTAL, Decoder, Encoder
from models.packed.entropy.normal import MEAN_ONE, SPREAD_ONE, code_normal, normal_rows


def phi(deviations: float) -> float:
    return 0.5 * (1 + erf(deviations / 2**0.5))


def shares(mean: float, spread: float, lowest: int, levels: int) -> np.ndarray:
    """The shares of the codes as they are defined, with floats."""
    edges = [-np.inf, *(code - 0.5 for code in range(lowest + 1, lowest + levels)), np.inf]
    return np.diff([phi((edge - mean) / spread) for edge in edges])


def test_the_stored_shares_are_those_of_the_error_function():
    exact = [TOTAL * phi(place / 16) for place in range(len(normal._BELOW))]
    assert [round(share) for share in exact] == list(normal._BELOW)
    assert min(abs(share % 1 - 0.5) for share in exact[1:]) > 0.005  # no machine's erf could round another way
    assert normal._BELOW[-2:] == (TOTAL - 1, TOTAL)


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
@pytest.mark.parametrize("spread", [0.5, 2.3, 40.0])
@pytest.mark.parametrize("mean", [0.0, -0.625, 1.5])
def test_tables_are_those_of_the_normal_distribution(levels, spread, mean):
    lowest = -(levels // 2)
    numbers = np.array([int(mean * MEAN_ONE)]), np.array([int(spread * SPREAD_ONE)])
    rows = normal_rows(*numbers, lowest, levels)
    expected = shares(mean, int(spread * SPREAD_ONE) / SPREAD_ONE, lowest, levels)
    found = np.diff(rows[0]) / TOTAL
    assert np.abs(found - expected).max() <= 0.002 + levels / TOTAL
    kept = expected > 0
    divergence = float((expected[kept] * np.log2(expected[kept] / found[kept])).sum())
    assert divergence <= 0.001 + 1.5 * levels / TOTAL


def test_a_table_by_hand():
    # three codes, mean 0, spread 1/2: the outer ones begin a deviation off, at 55138 of 65536 (place 16); of that
    # 65533 parts, and a slot for each code below: 10398 * 65533 >> 16 = 10397, 55138 * 65533 >> 16 = 55135
    rows = normal_rows(np.array([0]), np.array([SPREAD_ONE // 2]), -1, 3)
    assert rows.tolist() == [[0, 10397 + 1, 55135 + 2, 65536]]


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_every_code_has_a_slot_whatever_the_numbers(levels):
    random = np.random.default_rng(levels)
    means = random.integers(-2048, 2049, 200)
    spreads = np.concatenate(([1, 2, 2**24], random.integers(1, 2**20, 197)))
    rows = normal_rows(means, spreads, -(levels // 2), levels)
    assert (rows[:, 0] == 0).all()
    assert (rows[:, -1] == TOTAL).all()
    assert np.diff(rows).min() >= 1


def test_codes_of_many_distributions_go_through_a_channel():
    random = np.random.default_rng(5)
    means, spreads = random.integers(-40, 40, 3000), random.integers(100, 400, 3000)
    codes = np.clip(np.rint(random.normal(means / MEAN_ONE, spreads / SPREAD_ONE)), -8, 7).astype(np.int8)
    encoder = Encoder()
    assert np.array_equal(code_normal(encoder, means, spreads, codes, -8, 16), codes)
    known = [shares(m / MEAN_ONE, s / SPREAD_ONE, -8, 16)[c + 8] for m, s, c in zip(means, spreads, codes, strict=True)]
    stream = encoder.finish()
    assert 8 * len(stream) == pytest.approx(-np.log2(known).sum(), rel=0.001, abs=24)
    decoder = Decoder(stream)
    assert np.array_equal(code_normal(decoder, means, spreads, np.zeros(3000, np.int8), -8, 16), codes)
    decoder.finish()

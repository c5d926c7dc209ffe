"""Duplicates: equal pixels, near ones by their hashes, and the buckets against all pairs."""

import itertools

import cv2
import numpy as np

from pipeline.contest.duplicates import (
    MOST_BITS,
    difference_hashes,
    find_duplicates,
    near_pairs,
    row_digests,
)

RANDOM = np.random.default_rng(0)


def photo(seed: int, size: int = 64) -> np.ndarray:
    """A smooth image with detail at several scales."""
    random = np.random.default_rng(seed)
    parts = [cv2.resize(random.uniform(0, 255, (n, n, 3)), (size, size)) for n in (4, 8, 16)]
    return np.mean(parts, 0).astype(np.uint8)


def test_a_hash_by_hand():
    """Columns that rise to the right and rows alike: every bit is set; mirrored none is."""
    ramp_HW = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    rising_HWC = np.repeat(ramp_HW[:, :, None], 3, 2)
    assert difference_hashes(np.stack([rising_HWC, rising_HWC[:, ::-1]])).tolist() == [2**64 - 1, 0]
    one = rising_HWC.copy()
    one[0, 1] = 0  # the first bit of the first row: not brighter than its left
    assert difference_hashes(one[None])[0] == np.uint64(2**63 - 1)


def test_an_image_without_contrast_has_no_hash():
    assert difference_hashes(np.full((1, 16, 16, 3), 7, np.uint8)).tolist() == [0]


def test_buckets_find_what_all_pairs_find():
    hashes_N = RANDOM.integers(1, 2**63, 300, np.uint64)
    for place in range(0, 300, 3):  # near ones of every distance up to six bits
        flips = RANDOM.choice(64, place // 3 % 7, replace=False)
        hashes_N[place + 1] = hashes_N[place] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64), initial=0)
    distance = lambda a, b: int(np.bitwise_count(hashes_N[a] ^ hashes_N[b]))  # noqa: E731
    expected = [pair for pair in itertools.combinations(range(300), 2) if distance(*pair) <= MOST_BITS]
    assert len(expected) > 60
    assert near_pairs(hashes_N) == expected
    assert near_pairs(hashes_N[:0]) == []


def test_duplicates_within_and_across_splits():
    a, b, c, d = (photo(seed) for seed in range(4))
    softer = cv2.GaussianBlur(b, (3, 3), 0)
    images = {"training": np.stack([a, b, a]), "validation": np.stack([c]), "testing": np.stack([a, softer, d])}
    labels = {"training": (0, 1, 1), "validation": (0,), "testing": (-1, -1, -1)}
    found = find_duplicates(images, labels)
    same = [((one.split, one.row), (other.split, other.row)) for one, other in found.same]
    assert same == [(("training", 0), ("training", 2)), (("training", 0), ("testing", 0))]
    near = [((one.split, one.row), (other.split, other.row)) for one, other in found.near]
    assert near == [(("training", 1), ("testing", 1))]


def test_images_that_are_left_out_are_not_compared():
    a, b = photo(0), photo(1)
    images, labels = {"training": np.stack([a, b, a, a])}, {"training": (0, 0, 0, 0)}
    found = find_duplicates(images, labels, {"training": {0}})
    assert [(one.row, other.row) for one, other in found.same] == [(2, 3)]
    found = find_duplicates(images, labels, {"training": {0, 2, 3}})
    assert (found.same, found.near) == ((), ())


def test_equal_digests_are_equal_pixels():
    one, other = photo(1), photo(1)
    other[0, 0, 0] ^= 1
    digests = list(row_digests(np.stack([one, other, one])))
    assert digests[0] == digests[2] != digests[1]

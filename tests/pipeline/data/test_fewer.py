"""A share of every class, and all images without a label."""

import pytest

from pipeline.data.fewer import rows_of_share

LABELS = [0] * 8 + [1] * 4 + [-1] * 3 + [2]


@pytest.mark.parametrize(("share", "counts"), [(1.0, (8, 4, 1)), (0.5, (4, 2, 0)), (0.25, (2, 1, 0)), (0.0, (0, 0, 0))])
def test_every_class_keeps_its_share(share: float, counts: tuple[int, ...]):
    kept = rows_of_share(LABELS, share, seed=3).tolist()
    assert kept == sorted(set(kept))
    found = [LABELS[row] for row in kept]
    assert tuple(map(found.count, (0, 1, 2))) == counts
    assert found.count(-1) == 3


def test_a_larger_share_has_the_images_of_a_smaller_one():
    few, more = (set(rows_of_share(LABELS, share, seed=3).tolist()) for share in (0.25, 0.5))
    assert few < more
    assert few != set(rows_of_share(LABELS, 0.25, seed=4).tolist())

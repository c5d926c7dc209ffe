"""Mixup and CutMix of two images, by hand."""

import numpy as np
import pytest

from pipeline.data.mixing import cut_box, mix_two

BLACK, GREY = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 201, np.uint8)


class Stated:
    """A generator whose answers are stated."""

    def __init__(self, kind: int, share: float, centre: float = 0.0) -> None:
        self.kind, self.share, self.centre = kind, share, centre

    def integers(self, high: int) -> int:
        assert high == 2
        return self.kind

    def random(self) -> float:
        return self.share

    def uniform(self, low: float, high: float) -> float:
        assert low <= self.centre <= high
        return self.centre


def test_mixup_keeps_the_share_of_the_first_image_and_rounds():
    assert np.unique(mix_two(BLACK, GREY, Stated(0, 0.75))).tolist() == [50]  # a quarter of 201 is 50.25
    assert np.unique(mix_two(GREY, BLACK, Stated(0, 0.75))).tolist() == [151]  # 150.75
    assert mix_two(BLACK, GREY, Stated(0, 0.5)).dtype == np.uint8


def test_cutmix_pastes_a_box_of_the_partner():
    """A share of 0.75 leaves a box of half of each side, 2 of 4 pixels around the centre."""
    mixed_HWC = mix_two(BLACK, GREY, Stated(1, 0.75, centre=2.0))
    expected_HW = np.zeros((4, 4))
    expected_HW[1:3, 1:3] = 201
    assert np.array_equal(mixed_HWC, np.repeat(expected_HW[:, :, None], 3, 2))
    assert not BLACK.any()


@pytest.mark.parametrize(("centre", "expected"), [(0.0, slice(0, 1)), (4.0, slice(3, 4)), (2.0, slice(1, 3))])
def test_a_box_is_cut_at_the_edges(centre: float, expected: slice):
    assert cut_box(0.75, 4, 4, Stated(1, 0.75, centre)) == (expected, expected)

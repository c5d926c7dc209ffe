"""Rate control: a factor on the steps makes a file end just below its limit."""

import pytest

from models.packed.rate_control import CLIP_AIM, COARSEST, FINEST, fit_initial_clip, fit_limit


class Packer:
    """Makes a file of `size_bytes` at the learned steps, smaller with a larger step_scale."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes, self.asked = size_bytes, []

    def __call__(self, step_scale: float) -> bytes:
        self.asked.append(step_scale)
        return bytes(round(self.size_bytes / step_scale))


def test_a_file_that_fills_the_limit_keeps_the_steps_that_it_learned():
    packer = Packer(995)
    assert fit_limit(packer, 1000).step_scale == 1.0
    assert packer.asked == [1.0]


@pytest.mark.parametrize("size_bytes", [1001, 1300, 1990])
def test_the_file_ends_in_the_last_hundredth(size_bytes):
    fitted = fit_limit(Packer(size_bytes), 1000)
    assert 990 <= len(fitted.data) <= 1000
    assert 1.0 < fitted.step_scale <= COARSEST


def test_a_network_that_does_not_fill_the_limit_keeps_the_steps_that_it_learned():
    packer = Packer(900)
    fitted = fit_limit(packer, 1000)
    assert (fitted.step_scale, len(fitted.data), packer.asked) == (1.0, 900, [1.0])


def test_a_network_that_cannot_fit_has_its_smallest_file():
    fitted = fit_limit(Packer(2100), 1000)
    assert (fitted.step_scale, len(fitted.data)) == (COARSEST, 1050)


def test_sizes_that_jump_end_below_the_limit():
    assert len(fit_limit(lambda step_scale: bytes(1200 if step_scale < 1.1 else 950), 1000).data) == 950


def size_of(clip: float) -> float:
    return 3000 / clip


@pytest.mark.parametrize(("limit_bytes", "fill"), [(1004, False), (2000, False), (1004, True), (1010, True)])
def test_the_clip_is_the_wanted_one_where_the_file_fits(limit_bytes, fill):
    assert fit_initial_clip(size_of, 3.0, limit_bytes, fill=fill) == 3.0


@pytest.mark.parametrize(("limit_bytes", "fill"), [(1002, False), (700, False), (1020, True), (1200, True)])
def test_the_clip_is_moved_until_the_file_ends_below_the_limit(limit_bytes, fill):
    clip = fit_initial_clip(size_of, 3.0, limit_bytes, fill=fill)
    assert (clip > 3.0) == (limit_bytes < 1003)
    assert 0.9965 * limit_bytes < size_of(clip) <= CLIP_AIM * limit_bytes


def test_the_clip_has_bounds():
    assert fit_initial_clip(size_of, 3.0, 400, fill=False) == pytest.approx(COARSEST * 3.0)
    assert fit_initial_clip(size_of, 3.0, 4000, fill=True) == pytest.approx(FINEST * 3.0, rel=1e-3)

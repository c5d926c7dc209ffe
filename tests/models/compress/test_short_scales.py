"""Scales of eight bits: by hand, never far off, and recognised."""

import numpy as np
import pytest

from models.compress.short_scales import LAST_STEP, nearest_scales, scales_of, steps_of


def test_scales_by_hand():
    # one octave has 128 steps: 1 + 1/128; a half goes up, and the sign stays
    found = nearest_scales(np.array([1.0, 1 + 1 / 128, 1 + 1 / 256, 1 + 1 / 300, -1.999, 0.0, 70_000.0, -1e9]))
    assert found.tolist() == [1.0, 1.0078125, 1.0078125, 1.0, -2.0, 0.0, 65_280.0, -65_280.0]
    assert steps_of(found[:1]).tolist() == [0x3C00 >> 3]
    assert np.signbit(nearest_scales(np.array([-1e-9, -0.0]))).tolist() == [False, False]


def test_scales_are_at_most_a_256th_off():
    exact = 2.0 ** np.random.default_rng(0).uniform(-12, 12, 10_000)
    assert np.abs(nearest_scales(exact) / exact - 1).max() <= 1 / 256 + 1 / 2048


@pytest.mark.parametrize("negative", [False, True])
def test_every_step_is_a_scale_and_found_again(negative):
    steps = np.arange(LAST_STEP + 1)
    scales = scales_of(steps, np.full(len(steps), negative))
    assert np.isfinite(scales).all()
    assert (np.diff(np.abs(scales.astype(np.float64))) > 0).all()
    assert np.array_equal(steps_of(scales), steps)
    assert nearest_scales(scales.astype(np.float64)).tobytes() == scales.tobytes()


def test_other_scales_have_no_steps():
    assert steps_of(np.array([1.0, 1.001], np.float16)) is None
    assert steps_of(np.array([-0.0], np.float16)) is None
    assert steps_of(np.array([np.inf], np.float16)) is not None  # the caller asks for finite ones

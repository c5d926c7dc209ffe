"""The learning rate, step by step."""

import pytest

from pipeline.training.schedule import learning_rate_at, validates_after


def rates(total_steps: int, *, peak: float = 1.0, warmup_fraction: float = 0.2) -> list[float]:
    return [
        learning_rate_at(step, total_steps=total_steps, peak=peak, warmup_fraction=warmup_fraction)
        for step in range(total_steps)
    ]


def test_every_rate_of_a_tiny_training():
    expected = [0.5, 1.0, 1.0, 0.9619398, 0.8535534, 0.6913417, 0.5, 0.3086583, 0.1464466, 0.0380602]
    assert rates(10) == pytest.approx(expected, abs=1e-6)
    assert rates(10, peak=0.02) == pytest.approx([0.02 * rate for rate in expected], abs=1e-7)


def test_no_warmup():
    assert rates(4, warmup_fraction=0.0) == pytest.approx([1.0, 0.8535534, 0.5, 0.1464466])


def test_nothing_but_warmup():
    assert rates(4, warmup_fraction=1.0) == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("total_steps", [1, 2, 7, 1_000])
@pytest.mark.parametrize("warmup_fraction", [0.0, 0.1, 0.5])
def test_first_above_zero_peak_reached_end_near_zero(total_steps, warmup_fraction):
    steps = rates(total_steps, peak=3e-3, warmup_fraction=warmup_fraction)
    assert min(steps) > 0
    assert max(steps) == pytest.approx(3e-3)
    if total_steps == 1_000:
        assert steps[-1] < 3e-8
        warm = round(1_000 * warmup_fraction)
        assert steps[:warm] == sorted(steps[:warm])
        assert steps[warm:] == sorted(steps[warm:], reverse=True)


def test_validation_is_measured_every_fifth_epoch_and_at_the_end():
    assert [epoch for epoch in range(1, 13) if validates_after(epoch, 12, 5)] == [5, 10, 12]
    assert [epoch for epoch in range(1, 6) if validates_after(epoch, 5, 5)] == [5]
    assert validates_after(1, 1, 5)
    assert all(validates_after(epoch, 3, 1) for epoch in (1, 2, 3))

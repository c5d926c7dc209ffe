"""From members to soft labels, by hand."""

import math

import numpy as np
import pytest
import torch

from pipeline.training.ensemble import SMALLEST_LOG_PROB, blend, normalise

KINDS = ("softmax", "standardised", "minmax")
# two members, one row, three classes
MEMBERS_MNC = torch.tensor([[[0.8, 0.1, 0.1]], [[0.2, 0.5, 0.3]]]).log()


def probs(log_probs_NC: torch.Tensor) -> list[float]:
    return log_probs_NC.exp().flatten().tolist()


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((), [0.5, 0.3, 0.2]),
        ((1.0, 1.0), [0.5, 0.3, 0.2]),
        ((3.0, 1.0), [0.65, 0.2, 0.15]),
        ((300.0, 100.0), [0.65, 0.2, 0.15]),
        ((0.0, 2.0), [0.2, 0.5, 0.3]),
    ],
)
def test_the_mean_of_two_members(weights, expected):
    assert probs(blend(MEMBERS_MNC, weights)) == pytest.approx(expected, abs=1e-6)


def test_rows_are_blended_independently():
    both_MNC = torch.cat([MEMBERS_MNC, MEMBERS_MNC.flip(2)], dim=1)
    assert probs(blend(both_MNC, ())) == pytest.approx([0.5, 0.3, 0.2, 0.2, 0.3, 0.5], abs=1e-6)


def test_members_in_float16_are_summed_in_float32():
    blended = blend(MEMBERS_MNC.half(), ())
    assert blended.dtype == torch.float32
    assert probs(blended) == pytest.approx([0.5, 0.3, 0.2], abs=1e-3)


def test_softmax_by_hand():
    row = torch.tensor([[0.64, 0.32, 0.04]]).log()
    assert probs(normalise(row, "softmax", 1.0)) == pytest.approx([0.64, 0.32, 0.04])
    # square roots of 16 : 8 : 1
    total = 4 + math.sqrt(8) + 1
    assert probs(normalise(row, "softmax", 2.0)) == pytest.approx([4 / total, math.sqrt(8) / total, 1 / total])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_standardised_by_hand(temperature):
    # ln of 1 : 2 : 4 is evenly spaced: standardised it is -sqrt 1.5, 0, sqrt 1.5
    row = torch.tensor([[1 / 7, 2 / 7, 4 / 7]]).log()
    high = math.exp(math.sqrt(1.5) / temperature)
    total = 1 / high + 1 + high
    assert probs(normalise(row, "standardised", temperature)) == pytest.approx(
        [1 / high / total, 1 / total, high / total], rel=1e-5
    )


def test_standardised_has_mean_0_and_deviation_1_before_the_softmax():
    torch.manual_seed(0)
    rows_NC = torch.log_softmax(5 * torch.randn(6, 11), 1)
    log_probs = normalise(rows_NC, "standardised", 1.0).numpy()  # a softmax adds a constant to a row
    assert log_probs.std(1) == pytest.approx(np.ones(6), abs=1e-5)
    centred = log_probs - log_probs.mean(1, keepdims=True)
    rows = rows_NC.numpy()
    expected = (rows - rows.mean(1, keepdims=True)) / rows.std(1, keepdims=True)
    assert np.allclose(centred, expected, atol=1e-5)


def test_minmax_by_hand():
    # -4, -3, -1 moved to 0, 1/3, 1 and divided by 4/3
    low, middle, high = probs(normalise(torch.tensor([[-4.0, -3.0, -1.0]]), "minmax", 1.0))
    assert (middle, high) == pytest.approx((0.25, 0.75))
    assert low == pytest.approx(math.exp(SMALLEST_LOG_PROB))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_values_become_uniform(kind):
    rows_NC = torch.tensor([[-math.log(4)] * 4, [-20.0] * 4])
    assert probs(normalise(rows_NC, kind, 1.0)) == pytest.approx([0.25] * 8, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sharpness", [0.1, 1.0, 10.0, 1_000.0])
def test_rows_are_finite_sum_to_one_and_keep_the_class(kind, sharpness):
    torch.manual_seed(0)
    rows_NC = torch.log_softmax(sharpness * torch.randn(500, 11), 1)
    soft_NC = normalise(rows_NC, kind, 1.0)
    for stored_NC in (soft_NC, soft_NC.half().float()):
        assert torch.isfinite(stored_NC).all()
        assert (stored_NC.exp().sum(1) - 1).abs().max() < 1e-3
        own = stored_NC.gather(1, rows_NC.argmax(1)[:, None])[:, 0]
        assert (own == stored_NC.amax(1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_does_not_change_another(kind):
    torch.manual_seed(0)
    rows_NC = torch.log_softmax(torch.randn(4, 5), 1)
    assert torch.equal(normalise(rows_NC, kind, 2.0)[2:3], normalise(rows_NC[2:3], kind, 2.0))


def test_only_members_in_the_mask_count():
    twice_MNC = MEMBERS_MNC.repeat(1, 3, 1)
    mask_MN = torch.tensor([[True, False, True], [False, True, True]])
    expected = [0.8, 0.1, 0.1, 0.2, 0.5, 0.3, 0.65, 0.2, 0.15]
    assert probs(blend(twice_MNC, (3.0, 1.0), mask_MN)) == pytest.approx(expected, abs=1e-6)
    # where the members in the mask have weight 0, they count equally
    assert probs(blend(twice_MNC, (0.0, 1.0), mask_MN))[:3] == pytest.approx([0.8, 0.1, 0.1], abs=1e-6)

"""Losses against literal numbers and against torch's own."""

import functools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.data.augment import Batch
from pipeline.training.losses import balanced_weights, cross_entropy, distillation, member_loss, student_loss

LN3 = math.log(3.0)
# student probabilities 1/4, 3/4 at T=1; 0.3660254, 0.6339746 (1 : sqrt 3) at T=2
LOGITS_NC = torch.tensor([[0.0, LN3], [LN3, 0.0]])
TEACHER_NC = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
SOFT_T1 = [0.1438410, 0.2876821]  # 0.5 ln 2 + 0.5 ln 2/3; ln 4/3
SOFT_T2 = [0.1490091, 1.8229856]  # 4 (0.5 ln 0.5/0.3660254 + 0.5 ln 0.5/0.6339746); 4 ln 1/0.6339746


def batch(hard: list[list[float]], soft: Tensor | None = TEACHER_NC) -> Batch:
    return Batch(torch.zeros(2, 3, 4, 4), torch.tensor(hard), soft)


@pytest.mark.parametrize(("temperature", "expected"), [(1.0, SOFT_T1), (2.0, SOFT_T2)])
def test_distillation_by_hand(temperature, expected):
    assert distillation(LOGITS_NC, TEACHER_NC, temperature).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_distillation_is_torchs_kl_div(temperature):
    torch.manual_seed(0)
    logits_NC, teacher_NC = torch.randn(5, 7), torch.softmax(torch.randn(5, 7), 1)
    expected = F.kl_div(torch.log_softmax(logits_NC / temperature, 1), teacher_NC, reduction="batchmean")
    assert distillation(logits_NC, teacher_NC, temperature).mean() == pytest.approx(
        float(expected) * temperature**2, rel=1e-5
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_an_equal_teacher_gives_no_loss_and_no_gradient(temperature):
    logits_NC = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 9.0]], requires_grad=True)
    soft_N = distillation(logits_NC, torch.softmax(logits_NC.detach() / temperature, 1), temperature)
    assert soft_N.tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    (gradient_NC,) = torch.autograd.grad(soft_N.sum(), logits_NC)
    assert gradient_NC.abs().max() < 1e-5


def test_the_gradient_keeps_its_size_at_any_temperature():
    torch.manual_seed(0)
    teacher_logits_NC = 0.3 * torch.randn(16, 11)
    norms = []
    for temperature in (4.0, 8.0):
        logits_NC = (0.3 * torch.randn(16, 11, generator=torch.Generator().manual_seed(1))).requires_grad_()
        loss = distillation(logits_NC, torch.softmax(teacher_logits_NC / temperature, 1), temperature).sum()
        norms.append(float(torch.autograd.grad(loss, logits_NC)[0].norm()))
    assert norms[1] == pytest.approx(norms[0], rel=0.02)  # without T^2 a quarter of it
    assert norms[0] > 0.1


def test_distillation_of_half_precision_logits_is_computed_in_float32():
    soft_N = distillation(LOGITS_NC.bfloat16(), TEACHER_NC, 2.0)
    assert soft_N.dtype == torch.float32
    assert soft_N.tolist() == pytest.approx(SOFT_T2, abs=0.02)


def test_cross_entropy_is_torchs():
    torch.manual_seed(0)
    logits_NC, labels_N = torch.randn(6, 4), torch.tensor([0, 3, 1, 1, 2, 0])
    expected_N = F.cross_entropy(logits_NC, labels_N, reduction="none")
    assert torch.allclose(cross_entropy(logits_NC, F.one_hot(labels_N, 4).float()), expected_N)
    smoothed_N = F.cross_entropy(logits_NC, labels_N, reduction="none", label_smoothing=0.1)
    assert torch.allclose(cross_entropy(logits_NC, 0.9 * F.one_hot(labels_N, 4) + 0.025), smoothed_N)


def test_the_loss_of_a_row_without_a_label_is_zero():
    probs_NC = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert cross_entropy(LOGITS_NC, probs_NC).tolist() == pytest.approx([0.0, 0.2876821])
    logits_NC = LOGITS_NC.clone().requires_grad_()
    (gradient_NC,) = torch.autograd.grad(cross_entropy(logits_NC, probs_NC).sum(), logits_NC)
    assert gradient_NC[0].tolist() == [0.0, 0.0]
    assert gradient_NC[1].abs().min() > 0.1


def test_member_loss_is_the_mean_over_the_batch():
    # -ln 3/4 for both rows' first and second label: mean of 0.2876821 and 1.3862944
    assert float(member_loss(LOGITS_NC, batch([[0.0, 1.0], [0.0, 1.0]], None))) == pytest.approx(0.8369882)


def test_a_labelled_row_has_both_losses():
    # 0.8 soft + 0.2 hard; hard is -ln 3/4 and -ln 1/4
    loss = student_loss(LOGITS_NC, batch([[0.0, 1.0], [0.0, 1.0]]), alpha=0.8, temperature=2.0)
    rows = [0.8 * 0.1490091 + 0.2 * 0.2876821, 0.8 * 1.8229856 + 0.2 * 1.3862944]
    assert float(loss) == pytest.approx(sum(rows) / 2, abs=1e-6)


def test_a_row_without_a_label_learns_from_the_soft_label_alone():
    loss = student_loss(LOGITS_NC, batch([[0.0, 1.0], [0.0, 0.0]]), alpha=0.8, temperature=2.0)
    rows = [0.8 * 0.1490091 + 0.2 * 0.2876821, 1.8229856]
    assert float(loss) == pytest.approx(sum(rows) / 2, abs=1e-6)


def test_a_mixed_row_has_a_part_of_a_label():
    # label mass 0.25: soft share 1 - 0.2 * 0.25, hard 0.2 * 0.25 * -ln 1/4
    loss = student_loss(LOGITS_NC, batch([[0.0, 0.0], [0.0, 0.25]]), alpha=0.8, temperature=1.0)
    rows = [0.1438410, 0.95 * 0.2876821 + 0.05 * 1.3862944]
    assert float(loss) == pytest.approx(sum(rows) / 2, abs=1e-6)


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, SOFT_T1), (0.0, [1.3862944, 0.2876821])])
def test_the_ends_of_alpha(alpha, expected):
    loss = student_loss(LOGITS_NC, batch([[1.0, 0.0], [1.0, 0.0]]), alpha=alpha, temperature=1.0)
    assert float(loss) == pytest.approx(sum(expected) / 2, abs=1e-6)


def test_balanced_weights_by_hand():
    """Six labelled images, four of class 0 and two of class 2: 6 / (3 x 4), none of class 1, 6 / (3 x 2)."""
    assert balanced_weights([0, 0, 2, -1, 0, 0, 2], 3) == (0.5, 1.0, 1.0)
    assert balanced_weights([0, 1, 1, 1], 2) == (2.0, pytest.approx(2 / 3))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_class_weights_count_labelled_rows_alone(alpha: float):
    logits_NC = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    soft_NC = torch.tensor([[0.7, 0.3]] * 3)
    hard_NC = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])  # of class 0, of class 1, without a label
    loss = functools.partial(student_loss, alpha=alpha, temperature=1.0)
    rows = [loss(logits_NC[i : i + 1], Batch(logits_NC, hard_NC[i : i + 1], soft_NC[i : i + 1])) for i in range(3)]
    found = loss(logits_NC, Batch(logits_NC, hard_NC, soft_NC), class_weights=(3.0, 0.5))
    assert float(found) == pytest.approx(float(3.0 * rows[0] + 0.5 * rows[1] + rows[2]) / 3)
    assert float(loss(logits_NC, Batch(logits_NC, hard_NC, soft_NC), class_weights=(1.0, 1.0))) == pytest.approx(
        float(sum(rows)) / 3
    )

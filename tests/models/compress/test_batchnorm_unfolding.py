"""A folded student gets its BatchNorm back: the same answers, and statistics of what it was shown."""

import pytest
import torch
from tests.models.compress.test_batchnorm_folding import NETWORKS, trained_network
from torch import nn

from models.compress.batchnorm_folding import fold_batchnorm, unfold_batchnorm
from models.students.build import build_student


def pictures(count: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.family)
def test_the_answers_are_those_of_the_folded_student(network):
    folded = fold_batchnorm(trained_network(network))
    student = build_student(network, classes=11, image_size=32)
    unfold_batchnorm(student, folded, pictures().split(8))
    assert not student.training
    with torch.no_grad():
        expected = folded(pictures())
        torch.testing.assert_close(student(pictures()), expected, atol=2e-4 * float(expected.abs().max()), rtol=1e-3)


def test_statistics_by_hand():
    student = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.5))
    folded = nn.Sequential(nn.Conv2d(1, 1, 1))
    nn.init.constant_(folded[0].weight, 2.0)
    nn.init.constant_(folded[0].bias, 1.0)
    unfold_batchnorm(student, folded, [torch.tensor([0.0, 2.0]).view(2, 1, 1, 1), torch.tensor([1.0]).view(1, 1, 1, 1)])
    norm = student[1]
    # doubled and one more: 1, 5 and 3
    assert (norm.running_mean.item(), norm.bias.item()) == (3.0, 3.0)
    assert norm.running_var.item() == pytest.approx(8 / 3)
    assert norm.weight.item() == pytest.approx((8 / 3 + 0.5) ** 0.5)


def test_it_trains_as_it_answers():
    """On the pictures that it was measured on, training mode gives the answers of eval mode."""
    network = NETWORKS[0]
    student = build_student(network, classes=11, image_size=32)
    unfold_batchnorm(student, fold_batchnorm(trained_network(network)), [pictures()])
    with torch.no_grad():
        expected = student(pictures())
        for module in student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        torch.testing.assert_close(student(pictures()), expected, atol=1e-3 * float(expected.abs().max()), rtol=1e-3)

"""Folding and un-folding change the stored numbers, not the function of the network."""

import pytest
import torch
from torch import nn

from models.compress.batchnorm_folding import fold_batchnorm, unfold_batchnorm
from models.students.build import build_student
from models.students.families import STUDENTS
from tests.models.compress.made_students import NETWORKS, trained, trained_network


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.family)
def test_eval_output_is_equal(network):
    student = trained_network(network).eval()
    images_N3HW = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fold_batchnorm(student)(images_N3HW), student(images_N3HW), atol=1e-5, rtol=1e-5)


def test_names_are_those_of_the_folded_network():
    folded = fold_batchnorm(trained("reference-depthwise"))
    expected = build_student(STUDENTS["reference-depthwise"].architecture(11, 32), folded=True)
    assert list(folded.state_dict()) == list(expected.state_dict())
    assert not folded.training


def test_one_channel_by_hand():
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)
    nn.init.constant_(conv.weight, 3.0)
    nn.init.constant_(conv.bias, 1.0)
    nn.init.constant_(norm.weight, 2.0)
    nn.init.constant_(norm.bias, 5.0)
    norm.running_mean.fill_(7.0)
    norm.running_var.fill_(4.0)
    folded = fold_batchnorm(nn.Sequential(conv, norm))
    assert folded[0].weight.item() == 3.0  # 3 * 2 / sqrt(4)
    assert folded[0].bias.item() == -1.0  # (1 - 7) * 2 / sqrt(4) + 5


def test_folding_does_not_change_the_student():
    student = trained("reference-student").train()
    before = {key: tensor.clone() for key, tensor in student.state_dict().items()}
    fold_batchnorm(student)
    assert student.training
    assert all(torch.equal(before[key], tensor) for key, tensor in student.state_dict().items())


def test_folding_twice_changes_nothing():
    once = fold_batchnorm(trained("reference-student"))
    twice = fold_batchnorm(once)
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), twice.parameters(), strict=True))


def test_a_norm_without_its_convolution_is_refused():
    with pytest.raises(ValueError, match="BatchNorm '1' follows ReLU, expected a convolution"):
        fold_batchnorm(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


def test_other_modules_are_refused():
    with pytest.raises(ValueError, match=r"cannot fold a Linear, expected the nn.Sequential"):
        fold_batchnorm(nn.Linear(2, 2))


def images(count: int = 16) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.family)
def test_an_unfolded_student_has_the_logits_of_the_folded_one(network):
    folded = fold_batchnorm(trained_network(network))
    student = build_student(network.architecture(11, 32))
    unfold_batchnorm(student, folded, images().split(8))
    assert not student.training
    with torch.no_grad():
        expected = folded(images())
        torch.testing.assert_close(student(images()), expected, atol=2e-4 * float(expected.abs().max()), rtol=1e-3)


def test_statistics_of_an_unfolded_student_by_hand():
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


def test_an_unfolded_student_has_equal_logits_in_training_and_eval_mode():
    """On the images that its statistics were measured on."""
    network = NETWORKS[0]
    student = build_student(network.architecture(11, 32))
    unfold_batchnorm(student, fold_batchnorm(trained_network(network)), [images()])
    with torch.no_grad():
        expected = student(images())
        for module in student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        torch.testing.assert_close(student(images()), expected, atol=1e-3 * float(expected.abs().max()), rtol=1e-3)

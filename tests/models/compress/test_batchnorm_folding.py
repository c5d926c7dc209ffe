"""Folding changes the numbers that are stored, not what the network computes."""

import pytest
import torch
from torch import nn

from models.compress.batchnorm_folding import fold_batchnorm
from models.students.build import build_student
from models.students.families import FAMILIES, STUDENTS, Network


def small_network(family: str) -> Network:
    """A network of one of the families that are made for bytes."""
    return Network(family, (4, 2) if family == "dense" else (4, 2, 12))


def trained(name: str, *, seed: int = 0) -> nn.Sequential:
    """Return a named student with BatchNorm statistics and weights as after training."""
    return trained_network(STUDENTS[name], seed=seed)


def trained_network(network: Network, *, seed: int = 0) -> nn.Sequential:
    """Return a student with BatchNorm statistics and weights as after training."""
    torch.manual_seed(seed)
    student = build_student(network, classes=11, image_size=32)
    for module in student.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.2, 2.0)
    return student


NETWORKS = [*(STUDENTS[name] for name in ("report-student", "report-plain-cnn", "report-group-large", "studentnet"))]
NETWORKS += [small_network(family) for family in FAMILIES if family not in {network.family for network in NETWORKS}]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.family)
def test_eval_output_is_equal(network):
    student = trained_network(network).eval()
    images_N3HW = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fold_batchnorm(student)(images_N3HW), student(images_N3HW), atol=1e-5, rtol=1e-5)


def test_names_are_those_of_the_folded_network():
    folded = fold_batchnorm(trained("report-depthwise"))
    expected = build_student(STUDENTS["report-depthwise"], classes=11, image_size=32, folded=True)
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


def test_the_student_is_left_as_it_was():
    student = trained("report-student").train()
    before = {key: tensor.clone() for key, tensor in student.state_dict().items()}
    fold_batchnorm(student)
    assert student.training
    assert all(torch.equal(before[key], tensor) for key, tensor in student.state_dict().items())


def test_folding_twice_changes_nothing():
    once = fold_batchnorm(trained("report-student"))
    twice = fold_batchnorm(once)
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), twice.parameters(), strict=True))


def test_a_norm_without_its_convolution_is_refused():
    with pytest.raises(ValueError, match="BatchNorm '1' follows ReLU, expected a convolution"):
        fold_batchnorm(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


def test_other_modules_are_refused():
    with pytest.raises(ValueError, match=r"cannot fold a Linear, expected the nn.Sequential"):
        fold_batchnorm(nn.Linear(2, 2))

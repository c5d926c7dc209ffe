"""BatchNorm recalibration: the running statistics of a network whose weights were rounded."""

import torch
from torch import nn

from models.compress.batchnorm_recalibration import recalibrate_batchnorm
from models.compress.lsq import prepare_lsq, with_scaled_steps
from models.students.families import Network
from tests.models.compress.made_students import trained_network


def test_means_and_variances_by_hand():
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    network[0].weight.data.fill_(2.0)
    first, second = torch.tensor([0.0, 2.0]), torch.tensor([4.0, 10.0])
    recalibrate_batchnorm(network, [values.view(2, 1, 1, 1) for values in (first, second)])
    # doubled: 0, 4 and 8, 20: means 2 and 14, unbiased variances 8 and 72
    assert (network[1].running_mean.item(), network[1].running_var.item()) == (8.0, 40.0)
    assert not any(module.training for module in network.modules())


def test_larger_steps_change_the_logits_less_after_recalibration():
    torch.manual_seed(0)
    network = trained_network(Network("residual", (8, 1, 16)))
    images_NCHW = torch.randn(64, 3, 32, 32)
    recalibrate_batchnorm(network, images_NCHW.split(16))
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    rounded = with_scaled_steps(prepare_lsq(network, dict.fromkeys(names, 16), initial_clip_std=2.5), 2.0)

    def distance() -> float:
        with torch.no_grad():
            return float((rounded(images_NCHW) - network(images_NCHW)).square().mean())

    before = distance()
    recalibrate_batchnorm(rounded, images_NCHW.split(16))
    assert distance() < 0.7 * before


def test_without_images_nothing_changes():
    network = trained_network(Network("residual", (4, 1, 8)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recalibrate_batchnorm(network, [])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_without_batchnorm():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    recalibrate_batchnorm(network, [torch.ones(1, 3, 1, 1)])
    assert not network.training

"""BatchNorm's statistics measured again on a network whose weights were rounded."""

import torch
from tests.models.compress.test_batchnorm_folding import trained_network
from torch import nn

from models.compress.batchnorm_recalibration import renew_norm_statistics
from models.compress.lsq import learn_steps, with_coarser_steps
from models.students.families import Network


def test_means_and_variances_by_hand():
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1))
    network[0].weight.data.fill_(2.0)
    first, second = torch.tensor([0.0, 2.0]), torch.tensor([4.0, 10.0])
    renew_norm_statistics(network, [values.view(2, 1, 1, 1) for values in (first, second)])
    # doubled: 0, 4 and 8, 20: means 2 and 14, unbiased variances 8 and 72
    assert (network[1].running_mean.item(), network[1].running_var.item()) == (8.0, 40.0)
    assert not any(module.training for module in network.modules())


def test_coarser_steps_change_the_answers_less_with_new_statistics():
    torch.manual_seed(0)
    network = trained_network(Network("residual", (8, 1, 16)))
    images_NCHW = torch.randn(64, 3, 32, 32)
    renew_norm_statistics(network, images_NCHW.split(16))
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    rounded = with_coarser_steps(learn_steps(network, dict.fromkeys(names, 16), clip=2.5), 2.0)

    def distance() -> float:
        with torch.no_grad():
            return float((rounded(images_NCHW) - network(images_NCHW)).square().mean())

    before = distance()
    renew_norm_statistics(rounded, images_NCHW.split(16))
    assert distance() < 0.7 * before


def test_without_pictures_nothing_changes():
    network = trained_network(Network("residual", (4, 1, 8)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    renew_norm_statistics(network, [])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_without_batchnorm():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    renew_norm_statistics(network, [torch.ones(1, 3, 1, 1)])
    assert not network.training

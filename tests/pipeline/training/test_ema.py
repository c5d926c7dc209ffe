"""EMA, step by step."""

import pytest
import torch
from torch import nn

from pipeline.training.ema import ExponentialMovingAverage


def two_parameters(weight: float, bias: float) -> nn.Linear:
    linear = nn.Linear(1, 1)
    nn.init.constant_(linear.weight, weight)
    nn.init.constant_(linear.bias, bias)
    return linear


def set_to(linear: nn.Linear, weight: float, bias: float) -> None:
    nn.init.constant_(linear.weight, weight)
    nn.init.constant_(linear.bias, bias)


def values(network: nn.Module) -> list[float]:
    return [float(value) for value in network.state_dict().values()]


def test_warm_up_by_hand():
    linear = two_parameters(10.0, 0.0)
    ema = ExponentialMovingAverage(linear, 0.999)
    assert values(ema.network) == [10.0, 0.0]
    set_to(linear, 20.0, 1.0)
    ema.schedule(0)
    ema.update()  # decay 1/10
    assert values(ema.network) == pytest.approx([19.0, 0.9])
    set_to(linear, 30.0, 2.0)
    ema.schedule(1)
    ema.update()  # decay 2/11
    assert values(ema.network) == pytest.approx([2 / 11 * 19 + 9 / 11 * 30, 2 / 11 * 0.9 + 9 / 11 * 2])
    assert values(linear) == [30.0, 2.0]


def test_the_decay_is_a_limit():
    linear = two_parameters(0.0, 0.0)
    ema = ExponentialMovingAverage(linear, 0.75)
    set_to(linear, 1.0, -8.0)
    ema.schedule(26)
    ema.update()  # (1 + 26) / (10 + 26) is 0.75 exactly
    assert values(ema.network) == pytest.approx([0.25, -2.0])
    ema.schedule(10_000)
    ema.update()
    assert values(ema.network) == pytest.approx([0.25 * 0.75 + 0.25, -2.0 * 0.75 - 2.0])


def test_batchnorm_means_are_averaged_and_its_counter_is_copied():
    norm = nn.BatchNorm2d(2)
    ema = ExponentialMovingAverage(norm, 0.999)
    norm.running_mean.copy_(torch.tensor([1.0, -2.0]))
    norm.running_var.fill_(3.0)
    norm.num_batches_tracked.fill_(7)
    ema.schedule(0)
    ema.update()
    assert ema.network.running_mean.tolist() == pytest.approx([0.9, -1.8])
    assert ema.network.running_var.tolist() == pytest.approx([2.8, 2.8])
    assert ema.network.num_batches_tracked.item() == 7
    assert ema.network.num_batches_tracked.dtype == torch.int64


def test_the_ema_is_for_inference_only():
    network = nn.Sequential(nn.Linear(1, 1), nn.Dropout()).train()
    ema = ExponentialMovingAverage(network, 0.9)
    assert not ema.network.training
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())

"""GPTQ: it compensates its own rounding errors, and a layer's output is closer to the exact one."""

import numpy as np
import pytest
import torch
from torch import nn

from models.compress.batchnorm_folding import fold_batchnorm
from models.compress.gptq import gptq_round, second_moments
from models.compress.low_bit import LowBit, nearest_codes
from models.compress.lsq import low_bit_weights, prepare_lsq
from tests.models.compress.made_students import small_network, trained_network


def linear(weights: list[list[float]]) -> nn.Sequential:
    layer = nn.Linear(len(weights[0]), len(weights), bias=False)
    layer.weight.data = torch.tensor(weights)
    return nn.Sequential(layer)


def rounded(network: nn.Sequential, step: float, inputs: torch.Tensor) -> list[list[int]]:
    weights = network[0].weight.detach().numpy()
    scale = np.full(len(weights), step, np.float16)
    nearest = LowBit(nearest_codes(weights, scale, 16), scale, 16)
    return gptq_round(network, {"0.weight": nearest}, second_moments(network, [inputs]))["0.weight"].codes.tolist()


def test_uncorrelated_inputs_are_rounded_to_the_nearest():
    assert rounded(linear([[0.4, 1.6, -2.6], [0.6, 0.4, 7.9]]), 1.0, torch.eye(3)) == [[0, 2, -3], [1, 0, 7]]


def test_an_error_is_compensated_by_an_equal_input():
    # both inputs are always equal, so only the sum of the weights counts: 0.4 + 0.4 is nearer to 1 than to 0
    assert rounded(linear([[0.4, 0.4]]), 1.0, torch.ones(8, 2)) == [[0, 1]]


def test_inputs_that_are_always_zero_are_rounded_to_the_nearest():
    assert rounded(linear([[0.4, 0.6]]), 1.0, torch.zeros(8, 2)) == [[0, 1]]


def test_second_moments_of_a_convolution_by_hand():
    conv = nn.Conv2d(2, 2, (1, 2), groups=2, bias=False)
    image = torch.tensor([[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]])
    found = second_moments(nn.Sequential(conv), [image])["0"]
    # group 1 sees (1, 2) and (2, 3), group 2 (4, 5) and (5, 6)
    assert found.tolist() == [[[2.5, 4.0], [4.0, 6.5]], [[20.5, 25.0], [25.0, 30.5]]]


@pytest.mark.parametrize("family", ["residual", "inverted", "tied"])
def test_gptq_changes_the_logits_less_than_rounding_to_the_nearest(family):
    student = trained_network(small_network(family))
    names = [name for name, module in student.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    images = torch.randn(64, 3, 32, 32)
    exact = fold_batchnorm(student)
    folded, nearest = low_bit_weights(prepare_lsq(student, dict.fromkeys(names, 8), initial_clip_std=2.5))
    gptq = gptq_round(folded, nearest, second_moments(folded, images.split(16)))
    with torch.no_grad():
        expected = exact(images)
    by_nearest, by_gptq = (
        (logits_with(exact, weights, images) - expected).square().mean() for weights in (nearest, gptq)
    )
    assert by_gptq < 0.8 * by_nearest
    for name, tensor in gptq.items():
        assert np.array_equal(tensor.scale, nearest[name].scale)


@torch.no_grad()
def logits_with(network: nn.Module, weights: dict[str, LowBit], images_NCHW: torch.Tensor) -> torch.Tensor:
    for name, tensor in weights.items():
        network.get_parameter(name).copy_(torch.from_numpy(tensor.values()))
    return network(images_NCHW)


def test_moments_of_many_batches_are_those_of_one():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1))
    images_NCHW = torch.randn(6, 3, 8, 8)
    together, apart = second_moments(network, [images_NCHW]), second_moments(network, images_NCHW.split(2))
    assert list(together) == ["0", "2"]
    for name, moments_GII in together.items():
        torch.testing.assert_close(apart[name], moments_GII, rtol=1e-5, atol=1e-6)

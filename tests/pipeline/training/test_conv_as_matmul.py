"""Small feature maps: a matrix product does what the convolution does."""

import copy

import pytest
import torch
from torch import nn

from pipeline.training.conv_as_matmul import ConvAsMatmul, use_conv_as_matmul


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "rows"), [(3, 1, 1, 4), (3, 2, 1, 8), (5, 1, 2, 4), (2, 2, 0, 6)]
)
def test_values_and_gradients_are_those_of_the_convolution(kernel, stride, padding, rows):
    torch.manual_seed(0)
    conv = nn.Conv2d(128, 6, kernel, stride, padding, bias=kernel != 2).double()
    product = ConvAsMatmul(copy.deepcopy(conv))
    images = torch.randn(3, 128, rows, rows, dtype=torch.float64)
    found = []
    for module in (conv, product):
        inputs = images.clone().requires_grad_()
        output = module(inputs)
        (output * torch.linspace(0, 1, output.numel(), dtype=torch.float64).view_as(output)).sum().backward()
        found.append([output, inputs.grad, *(parameter.grad for parameter in module.parameters())])
    for expected, got in zip(*found, strict=True):
        torch.testing.assert_close(got, expected)


def test_a_large_map_is_the_convolution_itself_to_the_last_bit():
    conv = nn.Conv2d(128, 4, 3, padding=1)
    images = torch.randn(2, 128, 5, 4)
    assert torch.equal(ConvAsMatmul(conv)(images), conv(images))


def test_only_plain_wide_convolutions_are_replaced_and_the_state_keeps_its_names():
    class Standardised(nn.Conv2d):
        pass

    network = nn.Sequential(
        nn.Conv2d(128, 128, 3, padding=1),
        nn.Sequential(nn.Conv2d(127, 128, 3), nn.Conv2d(128, 128, 3, groups=2), nn.Conv2d(128, 8, 1)),
        Standardised(128, 8, 3),
        nn.Conv2d(128, 8, 3, padding="same"),
        nn.Conv2d(128, 8, 3, padding="valid"),
        nn.Conv2d(128, 8, 3, dilation=2),
        nn.Conv2d(128, 8, 3, padding=1, padding_mode="reflect"),
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    use_conv_as_matmul(network)
    assert [name for name, module in network.named_modules() if isinstance(module, ConvAsMatmul)] == ["0"]
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())

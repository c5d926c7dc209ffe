"""The ResNet for short trainings: parameters by hand, images of any size, and at least 4x4 features."""

import pytest
import torch

from models.teachers.build import UnknownNetworkError, build_teacher, check_teacher
from models.teachers.short_resnet import ShortResNet, WhitenedPatches


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_weights_counted_by_hand():
    filters = 48 * 48 + 9 * (48 * 96 + 2 * 96 * 96 + 96 * 192 + 192 * 288 + 2 * 288 * 288)
    biases_norms, head = 48 + 2 * (3 * 96 + 192 + 3 * 288), 288 * 11 + 11
    network = build_teacher("short-resnet", classes=11, image_size=64)
    assert sum(parameter.numel() for parameter in network.parameters()) == filters + biases_norms + head == 2_372_123


@pytest.mark.parametrize(("image_size", "rows"), [(128, 8), (64, 4), (32, 4), (16, 4)])
def test_halvings_leave_four_rows(image_size, rows):
    network = ShortResNet(3, image_size, widths=(4, 8, 8, 8)).eval()
    maps = network.features(network.patches(torch.zeros(1, 3, image_size, image_size)))
    assert maps.shape == (1, 8, rows, rows)


def test_images_smaller_than_it_was_built_for():
    network = ShortResNet(3, 64, widths=(4, 8, 8, 8)).eval()
    assert [network(torch.zeros(2, 3, size, size)).shape for size in (32, 48, 64)] == [(2, 3)] * 3


def test_a_block_adds_to_its_input():
    network = ShortResNet(3, 16, widths=(4, 8, 8, 8)).eval()
    block = network.features[1]
    features = images(1, 8, 4, 4)
    assert torch.equal(block(features), features + block.inner(features))
    assert not torch.equal(block(features), features)


def test_the_head_has_the_maximum_of_each_map():
    network = ShortResNet(2, 16, widths=(4, 8, 8, 8)).eval()
    network.patches = network.features = torch.nn.Identity()
    with torch.no_grad():
        network.head.weight.fill_(1.0)
        network.head.bias.zero_()
    maps = torch.zeros(1, 8, 4, 4)
    maps[0, :, 1, 2] = 2.0
    assert network(maps).tolist() == [[2.0, 2.0]]  # eight maps of maximum 2, an eighth of their sum


def test_whitened_patches_have_equal_variances_and_are_uncorrelated():
    stem = WhitenedPatches(96)
    images_NCHW = images(64, 3, 16, 16)
    images_NCHW = images_NCHW + images_NCHW.roll(1, 3)  # correlated neighbours
    stem.whiten(images_NCHW.split(16))
    found = torch.nn.functional.conv2d(images_NCHW, stem.weight[:48], stride=2)
    covariance = found.transpose(0, 1).flatten(1).cov()
    variances = covariance.diagonal()
    assert float(variances.min()) > 0.9
    assert float(variances.max()) <= 1.0 + 1e-3
    assert float((covariance - variances.diag()).abs().max()) < 1e-3


def test_the_axes_of_largest_variance_come_first_with_both_signs():
    bright = images(64, 1, 1, 1).expand(64, 3, 8, 8) + 0.1 * images(64, 3, 8, 8)  # what varies most is brightness
    stem = WhitenedPatches(4)
    stem.whiten([bright])
    first = stem.weight[0]
    assert float(first.std()) < 0.1 * abs(float(first.mean()))
    assert torch.equal(stem.weight[:2], -stem.weight[2:])
    maps = stem(bright)
    assert maps.shape == (64, 4, 4, 4)
    assert float(maps.detach().min()) == 0.0


def test_filters_of_patches_are_not_trained_and_their_biases_are():
    network = ShortResNet(2, 16, widths=(4, 8, 8, 8))
    network.patches.whiten([images(8, 3, 16, 16)])
    network(images(8, 3, 16, 16)).square().sum().backward()
    assert network.patches.weight.grad is None
    assert float(network.patches.bias.grad.abs().sum()) > 0


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((8, 16), "short-resnet: widths: found 2 numbers, expected 4"),
        ((5, 8, 8, 8), "short-resnet: widths: found 5 first, expected an even number up to 96"),
        ((98, 8, 8, 8), "short-resnet: widths: found 98 first, expected an even number up to 96"),
        ((0, 8, 8, 8), "short-resnet: widths: found 0 first, expected an even number up to 96"),
    ],
)
def test_other_widths_are_refused(widths, message):
    with pytest.raises(UnknownNetworkError, match=message):
        check_teacher("short-resnet", 64, {"widths": widths}, pretrained=False)

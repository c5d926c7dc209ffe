"""The ResNet for short trainings: its weights counted by hand, any size of pictures, halvings that leave features."""

import pytest
import torch

from models.short_resnet import ShortResNet
from models.teachers import UnknownNetworkError, build_teacher, check_teacher


def test_weights_counted_by_hand():
    filters = 9 * (3 * 64 + 64 * 128 + 2 * 128 * 128 + 128 * 256 + 256 * 384 + 2 * 384 * 384)
    norms, head = 2 * (64 + 3 * 128 + 256 + 3 * 384), 384 * 11 + 11
    network = build_teacher("short-resnet", classes=11, image_size=64)
    assert sum(parameter.numel() for parameter in network.parameters()) == filters + norms + head == 4_212_171


@pytest.mark.parametrize(("image_size", "rows"), [(128, 8), (64, 4), (32, 4), (16, 4)])
def test_halvings_leave_four_rows(image_size, rows):
    network = ShortResNet(3, image_size, widths=(4, 8, 8, 8)).eval()
    assert network.features(torch.zeros(1, 3, image_size, image_size)).shape == (1, 8, rows, rows)


def test_smaller_pictures_than_it_was_made_for():
    network = ShortResNet(3, 64, widths=(4, 8, 8, 8)).eval()
    assert [network(torch.zeros(2, 3, size, size)).shape for size in (32, 48, 64)] == [(2, 3)] * 3


def test_a_block_adds_to_what_it_is_given():
    network = ShortResNet(3, 16, widths=(4, 8, 8, 8)).eval()
    block = network.features[2]
    features = torch.randn(1, 8, 4, 4)
    assert torch.equal(block(features), features + block.inner(features))
    assert not torch.equal(block(features), features)


def test_the_head_hears_the_largest_of_each_map():
    network = ShortResNet(2, 16, widths=(4, 8, 8, 8)).eval()
    network.features = torch.nn.Identity()
    with torch.no_grad():
        network.head.weight.fill_(1.0)
        network.head.bias.zero_()
    maps = torch.zeros(1, 8, 4, 4)
    maps[0, :, 1, 2] = 2.0
    assert network(maps).tolist() == [[2.0, 2.0]]  # eight maps of maximum 2, an eighth of their sum


def test_other_numbers_of_widths_are_refused():
    with pytest.raises(UnknownNetworkError, match="short-resnet: widths: found 2 numbers, expected 4"):
        check_teacher("short-resnet", 64, {"widths": (8, 16)}, pretrained=False)

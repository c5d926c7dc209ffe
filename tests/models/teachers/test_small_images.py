"""timm networks adapted to small images keep at least 4x4 features, or are refused in one line."""

import pytest
import timm
import torch
from torch import nn

from models.teachers.small_images import feature_rows
from tests.models.teachers.made_teachers import NARROW, build, refused


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        *((name, 64) for name in NARROW if not name.startswith("vit")),
        *((name, 32) for name in ("resnet18", "regnetx_002", "densenet121", "reference-cnn")),
        ("reference-cnn", 16),
        ("test_resnet", 16),
    ],
)
def test_features_and_logits_of_small_images(name, image_size):
    network = build(name, image_size).eval()
    assert feature_rows(network, image_size) >= 4
    with torch.no_grad():
        logits_NC = network(torch.randn(2, 3, image_size, image_size))
    assert logits_NC.shape == (2, 5)
    assert torch.isfinite(logits_NC).all()
    assert (logits_NC[0] != logits_NC[1]).any()


def test_no_more_halvings_are_removed_than_needed():
    assert feature_rows(build("resnet18", 128), 128) == 4
    assert feature_rows(build("resnet18", 64), 64) == 4
    assert feature_rows(build("resnet18", 32), 32) == 4
    untouched = build("resnet18", 128)
    assert isinstance(untouched.maxpool, nn.MaxPool2d)
    assert untouched.conv1.stride == (2, 2)


def test_networks_are_not_adapted_on_request():
    assert feature_rows(build("resnet18", 64, small_images=False), 64) == 2


def test_an_adapted_network_can_be_trained():
    network = build("resnet18", 32).train()
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert network.conv1.weight.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_counting_features_does_not_change_the_network():
    network = build("test_resnet", 32).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    feature_rows(network, 32)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_stem_of_7x7_becomes_3x3():
    stem = build("resnet18", 32).conv1
    assert (stem.kernel_size, stem.stride) == ((3, 3), (1, 1))


def test_kernels_are_kept_for_published_weights(monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, *, pretrained, **own: create(name, **own))  # noqa: ARG005
    for how in ({"pretrained": True}, {"keep_kernels": True}):
        network = build("resnet18", 32, **how)
        assert (network.conv1.kernel_size, network.conv1.stride) == ((7, 7), (1, 1))
        assert feature_rows(network, 32) == 4
        plain = create("resnet18", num_classes=5, **NARROW["resnet18"])
        network.load_state_dict(plain.state_dict())


@pytest.mark.parametrize(
    ("name", "image_size", "why"),
    [
        ("vit_tiny_patch16_224", 64, "Input height"),  # its position embedding is made for one image size
        ("repvgg_a0", 32, "must match the size"),  # parallel branches, of which one would keep its stride
    ],
)
def test_a_network_that_cannot_be_adapted(name, image_size, why):
    refused(rf"^{name} cannot be adapted to {image_size} pixels \(.*{why}.*\)$", name, image_size)

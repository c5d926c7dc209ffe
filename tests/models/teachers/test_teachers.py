"""Teacher networks keep at least 4x4 features of small images, and refuse what they cannot be in one line."""

import re

import pytest
import timm
import torch
from torch import nn

from models.teachers.build import (
    UnknownNetworkError,
    WeightsUnavailableError,
    build_teacher,
    check_teacher,
    expected_normalisation,
)
from models.teachers.small_images import feature_rows

# families as they are, made narrow where that is an option: the halvings stay where they were
NARROW = {
    "resnet18": {"channels": (8, 8, 16, 16)},
    "resnet26d": {"channels": (8, 8, 16, 16), "stem_width": 8},
    "densenet121": {"growth_rate": 4, "block_config": (1, 1, 1, 1)},
    "regnetx_002": {},
    "mobilenetv3_small_050": {},
    "test_resnet": {},
    "test_convnext": {},
    "test_efficientnet": {},
    "test_byobnet": {},
    "report-cnn": {"width": 4},
    "vit_tiny_patch16_224": {"embed_dim": 8, "depth": 1, "num_heads": 1},
}


def build(name: str, image_size: int, **options: object) -> nn.Module:
    torch.manual_seed(0)
    own = NARROW.get(name, {})
    return build_teacher(name, classes=5, image_size=image_size, **({"options": own} | options))


def refused(message: str, name: str, image_size: int = 32, **options: object) -> None:
    with pytest.raises(UnknownNetworkError, match=message) as caught:
        build(name, image_size, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "image_size"),
    [
        *((name, 64) for name in NARROW if not name.startswith("vit")),
        *((name, 32) for name in ("resnet18", "regnetx_002", "densenet121", "report-cnn")),
        ("report-cnn", 16),
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


def test_no_more_halvings_are_taken_away_than_needed():
    assert feature_rows(build("resnet18", 128), 128) == 4
    assert feature_rows(build("resnet18", 64), 64) == 4
    assert feature_rows(build("resnet18", 32), 32) == 4
    untouched = build("resnet18", 128)
    assert isinstance(untouched.maxpool, nn.MaxPool2d)
    assert untouched.conv1.stride == (2, 2)


def test_small_images_are_left_alone_on_request():
    assert feature_rows(build("resnet18", 64, small_images=False), 64) == 2


def test_an_adapted_network_can_be_trained():
    network = build("resnet18", 32).train()
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert network.conv1.weight.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_counting_features_leaves_the_network_as_it_was():
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


def test_the_reports_cnn_has_the_reports_size():
    with torch.device("meta"):
        network = build_teacher("report-cnn", classes=11, image_size=64)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == 10_147_307
    assert f"{parameters / 1e6:.1f} {4 * parameters / 1e6:.1f}" == "10.1 40.6"
    buffers = sum(4 * buffer.numel() for buffer in network.buffers())
    assert 40.5e6 < 4 * parameters + buffers < 40.8e6


def test_the_reports_cnn_has_dropout():
    network = build("report-cnn", 16, options={"width": 4, "dropout": 0.5}).train()
    image = torch.randn(1, 3, 16, 16).expand(8, 3, 16, 16)
    assert len({tuple(row) for row in network(image).tolist()}) > 1
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]


@pytest.mark.parametrize(("name", "meant"), [("resnet181", "resnet18"), ("report_cnn", "report-cnn")])
def test_did_you_mean(name, meant):
    with pytest.raises(UnknownNetworkError, match=rf"unknown network '{name}' \(did you mean {meant}\?\)"):
        check_teacher(name, 64, {}, pretrained=False)


def test_an_unknown_network_that_resembles_none():
    with pytest.raises(UnknownNetworkError, match=r"^unknown network '0123456789'$"):
        check_teacher("0123456789", 64, {}, pretrained=False)
    refused("0123456789: Unknown model", "0123456789")


@pytest.mark.parametrize("name", ["report-cnn", "resnet18", "resnet18.a1_in1k"])
def test_known_networks(name):
    check_teacher(name, 64, {}, pretrained=False)


def test_options_are_checked_without_building_the_network():
    check_teacher("resnet18", 64, {"channels": (8, 8, 16, 16)}, pretrained=False)
    with pytest.raises(UnknownNetworkError, match=r"report-cnn: .*unexpected keyword argument 'widht'"):
        check_teacher("report-cnn", 64, {"widht": 8}, pretrained=False)
    with pytest.raises(UnknownNetworkError, match="repvgg_a0 cannot be adapted to 64 pixels"):
        check_teacher("repvgg_a0", 64, {}, pretrained=False)


@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k"])
def test_networks_with_published_weights(name):
    check_teacher(name, 64, {}, pretrained=True)


def test_networks_without_published_weights():
    with pytest.raises(UnknownNetworkError, match="report-cnn has no published weights; pretrained must be false"):
        check_teacher("report-cnn", 64, {}, pretrained=True)
    without = next(name for name in timm.list_models() if not timm.list_pretrained(f"{name}*"))
    with pytest.raises(UnknownNetworkError, match=f"timm has no published weights for '{without}'"):
        check_teacher(without, 64, {}, pretrained=True)


@pytest.mark.parametrize(
    ("name", "image_size", "why"),
    [
        ("vit_tiny_patch16_224", 64, "Input height"),  # its position embedding is made for one image size
        ("repvgg_a0", 32, "must match the size"),  # parallel branches, of which one would keep its stride
    ],
)
def test_a_network_that_cannot_be_adapted(name, image_size, why):
    refused(rf"^{name} cannot be adapted to {image_size} pixels \(.*{why}.*\)$", name, image_size)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("resnet18", {"nosuch": 1}, "resnet18: .*unexpected keyword argument 'nosuch'"),
        ("report-cnn", {"drop_rate": 0.5}, "report-cnn: .*unexpected keyword argument 'drop_rate'"),
        ("resnet18", {"num_classes": 3}, "resnet18: .*multiple values for keyword argument 'num_classes'"),
        ("resnet18", {"channels": (8,)}, "^resnet18 cannot be adapted .*layer2"),
        ("report-cnn", {"dropout": 2.0}, "report-cnn: dropout probability has to be between 0 and 1"),
    ],
)
def test_options_that_a_network_does_not_take(name, options, why):
    refused(why, name, options=options)


def test_options_reach_the_network():
    assert build("resnet18", 64).conv1.out_channels == 64
    assert build("resnet18", 64).layer4[1].conv2.out_channels == 16


@pytest.mark.parametrize("error", [OSError, RuntimeError, ValueError])
def test_published_weights_that_cannot_be_had(error, monkeypatch):
    def offline(*_: object, **__: object) -> nn.Module:
        raise error("cannot reach the hub\nTry again later")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        WeightsUnavailableError, match=re.escape("published weights of resnet18: cannot reach the hub")
    ) as caught:
        build("resnet18", 64, pretrained=True)
    assert "\n" not in str(caught.value)


def test_the_statistics_of_published_weights_are_in_units_of_a_pixel():
    network = nn.Identity()
    network.pretrained_cfg = {"mean": (0.2, 0.4, 0.6), "std": (0.1, 0.2, 0.4)}
    mean, std = expected_normalisation(network)
    assert mean == pytest.approx((51.0, 102.0, 153.0))
    assert std == pytest.approx((25.5, 51.0, 102.0))

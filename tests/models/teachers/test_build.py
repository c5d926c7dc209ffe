"""Teacher networks by name: unknown names, options and published weights are checked, and refused in one line."""

import re

import pytest
import timm
from torch import nn

from models.teachers.build import UnknownNetworkError, WeightsUnavailableError, check_teacher, expected_normalisation
from tests.models.teachers.made_teachers import build, refused


@pytest.mark.parametrize(("name", "meant"), [("resnet181", "resnet18"), ("reference_cnn", "reference-cnn")])
def test_did_you_mean(name, meant):
    with pytest.raises(UnknownNetworkError, match=rf"unknown network '{name}' \(did you mean {meant}\?\)"):
        check_teacher(name, 64, {}, pretrained=False)


def test_an_unknown_network_that_resembles_none():
    with pytest.raises(UnknownNetworkError, match=r"^unknown network '0123456789'$"):
        check_teacher("0123456789", 64, {}, pretrained=False)
    refused("0123456789: Unknown model", "0123456789")


@pytest.mark.parametrize("name", ["reference-cnn", "resnet18", "resnet18.a1_in1k"])
def test_known_networks(name):
    check_teacher(name, 64, {}, pretrained=False)


def test_options_are_checked_without_building_the_network():
    check_teacher("resnet18", 64, {"channels": (8, 8, 16, 16)}, pretrained=False)
    with pytest.raises(UnknownNetworkError, match=r"reference-cnn: .*unexpected keyword argument 'widht'"):
        check_teacher("reference-cnn", 64, {"widht": 8}, pretrained=False)
    with pytest.raises(UnknownNetworkError, match="repvgg_a0 cannot be adapted to 64 pixels"):
        check_teacher("repvgg_a0", 64, {}, pretrained=False)


@pytest.mark.parametrize("name", ["resnet18", "resnet18.a1_in1k"])
def test_networks_with_published_weights(name):
    check_teacher(name, 64, {}, pretrained=True)


def test_networks_without_published_weights():
    with pytest.raises(UnknownNetworkError, match="reference-cnn has no published weights; pretrained must be false"):
        check_teacher("reference-cnn", 64, {}, pretrained=True)
    without = next(name for name in timm.list_models() if not timm.list_pretrained(f"{name}*"))
    with pytest.raises(UnknownNetworkError, match=f"timm has no published weights for '{without}'"):
        check_teacher(without, 64, {}, pretrained=True)


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("resnet18", {"nosuch": 1}, "resnet18: .*unexpected keyword argument 'nosuch'"),
        ("reference-cnn", {"drop_rate": 0.5}, "reference-cnn: .*unexpected keyword argument 'drop_rate'"),
        ("resnet18", {"num_classes": 3}, "resnet18: .*multiple values for keyword argument 'num_classes'"),
        ("resnet18", {"channels": (8,)}, "^resnet18 cannot be adapted .*layer2"),
        ("reference-cnn", {"dropout": 2.0}, "reference-cnn: dropout probability has to be between 0 and 1"),
    ],
)
def test_options_that_a_network_does_not_take(name, options, why):
    refused(why, name, options=options)


def test_options_reach_the_network():
    assert build("resnet18", 64).conv1.out_channels == 64
    assert build("resnet18", 64).layer4[1].conv2.out_channels == 16


@pytest.mark.parametrize("error", [OSError, RuntimeError, ValueError])
def test_published_weights_that_cannot_be_fetched(error, monkeypatch):
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

"""Teacher networks by name: our own CNNs, or any timm network adapted to small images.

Images float [N, 3, H, W] normalised.
"""

import difflib
from typing import Any

import timm
import torch
from torch import nn

from models.teachers.reference_cnn import ReferenceCNN
from models.teachers.short_resnet import ShortResNet
from models.teachers.small_images import adapt_to_small_images

REFERENCE_CNN, SHORT_RESNET = "reference-cnn", "short-resnet"
OWN_NETWORKS = (REFERENCE_CNN, SHORT_RESNET)
# what timm and torch raise for an option, a value or an image size that a network cannot have
FAULTS = (TypeError, ValueError, RuntimeError, AssertionError, AttributeError, LookupError)


class UnknownNetworkError(ValueError):
    """No teacher network of that name, or none that fits images so small."""


class WeightsUnavailableError(OSError):
    """Published weights could not be fetched."""


def build_teacher(
    name: str,
    *,
    classes: int,
    image_size: int,
    pretrained: bool = False,
    keep_kernels: bool = False,
    small_images: bool = True,
    options: dict[str, Any] | None = None,
) -> nn.Module:
    """Build a teacher that turns float [N, 3, image_size, image_size] into logits [N, classes].

    `options` are the network's own: `width` and `dropout` of reference-cnn, `widths` of short-resnet, or timm's, such
    as `drop_rate`, `drop_path_rate`, or the `channels` of a ResNet. `keep_kernels`: the weights that will be loaded
    were trained from published ones, so the filters have those shapes; `pretrained` implies it.
    Raises UnknownNetworkError, or WeightsUnavailableError when `pretrained` weights cannot be fetched.
    """
    own = dict(options or {})
    try:
        if name == REFERENCE_CNN:
            return ReferenceCNN(classes, image_size, **own)
        if name == SHORT_RESNET:
            return ShortResNet(classes, image_size, **own)
        network = _timm_network(name, pretrained, num_classes=classes, **own)
    except FAULTS as error:
        raise UnknownNetworkError(f"{name}: {_first_line(error)}") from None
    if small_images:
        try:
            adapt_to_small_images(network, image_size, keep_kernels=pretrained or keep_kernels)
        except FAULTS as error:  # parallel branches that halve elsewhere, networks of one image size
            why = _first_line(error)
            raise UnknownNetworkError(f"{name} cannot be adapted to {image_size} pixels ({why})") from None
    return network


def check_teacher(name: str, image_size: int, options: dict[str, Any], *, pretrained: bool, adapt: bool = True) -> None:
    """Raise UnknownNetworkError unless the network exists, takes these options and can be adapted to the images.

    `pretrained`: it must have published weights too. The network is built on the meta device, so this is quick.
    """
    _check_name(name, pretrained)
    with torch.device("meta"):
        build_teacher(
            name, classes=2, image_size=image_size, keep_kernels=pretrained, small_images=adapt, options=options
        )


def _check_name(name: str, pretrained: bool) -> None:
    if name in OWN_NETWORKS:
        if pretrained:
            raise UnknownNetworkError(f"{name} has no published weights; pretrained must be false")
        return
    if not timm.is_model(name.split(".")[0]):
        near = difflib.get_close_matches(name, [*OWN_NETWORKS, *timm.list_models()], 1)
        raise UnknownNetworkError(f"unknown network {name!r}" + (f" (did you mean {near[0]}?)" if near else ""))
    if pretrained and not timm.list_pretrained(f"{name.split('.')[0]}*"):
        raise UnknownNetworkError(f"timm has no published weights for {name!r}; pretrained must be false")


def expected_normalisation(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation, in units of 1/255, that a network with published weights was trained with."""
    facts: Any = network.pretrained_cfg
    return tuple(255 * value for value in facts["mean"]), tuple(255 * value for value in facts["std"])


def _timm_network(name: str, pretrained: bool, **settings: Any) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=pretrained, **settings)
    except (OSError, RuntimeError, ValueError) as error:  # what the hub's client raises without a network
        if not pretrained:
            raise
        raise WeightsUnavailableError(f"published weights of {name}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

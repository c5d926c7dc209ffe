"""Teacher networks: the report's kind of plain CNN, a ResNet for short trainings, any timm network for small images.

timm networks are made for 224 pixels and divide them by 32; at 64 pixels that leaves 2x2 features.
`adapt_to_small_images` takes halvings away, stem first, until at least 4x4 features reach the pooling. Shapes: images
float [N, 3, H, W] normalised.
"""

import difflib
import itertools
from typing import Any

import torch
from torch import nn

from models.replace_module import replace_module
from models.short_resnet import SMALLEST_FEATURES, ShortResNet

REPORT_CNN, SHORT_RESNET = "report-cnn", "short-resnet"
OWN_NETWORKS = (REPORT_CNN, SHORT_RESNET)
HIDDEN = 760  # of its head; brings it to the report's 40.7 MB
# what timm and torch raise for an option, a value or an image size that a network cannot have
FAULTS = (TypeError, ValueError, RuntimeError, AssertionError, AttributeError, LookupError)


class UnknownNetworkError(ValueError):
    """No teacher network of that name, or none that fits images so small."""


class WeightsUnavailableError(OSError):
    """Published weights could not be had."""


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

    `options` are the network's own: `width` and `dropout` of report-cnn, `widths` of short-resnet, or timm's, such as
    `drop_rate`, `drop_path_rate`, or the `channels` of a ResNet. `keep_kernels`: the weights that will be loaded were
    trained from published ones, so the filters have those shapes; `pretrained` implies it.
    Raises UnknownNetworkError, or WeightsUnavailableError when `pretrained` weights cannot be fetched.
    """
    own = dict(options or {})
    try:
        if name == REPORT_CNN:
            return ReportCNN(classes, image_size, **own)
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

    `pretrained`: it must have published weights too. The network is built without memory, so this costs a moment.
    """
    _check_name(name, pretrained)
    with torch.device("meta"):
        build_teacher(
            name, classes=2, image_size=image_size, keep_kernels=pretrained, small_images=adapt, options=options
        )


def _check_name(name: str, pretrained: bool) -> None:
    import timm

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
    import timm

    try:
        return timm.create_model(name, pretrained=pretrained, **settings)
    except (OSError, RuntimeError, ValueError) as error:  # what the hub's client raises without a network
        if not pretrained:
            raise
        raise WeightsUnavailableError(f"published weights of {name}: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class ReportCNN(nn.Module):
    """The report's kind of teacher, a plain VGG-like CNN: five 3x3 convolutions and a wide head.

    Of width 64, 10.15 M parameters at 64x64 and 11 classes, 40.6 MB in float32; the report's own took 40.7 MB.
    """

    def __init__(self, classes: int, image_size: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        widths = (3, width, 2 * width, 4 * width, 8 * width, 8 * width)
        layers: list[nn.Module] = []
        rows = image_size
        for i, o in itertools.pairwise(widths):
            layers += [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o)]
            if rows // 2 >= SMALLEST_FEATURES:
                layers.append(nn.MaxPool2d(2))  # before the ReLU: the same numbers, a quarter of them to rectify
                rows //= 2
            layers.append(nn.ReLU(inplace=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(SMALLEST_FEATURES)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(widths[-1] * SMALLEST_FEATURES**2, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, classes),
        )

    def forward_features(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Feature maps [N, 8 widths, h, w] before the pooling."""
        return self.features(images_NCHW)

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes]."""
        return self.head(self.pool(self.forward_features(images_NCHW)))


def feature_rows(network: nn.Module, image_size: int) -> int:
    """Rows of the feature maps that reach the pooling, for square images."""
    was_training = network.training
    with torch.no_grad():
        features = network.eval().forward_features(torch.zeros(1, 3, image_size, image_size))  # pyright: ignore
    network.train(was_training)
    return min(features.shape[2:])


def adapt_to_small_images(network: nn.Module, image_size: int, *, keep_kernels: bool) -> None:
    """Take halvings away in place, max-pooling first and then convolutions from the stem on, until 4x4 features remain.

    `keep_kernels` leaves filter shapes alone, so that published weights still fit; else a stem of 7x7 becomes 3x3.
    Source of the idea: the CIFAR variants of ResNet (He et al. 2016, section 4.2).
    """
    while feature_rows(network, image_size) < SMALLEST_FEATURES:
        group = _next_halving(network)
        if not group:
            raise ValueError(
                f"the network keeps fewer than {SMALLEST_FEATURES}x{SMALLEST_FEATURES} features of {image_size} pixels"
            )
        for name in group:
            replace_module(network, name, _without_halving(network.get_submodule(name), keep_kernels))


def _next_halving(network: nn.Module) -> list[str]:
    """Names of the modules that make the first halving: a residual block halves in two places at once."""
    strided = {name: module for name, module in network.named_modules() if _stride(module) > 1}
    if not strided:
        return []
    first = next((name for name, module in strided.items() if isinstance(module, nn.MaxPool2d)), next(iter(strided)))
    block = first.split(".")[:2]
    return [name for name in strided if name.split(".")[:2] == block]


def _stride(module: nn.Module) -> int:
    if not isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        return 1
    stride = module.stride
    return stride if isinstance(stride, int) else int(stride[0])


def _without_halving(module: nn.Module, keep_kernels: bool) -> nn.Module:
    """The same module with half the stride; a pooling that only halved becomes nothing."""
    if not isinstance(module, nn.Conv2d):
        return nn.Identity()
    stride, kernel = _stride(module) // 2, module.kernel_size[0]
    if kernel > 3 and stride == 1 and not keep_kernels:
        return _square_convolution(module, 3, 1, 1)
    if kernel % 2 == 0 and stride == 1:
        raise ValueError(f"a {kernel}x{kernel} convolution cannot keep the size of its input")
    if keep_kernels or kernel <= 3:
        module.stride = (stride, stride)
        return module
    return _square_convolution(module, kernel, stride, (kernel - stride) // 2)


def _square_convolution(like: nn.Conv2d, kernel: int, stride: int, padding: int) -> nn.Conv2d:
    new = nn.Conv2d(
        like.in_channels, like.out_channels, kernel, stride, padding, groups=like.groups, bias=like.bias is not None
    )
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return new

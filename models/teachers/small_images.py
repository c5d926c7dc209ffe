"""Adapts timm networks to small images: strides are removed until at least 4x4 features reach the pooling.

timm networks are made for 224 pixels and divide them by 32; at 64 pixels that leaves 2x2 features. N images, float
[N, 3, H, W] normalised.
"""

import torch
from torch import nn

from models.teachers.short_resnet import SMALLEST_FEATURES


def feature_rows(network: nn.Module, image_size: int) -> int:
    """Rows of the feature maps that reach the pooling, for square images."""
    was_training = network.training
    with torch.no_grad():
        features = network.eval().forward_features(torch.zeros(1, 3, image_size, image_size))  # pyright: ignore
    network.train(was_training)
    return min(features.shape[2:])


def adapt_to_small_images(network: nn.Module, image_size: int, *, keep_kernels: bool) -> None:
    """Remove halvings in place, max-pooling first and then convolutions from the stem on, until 4x4 features remain.

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
            network.set_submodule(name, _without_halving(network.get_submodule(name), keep_kernels))


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
    """The same module with half the stride; a pooling becomes the identity."""
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

"""BatchNorm recalibration: measures the running statistics again, on clean images, for the network as it is stored.

A student trains on augmented images and is used on clean ones, whose means and variances differ (the same discrepancy
in resolution: Touvron et al. 2019, arXiv 1906.06423). During LSQ many weights come to lie halfway between two codes;
EMA, or a step that is 1 % larger, turns thousands of them over at once, and activations drift away from BatchNorm's
running statistics. Measuring those again takes one pass over some images (Wu and Johnson 2021, arXiv 2105.07576,
sections 3 and 5). `torch.optim.swa_utils.update_bn` takes the same plain mean over batches, but in training mode, which
turns dropout on and so changes what is measured.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def recalibrate_batchnorm(network: nn.Module, batches_NCHW: Iterable[Tensor]) -> None:
    """Set the running means and variances of a network to the means over batches of normalised images.

    The network ends in eval mode. Without batches or BatchNorm its statistics are not changed.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    batches = list(batches_NCHW)
    network.eval()
    if not norms or not batches:
        return
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # PyTorch's name for the plain mean over batches
        norm.train()
    for images_NCHW in batches:
        network(images_NCHW)
    network.eval()

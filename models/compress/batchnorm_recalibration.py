"""Measures BatchNorm's statistics again: for the network as it will be stored, on pictures as it will see them.

A student trains on augmented pictures and is used on clean ones, whose means and variances differ (the same discrepancy
in resolution: Touvron et al. 2019, arXiv 1906.06423). While weights learn to be rounded, many come to lie between two
codes; averaging, or a step that is a hundredth coarser, turns thousands of them over at once, and activations drift
away from what BatchNorm remembers. Measuring that anew costs one look at some pictures (Wu and Johnson 2021,
arXiv 2105.07576, sections 3 and 5).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def renew_norm_statistics(network: nn.Module, batches_NCHW: Iterable[Tensor]) -> None:
    """Set the running means and variances of a network to the means over batches of normalised pictures.

    The network ends in eval mode. Without batches or BatchNorm it is left as it was.
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

"""Folds every BatchNorm into the convolution before it, and un-folds it again.

A folded student has fewer numbers to store and the same function; a packed file holds it in this form. To train such a
student further (a warm start), `unfold_batchnorm` puts BatchNorm back: it measures on images what each BatchNorm
receives, and sets weight and bias such that it changes nothing. Shapes: N images, C channels, M values of a channel.
"""

import copy
import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def fold_batchnorm(student: nn.Module) -> nn.Sequential:
    """Return a copy of a student without BatchNorm, in eval mode, on the CPU, float32, with equal eval output.

    The parameters have the names of `build_student(..., folded=True)`. The student itself is not changed. Raises
    ValueError for anything but an nn.Sequential and for a BatchNorm that does not follow a convolution.
    Source: Jacob et al. 2018, arXiv:1712.05877, section 3.2.
    """
    if not isinstance(student, nn.Sequential):
        raise ValueError(
            f"cannot fold a {type(student).__name__}, expected the nn.Sequential that build_student returns"
        )
    folded = copy.deepcopy(student).cpu().float()
    for sequence, conv, norm in norm_pairs(folded):
        _fold_pair(sequence.get_submodule(conv), sequence.get_submodule(norm))
        delattr(sequence, norm)
    return folded.eval()


def norm_pairs(student: nn.Module) -> list[tuple[nn.Sequential, str, str]]:
    """Every convolution with a BatchNorm after it: the sequence that holds them and both names in it.

    Raises ValueError for a BatchNorm that does not follow a convolution.
    """
    pairs: list[tuple[nn.Sequential, str, str]] = []
    for sequence in student.modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        children = list(sequence.named_children())
        for (before, previous), (name, module) in itertools.pairwise([("", sequence), *children]):
            if not isinstance(module, nn.BatchNorm2d):
                continue
            if not isinstance(previous, nn.Conv2d):
                found = "nothing" if previous is sequence else type(previous).__name__
                raise ValueError(f"BatchNorm {name!r} follows {found}, expected a convolution")
            pairs.append((sequence, before, name))
    return pairs


@torch.no_grad()
def _fold_pair(conv: nn.Module, norm: nn.Module) -> None:
    """Write the norm's effect into the convolution, computed in float64 so that only one rounding is added."""
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance, weight, bias = (
        tensor.detach().cpu().double() for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    conv_bias = None if conv.bias is None else conv.bias.double()
    fused_weight, fused_bias = fuse_conv_bn_weights(
        conv.weight.double(), conv_bias, mean, variance, norm.eps, weight, bias
    )
    conv.weight = nn.Parameter(fused_weight.float())
    conv.bias = nn.Parameter(fused_bias.float())


@torch.no_grad()
def unfold_batchnorm(student: nn.Module, folded: nn.Module, batches_NCHW: Iterable[Tensor]) -> None:
    """Give `student`, which has BatchNorm, the function of `folded`, in place; it ends in eval mode.

    `folded` is the same network without BatchNorm, `batches_NCHW` are normalised images, one batch at least, on the
    CPU as both networks are. The functions are equal up to rounding. A channel that is constant has a variance of 0
    and stays constant.
    """
    norms = {name: module for name, module in student.named_modules() if isinstance(module, nn.BatchNorm2d)}
    loaded = student.load_state_dict(folded.state_dict(), strict=False)
    assert not loaded.unexpected_keys
    assert {key.rpartition(".")[0] for key in loaded.missing_keys} == set(norms)
    moments = [_begin_measuring(norm) for norm in norms.values()]
    student.eval()
    for images_NCHW in batches_NCHW:
        student(images_NCHW)
    for norm, measured in zip(norms.values(), moments, strict=True):
        measured.handle.remove()
        _make_identity(norm, *measured.mean_and_variance())


class _Moments:
    """Sums over all inputs of a BatchNorm, float64, per channel."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        self.handle = norm.register_forward_pre_hook(self._add)
        self.count = 0
        self.sum_C, self.squares_C = (torch.zeros(norm.num_features, dtype=torch.float64) for _ in range(2))

    def _add(self, _: nn.Module, inputs: tuple[Tensor]) -> None:
        values_CM = inputs[0].double().transpose(0, 1).flatten(1)
        self.count += values_CM.shape[1]
        self.sum_C += values_CM.sum(1)
        self.squares_C += values_CM.square().sum(1)

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """Both [C]."""
        mean_C = self.sum_C / self.count
        return mean_C, (self.squares_C / self.count - mean_C.square()).clamp_min(0)


def _begin_measuring(norm: nn.BatchNorm2d) -> _Moments:
    """Sum up what passes through; until `_make_identity` is called again the BatchNorm changes nothing."""
    _make_identity(norm, torch.zeros(norm.num_features), torch.ones(norm.num_features))
    return _Moments(norm)


def _make_identity(norm: nn.BatchNorm2d, mean_C: Tensor, variance_C: Tensor) -> None:
    """Set the running statistics, and the weight and bias that undo the normalisation by them."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean_C)
    norm.running_var.copy_(variance_C)
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(norm.running_mean)

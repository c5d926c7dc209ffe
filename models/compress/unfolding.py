"""Puts BatchNorm back into a folded student, so that it can go on learning: the opposite of `models.compress.folding`.

A packed file holds convolutions that have absorbed their BatchNorm. What a BatchNorm would be given there is measured
on pictures; its weight and bias are then set such that it changes nothing. N pictures, C channels.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def unfold_batchnorm(student: nn.Module, folded: nn.Module, batches_NCHW: Iterable[Tensor]) -> None:
    """Give `student`, which has BatchNorm, the function of `folded`, in place; it ends in eval mode.

    `folded` is the same network without BatchNorm, `batches_NCHW` are normalised pictures, one batch at least, on the
    CPU as both networks are. The functions are equal up to rounding. A channel that is the same everywhere has a
    variance of 0 and stays silent.
    """
    norms = {name: module for name, module in student.named_modules() if isinstance(module, nn.BatchNorm2d)}
    found = student.load_state_dict(folded.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert {key.rpartition(".")[0] for key in found.missing_keys} == set(norms)
    moments = [_start_watching(norm) for norm in norms.values()]
    student.eval()
    for images_NCHW in batches_NCHW:
        student(images_NCHW)
    for norm, seen in zip(norms.values(), moments, strict=True):
        seen.handle.remove()
        _set(norm, *seen.mean_and_variance())


class _Moments:
    """Sums over everything that a BatchNorm is given, float64, per channel."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        self.handle = norm.register_forward_pre_hook(self._add)
        self.count = 0
        self.sum_C, self.squares_C = (torch.zeros(norm.num_features, dtype=torch.float64) for _ in range(2))

    def _add(self, _: nn.Module, given: tuple[Tensor]) -> None:
        values_CM = given[0].double().transpose(0, 1).flatten(1)
        self.count += values_CM.shape[1]
        self.sum_C += values_CM.sum(1)
        self.squares_C += values_CM.square().sum(1)

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """Both [C]."""
        mean_C = self.sum_C / self.count
        return mean_C, (self.squares_C / self.count - mean_C.square()).clamp_min(0)


def _start_watching(norm: nn.BatchNorm2d) -> _Moments:
    """Count what goes through; so far the BatchNorm changes nothing."""
    _set(norm, torch.zeros(norm.num_features), torch.ones(norm.num_features))
    return _Moments(norm)


def _set(norm: nn.BatchNorm2d, mean_C: Tensor, variance_C: Tensor) -> None:
    """Remember these statistics, and make good in weight and bias what normalising by them does."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean_C)
    norm.running_var.copy_(variance_C)
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(norm.running_mean)

"""The exponential moving average of a network's weights and BatchNorm statistics: what a training keeps."""

import copy

import torch
from torch import nn


class WeightAverage:
    """Averages a network as it trains: average <- decay average + (1 - decay) weights, after every step.

    The decay of step t is at most (1 + t) / (10 + t), so that short trainings forget their random start (the warm-up
    that TensorFlow's ExponentialMovingAverage documents).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        sources, targets = network.state_dict(), self.network.state_dict()
        floating = [name for name, value in sources.items() if value.is_floating_point()]
        self._targets, self._sources = [targets[name] for name in floating], [sources[name] for name in floating]
        self._copied = [(targets[name], sources[name]) for name in sources if name not in set(floating)]
        # a tensor, so that a captured step reads what `schedule` has set
        self._weight = torch.zeros((), device=self._targets[0].device)

    def schedule(self, step: int) -> None:
        """Set the decay of step `step`, counted from 0."""
        self._weight.fill_(1.0 - min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are after the scheduled step."""
        weights = [self._weight] * len(self._targets)
        torch._foreach_lerp_(self._targets, self._sources, weights)  # pyright: ignore[reportPrivateImportUsage]
        for target, source in self._copied:
            target.copy_(source)

"""EMA: the exponential moving average of a network's weights and BatchNorm statistics, which a training keeps.

timm.utils.ModelEmaV3 and torch.optim.swa_utils.AveragedModel take the decay as a Python number, which a CUDA graph
bakes in; here it is a tensor.
"""

import copy

import torch
from torch import nn


class ExponentialMovingAverage:
    """The EMA of a network in training: average <- decay average + (1 - decay) weights, after every step.

    The decay of step t is at most (1 + t) / (10 + t), so that short trainings forget their random initial
    weights (the warm-up that TensorFlow's ExponentialMovingAverage documents).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        sources, targets = network.state_dict(), self.network.state_dict()
        floating = [name for name, value in sources.items() if value.is_floating_point()]
        self._targets, self._sources = [targets[name] for name in floating], [sources[name] for name in floating]
        self._counters = [(targets[name], sources[name]) for name in sources if name not in set(floating)]
        # a tensor, so that a captured step reads what `schedule` has set
        self._one_minus_decay = torch.zeros((), device=self._targets[0].device)

    def schedule(self, step: int) -> None:
        """Set the decay of step `step`, counted from 0."""
        self._one_minus_decay.fill_(1.0 - min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def update(self) -> None:
        """Average in the weights after the scheduled step."""
        weights = [self._one_minus_decay] * len(self._targets)
        torch._foreach_lerp_(self._targets, self._sources, weights)  # pyright: ignore[reportPrivateImportUsage]
        for target, source in self._counters:
            target.copy_(source)

"""One optimizer step: forward, loss, backward, update, moving average; what it counts stays on the device.

B images of a batch, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.data.batches import Batch
from pipeline.learning.averaging import WeightAverage
from pipeline.learning.device import Device
from pipeline.learning.muon import Muon
from pipeline.settings import TrainingSettings

IMAGE_CHANNELS = 3


@dataclass(frozen=True)
class EpochCounts:
    """What the steps of one epoch add up to."""

    mean_loss: float
    first_bad_step: int  # the first whose loss, or after which the weights, were not finite; -1: none


class TrainStep:
    """The step of one training. `run` waits for nothing; `read` waits for the device, once per epoch."""

    def __init__(
        self,
        network: nn.Module,
        loss_of: Callable[[Tensor, Batch], Tensor],
        settings: TrainingSettings,
        device: Device,
    ) -> None:
        self.network, self.loss_of, self.device = network, loss_of, device
        self.optimizer = build_optimizer(network, settings, device.where)
        self.average = WeightAverage(network, settings.ema_decay) if settings.ema_decay else None
        self.scaler = torch.amp.GradScaler(device.where.type, enabled=device.dtype == torch.float16)
        self._loss_sum = torch.zeros((), device=device.where)
        self._count, self._bad_step = (torch.zeros((), dtype=torch.int64, device=device.where) for _ in range(2))
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Count from zero."""
        self._loss_sum.zero_()
        self._count.zero_()
        self._bad_step.fill_(-1)

    def run(self, batch: Batch, rate: float, step: int) -> None:
        """Take step `step` of the training, counted from 0, at a learning rate."""
        self.schedule(rate, step)
        self.work(batch)

    def schedule(self, rate: float, step: int) -> None:
        """Set what changes from step to step; in place on a GPU, where a captured graph reads it."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        if self.average:
            self.average.schedule(step)

    def work(self, batch: Batch) -> None:
        """Do the arithmetic: tensors in, tensors out, the same kernels each time."""
        with self.device.autocast():
            logits_BC = self.network(batch.images_BCHW)
        loss = self.loss_of(logits_BC, batch)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self.average.update()
        self._loss_sum += loss.detach()
        self._bad_step.copy_(torch.where((self._bad_step < 0) & ~torch.isfinite(loss), self._count, self._bad_step))
        self._count += 1

    def read(self) -> EpochCounts:
        """What the epoch's steps add up to; a last update that broke the weights is the last step's fault."""
        finite = torch.stack([parameter.isfinite().all() for parameter in self.network.parameters()]).all()
        broke = (self._bad_step < 0) & ~finite
        bad_step = torch.where(broke, self._count - 1, self._bad_step)
        return EpochCounts(float(self._loss_sum / self._count), int(bad_step))

    def state(self) -> list[Tensor]:
        """Every tensor that a step changes, for putting back what a trial changed."""
        modules = [self.network] + ([self.average.network] if self.average else [])
        tensors = [tensor for module in modules for tensor in module.state_dict().values()]
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*tensors, *(m for m in moments if isinstance(m, Tensor)), self._loss_sum, self._count, self._bad_step]


def build_optimizer(network: nn.Module, settings: TrainingSettings, where: torch.device) -> torch.optim.Optimizer:
    """AdamW, Nesterov SGD or Muon; weight decay on matrices and filters only, not on biases and BatchNorm.

    On a GPU the learning rate is a tensor, so that a captured step reads it (a float would be baked in).
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    on_gpu = where.type == "cuda"
    inner = _inner_filters(network) if settings.optimizer == "muon" else []
    others = set(parameters) - set(inner)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1 and p in others], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if inner:
        groups.append({"params": inner, "weight_decay": settings.weight_decay, "orthogonal": True})
    for group in groups:
        group["lr"] = torch.tensor(settings.learning_rate, device=where) if on_gpu else settings.learning_rate
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, fused=True)
    if settings.optimizer == "muon":
        return Muon(groups, capturable=on_gpu)  # not fused: that leaves unscaling float16 gradients to AdamW
    return torch.optim.AdamW(groups, fused=True, capturable=on_gpu)


def _inner_filters(network: nn.Module) -> list[nn.Parameter]:
    """What Muon takes: filters that see all channels of a hidden layer, not the image's and not a group's."""
    plain = (module for module in network.modules() if getattr(module, "groups", 1) == 1)
    weights = (getattr(module, "weight", None) for module in plain)
    filters = [weight for weight in weights if isinstance(weight, nn.Parameter) and weight.ndim == 4]
    return [weight for weight in filters if weight.requires_grad and weight.shape[1] > IMAGE_CHANNELS]

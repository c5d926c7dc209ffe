"""One training step: forward, loss, backward, update, EMA; its counts stay on the device.

B images of a batch, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.data.augment import Batch
from pipeline.runtime.device import Device
from pipeline.runtime.training_settings import TrainingSettings
from pipeline.training.ema import ExponentialMovingAverage
from pipeline.training.exchange import Exchange
from pipeline.training.optimizers import build_optimizer


@dataclass(frozen=True)
class EpochCounts:
    """Counts of the steps of one epoch."""

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
        exchange: Exchange | None = None,
    ) -> None:
        self.network, self.loss_of, self.device, self.exchange = network, loss_of, device, exchange
        self.optimizer = build_optimizer(network, settings, device.where)
        self.ema = ExponentialMovingAverage(network, settings.ema_decay) if settings.ema_decay else None
        self.scaler = torch.amp.GradScaler(device.where.type, enabled=device.dtype == torch.float16)
        norms = (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
        self._norm_scales = [norm.weight for norm in norms]
        self.norm_penalty = settings.norm_penalty if self._norm_scales else 0.0
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
        """Set the learning rate and the EMA's decay; in place on a GPU, where a captured graph reads them."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        if self.ema:
            self.ema.schedule(step)

    def work(self, batch: Batch) -> None:
        """Do the arithmetic of the step, the part that a CUDA graph captures: the same kernels each time."""
        with self.device.autocast():
            logits_BC = self.network(batch.images_BCHW)
        loss = self.loss_of(logits_BC, batch)
        self.optimizer.zero_grad()
        self.scaler.scale(loss + self._norm_penalty()).backward()
        if self.exchange:
            self.exchange.average(self.network, loss.detach())
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.ema:
            self.ema.update()
        self._loss_sum += loss.detach()
        self._bad_step.copy_(torch.where((self._bad_step < 0) & ~torch.isfinite(loss), self._count, self._bad_step))
        self._count += 1

    def _norm_penalty(self) -> Tensor | float:
        """L1 norm of the scales of all BatchNorms, times its weight (Liu et al. 2017, arXiv 1708.06519)."""
        if not self.norm_penalty:
            return 0.0
        return self.norm_penalty * torch.stack([scale_C.abs().sum() for scale_C in self._norm_scales]).sum()

    def read(self) -> EpochCounts:
        """The epoch's counts; weights that are not finite after the last update count as the last step's fault."""
        finite = torch.stack([parameter.isfinite().all() for parameter in self.network.parameters()]).all()
        broke = (self._bad_step < 0) & ~finite
        bad_step = torch.where(broke, self._count - 1, self._bad_step)
        return EpochCounts(float(self._loss_sum / self._count), int(bad_step))

    def state(self) -> list[Tensor]:
        """Every tensor that a step changes, so that a trial can be undone."""
        modules = [self.network] + ([self.ema.network] if self.ema else [])
        tensors = [tensor for module in modules for tensor in module.state_dict().values()]
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*tensors, *(m for m in moments if isinstance(m, Tensor)), self._loss_sum, self._count, self._bad_step]

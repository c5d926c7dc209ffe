"""The one train loop. A member and the student differ by the network, the data and the loss that they pass in.

On a CPU several processes may share each batch: all train, and the first one speaks, measures and saves. B images of a
batch. Nothing inside an epoch reads a number back from the device; the loss and the first non-finite step are kept
there and read once, when the epoch is over.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from pipeline.data.augment import Batch
from pipeline.data.batches import WHOLE_BATCH, EpochBatches, TrainingSet, epoch_seed
from pipeline.runtime.console import say
from pipeline.runtime.device import Device
from pipeline.runtime.errors import MachineError
from pipeline.runtime.tensor_file import TensorFileError, load_tensors, save_tensors
from pipeline.runtime.training_settings import TrainingSettings
from pipeline.training.checkpoint import restore_training_state, training_state
from pipeline.training.conv_as_matmul import use_conv_as_matmul
from pipeline.training.cuda_graph import CudaGraphStep, fastest_step
from pipeline.training.exchange import Exchange, exchange_with_others
from pipeline.training.schedule import learning_rate_at
from pipeline.training.step import TrainStep


@dataclass(frozen=True)
class EpochResult:
    """The result of one epoch. `network` is the one that would be kept, in evaluation mode."""

    network: nn.Module
    epoch: int  # from 1
    loss: float  # mean over the epoch's steps
    learning_rate: float  # of the last step
    seconds: float

    def figures(self) -> dict[str, Any]:
        """What a record of the epoch says of the training itself."""
        known = {"epoch": self.epoch, "loss": self.loss, "learning_rate": self.learning_rate}
        return known | {"seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training."""

    network: nn.Module  # the one to keep, in evaluation mode
    earlier_seconds: float  # of earlier processes, where the training was resumed


@dataclass(frozen=True)
class TrainingPlan:
    """One training: its name in messages, its settings, its checkpoint and its identity."""

    label: str
    settings: TrainingSettings
    seed: int
    checkpoint: Path
    identity: str  # digest of everything that shapes the result; a checkpoint of another identity is not resumed
    first: int = 0  # the epoch, counted from 0, with which it begins: earlier ones are left out


@dataclass(frozen=True)
class Early:
    """What is kept of a training before its end: after so many epochs `keep` is called with the network."""

    epochs: int
    keep: Callable[[nn.Module], None]


def checkpoint_beside(finished: Path) -> Path:
    """The checkpoint of the training that ends with the file `finished`."""
    return finished.with_name("last.safetensors")


def train(
    network: nn.Module,
    training_set: TrainingSet,
    loss_of: Callable[[Tensor, Batch], Tensor],
    training: TrainingPlan,
    device: Device,
    on_epoch: Callable[[EpochResult], None],
    early: Early | None = None,
) -> TrainingResult:
    """Train to the last epoch; the network to keep is the EMA, or without one the weights.

    Resumes at the last epoch saved; on a CPU the result is bit for bit that of an uninterrupted training, on a GPU up
    to the order of sums. Raises MachineError when the loss is not finite (that epoch is not saved), and when a process
    that shares the batches is lost; what another one raises is raised here.
    """
    network.to(device.where).to(memory_format=torch.channels_last)
    if device.conv_as_matmul:
        use_conv_as_matmul(network)
    others = functools.partial(_train_part, network, training_set, loss_of, training, device)
    with exchange_with_others(device.processes, network, others) as exchange:
        loop = _Loop(network, training_set, loss_of, training, device, exchange)
        try:
            _train_epochs(loop, on_epoch, early)
        finally:
            loop.batches.close()
    return TrainingResult(loop.kept, loop.earlier_seconds)


def _train_epochs(loop: "_Loop", on_epoch: Callable[[EpochResult], None], early: Early | None) -> None:
    settings = loop.training.settings
    started = saved_at = time.monotonic()
    for epoch in range(loop.resume(), settings.epochs):
        result = loop.run_epoch(epoch)
        if early and epoch + 1 == early.epochs:
            early.keep(result.network)  # before the save: a resumed training does not come here again
        last = epoch + 1 == settings.epochs
        if last or time.monotonic() - saved_at >= settings.checkpoint_seconds:
            loop.save(epoch + 1, time.monotonic() - started)
            saved_at = time.monotonic()
        on_epoch(result)  # after the save: its measurements may be lost, the epoch must not


def _train_part(
    network: nn.Module,
    training_set: TrainingSet,
    loss_of: Callable[[Tensor, Batch], Tensor],
    training: TrainingPlan,
    device: Device,
    exchange: Exchange,
) -> None:
    """Train on a part of each batch other than the first, in a process of its own; it saves nothing and has no EMA."""
    settings = training.settings.model_copy(update={"ema_decay": 0.0})
    plan = dataclasses.replace(training, settings=settings)
    loop = _Loop(network, training_set, loss_of, plan, device, exchange)
    try:
        for epoch in range(loop.resume(), settings.epochs):
            loop.run_epoch(epoch)
    finally:
        loop.batches.close()


class _Loop:
    """The state of one training between its epochs."""

    def __init__(
        self,
        network: nn.Module,
        training_set: TrainingSet,
        loss_of: Callable[[Tensor, Batch], Tensor],
        training: TrainingPlan,
        device: Device,
        exchange: Exchange | None,
    ) -> None:
        settings = training.settings
        self.training, self.device, self.exchange = training, device, exchange
        self.part = exchange.part if exchange else WHOLE_BATCH
        self.batches = EpochBatches(training_set, settings, training.seed, device.where, self.part)
        self.total_steps = settings.epochs * self.batches.steps
        self.step = TrainStep(network, loss_of, settings, device, exchange)
        self.runner: TrainStep | CudaGraphStep | None = None
        self.shape: torch.Size | None = None  # of the images of the runner
        self.earlier_seconds = 0.0

    @property
    def kept(self) -> nn.Module:
        return (self.step.ema.network if self.step.ema else self.step.network).eval()

    def run_epoch(self, epoch: int) -> EpochResult:
        """Train one epoch, counted from 0."""
        start, first = time.monotonic(), epoch * self.batches.steps
        torch.manual_seed(epoch_seed(self.training.seed, epoch, self.part.number))  # for dropout
        self.step.network.train()
        self.step.begin_epoch()
        with threadpool_limits(self.exchange.threads if self.exchange else None):
            for step, batch in enumerate(self.batches.epoch(epoch), first):
                self._step(batch, step)
            counts = self.step.read()  # two numbers: the epoch waits for the device only here
        self._refuse_non_finite(counts.first_bad_step, epoch)
        rate = self._rate(first + self.batches.steps - 1)
        return EpochResult(self.kept, epoch + 1, counts.mean_loss, rate, time.monotonic() - start)

    def _step(self, batch: Batch, step: int) -> None:
        if self.runner is None or self.shape != batch.images_BCHW.shape:
            label, self.shape = self.training.label, batch.images_BCHW.shape
            self.runner = fastest_step(self.step, batch, label) if self.device.graphs else self.step
        self.runner.run(batch, self._rate(step), step)

    def _rate(self, step: int) -> float:
        settings = self.training.settings
        return learning_rate_at(
            step, total_steps=self.total_steps, peak=settings.learning_rate, warmup_fraction=settings.warmup_fraction
        )

    def _refuse_non_finite(self, step: int, epoch: int) -> None:
        if step >= 0:
            where = f"{self.training.label}, epoch {epoch + 1}, step {step + 1} of {self.batches.steps}"
            raise MachineError(f"the loss is not finite: {where}; this epoch was not saved, try a lower learning_rate")

    def save(self, epochs_done: int, seconds: float) -> None:
        """Save the state after an epoch; `seconds` since this process began to train."""
        facts = {"epochs_done": epochs_done, "identity": self.training.identity, "scale": self.step.scaler.state_dict()}
        facts["seconds"] = round(self.earlier_seconds + seconds, 3)
        save_tensors(self.training.checkpoint, training_state(self._parts(), self.step.optimizer), facts)

    def resume(self) -> int:
        """Restore the last epoch saved, if it belongs to this training; return the number of the next epoch."""
        path, label = self.training.checkpoint, self.training.label
        if not path.is_file():
            return self.training.first
        try:
            tensors, facts = load_tensors(path)
        except TensorFileError:
            say(f"{label}: its checkpoint is damaged, training from the start")
            return self.training.first
        if facts.get("identity") != self.training.identity:
            return self.training.first
        restore_training_state(tensors, self._parts(), self.step.optimizer)
        self.step.scaler.load_state_dict(facts["scale"])
        self.earlier_seconds = facts["seconds"]
        say(f"{label}: resumes after epoch {facts['epochs_done']} of {self.training.settings.epochs}")
        return facts["epochs_done"]

    def _parts(self) -> dict[str, nn.Module]:
        ema = self.step.ema
        return {"network": self.step.network} | ({"average": ema.network} if ema else {})

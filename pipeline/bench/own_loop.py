"""Our own loops, timed as they are used: the one train loop over stored views, and inference over a view.

N images, V views, C classes.
"""

import dataclasses
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.bench.workload import Workload
from pipeline.data.augment import Batch
from pipeline.data.batches import EpochBatches, Normalisation, TrainingSet
from pipeline.runtime.device import Device
from pipeline.runtime.training_settings import TrainingSettings
from pipeline.training.inference import predict_log_probs
from pipeline.training.loop import EpochResult, TrainingPlan, train
from pipeline.training.losses import member_loss, student_loss

NEVER_SECONDS = 1e9


def own_training_set(workload: Workload, *, soft: bool) -> TrainingSet:
    """Everything a student (with random soft labels) or a member learns from."""
    views, rows = len(workload.views), len(workload.labels)
    soft_VNC = torch.randn(views, rows, workload.classes).log_softmax(2).half() if soft else None
    labels_N = torch.tensor(workload.labels)
    normalisation = Normalisation(workload.mean, workload.std)
    return TrainingSet([[view] for view in workload.views], labels_N, soft_VNC, workload.classes, normalisation)


@dataclass(frozen=True)
class Timing:
    """How often an epoch is timed. `before_each` is called before each of them; one epoch more warms up."""

    batch_size: int
    epochs: int
    before_each: Callable[[], None]


def student_rates(network: nn.Module, workload: Workload, timing: Timing, device: Device, folder: Path) -> list[float]:
    """Images per second of each timed epoch of a student, trained as a run trains one on this device."""
    loss_of = functools.partial(student_loss, alpha=0.8, temperature=2.0)
    return _train_rates(network, own_training_set(workload, soft=True), loss_of, timing, device, folder)


def member_rates(
    network: nn.Module,
    workload: Workload,
    timing: Timing,
    device: Device,
    folder: Path,
    images: int | None = None,
) -> list[float]:
    """Images per second of each timed epoch of a member, on the first `images` of the workload; None: on all."""
    training_set = own_training_set(workload, soft=False)
    if images is not None:
        training_set = dataclasses.replace(training_set, rows_N=torch.arange(images))
    return _train_rates(network, training_set, member_loss, timing, device, folder)


def _train_rates(
    network: nn.Module,
    training_set: TrainingSet,
    loss_of: Callable[[Tensor, Batch], Tensor],
    timing: Timing,
    device: Device,
    folder: Path,
) -> list[float]:
    epochs, batch_size = 1 + timing.epochs, timing.batch_size
    settings = TrainingSettings(epochs=epochs, batch_size=batch_size, ema_decay=0.99, checkpoint_seconds=NEVER_SECONDS)
    images = training_set.steps_per_epoch(batch_size) * batch_size
    rates: list[float] = []

    def on_epoch(result: EpochResult) -> None:
        if result.epoch > 1:
            rates.append(images / result.seconds)
        if result.epoch < epochs:
            timing.before_each()

    with tempfile.TemporaryDirectory(dir=folder) as own:  # another training's checkpoint would be resumed
        plan = TrainingPlan("bench", settings, 0, Path(own) / "last", "")
        train(network, training_set, loss_of, plan, device, on_epoch)
    return rates


def loading_rate(training_set: TrainingSet, batch_size: int, device: Device, epochs: int) -> float:
    """Images per second of what comes before the network: read a view, gather, flip, shift, normalise."""
    settings = TrainingSettings(epochs=epochs, batch_size=batch_size)
    batches = EpochBatches(training_set, settings, 0, device.where)
    seconds = []
    for epoch in range(epochs):
        start = time.perf_counter()
        for batch in batches.epoch(epoch):
            batch.images_BCHW.sum()
        if device.where.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    batches.close()
    return batches.steps * batch_size / statistics.median(seconds)


def inference_rate(network: nn.Module, workload: Workload, device: Device) -> float:
    """Images per second of a member's predictions for one stored view."""
    images_NHWC = np.load(workload.views[0], mmap_mode="r")
    normalisation = Normalisation(workload.mean, workload.std)
    start = time.perf_counter()
    predict_log_probs(network, images_NHWC, normalisation, device)
    return len(images_NHWC) / (time.perf_counter() - start)

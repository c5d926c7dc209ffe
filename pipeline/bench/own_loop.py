"""Our own loops, timed as they are used: the one train loop over stored views, and inference over a view.

N images, V views, C classes.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
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

NEVER_SECONDS = 1e9


def own_training_set(workload: Workload, *, soft: bool) -> TrainingSet:
    """Everything a student (with random soft labels) or a member learns from."""
    views, rows = len(workload.views), len(workload.labels)
    soft_VNC = torch.randn(views, rows, workload.classes).log_softmax(2).half() if soft else None
    labels_N = torch.tensor(workload.labels)
    normalisation = Normalisation(workload.mean, workload.std)
    return TrainingSet([[view] for view in workload.views], labels_N, soft_VNC, workload.classes, normalisation)


def train_rates(
    network: nn.Module,
    training_set: TrainingSet,
    loss_of: Callable[[Tensor, Batch], Tensor],
    batch_size: int,
    device: Device,
    folder: Path,
    between: list[Callable[[], None]],
) -> list[float]:
    """Images per second of one epoch for each entry of `between`, which is called after it; one epoch warms up."""
    settings = TrainingSettings(
        epochs=1 + len(between), batch_size=batch_size, ema_decay=0.99, checkpoint_seconds=NEVER_SECONDS
    )
    images = training_set.steps_per_epoch(batch_size) * batch_size
    rates: list[float] = []

    def on_epoch(result: EpochResult) -> None:
        if result.epoch > 1:
            rates.append(images / result.seconds)
            between[result.epoch - 2]()

    with tempfile.TemporaryDirectory(dir=folder) as own:  # another training's checkpoint would be resumed
        train(
            network, training_set, loss_of, TrainingPlan("bench", settings, 0, Path(own) / "last", ""), device, on_epoch
        )
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

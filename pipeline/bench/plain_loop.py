"""The yardstick: how a careful user would write it with PyTorch, torchvision's habits and albumentations.

A Dataset opens each image file, albumentations works on single images, a DataLoader with as many workers as cores makes
batches; float32, NCHW, eager. Shapes: B images of a batch, C classes, images float32 [B, 3, H, W].
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import albumentations as A
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

ROUNDS = 1_000
STEPS_LEFT_OUT = 3  # the first batches wait for the workers, the next find a full queue


class Photos(Dataset[tuple[Tensor, int]]):
    """Image files, opened and augmented one at a time; so often in an epoch that the workers never run out of it."""

    def __init__(self, files: Sequence[Path], labels: Sequence[int], image_size: int) -> None:
        self.files, self.labels, self.image_size = files, labels, image_size
        steps = [A.HorizontalFlip(p=0.5), A.Rotate(limit=15, p=0.9), A.ColorJitter(0.2, 0.2, 0.2, 0.05, p=0.8)]
        self.augment = A.Compose([*steps, A.Normalize()])

    def __len__(self) -> int:
        return len(self.files) * ROUNDS

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        row %= len(self.files)
        with Image.open(self.files[row]) as image:
            pixels_HWC = np.asarray(image.convert("RGB").resize((self.image_size, self.image_size)))
        return torch.from_numpy(self.augment(image=pixels_HWC)["image"]).permute(2, 0, 1), self.labels[row]


class PlainLoop:
    """One network and its loader; `train_rate` and `inference_rate` may be called again and again."""

    def __init__(self, network: nn.Module, photos: Photos, batch_size: int, workers: int, where: torch.device) -> None:
        self.network, self.where, self.batch_size = network.to(where), where, batch_size
        self.optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
        pinned = where.type == "cuda"
        self.loader = DataLoader(
            photos, batch_size, shuffle=True, num_workers=workers, drop_last=True, pin_memory=pinned
        )

    def train_rate(self, seconds: float) -> float:
        """Images per second of training, the harmonic mean over the steps of at least `seconds`."""
        self.network.train()
        return self._rate(self._train_step, seconds)

    @torch.no_grad()
    def inference_rate(self, seconds: float) -> float:
        """Images per second of predicting probabilities."""
        self.network.eval()
        return self._rate(self._inference_step, seconds)

    def _rate(self, step, seconds: float) -> float:
        rates: list[float] = []
        batches = iter(self.loader)  # its workers end with it, so that none of them reads ahead beside our loop
        last = time.perf_counter()
        for images, labels in batches:
            step(images.to(self.where, non_blocking=True), labels.to(self.where, non_blocking=True))
            now = time.perf_counter()
            rates.append(self.batch_size / (now - last))
            last = now
            timed = rates[STEPS_LEFT_OUT:]
            if len(timed) >= 3 and sum(self.batch_size / rate for rate in timed) >= seconds:
                return statistics.harmonic_mean(timed)
        raise AssertionError("an epoch of the plain loop ended before it was measured")

    def _train_step(self, images: Tensor, labels: Tensor) -> None:
        loss = nn.functional.cross_entropy(self.network(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        loss.item()

    def _inference_step(self, images: Tensor, _: Tensor) -> None:
        torch.softmax(self.network(images), 1).cpu()

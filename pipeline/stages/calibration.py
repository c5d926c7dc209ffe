"""Calibration images: clean training images that nothing learns from at that moment.

BatchNorm is recalibrated on them, GPTQ weighs its roundings by them, patches are whitened by them.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.data.batches import Normalisation

CALIBRATION_PIXELS = 1024 * 64 * 64  # in all
BATCH_PIXELS = 128 * 64 * 64


def calibration_images(
    clean_training: Path, normalisation: Normalisation, rows_N: Tensor | None = None
) -> list[Tensor]:
    """Normalised training images in batches, float [n, 3, H, W] each; evenly chosen, of `rows_N` where it is given.

    Every batch goes through all the classes. Memory is bounded whatever the size of an image.
    """
    images_NHWC = np.load(clean_training, mmap_mode="r")
    allowed_N = np.arange(len(images_NHWC)) if rows_N is None else rows_N[rows_N < len(images_NHWC)].numpy()
    return [normalisation.apply(torch.from_numpy(images_NHWC[rows])) for rows in _batches(allowed_N, images_NHWC)]


def calibration_examples(
    clean_training: Path, normalisation: Normalisation, log_probs_NC: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """The same images with their soft labels, probabilities float [n, C]; log_probs_NC: of all training images."""
    images_NHWC = np.load(clean_training, mmap_mode="r")
    batches = _batches(np.arange(len(images_NHWC)), images_NHWC)
    images = (normalisation.apply(torch.from_numpy(images_NHWC[rows])) for rows in batches)
    return [(image, log_probs_NC[rows].float().exp()) for image, rows in zip(images, batches, strict=True)]


def _batches(allowed_N: np.ndarray, images_NHWC: np.ndarray) -> list[np.ndarray]:
    pixels = images_NHWC.shape[1] ** 2
    wanted = min(len(allowed_N), max(1, CALIBRATION_PIXELS // pixels))
    rows = allowed_N[np.linspace(0, len(allowed_N) - 1, wanted).astype(int)]
    batches = min(wanted, -(-wanted * pixels // BATCH_PIXELS))
    return [rows[first::batches] for first in range(batches)]

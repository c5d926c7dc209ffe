"""Predictions of a network on stored images, and of a packed file. N images, C classes, H = W = image size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.packed.container import PackedFileError
from models.packed.student_file import PackedStudent, unpack_student
from pipeline.data.batches import Normalisation
from pipeline.runtime.device import Device
from pipeline.runtime.errors import RequestError

IMAGES_PER_BATCH = 512


@torch.inference_mode()
def predict_log_probs(
    network: nn.Module,
    images_NHWC: np.ndarray,
    normalisation: Normalisation,
    device: Device,
    *,
    tta_flip: bool = False,
    temperature: float = 1.0,
) -> np.ndarray:
    """float32 log-probabilities [N, C] of uint8 images, in evaluation mode.

    `temperature` divides the logits; `tta_flip` averages the probabilities over each image and its mirror image.
    Computed in the device's dtype, averaged in float32.
    """
    network.eval()

    def log_probs_of(images_BCHW: Tensor) -> Tensor:
        with device.autocast():
            logits_BC = network(images_BCHW)
        return torch.log_softmax(logits_BC.float() / temperature, dim=1)

    parts = [_predict_batch(log_probs_of, batch, normalisation, device, tta_flip) for batch in _batches(images_NHWC)]
    return torch.cat(parts).numpy()


def predict_with_packed(packed: PackedStudent, images_NHWC: np.ndarray) -> np.ndarray:
    """float32 log-probabilities [N, C] of a packed student, on the CPU in float32: the same on every machine.

    With the temperature of the file's header, and with flip TTA where the header has it.
    """
    normalisation = Normalisation(packed.header.mean, packed.header.std)
    cpu = Device(torch.device("cpu"), torch.float32, "cpu")
    answers = {"tta_flip": packed.header.tta_flip, "temperature": packed.header.temperature}
    return predict_log_probs(packed.module, images_NHWC, normalisation, cpu, **answers)


def _batches(images_NHWC: np.ndarray) -> list[np.ndarray]:
    return [images_NHWC[i : i + IMAGES_PER_BATCH] for i in range(0, len(images_NHWC), IMAGES_PER_BATCH)]


def _predict_batch(
    log_probs_of: Callable[[Tensor], Tensor],
    batch: np.ndarray,
    normalisation: Normalisation,
    device: Device,
    tta_flip: bool,
) -> Tensor:
    images_BCHW = normalisation.apply(torch.from_numpy(np.array(batch)).to(device.where))
    inputs = [images_BCHW, images_BCHW.flip(3)] if tta_flip else [images_BCHW]
    log_probs = list(map(log_probs_of, inputs))
    mean = torch.logsumexp(torch.stack(log_probs), 0) - np.log(len(log_probs))
    return mean.cpu()


def load_packed(path: Path) -> PackedStudent:
    """Decode a packed file. Raises RequestError, one line, when it is missing, foreign or damaged."""
    try:
        return unpack_student(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        raise RequestError(f"{path}: no such file") from None
    except PackedFileError as error:
        raise RequestError(f"{path}: {error}") from None

"""What a network says of stored images. N images, C classes, H = W = image size."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from models.packed.student_file import PackedStudent
from pipeline.data.batches import Normalisation
from pipeline.runtime.device import Device
from pipeline.runtime.errors import RequestError

if TYPE_CHECKING:
    from models.packed.student_file import PackedStudent

IMAGES_PER_BATCH = 512


@torch.inference_mode()
def predict_log_probs(
    network: nn.Module,
    images_NHWC: np.ndarray,
    normalisation: Normalisation,
    device: Device,
    *,
    flip: bool = False,
) -> np.ndarray:
    """float32 log-probabilities [N, C] of uint8 images, in evaluation mode.

    `flip` averages the probabilities over each picture and its mirror image. Computed in the device's dtype, summed
    up in float32.
    """
    network.eval()
    parts = [_of_batch(network, batch, normalisation, device, flip) for batch in _batches(images_NHWC)]
    return torch.cat(parts).numpy()


def predict_with_packed(packed: PackedStudent, images_NHWC: np.ndarray) -> np.ndarray:
    """float32 log-probabilities [N, C] of a packed student, on the CPU in float32: one answer on every machine.

    Of a picture alone, or of it and its mirror image, as the file says.
    """
    normalisation = Normalisation(packed.header.mean, packed.header.std)
    cpu = Device(torch.device("cpu"), torch.float32, "cpu")
    return predict_log_probs(packed.module, images_NHWC, normalisation, cpu, flip=packed.header.mirrored)


def _batches(images_NHWC: np.ndarray) -> list[np.ndarray]:
    return [images_NHWC[i : i + IMAGES_PER_BATCH] for i in range(0, len(images_NHWC), IMAGES_PER_BATCH)]


def _of_batch(
    network: nn.Module, batch: np.ndarray, normalisation: Normalisation, device: Device, flip: bool
) -> Tensor:
    images_BCHW = normalisation.apply(torch.from_numpy(np.array(batch)).to(device.where))
    pictures = [images_BCHW, images_BCHW.flip(3)] if flip else [images_BCHW]
    answers = [_log_probs(network, picture, device) for picture in pictures]
    mean = torch.logsumexp(torch.stack(answers), 0) - np.log(len(answers))
    return mean.cpu()


def _log_probs(network: nn.Module, images_BCHW: Tensor, device: Device) -> Tensor:
    with device.autocast():
        logits_BC = network(images_BCHW)
    return torch.log_softmax(logits_BC.float(), dim=1)


def load_packed(path: Path) -> "PackedStudent":
    """Decode a packed file. Raises RequestError, one line, when it is missing, foreign or damaged."""
    from models.packed.container import PackedFileError
    from models.packed.student_file import unpack_student

    try:
        return unpack_student(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        raise RequestError(f"{path}: no such file") from None
    except PackedFileError as error:
        raise RequestError(f"{path}: {error}") from None

"""Predictions on stored images, with and without flip TTA, and of a packed file."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.packed.header import Header, default_classes
from models.packed.student_file import pack_student, unpack_student
from models.students.build import build_student
from models.students.families import Network
from pipeline.data.batches import Normalisation
from pipeline.runtime.device import Device
from pipeline.training import inference
from pipeline.training.inference import predict_log_probs, predict_with_packed

CPU = Device(torch.device("cpu"), torch.float32, "cpu")
AS_THEY_ARE = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class LeftPixel(nn.Module):
    """Logits: the red of the pixel at the top left, and 0."""

    def forward(self, images_NCHW: Tensor) -> Tensor:
        red_N = images_NCHW[:, 0, 0, 0]
        return torch.stack([red_N, torch.zeros_like(red_N)], 1)


def image(left: int, right: int) -> np.ndarray:
    image_HWC = np.zeros((1, 2, 3), np.uint8)
    image_HWC[0, 0, 0], image_HWC[0, 1, 0] = left, right
    return image_HWC


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_without_tta():
    log_probs_NC = predict_log_probs(LeftPixel(), np.stack([image(0, 2), image(3, 1)]), AS_THEY_ARE, CPU)
    assert log_probs_NC.dtype == np.float32
    assert np.exp(log_probs_NC[:, 0]) == pytest.approx([0.5, sigmoid(3)])
    assert np.exp(log_probs_NC).sum(1) == pytest.approx([1, 1])


def test_flip_tta_averages_probabilities():
    images_NHWC = np.stack([image(0, 2), image(3, 1)])
    log_probs_NC = predict_log_probs(LeftPixel(), images_NHWC, AS_THEY_ARE, CPU, tta_flip=True)
    expected = [(0.5 + sigmoid(2)) / 2, (sigmoid(3) + sigmoid(1)) / 2]
    assert np.exp(log_probs_NC[:, 0]) == pytest.approx(expected)
    assert np.exp(log_probs_NC).sum(1) == pytest.approx([1, 1])


def test_a_temperature_divides_the_logits():
    log_probs_NC = predict_log_probs(LeftPixel(), image(3, 1)[None], AS_THEY_ARE, CPU, tta_flip=True, temperature=0.5)
    assert math.exp(log_probs_NC[0, 0]) == pytest.approx((sigmoid(6) + sigmoid(2)) / 2)  # before the mean is taken


def test_the_normalisation_is_applied():
    log_probs_NC = predict_log_probs(
        LeftPixel(), image(5, 0)[None], Normalisation((3.0, 0.0, 0.0), (2.0, 1.0, 1.0)), CPU
    )
    assert math.exp(log_probs_NC[0, 0]) == pytest.approx(sigmoid(1))


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch):
    images_NHWC = np.random.default_rng(0).integers(0, 9, (8, 1, 2, 3), np.uint8)
    whole = predict_log_probs(LeftPixel(), images_NHWC, AS_THEY_ARE, CPU)
    monkeypatch.setattr(inference, "IMAGES_PER_BATCH", 3)
    assert np.array_equal(predict_log_probs(LeftPixel(), images_NHWC, AS_THEY_ARE, CPU), whole)
    assert len(whole) == 8


def test_a_network_predicts_in_evaluation_mode():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(6, 2)).train()
    images_NHWC = np.full((1, 1, 2, 3), 9, np.uint8)
    predictions = {predict_log_probs(network, images_NHWC, AS_THEY_ARE, CPU).tobytes() for _ in range(8)}
    assert len(predictions) == 1


def test_a_half_precision_network_predicts_in_float32():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    images_NHWC = np.random.default_rng(0).integers(0, 5, (4, 1, 2, 3), np.uint8)
    half = Device(torch.device("cpu"), torch.bfloat16, "cpu")
    rough, exact = (predict_log_probs(network, images_NHWC, AS_THEY_ARE, device) for device in (half, CPU))
    assert rough.dtype == np.float32
    assert np.exp(rough).sum(1) == pytest.approx(np.ones(4), abs=1e-6)
    assert 0 < abs(rough - exact).max() < 0.1


@pytest.mark.parametrize(("tta_flip", "temperature"), [(False, 1.0), (True, 1.0), (True, 0.75)])
def test_the_packed_file_predicts_as_its_decoded_network(tta_flip: bool, temperature: float):
    torch.manual_seed(0)
    network = Network("plain", (2, 0))
    student = build_student(network.architecture(3, 16)).train()
    images_NHWC = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    answers = {"tta_flip": tta_flip, "temperature": temperature}
    header = Header(network.architecture(3, 16), default_classes(3), mean=(140, 114, 87), std=(69, 70, 71), **answers)
    for _ in range(5):
        student(torch.randn(8, 3, 16, 16))
    packed = unpack_student(pack_student(student, header, "uint8"))
    inputs_NCHW = torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).float() - torch.tensor([140, 114, 87]).view(3, 1, 1)
    inputs_NCHW /= torch.tensor([69, 70, 71]).view(3, 1, 1)
    images = (inputs_NCHW, inputs_NCHW.flip(3)) if tta_flip else (inputs_NCHW,)
    expected_NC = (
        torch.stack([torch.softmax(packed.module(each) / temperature, 1) for each in images]).mean(0).log().numpy()
    )
    log_probs_NC = predict_with_packed(packed, images_NHWC)
    assert np.allclose(log_probs_NC, expected_NC, atol=1e-5)
    assert np.ptp(log_probs_NC, axis=0).min() > 1e-3  # it depends on the image

"""The reference's kind of teacher has its size, and dropout."""

import torch
from torch import nn

from models.teachers.build import build_teacher
from tests.models.teachers.made_teachers import build


def test_the_cnn_has_the_references_size():
    with torch.device("meta"):
        network = build_teacher("reference-cnn", classes=11, image_size=64)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == 10_147_307
    assert f"{parameters / 1e6:.1f} {4 * parameters / 1e6:.1f}" == "10.1 40.6"
    buffers = sum(4 * buffer.numel() for buffer in network.buffers())
    assert 40.5e6 < 4 * parameters + buffers < 40.8e6


def test_the_cnn_has_dropout():
    network = build("reference-cnn", 16, options={"width": 4, "dropout": 0.5}).train()
    image = torch.randn(1, 3, 16, 16).expand(8, 3, 16, 16)
    assert len({tuple(row) for row in network(image).tolist()}) > 1
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5]

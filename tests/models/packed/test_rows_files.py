"""Networks of no family as packed files: the reference CNN of 40.7 MB, and one with irregular widths."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from models.compress.batchnorm_folding import fold_batchnorm
from models.compress.bit_plan import Bits
from models.compress.lsq import low_bit_weights, prepare_lsq
from models.packed.container import Header, check_payloads, read_container
from models.packed.header import default_classes
from models.packed.ledger import ledger
from models.packed.size import packed_size_bytes
from models.packed.student_file import pack_low_bit, pack_student, unpack_student
from models.students.architecture import Architecture
from models.students.build import build_student
from models.students.rows import numbered
from models.teachers.reference_cnn import ReferenceCNN, reference_architecture, reference_student
from tests.models.packed.made_rows import irregular


def trained(network: nn.Module) -> nn.Module:
    """With BatchNorm as after training; in eval mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2.0)
    return network.eval()


def header(architecture: Architecture) -> Header:
    return Header(architecture, default_classes(architecture.classes), (140, 114, 87), (69, 70, 71))


def logits(network: nn.Module, image_size: int) -> torch.Tensor:
    images_N3HW = torch.randn(4, 3, image_size, image_size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return network(images_N3HW)


@pytest.fixture(scope="module")
def reference() -> tuple[ReferenceCNN, nn.Module]:
    torch.manual_seed(0)
    network = trained(ReferenceCNN(11, 64))
    return network, reference_student(network, reference_architecture(11, 64))


# 10,145,835 numbers, 2,243 of them biases; header 34, check-sum 4, 14 codecs, 36, 36 and 34 bytes of payload lengths
@pytest.mark.parametrize(
    ("precision", "size_bytes", "tolerance"),
    [("fp32", 40_583_428, 1e-5), ("fp16", 20_291_758, 2e-3), ("uint8", 10_161_622, 0.02)],
)
def test_the_reference_cnn_is_packed_and_predicts_as_before(reference, precision, size_bytes, tolerance):
    network, student = reference
    architecture = reference_architecture(11, 64)
    data = pack_student(student, header(architecture), precision)
    assert len(data) == packed_size_bytes(architecture, classes=default_classes(11), precision=precision) == size_bytes
    check_payloads(*read_container(data))
    rows = ledger(data)
    assert sum(row.size_bytes for row in rows) == len(data)
    assert sum(row.weights for row in rows) == 10_147_307 - 2 * 1472 + 1472  # BatchNorm is folded into a bias
    assert rows[0].size_bytes == 34
    packed = unpack_student(data)
    assert packed.precision == precision
    torch.testing.assert_close(logits(packed.module, 64), logits(network, 64), rtol=0, atol=tolerance)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "uint8"])
def test_an_irregular_network_is_packed_and_predicts_as_before(precision):
    torch.manual_seed(1)
    architecture = irregular(11, 48)
    student = trained(build_student(architecture))
    data = pack_student(student, header(architecture), precision)
    assert sum(row.size_bytes for row in ledger(data)) == len(data)
    assert [row.name for row in ledger(data)][:4] == ["header", "conv2.weight", "conv2.bias", "residual4.conv1.weight"]
    packed = unpack_student(data)
    assert packed.header == header(Architecture(numbered(architecture.rows), 48))
    expected = logits(student, 48)
    tolerance = {"fp32": 1e-5, "fp16": 5e-3, "uint8": 0.1}[precision] * float(expected.abs().max())
    torch.testing.assert_close(logits(packed.module, 48), expected, rtol=0, atol=tolerance)
    assert pack_student(packed.module, packed.header, precision) == data or precision == "uint8"


def test_an_irregular_network_is_made_low_bit():
    torch.manual_seed(1)
    architecture = irregular(11, 16)
    student = trained(build_student(architecture))
    levels = Bits("4", "8", {"stem": "6"}, 3.0).of_layers(architecture)
    folded, weights = low_bit_weights(prepare_lsq(student, levels, 3.0))
    data = pack_low_bit(folded, header(architecture), weights)
    rows = ledger(data)
    assert sum(row.size_bytes for row in rows) == len(data)
    assert [row.levels for row in rows if row.codec == "low-bit"] == [64, *[16] * 12, 256]
    packed = unpack_student(data)
    assert packed.precision == "low-bit"
    stored = dict(zip(weights, (value for value in packed.module.parameters() if value.ndim > 1), strict=True))
    for name, tensor in weights.items():
        assert torch.equal(stored[name], torch.from_numpy(tensor.values())), name


def test_a_student_of_other_widths_is_refused_by_name():
    architecture = irregular()
    student = build_student(replace(architecture, rows=numbered(architecture.rows)))
    with pytest.raises(ValueError, match=r"the header's network: conv2.weight .*, expected stem.weight \(6, 12, 3"):
        pack_student(student, header(architecture), "fp16")


@pytest.mark.parametrize("image_size", [16, 48, 64, 80])
def test_the_reference_cnn_as_rows_has_the_same_function(image_size):
    torch.manual_seed(2)
    network = trained(ReferenceCNN(3, image_size, width=4))
    student = reference_student(network, reference_architecture(3, image_size, 4))
    expected = logits(network, image_size)
    torch.testing.assert_close(logits(student, image_size), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(logits(fold_batchnorm(student), image_size), expected, rtol=0, atol=1e-5)

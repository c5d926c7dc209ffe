"""The ledger accounts for every byte of the file."""

import numpy as np
import pytest
import torch

from models.compress.low_bit import LowBit
from models.packed.container import Entry, Header, PackedFileError, read_container, write_container
from models.packed.header import default_classes
from models.packed.ledger import LedgerRow, ledger
from models.packed.precisions import PRECISIONS, Codec
from models.packed.student_file import pack_low_bit, pack_student
from models.students.build import build_student
from models.students.families import STUDENTS, Network
from tests.models.packed.made_low_bit import HEADER, folded_student, low_bit_file, made_tensor, made_weights

WIDE = STUDENTS["reference-student"].architecture(11, 64)


def wide_student() -> torch.nn.Sequential:
    return build_student(WIDE, folded=True)


def packed(network: Network, precision: str, *, classes: tuple[str, ...], image_size: int) -> bytes:
    architecture = network.architecture(len(classes), image_size)
    return pack_student(build_student(architecture), Header(architecture, classes, (1, 2, 3), (4, 5, 6)), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("classes", [default_classes(11), ("bread", "dairy", "餃子")])
def test_the_rows_add_up_to_the_file(precision, classes):
    data = packed(STUDENTS["reference-group-large"], precision, classes=classes, image_size=32)
    assert sum(row.size_bytes for row in ledger(data)) == len(data)


def test_rows_of_the_reference_student():
    rows = ledger(packed(STUDENTS["reference-student"], "uint8", classes=default_classes(11), image_size=64))
    size = 122_443
    assert rows[0] == LedgerRow("header", (), 0, "", 17, 0, 0.0, None, 0, 0, 0, 17, 17 / size)
    weight = LedgerRow("conv1.weight", (16, 3, 3, 3), 432, "uint8", 531, 0, 8.0, None, 432, 0, 96, 1 + 2, 531 / size)
    assert rows[1] == weight
    assert rows[2] == LedgerRow("conv1.bias", (16,), 16, "fp16", 34, 0, 16.0, None, 32, 0, 0, 1 + 1, 34 / size)
    assert rows[-1] == LedgerRow("check-sum", (), 0, "", 4, 0, 0.0, None, 0, 0, 0, 4, 4 / size)
    assert sum(row.weights for row in rows) == 120_859 - 576  # BatchNorm is folded


def test_rows_of_a_low_bit_file():
    data = low_bit_file(levels=16)
    rows, weights = ledger(data), made_weights(16)
    assert sum(row.size_bytes for row in rows) == len(data)
    assert [row.codec for row in rows] == ["", *["low-bit", "fp16"] * 8, ""]
    for row in rows:
        assert row.coded_bytes + row.prediction_bytes + row.scale_bytes + row.side_bytes == row.size_bytes
    assert sum(row.share for row in rows) == pytest.approx(1)
    for row in rows:
        if row.codec == "low-bit":
            codes = weights[row.name].codes
            shares = np.unique(codes, return_counts=True)[1] / codes.size
            assert (row.levels, row.weights) == (16, codes.size)
            assert row.entropy_bits == pytest.approx(codes.size * -(shares * np.log2(shares)).sum())
            assert row.bits_per_weight == 8 * row.coded_bytes / codes.size


def test_a_low_bit_row_by_hand():
    weights = made_weights(4) | {"conv3.weight": LowBit(np.ones((2, 1, 3, 3), np.int8), np.ones(2, np.float16), 4)}
    data = pack_low_bit(folded_student(), HEADER, weights)
    constant = next(row for row in ledger(data) if row.name == "conv3.weight")
    size = 1 + 1 + 2 + 2 + 2 * 2  # codec, length, levels and form, ends, scales; of one code no table and no stream
    parts = (0, 2, 4, 4, size / len(data))
    expected = LedgerRow("conv3.weight", (2, 1, 3, 3), 18, "low-bit", size, 4, 0.0, 0.0, *parts)
    assert constant == expected


def test_a_bias_is_a_row_of_its_own():
    biases = {
        name: torch.linspace(-1, 2, len(bias)) for name, bias in wide_student().named_parameters() if bias.ndim == 1
    }
    folded = wide_student()
    folded.load_state_dict(biases, strict=False)
    header = Header(WIDE, default_classes(11), (1, 2, 3), (4, 5, 6))
    weights = {
        name: made_tensor(tuple(weight.shape), 16) for name, weight in folded.named_parameters() if weight.ndim > 1
    }
    rows = {row.name: row for row in ledger(pack_low_bit(folded, header, weights))}
    bias = rows["conv7.bias"]
    assert (bias.codec, bias.levels, bias.entropy_bits, bias.prediction_bytes, bias.scale_bytes) == (
        "bias",
        0,
        None,
        1,
        2,
    )
    assert bias.size_bytes == 2 + 3 + bias.coded_bytes < 2 + 2 * 64
    assert rows["classifier.bias"].codec in ("bias", "fp16")


def test_a_damaged_stream_has_no_ledger():
    header, entries = read_container(low_bit_file())
    entries[0] = Entry(Codec.LOW_BIT, entries[0].payload + b"\x01")
    with pytest.raises(PackedFileError, match=r"a low-bit tensor \(1, 3, 3, 3\): the stream is not that of its codes"):
        ledger(write_container(header, entries))


def test_a_payload_of_the_wrong_length_has_no_ledger():
    header = Header(Network("plain", (1, 0)).architecture(2, 16), default_classes(2), (1, 2, 3), (4, 5, 6))
    with pytest.raises(PackedFileError, match=r"conv1.weight has 3 bytes, its shape \(1, 3, 3, 3\) needs 54"):
        ledger(write_container(header, [Entry(Codec.FP16, b"abc")] * 16))


def test_foreign_bytes_have_no_ledger():
    with pytest.raises(PackedFileError, match="not a packed file"):
        ledger(b"PK\x03\x04")

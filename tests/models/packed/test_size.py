"""The predicted size is the size of the real file."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from models.compress.bit_plan import Bits
from models.compress.lsq import low_bit_weights, prepare_lsq
from models.packed.container import Header
from models.packed.header import default_classes
from models.packed.precisions import PRECISIONS
from models.packed.size import (
    AIM,
    FAMILY,
    describe_students,
    low_bit_size_bytes,
    packed_size_bytes,
    propose_network,
)
from models.packed.student_file import pack_low_bit, pack_student
from models.students.build import build_student
from models.students.families import STUDENTS, Network
from models.students.short_form import name_of
from tests.models.packed.made_rows import irregular

OF_ALL_KINDS = [
    *(STUDENTS[name].architecture(11, 64) for name in ("reference-student", "reference-group-large", "studentnet")),
    irregular(11, 64),
]


@pytest.mark.parametrize("architecture", OF_ALL_KINDS, ids=name_of)
def test_predicted_size_is_the_real_size(architecture):
    student, classes = build_student(architecture), default_classes(11)
    for precision in PRECISIONS:
        header = Header(architecture, classes, (255, 0, 9), (1, 255, 9), inductive=True, final=True)
        real = len(pack_student(student, header, precision))
        assert packed_size_bytes(architecture, classes=classes, precision=precision) == real


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("classes", [("cat", "dog"), ("å" * 100, "b"), default_classes(300)])
def test_predicted_size_with_other_classes_and_image_sizes(name, classes):
    architecture = STUDENTS[name].architecture(len(classes), 16)
    header = Header(architecture, classes, (1, 1, 1), (1, 1, 1))
    real = len(pack_student(build_student(architecture), header, "uint8"))
    assert packed_size_bytes(architecture, classes=classes, precision="uint8") == real


def test_exact_sizes_of_every_precision():
    student, classes = STUDENTS["reference-student"].architecture(11, 64), default_classes(11)
    sizes = [packed_size_bytes(student, classes=classes, precision=precision) for precision in PRECISIONS]
    assert sizes == [481_204, 240_635, 122_443, 120_713, 120_649]


BITS = Bits("4", "8", {}, 3.0)


def propose(limit_bytes: int, **kind: object) -> Network:
    return propose_network(limit_bytes, classes=default_classes(11), image_size=64, bits=BITS, **kind)


def low_bit_size(network: Network) -> int:
    return low_bit_size_bytes(network.architecture(11, 64), classes=default_classes(11), bits=BITS)


@pytest.mark.parametrize(
    "architecture",
    [
        STUDENTS["reference-student"].architecture(11, 64),
        Network("residual", (20, 2, 80)).architecture(11, 64),
        Network("dense", (16, 3)).architecture(11, 64),
        irregular(11, 64),
    ],
    ids=name_of,
)
def test_the_predicted_low_bit_size_is_that_of_normal_weights(architecture):
    torch.manual_seed(0)
    student = build_student(architecture)
    for module in student.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight)
    quantised = prepare_lsq(student, BITS.of_layers(architecture), BITS.initial_clip_std)
    header = Header(architecture, default_classes(11), (1, 1, 1), (1, 1, 1))
    folded, weights = low_bit_weights(quantised)
    expected = low_bit_size_bytes(architecture, classes=default_classes(11), bits=BITS, trained=False)
    assert len(pack_low_bit(folded, header, weights)) == pytest.approx(expected, rel=0.007)


@pytest.mark.parametrize("limit_bytes", [25_000, 100_000, 300_000])
@pytest.mark.parametrize("kind", [{}, {"family": "shuffled", "depth": 3}, {"family": "tied", "depth": 4}])
def test_the_largest_network_that_fits_is_proposed(limit_bytes, kind):
    network = propose(limit_bytes, **kind)
    width, depth, top = network.integers
    wider = Network(network.family, (width, depth, top + (4 if network.family == "shuffled" else 1)))
    assert low_bit_size(network) <= AIM * limit_bytes < low_bit_size(wider)
    assert low_bit_size(network) > 0.9 * limit_bytes  # rate control does the rest
    if kind:
        assert width % 16 == 0 or width in (4, 8)
        assert top >= 2 * width
        assert low_bit_size(Network(network.family, (max(8, 2 * width), depth, 4 * width))) > AIM * limit_bytes
    else:
        assert (network.family, depth, width % 4) == (FAMILY, 1, 0)
        assert top >= 5 * width
        assert low_bit_size(Network(FAMILY, (width + 4, 1, 5 * (width + 4)))) > AIM * limit_bytes


@pytest.mark.parametrize(
    ("limit_bytes", "width", "top"),
    [(3_000, 2, 15), (25_000, 8, 46), (50_000, 12, 65), (100_000, 16, 94), (150_000, 20, 115), (300_000, 28, 165)],
)
def test_widths_and_tops_of_limits(limit_bytes, width, top):
    assert propose(limit_bytes).integers == (width, 1, top)


@pytest.mark.parametrize(("limit_bytes", "width", "depth"), [(25_000, 16, 1), (100_000, 32, 1), (300_000, 32, 2)])
def test_staged_networks_get_a_second_block_before_more_width(limit_bytes, width, depth):
    assert propose(limit_bytes, family="squeezed").integers[:2] == (width, depth)


def test_the_references_network_grows_channel_by_channel():
    width, hidden = propose(100_000, family="plain", depth=0).integers
    assert hidden == 0
    assert low_bit_size(Network("plain", (width, 0))) <= AIM * 100_000 < low_bit_size(Network("plain", (width + 1, 0)))


def test_dense_networks_grow_by_blocks_of_channels():
    growth, depth = propose(100_000, family="dense", depth=4).integers
    larger = Network("dense", (growth + 16, depth))
    assert low_bit_size(Network("dense", (growth, depth))) <= 100_000 < low_bit_size(larger)
    assert growth % 16 == 0


def test_a_limit_that_nothing_meets_is_refused_with_the_least_size():
    least = low_bit_size(Network(FAMILY, (1, 1, 5)))
    with pytest.raises(ValueError, match=f"the smallest student takes about {least} bytes"):
        propose(least - 1)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="unknown precision 'int2'"):
        packed_size_bytes(Network("plain", (1, 0)).architecture(2, 16), classes=("a", "b"), precision="int2")


def test_described_students():
    described = describe_students()
    assert [entry["name"] for entry in described] == list(STUDENTS)
    assert described[0] == {
        "name": "reference-student",
        "parameters": 120_859,
        "bytes": {"fp32": 481_204, "fp16": 240_635, "uint8": 122_443},
    }


def test_sizes_and_headers_need_no_torch():
    source = (
        "import sys, models.packed.size, models.packed.container; assert not {'torch', 'numpy'} & set(sys.modules);"
        "import models.packed.ledger; assert 'torch' not in sys.modules"  # numpy decodes the codes of a low-bit tensor
    )
    finished = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr

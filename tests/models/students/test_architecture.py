"""An architecture: rows that follow from one another, and what is refused whoever made it."""

from dataclasses import replace

import pytest
import torch

from models.students.architecture import Architecture, parameter_count, parameter_shapes
from models.students.build import build_student, count_parameters
from models.students.families import FAMILIES, Network
from models.students.limits import MAX_PARAMETERS, MAX_ROWS
from models.students.rows import Block, Conv, Linear, Operation, numbered, with_weights
from models.teachers.reference_cnn import reference_architecture
from tests.models.packed.made_rows import SMALLEST, irregular

STEM, POOL, FLATTEN, HEAD = SMALLEST.rows


def test_shapes_and_parameters_by_hand():
    assert parameter_shapes(SMALLEST) == [
        ("stem.weight", (5, 3, 3, 3)),
        ("stem.bias", (5,)),
        ("head.weight", (2, 5)),
        ("head.bias", (2,)),
    ]
    assert parameter_count(SMALLEST) == 5 * 27 + 5 + 2 * 5 + 2 * 5 + 2  # with BatchNorm's weight and bias
    assert (SMALLEST.head.name, SMALLEST.classes) == ("head", 2)


@pytest.mark.parametrize("folded", [False, True])
def test_an_irregular_network_is_built_as_described(folded):
    architecture = irregular()
    student = build_student(architecture, folded=folded).eval()
    if folded:
        found = [(name, tuple(parameter.shape)) for name, parameter in student.named_parameters()]
        assert found == parameter_shapes(architecture)
    else:
        assert count_parameters(student) == parameter_count(architecture)
    with torch.no_grad():
        assert student(torch.zeros(2, 3, 16, 16)).shape == (2, 3)


def test_inner_layers_have_the_blocks_name_before_theirs():
    names = [name.removesuffix(".weight") for name, shape in parameter_shapes(irregular()) if len(shape) > 1]
    assert names[:5] == ["stem", "stage1.conv1", "stage1.conv2", "stage1.squeeze.reduce", "stage1.squeeze.expand"]
    assert len(names) == len(list(with_weights(irregular().rows))) == 14


def test_numbered_rows_differ_in_names_alone():
    rows = numbered(irregular().rows)
    assert [row.name for row in rows[:4]] == ["pixel_unshuffle1", "conv2", "silu3", "residual4"]
    assert [layer.name for layer in rows[3].layers] == ["conv1", "conv2", "squeeze3"]
    assert [replace(row, name="") for row in rows[4:6]] == [replace(row, name="") for row in irregular().rows[4:6]]
    assert numbered(rows) == rows


def test_the_largest_networks_of_today_are_allowed():
    for family, integers in (("squeezed", (4, 64, 8)), ("dense", (2, 64))):
        Network(family, integers).architecture(11, 64)
    assert all(family.id for family in FAMILIES.values())  # 0 stands for rows
    folded = sum(parameter.numel() for parameter in build_student(reference_architecture(11, 64)).parameters())
    assert 10_140_000 < folded < MAX_PARAMETERS


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "the last row is no linear layer, expected one with an output per class"),
        ((STEM, POOL, FLATTEN), "the last row is no linear layer"),
        (
            (STEM, POOL, FLATTEN, replace(HEAD, activation="relu")),
            "head: activation relu, expected none after the last",
        ),
        ((STEM, POOL, FLATTEN, replace(HEAD, outputs=1)), "number of classes 1, expected 2 to 65535"),
        ((STEM, POOL, FLATTEN, replace(HEAD, inputs=6)), "head: 6 inputs, expected 5, which the rows before give"),
        ((STEM, FLATTEN, HEAD), "head: 5 inputs, expected 320, which the rows before give"),
        ((replace(STEM, inputs=4), POOL, FLATTEN, HEAD), "stem: 4 inputs, expected 3"),
        ((replace(STEM, inputs=True), POOL, FLATTEN, HEAD), "stem: True inputs, expected 3"),
        ((replace(STEM, outputs=True), POOL, FLATTEN, HEAD), "stem: outputs True, expected a whole number"),
        ((replace(STEM, kernel=2), POOL, FLATTEN, HEAD), "stem: kernel 2, expected an odd one"),
        ((replace(STEM, norm=1), POOL, FLATTEN, HEAD), r"stem: \(1, True\), expected true or false"),
        (
            (replace(STEM, activation="gelu"), POOL, FLATTEN, HEAD),
            "stem: unknown activation 'gelu', expected one of no",
        ),
        ((STEM, replace(POOL, kind="max"), FLATTEN, HEAD), "pool: unknown operation 'max', expected one of global_po"),
        ((STEM, replace(POOL, groups=5), FLATTEN, HEAD), "pool: groups 5, expected 1 to 1"),
        ((STEM, replace(POOL, side=2), FLATTEN, HEAD), "pool: side 2, expected 1 to 1"),
        ((STEM, Block("b", "twice", (Conv("conv", 5, 5),)), POOL, FLATTEN, HEAD), "b: unknown block 'twice', expected"),
        ((STEM, replace(POOL, name="stem"), FLATTEN, HEAD), "layer name 'stem' occurs twice"),
        ((STEM, replace(POOL, name="stem_norm"), FLATTEN, HEAD), "layer name 'stem_norm' occurs twice"),
        ((replace(STEM, name="a.b"), POOL, FLATTEN, HEAD), "layer name 'a.b', expected a-z, 0-9 and _"),
        ((replace(STEM, name=""), POOL, FLATTEN, HEAD), "layer name ''"),
        (("stem", POOL, FLATTEN, HEAD), "'stem', expected a row of a layer table"),
        ((STEM,) * (MAX_ROWS + 1), "2049 rows, expected at most 2048"),
    ],
)
def test_rows_that_do_not_follow_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        Architecture(rows, 16)


def test_rows_inside_blocks_count():
    block = Block("block", "residual", tuple(Conv(f"conv{number}", 5, 5) for number in range(MAX_ROWS - 4)))
    with pytest.raises(ValueError, match="2049 rows, expected at most 2048"):
        Architecture((STEM, block, POOL, FLATTEN, HEAD), 16)


def test_average_pooling_and_a_second_linear_layer():
    rows = (STEM, Operation("pool", "average_pool", side=3), FLATTEN, Linear("head", 45, 2))
    student = build_student(Architecture(rows, 16))
    assert student.flatten(student.pool(torch.ones(1, 5, 8, 8))).shape == (1, 45)

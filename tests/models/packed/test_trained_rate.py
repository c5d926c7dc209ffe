"""What prediction leaves of every layer's bits; sizes of trained students are predicted to one and a half percent."""

import json
from pathlib import Path

import pytest

from models.compress.bit_plan import Bits
from models.packed.header import default_classes
from models.packed.size import low_bit_size_bytes
from models.packed.trained_rate import (
    FIRST,
    FLATTENED,
    INDEPENDENT,
    INSIDE,
    LAST,
    LAST_PER_OCTAVE,
    POOLED,
    UNPOOLED,
    trained_rates,
)
from models.students.architecture import parameter_shapes
from models.students.families import FAMILIES, Network, network_named

MEASURED = json.loads((Path(__file__).parents[3] / "measurements" / "entropy-coding.json").read_text())["sizes"]


def test_rates_of_a_squeezed_network():
    rates = trained_rates(Network("squeezed", (16, 1, 64)).architecture(11, 64))
    assert rates["stem"] == FIRST
    assert (rates["widen2"], rates["stage1_1.conv1"], rates["stage2_1.conv2"]) == (POOLED, INSIDE, INSIDE)
    assert rates["stage3_1.conv2"] == pytest.approx(LAST + LAST_PER_OCTAVE)  # 64 channels, an octave above 32
    assert rates["stage3_1.squeeze.reduce"] == rates["classifier"] == INDEPENDENT


def test_rates_of_a_plain_network():
    rates = trained_rates(Network("plain", (16, 0)).architecture(11, 64))
    assert rates == {
        "conv1": FIRST,
        **{f"conv{number}": UNPOOLED for number in range(2, 8)},
        "classifier": FLATTENED,
    }
    assert trained_rates(Network("plain", (16, 8)).architecture(11, 64))["classifier"] == INDEPENDENT  # after `hidden`


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_has_a_rate(family):
    known = {"plain": (4, 8), "grouped": (8, 1, 1, 4), "studentnet": (2,), "dense": (8, 2), "separable": (4, 8)}
    integers = known.get(family, (8, 2, 600))
    architecture = Network(family, integers).architecture(11, 64)
    names = [name.removesuffix(".weight") for name, shape in parameter_shapes(architecture) if len(shape) > 1]
    rates = trained_rates(architecture)
    assert list(rates) == names
    assert all(0.6 < rate <= FIRST for rate in rates.values())


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row['network']}-{row['packed_bytes']}")
def test_sizes_of_trained_students_are_predicted(row):
    architecture = network_named(row["network"]).architecture(11, 64)
    predicted = low_bit_size_bytes(architecture, classes=default_classes(11), bits=Bits("4", "8", {}, 3.0))
    assert predicted == row["predicted_bytes"]
    assert predicted == pytest.approx(row["packed_bytes"], rel=0.015)


def test_eight_students_and_one_that_chose_no_rate_were_measured():
    assert len({row["network"] for row in MEASURED}) == len(MEASURED) == 9
    assert [row["network"] for row in MEASURED if not row["fitted"]] == ["squeezed-32-1-64"]

"""Bit widths of layers, and the bits that a weight takes."""

import math

import numpy as np
import pytest

from models.compress.bit_plan import Bits, gaussian_bits
from models.students.families import STUDENTS
from tests.models.packed.made_rows import irregular


def plan(**changes: object) -> dict[str, int]:
    settings = {"body": "4", "head": "8", "layers": {}, "initial_clip_std": 3.0} | changes
    return Bits(**settings).of_layers(STUDENTS["reference-student"].architecture(11, 64))


def test_the_body_and_the_head_have_their_own_levels():
    assert plan() == {**{f"conv{number}": 16 for number in range(1, 8)}, "classifier": 256}


def test_single_layers_may_differ():
    found = plan(body="ternary", layers={"conv1": "6", "classifier": "5"})
    assert (found["conv1"], found["conv2"], found["classifier"]) == (64, 3, 32)


def test_the_head_is_the_last_row_whatever_its_name():
    levels = Bits("4", "8", {"hidden": "2"}, 3.0).of_layers(irregular())
    assert (levels["stem"], levels["stage1.squeeze.expand"], levels["hidden"], levels["last"]) == (16, 16, 4, 256)


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match="no layer 'conv9', expected one of conv1, conv2"):
        plan(layers={"conv9": "8"})


def test_bits_of_a_ternary_code_by_hand():
    # the edges lie at half a deviation: 0.3085 of all weights on either side
    outer = 0.5 * math.erfc(0.5 / math.sqrt(2))
    expected = -2 * outer * math.log2(outer) - (1 - 2 * outer) * math.log2(1 - 2 * outer)
    assert gaussian_bits(3, 1.0) == pytest.approx(expected)


@pytest.mark.parametrize(("levels", "clip_std"), [(4, 1.0), (8, 2.0), (16, 3.0), (256, 4.0)])
def test_bits_are_the_entropy_of_rounded_normal_numbers(levels, clip_std):
    weights = np.random.default_rng(0).normal(size=400_000)
    step = clip_std / ((levels - 1) // 2)
    codes = np.clip(np.rint(weights / step), -(levels // 2), (levels - 1) // 2)
    shares = np.unique(codes, return_counts=True)[1] / len(codes)
    assert gaussian_bits(levels, clip_std) == pytest.approx(-(shares * np.log2(shares)).sum(), abs=0.005)

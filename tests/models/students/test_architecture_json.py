"""Architectures as JSON: names are kept, nonsense is refused."""

import json
import re

import pytest

from models.students.architecture_json import from_json, to_json
from models.students.families import STUDENTS
from models.teachers.reference_cnn import reference_architecture
from tests.models.packed.made_rows import SMALLEST, irregular

CONV = {"row": "conv", "name": "stem", "inputs": 3, "outputs": 5, "kernel": 3, "groups": 1}
ROWS = [
    CONV | {"norm": True, "pool": True, "activation": "relu", "form": "square"},
    {"row": "operation", "name": "pool", "kind": "global_pool", "groups": 1, "side": 1},
    {"row": "operation", "name": "flatten", "kind": "flatten", "groups": 1, "side": 1},
    {"row": "linear", "name": "head", "inputs": 5, "outputs": 2, "activation": "none"},
]


def test_by_hand():
    assert to_json(SMALLEST) == {"image_size": 16, "rows": ROWS}


@pytest.mark.parametrize(
    "architecture", [irregular(), reference_architecture(11, 64), STUDENTS["studentnet"].architecture(11, 64)]
)
def test_what_is_written_is_read(architecture):
    assert from_json(json.loads(json.dumps(to_json(architecture)))) == architecture


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "no architecture: TypeError"),
        ({}, "no architecture: KeyError 'rows'"),
        ({"rows": ROWS}, "no architecture: KeyError 'image_size'"),
        ({"rows": ROWS, "image_size": "16"}, "image size '16', expected a whole number"),
        ({"rows": [{"row": "pool"}], "image_size": 16}, "no architecture: KeyError 'pool'"),
        ({"rows": [CONV | {"stride": 2}], "image_size": 16}, "no architecture: TypeError .*unexpected keyword"),
        ({"rows": [CONV | {"outputs": 5.0}], "image_size": 16}, "stem: outputs 5.0, expected a whole number"),
        (
            {"rows": [{"row": "block", "name": "b", "kind": "dense", "layers": [3]}], "image_size": 16},
            "no architecture",
        ),
        ({"rows": ROWS[:3], "image_size": 16}, re.escape("the last row is no linear layer")),
    ],
)
def test_anything_else_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        from_json(value)

"""The predicted size is the size of the real file."""

import pytest

from models.budget import describe_students, packed_size_bytes, smallest_size_bytes
from models.networks import STUDENTS, Network
from models.packed.container import Header
from models.packed.header import default_classes
from models.packed.student_file import PRECISIONS, pack_student
from models.students import build_student


@pytest.mark.parametrize("name", ["report-student", "report-group-large", "studentnet"])
def test_predicted_size_is_the_real_size(name):
    student = build_student(STUDENTS[name], classes=11, image_size=64)
    for precision in PRECISIONS:
        header = Header(STUDENTS[name], 64, default_classes(11), (255, 0, 9), (1, 255, 9), inductive=True, final=True)
        real = len(pack_student(student, header, precision))
        assert (
            packed_size_bytes(STUDENTS[name], classes=default_classes(11), image_size=64, precision=precision) == real
        )


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("classes", [("cat", "dog"), ("å" * 100, "b"), default_classes(300)])
def test_predicted_size_with_other_classes_and_image_sizes(name, classes):
    student = build_student(STUDENTS[name], classes=len(classes), image_size=16)
    real = len(pack_student(student, Header(STUDENTS[name], 16, classes, (1, 1, 1), (1, 1, 1)), "uint8"))
    assert packed_size_bytes(STUDENTS[name], classes=classes, image_size=16, precision="uint8") == real


def test_a_codec_costs_what_it_says():
    sizes = [
        packed_size_bytes(STUDENTS["report-student"], classes=default_classes(11), image_size=64, precision=precision)
        for precision in PRECISIONS
    ]
    assert sizes == [481_204, 240_635, 122_443, 120_713, 120_649]


def test_the_smallest_deliverable_leaves_the_bare_cast_out():
    smallest = smallest_size_bytes(STUDENTS["report-student"], classes=default_classes(11), image_size=64)
    assert smallest == (120_713, "uint8-tensor")


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="unknown precision 'int2'"):
        packed_size_bytes(Network("plain", (1, 0)), classes=("a", "b"), image_size=16, precision="int2")


def test_described_students():
    described = describe_students()
    assert [entry["name"] for entry in described] == list(STUDENTS)
    assert described[0] == {
        "name": "report-student",
        "parameters": 120_859,
        "bytes": {"fp32": 481_204, "fp16": 240_635, "uint8": 122_443},
    }

"""The reference's networks as modules: parameter counts, layers, and limits on what can be asked for."""

import pytest
import torch
from torch import nn

from models.students.architecture import parameter_count, parameter_shapes
from models.students.build import build_student, count_parameters
from models.students.families import STUDENTS, Network
from models.students.limits import MAX_PARAMETERS

REFERENCE_PARAMETERS = {
    "reference-student": 120_859,
    "reference-plain-cnn": 242_203,
    "reference-depthwise": 161_819,
    "reference-depthwise-large": 239_899,
    "reference-group-half": 163_259,
    "reference-group-quarter": 166_139,
    "reference-group-eighth": 171_899,
    "reference-group-one": 243_323,
    "reference-group-large": 237_043,
    "reference-all-depthwise": 147_711,  # by hand: 12 per depthwise channel, the 1x1 ones, the plain head
    "studentnet": 256_779,
}


def layer_parameters(name: str, *layers: str) -> list[int]:
    student = build_student(STUDENTS[name].architecture(11, 64))
    return [count_parameters(student.get_submodule(layer)) for layer in layers]


def test_the_named_networks_are_the_references():
    assert list(STUDENTS) == list(REFERENCE_PARAMETERS)


@pytest.mark.parametrize(("name", "expected"), REFERENCE_PARAMETERS.items())
def test_parameter_count(name, expected):
    assert count_parameters(build_student(STUDENTS[name].architecture(11, 64))) == expected
    assert parameter_count(STUDENTS[name].architecture(11, 64)) == expected


def test_layers_of_the_final_student():
    convs = [f"conv{number}" for number in range(1, 8)]
    assert layer_parameters("reference-student", *convs) == [448, 2_320, 4_640, 9_248, 18_496, 36_928, 36_928]
    assert layer_parameters("reference-student", *(f"{conv}_norm" for conv in convs)) == [32, 32, 64, 64, 128, 128, 128]
    assert layer_parameters("reference-student", "classifier") == [11_275]


def test_layers_of_the_plain_cnn():
    assert layer_parameters("reference-plain-cnn", "hidden", "classifier") == [131_200, 1_419]


def test_layers_of_the_large_depthwise_net():
    names = ("group3", "point3", "group4", "group4_norm", "point4", "hidden", "classifier")
    assert layer_parameters("reference-depthwise-large", *names) == [640, 6_240, 960, 192, 9_312, 196_736, 1_419]


def test_layers_of_the_large_group_net():
    names = ("group1", "point1", "group2", "point2", "group3", "point3", "group4", "point4", "hidden")
    expected = [2_336, 2_112, 4_672, 4_160, 4_672, 5_720, 6_424, 7_832, 180_352]
    assert layer_parameters("reference-group-large", *names) == expected


def test_layers_of_the_course_network():
    names = ("conv1", "conv1_norm", "depth1", "depth1_norm", "point7", "classifier")
    assert layer_parameters("studentnet", *names) == [448, 32, 160, 32, 65_792, 2_827]


@pytest.mark.parametrize(
    ("name", "pooled"),
    [
        ("reference-student", ["conv2", "conv4", "conv6", "conv7"]),
        ("reference-depthwise", ["conv2", "conv4", "point2", "point3"]),
        ("reference-group-large", ["conv2", "conv4", "point2", "point4"]),
        ("studentnet", ["conv1", "point1", "point2", "point3"]),
    ],
)
def test_layers_that_are_followed_by_a_pool(name, pooled):
    children = build_student(STUDENTS[name].architecture(11, 64)).named_children()
    assert [key.removesuffix("_pool") for key, child in children if isinstance(child, nn.MaxPool2d)] == pooled


def test_activations_are_the_networks_own():
    reference, course = (
        build_student(STUDENTS[name].architecture(11, 64)) for name in ("reference-student", "studentnet")
    )
    assert [type(child) for child in reference if type(child) in (nn.ReLU, nn.ReLU6)] == [nn.ReLU] * 7
    assert [type(child) for child in course if type(child) in (nn.ReLU, nn.ReLU6)] == [nn.ReLU6] * 8


def test_order_of_layers_around_a_pool():
    names = [name for name, _ in build_student(STUDENTS["reference-depthwise"].architecture(11, 64)).named_children()]
    start = names.index("group2")
    assert names[start : start + 6] == ["group2", "group2_norm", "group2_act", "point2", "point2_pool", "group3"]
    assert names[-6:] == ["channel_dropout", "flatten", "hidden", "hidden_act", "dropout", "classifier"]


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("image_size", [16, 48])
def test_logits_have_one_column_per_class(name, image_size):
    student = build_student(STUDENTS[name].architecture(7, image_size)).eval()
    with torch.no_grad():
        assert student(torch.zeros(2, 3, image_size, image_size)).shape == (2, 7)


@pytest.mark.parametrize("name", STUDENTS)
def test_folded_network_has_the_predicted_parameters_and_no_batchnorm(name):
    folded = build_student(STUDENTS[name].architecture(5, 32), folded=True)
    found = [(key, tuple(parameter.shape)) for key, parameter in folded.named_parameters()]
    assert found == parameter_shapes(STUDENTS[name].architecture(5, 32))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


@pytest.mark.parametrize(
    ("image_size", "message"),
    [(40, "image size 40, expected a multiple of 16"), (0, "expected 16 to 1024"), (1040, "expected 16 to 1024")],
)
def test_impossible_image_sizes_are_refused(image_size, message):
    with pytest.raises(ValueError, match=message):
        build_student(STUDENTS["reference-student"].architecture(11, image_size))


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="channels_per_group 3, expected a divisor of 32 channels"):
        build_student(Network("grouped", (64, 1, 3, 0)).architecture(11, 64))


def test_a_huge_network_is_refused_by_arithmetic():
    with pytest.raises(ValueError, match=f"expected at most {MAX_PARAMETERS}"):
        build_student(Network("plain", (512, 4096)).architecture(65_535, 1024))

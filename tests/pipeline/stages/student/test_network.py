"""Which network a run's student is: what can be asked for, what is refused before anything is trained."""

import pytest

from models.students.families import STUDENTS, Network
from models.students.short_form import name_of
from models.teachers.reference_cnn import reference_architecture
from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import load_settings
from pipeline.stages.student.network import bit_plan, choose_architecture, expected_bytes, fits_budget

CLASSES = tuple(str(number) for number in range(11))


def choose(name: str, budget_bytes: int = 100_000, *changes: str):
    return choose_architecture(load_settings("cpu", [f"distill.network={name}", *changes]), CLASSES, budget_bytes)


def test_names_and_integers():
    student = STUDENTS["reference-student"].architecture(11, 64)
    assert choose("reference-student") == choose("plain-16-0") == student
    assert choose("residual-20-2-80") == Network("residual", (20, 2, 80)).architecture(11, 64)


def test_the_large_cnn_of_any_width():
    assert choose("reference-cnn") == reference_architecture(11, 64)
    assert choose("reference-cnn-20") == reference_architecture(11, 64, 20)


@pytest.mark.parametrize("kind", ["", "-dense-3", "-shuffled-2"])
@pytest.mark.parametrize("budget_bytes", [10_000, 300_000, 10**8])
def test_auto_names_the_network_sized_for_the_budget(kind, budget_bytes):
    chosen = choose(f"auto{kind}", budget_bytes)
    settings = load_settings("cpu", [f"distill.network=auto{kind}"])
    assert choose(name_of(chosen)) == chosen
    assert expected_bytes(settings.quantise, chosen, CLASSES, "low-bit") <= budget_bytes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "reference-studet",
            r"distill\.network: unknown network 'reference-studet' \(did you mean reference-student\?\)",
        ),
        ("residual-5", r"distill\.network: residual: 1 integers, expected 3 \(width, depth, top\)"),
        ("residual-0-1-1", r"distill\.network: residual: width 0, expected 1 to 512"),
        ("residual-08-1-1", r"distill\.network: unknown network"),
        ("plain-0000000016-0", r"distill\.network: unknown network"),
        ("shuffled-5-1-20", r"distill\.network: shuffled: 5 channels, expected a multiple of 4"),
        ("residual-512-64-2048", r"distill\.network: .* has \d+ parameters, expected at most"),
        ("auto-grouped-3", r"distill\.network: auto-grouped-3: expected a family of shortresnet, plain, residual"),
        ("reference-cnn-999", r"distill\.network: .* has \d+ parameters, expected at most"),
        ("auto-residual-99", r"residual: depth 99, expected 1 to 64"),
        ("auto-residual", r"distill\.network: unknown network 'auto-residual'"),
    ],
)
def test_what_does_not_exist_is_refused_by_name(name, message):
    with pytest.raises(RequestError, match=message):
        choose(name)


def test_a_budget_that_nothing_meets():
    with pytest.raises(RequestError, match=r"--budget 90: the smallest student takes about \d+ bytes, nothing was tr"):
        choose("auto", 90)


def test_a_student_sized_for_low_bit_files_is_stored_as_one():
    with pytest.raises(RequestError, match=r"auto is sized for low-bit files, pack\.precision is fp16"):
        choose("auto", 100_000, "pack.precision=fp16")


def test_bits_of_a_layer_that_is_not_there():
    settings = load_settings("cpu", ['quantise.layer_bits={conv9 = "8"}'])
    with pytest.raises(RequestError, match=r"quantise\.layer_bits: no layer 'conv9', expected one of conv1, conv2"):
        bit_plan(settings.quantise, choose("reference-student"))


def test_bits_of_single_layers():
    settings = load_settings("cpu", ['quantise.layer_bits={conv1 = "8"}'])
    levels = bit_plan(settings.quantise, choose("reference-student"))
    assert (levels["conv1"], levels["conv2"], levels["classifier"]) == (256, 16, 256)


def test_only_a_network_sized_for_the_budget_fills_it():
    assert fits_budget(load_settings("cpu", ["distill.network=auto"]))
    assert not fits_budget(load_settings("cpu", ["distill.network=reference-student"]))

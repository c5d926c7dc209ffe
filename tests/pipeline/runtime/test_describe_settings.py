"""The list of all settings: complete, and with the literal default, unit, range and meaning of some."""

import pytest

from pipeline.runtime.describe_settings import describe_settings, settings_lines
from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import setting_names
from pipeline.runtime.training_settings import MemberSettings

MEMBER = "teach.members.I."


def names(section: str | None = None) -> list[str]:
    return [row["name"] for row in describe_settings(section)]


def test_every_setting_is_listed_once():
    assert sorted(name for name in names() if not name.startswith(MEMBER)) == sorted(setting_names())
    assert sorted(name for name in names() if name.startswith(MEMBER)) == sorted(setting_names(MemberSettings, MEMBER))
    assert len(names()) == len(set(names()))


@pytest.mark.parametrize("row", describe_settings(), ids=lambda row: row["name"])
def test_every_setting_has_a_meaning(row: dict[str, str]):
    assert list(row) == ["name", "default", "unit", "range", "meaning"]
    assert len(row["meaning"].split()) >= 3
    assert "\n" not in row["meaning"]


@pytest.mark.parametrize(
    ("name", "default", "unit", "limits"),
    [
        ("data.image_size", "64", "pixels", "at least 16, at most 1,024, a multiple of 16"),
        ("data.validation_fraction", "0.2", "fraction", "above 0, at most 0.5"),
        ("teach.members", "[]", "", ""),
        ("teach.members.I.network", "", "", ""),  # without a default: a row must state it
        ("teach.members.I.sizes", "as in [teach]", "pixels", "each at least 16, at most 1,024"),
        ("teach.members.I.augment.flip", "as in [teach]", "", "true, false"),
        ("export.tta_flip", "true", "", 'true, false or "clean"'),
        ("export.weights", "[]", "", 'each at least 0.0 or "fitted"'),
        ("distill.network", '"auto"', "", ""),
        ("distill.epochs", "30", "epochs", "at least 1, at most 100,000"),
        ("distill.learning_rate", "0.002", "", "above 0.0"),
        ("distill.ema_decay", "0.998", "", "at least 0.0, below 1.0"),
        ("distill.augment.mix_probability", "1.0", "fraction", "at least 0.0, at most 1.0"),
        ("distill.final_phase.images", '"auto"', "", '"auto", "none", "testing"'),
        ("quantise.bits", '"4"', "bits", '"ternary", "2", "3", "4", "5", "6", "8"'),
        ("pack.rounding", '"nearest"', "", '"nearest", "gptq"'),
    ],
)
def test_defaults_units_and_ranges(name: str, default: str, unit: str, limits: str):
    row = describe_settings(name)[0]
    assert (row["name"], row["default"], row["unit"], row["range"]) == (name, default, unit, limits)


def test_a_section_is_its_settings_in_order():
    expected = ["flip", "shift", "mixup_alpha", "cutmix_alpha", "mix_probability"]
    assert names("distill.augment") == [f"distill.augment.{name}" for name in expected]
    assert set(names("distill.augment")) < set(names("distill"))
    assert names("distill") == [name for name in names() if name.startswith("distill.")]


@pytest.mark.parametrize(
    ("section", "nearest"),
    [
        ("distil", " (did you mean distill?)"),
        ("distill.agument", " (did you mean distill.augment?)"),
        ("pack.roundin", " (did you mean pack.rounding?)"),
        ("xyzzy", ""),
    ],
)
def test_an_unknown_section_gets_the_nearest_one(section: str, nearest: str):
    with pytest.raises(RequestError) as caught:
        describe_settings(section)
    begin = f"unknown section {section!r}{nearest}; expected one of data, views, teach, teach.augment, "
    assert str(caught.value).startswith(begin)


def test_lines_for_a_terminal():
    rows = describe_settings("data.image_size") + describe_settings("views.seed") + describe_settings("device.kind")
    assert settings_lines(rows) == [
        "[data]",
        "image_size = 64",
        '    side of the square images; "auto", of a run: at most the short side of its images '
        "(pixels, at least 16, at",
        "    most 1,024, a multiple of 16)",
        "",
        "[views]",
        "seed = 0",
        "    seed of the augmentation (at least 0, below 2,147,483,648)",
        "",
        "[device]",
        'kind = "auto"',
        '    device of training and of the members\' predictions ("auto", "cpu", "cuda")',
    ]
    assert max(map(len, settings_lines(describe_settings()))) <= 110


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("teach.members.I.label_smoothing", "as in [teach]"),
        ("teach.members.I.augment.flip", "as in [teach]"),
        ("teach.members.I.seed", "0"),
        ("quantise.batch_size", "as in [distill]"),
        ("quantise.augment.shift", "as in [distill]"),
        ("quantise.epochs", "5"),
        ("teach.label_smoothing", "0.1"),
    ],
)
def test_defaults_that_come_from_another_section(name: str, expected: str):
    assert {row["name"]: row["default"] for row in describe_settings()}[name] == expected

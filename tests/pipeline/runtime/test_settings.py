import pytest
from pydantic import ValidationError

from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import PRESETS, load_settings, preset_names
from pipeline.runtime.settings import Settings

# eight alike in the reference solution; the best known for their time (README), and the presets that extend them
ONE_NETWORK = {"reference", "cpu", "quick", "study", "study-cpu", "advice"}


@pytest.mark.parametrize("preset", preset_names())
def test_presets_load_and_state_their_purpose_and_cost(preset: str):
    settings = load_settings(preset, [])
    assert settings.teach.members
    first_comment = ""
    for line in (PRESETS / f"{preset}.toml").read_text().splitlines():
        if not line.startswith("# "):
            break
        first_comment += line[1:]
    assert first_comment.startswith(" Purpose: ")
    cost = first_comment.partition("Cost: ")[2]
    assert len(cost.split()) > 1, f"{preset}.toml: no cost: {cost!r}"


def test_all_presets_are_listed():
    assert preset_names() == [
        "advice",
        "cpu",
        "demo",
        "families",
        "gpu",
        "quick",
        "reference",
        "smoke",
        "study",
        "study-cpu",
    ]


@pytest.mark.parametrize("preset", sorted(set(preset_names()) - ONE_NETWORK))
def test_ensembles_mix_families(preset: str):
    assert len({member.network for member in load_settings(preset, []).teach.members}) >= 2


@pytest.mark.parametrize("preset", preset_names())
def test_no_two_members_are_alike(preset: str):
    members = load_settings(preset, []).teach.members
    assert len({member.model_dump_json() for member in members}) == len(members)


def test_full_ensembles_have_eight_members():
    assert len(load_settings("gpu", []).teach.members) == 8
    assert len(load_settings("reference", []).teach.members) == 8


def test_smoke_has_epochs_enough_to_resume_in_the_middle():
    settings = load_settings("smoke", [])
    assert min(row.epochs for row in (*settings.teach.members, settings.distill)) >= 3
    assert settings.distill.checkpoint_seconds == 0.0


def test_rows_inherit_from_teach_what_they_do_not_state():
    rows = [{"network": "a", "epochs": 2}, {"network": "b", "learning_rate": 0.5, "weight_decay": 0.0}]
    teach = {"epochs": 9, "learning_rate": 0.25, "members": rows}
    first, second = Settings.model_validate({"teach": teach | {"members": tuple(rows)}}).teach.members
    assert (first.epochs, first.learning_rate) == (2, 0.25)
    assert (second.epochs, second.learning_rate, second.weight_decay) == (9, 0.5, 0.0)
    assert first.label_smoothing == second.label_smoothing == 0.1  # the default of [teach], not that of a training


@pytest.mark.parametrize(("flip", "wanted", "tta_flip"), [(1, 1, True), (1, 0, False), (0, 1, False), (0, 0, False)])
def test_a_file_predicts_with_flip_tta_where_the_student_trained_with_flips(flip: int, wanted: int, tta_flip: bool):
    changes = [f"distill.augment.flip={bool(flip)}".lower(), f"pack.tta_flip={bool(wanted)}".lower()]
    assert load_settings("smoke", changes).tta_flip() is tta_flip


@pytest.mark.parametrize(("epochs", "tta_flip"), [(0, True), (2, False)])
def test_low_bit_epochs_without_flips_end_flip_tta(epochs: int, tta_flip: bool):
    assert load_settings("smoke", ["quantise.augment.flip=false", f"quantise.epochs={epochs}"]).tta_flip() is tta_flip


@pytest.mark.parametrize("name", ["distill", "views", "teach"])
def test_settings_are_frozen(name: str):
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(settings, name, getattr(Settings(), name))
    with pytest.raises(ValidationError, match="frozen"):
        settings.distill.epochs = 1  # pyright: ignore


def test_when_to_save_does_not_shape_the_result():
    testing = load_settings("smoke", ["distill.final_phase.images=testing"]).distill
    known = set(type(testing).model_fields)
    assert known - set(testing.shaping()) == {"checkpoint_seconds"}
    assert set(Settings().device.shaping()) == {"dtype"}
    inner = Settings().shaping()
    assert "checkpoint_seconds" not in inner["distill"]
    assert inner["device"] == {"dtype": "auto"}


@pytest.mark.parametrize("name", ["fraction", "test_share"])
@pytest.mark.parametrize("value", ["0", "1.1", "-0.1"])
def test_the_final_phase_has_some_of_the_epochs_and_test_images_in_each(name: str, value: str):
    with pytest.raises(RequestError, match=rf"distill\.final_phase\.{name}: .*(greater|less) than"):
        load_settings("smoke", [f"distill.final_phase.{name}={value}"])


def test_the_low_bit_student_inherits_batch_size_and_augmentation():
    settings = load_settings("smoke", ["distill.augment.flip=false", "distill.batch_size=7"])
    augment = settings.quantise.augment
    assert (augment.flip, settings.quantise.batch_size, augment.shift) == (False, 7, 1)
    settings = load_settings("smoke", ["distill.augment.flip=false", "quantise.augment.flip=true"])
    assert settings.quantise.augment.flip is True
    assert (settings.quantise.epochs, settings.distill.epochs) == (2, 3)  # its own


def test_bits_may_be_given_as_numbers():
    changes = ["quantise.bits=3", "quantise.head_bits=6", 'quantise.layer_bits={"stage1_1.conv1" = 8}']
    quantise = load_settings("smoke", changes).quantise
    assert (quantise.bits, quantise.head_bits, quantise.layer_bits) == ("3", "6", {"stage1_1.conv1": "8"})
    with pytest.raises(RequestError, match=r"quantise\.bits: input should be 'ternary', '2'.*found '7'"):
        load_settings("smoke", ["quantise.bits=7"])

from pathlib import Path

import pytest

from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import load_settings, parse_value, read_preset


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write a preset file below the working directory, return its relative name."""
    monkeypatch.chdir(tmp_path)

    def write(text: str, name: str = "mine.toml") -> str:
        (tmp_path / name).write_text(text)
        return name

    return write


def refused(change: str, preset: str = "smoke") -> str:
    with pytest.raises(RequestError) as caught:
        load_settings(preset, [change])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_extends_merges_sections_and_replaces_lists(preset):
    name = preset('extends = "smoke"\n[distill]\nepochs = 7\n[[teach.members]]\nnetwork = "test_vit"\n')
    settings, smoke = load_settings(name, []), load_settings("smoke", [])
    assert settings.distill.epochs == 7
    assert settings.distill.batch_size == smoke.distill.batch_size == 32
    assert [row.network for row in settings.teach.members] == ["test_vit"]
    assert settings.teach.members[0].epochs == smoke.teach.epochs == 3
    assert settings.data == smoke.data


def test_extends_goes_over_several_files(preset):
    preset('extends = "smoke"\n[distill]\nepochs = 7\nseed = 1\n', "a.toml")
    settings = load_settings(preset('extends = "a.toml"\n[distill]\nepochs = 8\n'), [])
    assert (settings.distill.epochs, settings.distill.seed, settings.data.image_size) == (8, 1, 16)


def test_presets_that_extend_each_other_are_refused(preset):
    preset('extends = "b.toml"\n', "a.toml")
    preset('extends = "a.toml"\n', "b.toml")
    with pytest.raises(RequestError, match=r"preset a\.toml extends itself: a\.toml -> b\.toml -> a\.toml"):
        read_preset("a.toml")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[distill]\nepochs = \n", r"mine\.toml: not a TOML file: .*line 2"),
        ('[distill]\nepochs = "many"\n', r"mine\.toml: distill\.epochs: input should be a valid integer, found 'many'"),
        ("distill = 3\n", r"mine\.toml: distill: input should be a valid dictionary.*found 3"),
        ("teach = 3\n", r"mine\.toml: teach: input should be a valid dictionary.*found 3"),
        ("[teach]\nmembers = 3\n", r"mine\.toml: teach: members is a list of tables"),
        ("[teach]\nmembers = [3]\n", r"mine\.toml: teach: members is a list of tables"),
        ("[[teach.members]]\nseed = 1\n", r"mine\.toml: teach\.members\.0\.network: field required"),
        ("extends = 3\n", r"mine\.toml: extends: expected a preset's name, found 3"),
        ('extends = "qick"\n', r"unknown preset 'qick' \(did you mean quick\?\)"),
        ("[xyzzy]\nepochs = 3\n", r"mine\.toml: unknown setting xyzzy$"),
    ],
)
def test_bad_presets_are_refused_in_one_line(preset, text: str, match: str):
    with pytest.raises(RequestError, match=match):
        load_settings(preset(text), [])


def test_presets_in_other_encodings_are_refused(tmp_path: Path):
    (tmp_path / "mine.toml").write_bytes("# größer".encode("latin-1"))
    with pytest.raises(RequestError, match=r"mine\.toml: not a TOML file: .*utf-8"):
        load_settings(str(tmp_path / "mine.toml"), [])


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (
            "qick",
            r"unknown preset 'qick' \(did you mean quick\?\); expected one of advice, cpu, demo, .*, or a \.toml file",
        ),
        ("gone.toml", r"preset gone\.toml: no such file"),
        ("../presets/smoke", r"unknown preset '\.\./presets/smoke'"),
        ("xyzzy", r"unknown preset 'xyzzy'; expected one of"),
    ],
)
def test_missing_presets_are_refused(name: str, match: str):
    with pytest.raises(RequestError, match=match):
        load_settings(name, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3e-4", 3e-4),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ('{width = 8, name = "x"}', {"width": 8, "name": "x"}),
        ('"3"', "3"),
        ("studentnet", "studentnet"),
        ("", ""),
        ("300,000", "300,000"),
    ],
)
def test_values_are_toml_else_text(text: str, value: object):
    assert parse_value(text) == value


def test_changes_lie_over_the_preset():
    changes = ["distill.network=studentnet", "distill.epochs=4", "teach.members.1.epochs=5", "export.weights=[1, 3]"]
    settings = load_settings("smoke", changes)
    assert settings.distill.network == "studentnet"
    assert settings.distill.epochs == 4
    assert [row.epochs for row in settings.teach.members] == [3, 5]
    assert settings.export.weights == (1, 3)


def test_changes_reach_into_the_options_of_a_row():
    options = load_settings("smoke", ["teach.members.0.options.width=8"]).teach.members[0].options
    assert options == {"width": 8}


def test_a_change_of_teach_reaches_the_rows():
    assert [row.epochs for row in load_settings("smoke", ["teach.epochs=6"]).teach.members] == [6, 6]


@pytest.mark.parametrize("change", ["distill.epochs", "=3", "", " =3"])
def test_a_change_without_key_or_value_is_refused(change: str):
    assert f"--set {change}: expected key=value, for example distill.epochs=30" in refused(change)


@pytest.mark.parametrize("row", ["2", "-1", "x", "²"])
def test_rows_that_do_not_exist_are_refused(row: str):
    expected = f"--set teach.members.{row}.epochs: expected a row from 0 to 1, found {row}"
    assert refused(f"teach.members.{row}.epochs=3") == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("distill.epoch=3", "unknown setting distill.epoch (did you mean distill.epochs?)"),
        ("teach.members.1.epoch=3", "unknown setting teach.members.1.epoch (did you mean teach.members.1.epochs?)"),
        ("imagesize=32", "unknown setting imagesize (did you mean data.image_size?)"),
        ("xyzzy=3", "unknown setting xyzzy"),
        ("distill.epochs=many", "distill.epochs: input should be a valid integer, found 'many'"),
        ("distill.epochs=4.0", "distill.epochs: input should be a valid integer, found 4.0"),
        ("distill.seed=true", "distill.seed: input should be a valid integer, found True"),
        ("distill.epochs=0", "distill.epochs: input should be greater than or equal to 1, found 0"),
        ("distill.alpha=1.5", "distill.alpha: input should be less than or equal to 1, found 1.5"),
        ("data.image_size=40", "data.image_size: input should be a multiple of 16, found 40"),
        ("distill.learning_rate=nan", "distill.learning_rate: input should be a finite number, found nan"),
        ("distill.learning_rate=inf", "distill.learning_rate: input should be a finite number, found inf"),
        ("distill.alpha=nan", "distill.alpha: input should be less than or equal to 1, found nan"),
        ("distill.ema_decay=nan", "distill.ema_decay: input should be less than 1, found nan"),
        ("views.teacher_policy=none", "views.teacher_policy: input should be 'teacher' or 'student', found 'none'"),
        ("export.weights=[1, 2, 3]", "export.weights has 3 entries, the ensemble has 2 members"),
        ("export.tta_flip=cleen", "export.tta_flip: expected true, false or \"clean\", found 'cleen'"),
        ("export.weights=[0, 0]", "export: weights must not all be 0"),
        ("views.student_views.x=3", "student_views is a value, not a section"),
        ("teach=3", "teach: input should be a valid dictionary"),
        ("teach.members.0=3", "teach: members is a list of tables, one per network"),
    ],
)
def test_bad_changes_are_refused(change: str, message: str):
    found = refused(change).partition(": ")[2]
    assert found.startswith(message)


def test_pretrained_and_weights_exclude_each_other():
    with pytest.raises(RequestError, match=r"teach\.members\.0: a member has `pretrained` or `weights`, not both"):
        load_settings("smoke", ["teach.members.0.pretrained=true", "teach.members.0.weights=w.safetensors"])

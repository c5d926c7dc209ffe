"""TOML text: what the standard library reads back is what was written."""

import tomllib
from pathlib import Path

import pytest

from pipeline.runtime.load_settings import load_settings, preset_names
from pipeline.runtime.toml_text import toml_text

VALUES = {
    "plain": 1,
    "share": 1e-05,
    "whole": 2.0,
    "yes": True,
    "text": 'a "quoted" \\ line\nand é \x7f \u2028 \U0001f600',
    "none": [],
    "numbers": [1, 2],
    "empty": {},
    "table": {"b": {"deep": "x", "a key": 1}, "a": 0},
    "rows": [{"name": "one", "options": {"width": 8}}, {"name": "two", "options": {}}],
}


def test_values_by_hand():
    values = {"a": 1, "b": {"c": True, "rows": [{"d": "x"}]}}
    assert toml_text(values, "two\nlines") == '# two\n# lines\na = 1\n\n[b]\nc = true\n\n[[b.rows]]\nd = "x"\n'


def test_what_is_written_is_read_back():
    assert tomllib.loads(toml_text(VALUES)) == VALUES


def test_what_toml_does_not_have_is_refused():
    with pytest.raises(TypeError, match="TOML has no value for None"):
        toml_text({"a": None})


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_comes_back_whole(name: str, tmp_path: Path):
    settings = load_settings(name, [])
    (tmp_path / "settings.toml").write_text(toml_text(settings.model_dump(mode="json")))
    assert load_settings(str(tmp_path / "settings.toml"), []) == settings

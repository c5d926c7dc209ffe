"""The reference of all settings, from their own fields: name, default, unit, range and meaning."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import nearest
from pipeline.runtime.settings import Settings
from pipeline.runtime.training_settings import HEIRS, INHERITED, ProgressiveTrainingSettings

WIDTH = 110  # characters of a line
ROW = "I"  # stands for the number of a member
BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
    ("multipleOf", "a multiple of"),
)

# settings of a section whose default is what another section has
SOURCES = (
    (f"teach.members.{ROW}.", tuple(ProgressiveTrainingSettings.model_fields), "teach"),
    *((f"{heir}.", INHERITED, "distill") for heir in HEIRS),
)

Schema = dict[str, Any]


def describe_settings(section: str | None = None) -> list[dict[str, str]]:
    """name, default, unit, range and meaning of every setting, or of those of a section such as distill.augment.

    Raises RequestError for a section that does not exist, with the nearest one.
    """
    schema = Settings.model_json_schema(mode="validation")
    rows = list(_settings_of(schema, schema, ""))
    if section is None:
        return rows
    chosen = [row for row in rows if row["name"] == section or row["name"].startswith(f"{section}.")]
    if not chosen:
        sections = list(dict.fromkeys(row["name"].rpartition(".")[0] for row in rows))
        near = nearest(section, [*sections, *(row["name"] for row in rows)])
        raise RequestError(f"unknown section {section!r}{near}; expected one of {', '.join(sections)}")
    return chosen


def settings_lines(rows: list[dict[str, str]]) -> list[str]:
    """One paragraph per setting, each section under its name."""
    lines, shown = [], ""
    for row in rows:
        section, _, name = row["name"].rpartition(".")
        if section != shown:
            lines += ["", f"[{section}]"]
            shown = section
        lines.append(f"{name} = {row['default']}".rstrip())
        limits = ", ".join(filter(None, (row["unit"], row["range"])))
        meaning = row["meaning"] + (f" ({limits})" if limits else "")
        lines += textwrap.wrap(meaning, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return lines[1:]


def _settings_of(group: Schema, root: Schema, prefix: str) -> Iterator[dict[str, str]]:
    """The settings of a group, those of the groups inside it after its own."""
    inside = []
    for name, field in group["properties"].items():
        if inner := _group_of(field, root):
            inside.append((inner, f"{prefix}{name}."))
            continue
        yield {
            "name": prefix + name,
            "default": _inherited(prefix + name) or _default(field),
            "unit": field.get("unit", ""),
            "range": _range(field),
            "meaning": field.get("description", ""),
        }
        if rows := _group_of(field.get("items", {}), root):
            inside.append((rows, f"{prefix}{name}.{ROW}."))
    for inner, inner_prefix in inside:
        yield from _settings_of(inner, root, inner_prefix)


def _group_of(field: Schema, root: Schema) -> Schema:
    """The section that a field holds; empty when it is a plain setting."""
    reference = field.get("$ref", "")
    return root["$defs"][reference.rpartition("/")[2]] if reference else {}


def _inherited(name: str) -> str:
    """The section that the default of a setting comes from, where it is another one's."""
    for start, names, source in SOURCES:
        if name.startswith(start) and name.removeprefix(start).partition(".")[0] in names:
            return f"as in [{source}]"
    return ""


def _default(field: Schema) -> str:
    return json.dumps(field["default"]) if "default" in field else ""


def _range(field: Schema) -> str:
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(filter(None, map(_range, field["anyOf"]))))
    if "enum" in field:
        return ", ".join(json.dumps(value) for value in field["enum"])
    if "const" in field:
        return json.dumps(field["const"])
    if field.get("type") == "boolean":
        return "true, false"
    if "items" in field:
        each = _range(field["items"])
        return f"each {each}" if each else ""
    return ", ".join(f"{word} {field[key]:,}" for key, word in BOUNDS if key in field)

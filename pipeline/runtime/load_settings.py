"""Settings from a preset and `--set` changes; an error is one line with the nearest name that exists."""

import contextlib
import copy
import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.runtime.errors import RequestError
from pipeline.runtime.section import Section
from pipeline.runtime.settings import Settings
from pipeline.runtime.training_settings import HEIRS, INHERITED, MemberSettings, ProgressiveTrainingSettings

CLOSE = 0.6  # similarity of a name that is suggested, 1 is equal (difflib)
PRESETS = Path(__file__).parent.parent / "presets"


def load_settings(preset: str, changes: list[str]) -> Settings:
    """Settings of a preset (its name or a TOML file) with the `--set key=value` changes over it.

    Raises RequestError naming the preset, file, line or key that is wrong, with the nearest name that exists.
    """
    return validate(preset_values(preset, changes), f"preset {preset}")


def preset_values(preset: str, changes: Sequence[str]) -> dict[str, Any]:
    """The values that a preset and the changes over it state, before anything is inherited. Raises RequestError."""
    return changed(read_preset(preset), changes)


def changed(values: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Plain values with the `--set key=value` changes over them. Raises RequestError for one that is none."""
    laid_over = copy.deepcopy(dict(values))
    for change in changes:
        _lay_over(laid_over, change)
    return laid_over


def validate(values: dict[str, Any], where: str) -> Settings:
    """Settings of plain values. Raises RequestError for the first fault, in one line."""
    try:
        return Settings.model_validate(tuples(values))
    except ValidationError as error:
        raise RequestError(f"{where}: {_explain(error.errors()[0])}") from None


def without_inherited(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved settings as plain values, without those that sections and members would inherit just so."""
    teach, shared = settings["teach"], ProgressiveTrainingSettings.model_fields
    rows = [_but_for(row, teach, shared) for row in teach["members"]]
    heirs = {name: _but_for(settings[name], settings["distill"], INHERITED) for name in HEIRS}
    return {**settings, "teach": teach | {"members": rows}, **heirs}


def _but_for(values: Mapping[str, Any], source: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    same = {name for name in names if values[name] == source[name]}
    return {name: value for name, value in values.items() if name not in same}


def preset_names() -> list[str]:
    """Names of the presets of the program."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def read_preset(preset: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Values of a preset over those that it extends. Raises RequestError when it is missing, not TOML, or circular."""
    if preset in seen:
        raise RequestError(f"preset {preset} extends itself: {' -> '.join((*seen, preset))}")
    path = _preset_path(preset)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path}: not a TOML file: {error}") from None
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise RequestError(f"{path}: extends: expected a preset's name, found {base!r}")
    return merge(read_preset(base, (*seen, preset)), values)


def _preset_path(preset: str) -> Path:
    named = PRESETS / f"{preset}.toml"
    if "/" not in preset and named.is_file():
        return named
    path = Path(preset)
    with contextlib.suppress(OSError):  # a name too long for any file
        if path.suffix == ".toml" and path.is_file():
            return path
    if path.suffix == ".toml":
        raise RequestError(f"preset {preset}: no such file")
    raise RequestError(
        f"unknown preset {preset!r}{nearest(preset, preset_names())}; "
        f"expected one of {', '.join(preset_names())}, or a .toml file"
    )


def merge(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, tables entry by entry."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _lay_over(values: dict[str, Any], change: str) -> None:
    """Put one `a.b=value` into nested tables."""
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise RequestError(f"--set {change}: expected key=value, for example distill.epochs=30")
    put(values, key.strip(), parse_value(text))


def put(values: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key of nested tables; a number in it picks a row, as in teach.members.0.epochs."""
    place: Any = values
    *path, last = key.split(".")
    for part in path:
        place = place[_row(place, part, key)] if isinstance(place, list) else place.setdefault(part, {})
        if not isinstance(place, (dict, list)):
            raise RequestError(f"--set {key}: {part} is a value, not a section")
    if isinstance(place, list):
        place[_row(place, last, key)] = value
    else:
        place[last] = value


def _row(rows: list[Any], part: str, key: str) -> int:
    if part.isdecimal() and int(part) < len(rows):
        return int(part)
    raise RequestError(f"--set {key}: expected a row from 0 to {len(rows) - 1}, found {part}")


def parse_value(text: str) -> Any:
    """The value of TOML text, or the text itself where it is not TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def tuples(value: Any) -> Any:
    """The value with tuples for lists: TOML and JSON have lists, frozen settings hold tuples."""
    if isinstance(value, dict):
        return {key: tuples(inner) for key, inner in value.items()}
    return tuple(tuples(inner) for inner in value) if isinstance(value, list) else value


def _explain(error: ErrorDetails) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        row = ".".join(str(part) for part in error["loc"][:-1])
        names = setting_names(MemberSettings, f"{row}.") if row.startswith("teach.members.") else setting_names()
        return f"unknown setting {key}{nearest(key, names)}"
    found = "" if isinstance(error["input"], (dict, tuple)) else f", found {error['input']!r}"
    if key.startswith("export.weights"):  # a union, which pydantic explains part by part
        return f'export.weights: expected one number per member, not below 0, or "fitted"{found}'
    if key.startswith("export.tta_flip"):  # likewise
        return f'export.tta_flip: expected true, false or "clean"{found}'
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}{found}" if key else message


def setting_names(section: type[Section] = Settings, prefix: str = "") -> list[str]:
    """Every setting's full name, such as distill.epochs."""
    names = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            names += setting_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def nearest(word: str, names: list[str]) -> str:
    """` (did you mean ...?)` with the closest name, or nothing.

    A word of a section that exists, such as distill.epoch, is compared with the names of that section, then with the
    last parts of all names. For a word without a dot, sections count too.
    """
    section, _, last = word.rpartition(".")
    tails = {name.rpartition(".")[2]: name for name in names}
    inside = {name.rpartition(".")[2]: name for name in names if section and name.startswith(f"{section}.")}
    if "." not in word:
        names = names + sorted({name.split(".")[0] for name in names if "." in name})
    close = [inside[tail] for tail in difflib.get_close_matches(last, inside, 1, CLOSE)]
    close = close or ([] if inside else difflib.get_close_matches(word, names, 1, CLOSE))
    close = close or [tails[tail] for tail in difflib.get_close_matches(last, tails, 1, CLOSE)]
    return f" (did you mean {close[0]}?)" if close else ""

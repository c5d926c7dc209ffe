"""Settings as TOML text that `--preset` reads back: the same settings, all of them stated."""

import json
from collections.abc import Iterator, Mapping
from typing import Any


def toml_text(values: Mapping[str, Any], comment: str = "") -> str:
    """TOML of nested tables of JSON values. Raises TypeError for None, which TOML does not have."""
    lines = [f"# {line}" for line in comment.splitlines()]
    return "\n".join([*lines, *_table(values, "")]).strip() + "\n"


def _table(values: Mapping[str, Any], path: str) -> Iterator[str]:
    inner = {key: value for key, value in values.items() if isinstance(value, Mapping) and value}
    for key, value in values.items():
        if key not in inner and not _is_rows(value):
            yield f"{_key(key)} = {_value(value)}"
    for key, table in inner.items():
        yield from ("", f"[{path}{_key(key)}]", *_table(table, f"{path}{_key(key)}."))
    for key, value in values.items():
        for row in value if _is_rows(value) else ():
            yield from ("", f"[[{path}{_key(key)}]]", *_table(row, f"{path}{_key(key)}."))


def _is_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "")
    return key if plain.isascii() and plain.isalnum() else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # a JSON string is a TOML one, but for characters above U+FFFF, which stay themselves, and DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    raise TypeError(f"TOML has no value for {value!r}")

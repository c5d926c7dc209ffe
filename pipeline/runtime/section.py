"""A group of typed settings or of recorded values: frozen, strict, and digested by what shapes a result."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A frozen group of values that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def shaping(self) -> dict[str, Any]:
        """All values that shape a result, as JSON values for digests: without those marked `execution`."""
        return self.model_dump(mode="json", exclude=_execution_only(self))


def setting(default: Any, meaning: str, unit: str = "", *, execution: bool = False, **limits: Any) -> Any:
    """A field with its meaning and unit; `limits` are those of pydantic's Field.

    `execution`: it decides how the machine works (how often it saves, with how many processes) and not what comes out.
    """
    return Field(
        default=default, description=meaning, json_schema_extra={"unit": unit, "execution": execution}, **limits
    )


def execution_settings(group: type[Section]) -> set[str]:
    """The names of the fields marked `execution`."""
    extras = {name: field.json_schema_extra for name, field in group.model_fields.items()}
    return {name for name, extra in extras.items() if isinstance(extra, dict) and extra.get("execution")}


def _execution_only(section: Section) -> dict[str, Any]:
    """What pydantic is to leave out of a section, its inner sections included."""
    left_out: dict[str, Any] = dict.fromkeys(execution_settings(type(section)), True)
    for name in type(section).model_fields:
        value = getattr(section, name)
        if name in left_out:
            continue
        if isinstance(value, Section):
            left_out[name] = _execution_only(value)
        elif isinstance(value, tuple) and value and all(isinstance(row, Section) for row in value):
            left_out[name] = {"__all__": _execution_only(value[0])}
    return left_out

"""The house as DESIGN draws it: who imports whom, how long a file may be, what may not occur at all."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE_LINES = 300
SOURCES = sorted(path for folder in ("models", "pipeline") for path in (ROOT / folder).rglob("*.py"))
TEXTS = [
    *SOURCES,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "pipeline").rglob("*.toml")),
    *sorted(ROOT.glob("*.md")),
    *(ROOT / name for name in ("run.sh", "pyproject.toml", "requirements.txt", ".ci/run")),
]
# A module may import from its own floor and those below it.
FLOORS = [
    ("models", "pipeline.runtime"),
    ("pipeline.contest",),
    ("pipeline.data",),
    ("pipeline.training",),
    ("pipeline.stages", "pipeline.bench"),
    ("pipeline.studies",),
]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """Every module of this project that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name in MODULES}


MODULES = {module_name(path) for path in SOURCES}
GRAPH = {module_name(path): imports_of(path) - {module_name(path)} for path in SOURCES}


def floor(module: str) -> int:
    return next((number for number, rooms in enumerate(FLOORS) if module.startswith(rooms)), len(FLOORS))


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_imports_run_one_way(module: str) -> None:
    wrong = sorted(imported for imported in GRAPH[module] if floor(imported) > floor(module))
    assert wrong == []


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of imports, or nothing: take away what imports nothing that is left, until nothing moves."""
    left = dict(graph)
    while free := [module for module, imported in left.items() if not imported & left.keys()]:
        for module in free:
            del left[module]
    return sorted(left)


def test_no_circle_among_imports() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c", "d"]  # the test can fail
    assert circle(GRAPH) == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE_LINES


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_left_undone(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"\bpickle\b|torch\.load\(|weights_only|allow_pickle=True", text) == []
    assert re.findall(r"TODO|FIXME|XXX|raise NotImplementedError", text) == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_absolute(path: Path) -> None:
    places = "|".join(("ro" + "ot", "ho" + "me", "wo" + "rk", "t" + "mp", "Us" + "ers"))
    assert re.findall(rf"[\"' =](/(?:{places})/\S*)", path.read_text()) == []


@pytest.mark.parametrize("folder", ["models", "pipeline"])
def test_names_explain_themselves(folder: str) -> None:
    assert [p.name for p in (ROOT / folder).rglob("*.py") if p.stem in {"utils", "helpers", "common", "misc"}] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert len(docstring.splitlines()[0]) >= 20

"""The house: which room may import which, how long a file may be, what may not occur at all."""

import ast
import re
from pathlib import Path

import pytest

from pipeline.stages.run import STAGES

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE_LINES = 300
SOURCES = sorted(path for folder in ("models", "pipeline") for path in (ROOT / folder).rglob("*.py"))
SCRIPTS = sorted((ROOT / "measurements").glob("*.py"))
TEXTS = [
    *SOURCES,
    *SCRIPTS,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "pipeline").rglob("*.toml")),
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("run.sh", "pyproject.toml", "requirements.txt", ".ci/run")),
]
# A room may import from the floors below its own.
FLOORS = (
    ("models", "pipeline.runtime"),
    ("pipeline.contest", "pipeline.data"),
    ("pipeline.training",),
    ("pipeline.stages", "pipeline.bench"),
    ("pipeline.studies",),
    ("pipeline",),  # the command line
)
# A stage opens its inputs once and passes arrays, networks and a settings section down to these rooms.
KNOW_NO_RUN = ("pipeline.contest", "pipeline.data", "pipeline.training")
OF_A_RUN = {"pipeline.runtime.folder", "pipeline.runtime.request", "pipeline.runtime.steps"}
MOST_ROOMS, MOST_FLOORS, MOST_ARROWS = 12, 6, 40
DOOR = "pipeline.__main__"  # the one place that imports late


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


def room(module: str) -> tuple[int, str]:
    """Floor and name of the room of a module."""
    return next((floor, name) for floor, names in enumerate(FLOORS) for name in names if is_in(module, name))


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def may_import(importer: str, imported: str) -> bool:
    (floor, own), (other_floor, other) = room(importer), room(imported)
    return own == other or other_floor < floor


@pytest.mark.parametrize("module", sorted(GRAPH.keys() - {"pipeline"}))
def test_imports_run_down(module: str) -> None:
    assert sorted(imported for imported in GRAPH[module] - {"pipeline"} if not may_import(module, imported)) == []


@pytest.mark.parametrize("module", sorted(GRAPH))
def test_what_serves_any_run_knows_none(module: str) -> None:
    if any(is_in(module, package) for package in KNOW_NO_RUN):
        assert GRAPH[module] & OF_A_RUN == set()


def test_there_are_few_rooms_and_few_arrows_between_them() -> None:
    """A room is an entry of FLOORS; an arrow is a room that imports from another."""
    arrows = {(room(module), room(imported)) for module in GRAPH for imported in GRAPH[module]}
    arrows = {(own, other) for own, other in arrows if own != other}
    assert sum(map(len, FLOORS)) <= MOST_ROOMS
    assert len(FLOORS) <= MOST_FLOORS
    assert len(arrows) <= MOST_ARROWS


def test_no_stage_imports_a_stage() -> None:
    modules = {stage.function().__module__ for stage in STAGES} | {"pipeline.stages.delivery.deliver"}
    assert len(modules) == len(STAGES) + 1
    assert {module: GRAPH[module] & modules for module in modules if GRAPH[module] & modules} == {}


def late_imports(path: Path) -> list[int]:
    """Lines on which a function imports."""
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    inside = [node for function in functions for node in ast.walk(function)]
    return sorted({node.lineno for node in inside if isinstance(node, (ast.Import, ast.ImportFrom))})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_stand_at_the_top(path: Path) -> None:
    assert bool(late_imports(path)) == (module_name(path) == DOOR)
    assert "TYPE_CHECKING" not in path.read_text()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_import_at_the_top(path: Path) -> None:
    assert late_imports(path) == []


PROCESSES = (
    r"^(?:from|import) (joblib|concurrent\.futures\.process|subprocess|multiprocessing)\b|ProcessPoolExecutor|os\.fork"
)
STARTS_PROCESSES = {
    "pipeline.runtime.engine",  # all that works side by side
    "pipeline.runtime.console",  # asks whether this is the first process
    "pipeline.stages.delivery.manifest",  # asks git for the commit
}


def test_one_module_starts_the_processes_that_work() -> None:
    found = {module_name(path) for path in SOURCES if re.search(PROCESSES, path.read_text(), re.MULTILINE)}
    assert found == STARTS_PROCESSES


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


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_unpickled_or_left_undone(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"\bpickle\b|torch\.load\(|weights_only|allow_pickle=True", text) == []
    assert re.findall(r"TODO|FIXME|XXX|raise NotImplementedError", text) == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_absolute(path: Path) -> None:
    places = "|".join(("ro" + "ot", "ho" + "me", "wo" + "rk", "t" + "mp", "Us" + "ers"))
    assert re.findall(rf"[\"' =](/(?:{places})/\S*)", path.read_text()) == []


@pytest.mark.parametrize("folder", ["models", "pipeline", "measurements"])
def test_names_explain_themselves(folder: str) -> None:
    assert [p.name for p in (ROOT / folder).rglob("*.py") if p.stem in {"utils", "helpers", "common", "misc"}] == []


@pytest.mark.parametrize("path", [*SOURCES, *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert len(docstring.splitlines()[0]) >= 20

"""Which studies there are: every file of pipeline/studies is one. They are read, not imported: no torch."""

import ast
from pathlib import Path

from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import nearest

FOLDER = Path(__file__).resolve().parent.parent / "studies"


def study_names() -> tuple[str, ...]:
    """Their names, in order."""
    found = (path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    return tuple(sorted(map(study_name, found)))


def study_name(module: str) -> str:
    """The name of a study by which it is asked for, of that of its file."""
    return module.replace("_", "-")


def study_module(name: str) -> str:
    """The name of the file of a study."""
    return name.replace("-", "_")


def study_summaries() -> dict[str, str]:
    """The first line of each file's docstring, by name."""
    files = {name: FOLDER / f"{study_module(name)}.py" for name in study_names()}
    docstrings = {name: ast.get_docstring(ast.parse(path.read_text())) for name, path in files.items()}
    return {name: (docstring or "").partition("\n")[0] for name, docstring in docstrings.items()}


def check_study(name: str) -> None:
    """Refuse a study that does not exist. Raises RequestError with the nearest one."""
    if name not in study_names():
        near = nearest(name, list(study_names()))
        raise RequestError(f"unknown study {name!r}{near}; expected one of {', '.join(study_names())}")

"""docs/settings.md, written whole from the settings themselves."""

from itertools import groupby
from pathlib import Path

from measurements.doc_markers import markdown
from measurements.doc_program import all_presets
from pipeline.runtime.describe_settings import describe_settings

HEAD = """# Settings

This page is written by `measurements/write_docs.py` from the program's own settings.

A preset is a TOML file that states what differs from the defaults below. `--set` changes single settings on top of it:

    ./run.sh --data mycontest.zip --name mine --set distill.epochs=60 distill.alpha=0.5
    ./run.sh settings distill

Your own file goes to `--preset mine.toml`. It may begin with `extends = "cpu"`. Unknown names are refused with the
nearest name that exists. A changed setting redoes the steps that depend on it and nothing before them.

## Presets
"""
TAIL = "Without `--preset`: `demo` for the digits, `gpu` where a CUDA kernel runs, `cpu` elsewhere."
HEADER = ("setting", "default", "meaning", "unit", "range")


def settings_page(document: Path) -> str:
    """The page: presets, then a table for each section."""
    parts = [HEAD, all_presets(document), "", TAIL]
    rows = describe_settings()
    for section, found in groupby(rows, lambda row: row["name"].rpartition(".")[0]):
        title = "the rows of `teach.members`" if section == "teach.members.I" else f"`[{section}]`"
        parts += ["", f"## {title}", "", markdown(HEADER, [_row(row) for row in found])]
    return "\n".join(parts) + "\n"


def _row(row: dict[str, str]) -> tuple[str, ...]:
    default = f"`{row['default']}`" if row["default"] and not row["default"].startswith("as in") else row["default"]
    return (f"`{row['name'].rpartition('.')[2]}`", default, row["meaning"], row["unit"], row["range"])

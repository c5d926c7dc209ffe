"""The markers between which generated text stands in a document, and Markdown tables.

A table stands between `<!-- table: NAME -->` and `<!-- end -->` on lines of their own; a single figure between
`<!-- value: NAME -->` and `<!-- end -->` inside a line. A table without rows leaves the markers alone.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MARKED = re.compile(r"(<!-- (?P<kind>table|value): (?P<name>[^ ]+) -->)(?P<old>.*?)(<!-- end -->)", re.DOTALL)
OPENING = re.compile(r"<!-- (?:table|value): ")
CLOSING = "<!-- end -->"
Tables = Mapping[str, Callable[[Path], str]]


class MarkerError(ValueError):
    """A marker that names nothing, or is not closed."""


def filled(text: str, document: Path, tables: Tables, value: Callable[[str], str]) -> str:
    """The text with every table and every figure written anew. Raises MarkerError for an unknown name.

    A table is asked for with the path of the document, to which its links are relative.
    """
    if len(OPENING.findall(text)) != text.count(CLOSING):
        raise MarkerError(f"{document.name}: a marker is not closed by {CLOSING}")

    def written(match: re.Match[str]) -> str:
        name = match["name"]
        if match["kind"] == "value":
            return f"{match[1]}{value(name)}{CLOSING}"
        if name not in tables:
            raise MarkerError(f"{document.name}: no table is called {name!r}; expected one of {', '.join(tables)}")
        body = tables[name](document)
        return f"{match[1]}\n{body}\n{CLOSING}" if body else f"{match[1]}\n{CLOSING}"

    return MARKED.sub(written, text)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def link(document: Path, target: Path, text: str) -> str:
    """A link from a document to a file or folder of the repository."""
    relative = Path(os.path.relpath(target, document.parent))
    return f"[{text}]({relative.as_posix()})"

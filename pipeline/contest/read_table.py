"""A table as text: CSV with commas, semicolons, tabs or bars, in UTF-8 or UTF-16."""

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.contest.match_ids import listed, repeated
from pipeline.runtime.errors import RequestError

SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Table:
    """Cells by column; the rows are called by their line numbers."""

    cells: pd.DataFrame
    separator: str


def read_table(content: bytes, where: str, header: Sequence[str] = ()) -> Table:
    """Read a table. A BOM, CRLF and blank lines are accepted; all cells stay text.

    header: the names of the columns, of a table that has none of its own. Raises RequestError when it is neither
    UTF-8 nor UTF-16, not CSV, or empty, and when a line is longer or shorter than the header.
    """
    text = _decoded(content, where)
    separator = _separator(text)
    lines = _lines(text, separator, where)
    if not lines:
        raise RequestError(f"{where} is empty, expected a header and one line per image")
    if header:
        count = len(lines[0][1])
        names, rows = [*header[:count], *(f"column {i + 1}" for i in range(len(header), count))], lines
    else:
        (_, names), *rows = lines
    for line, cells in rows:
        if len(cells) != len(names):
            raise RequestError(f"{where}, line {line}: found {len(cells)} columns, expected {len(names)}")
    return Table(pd.DataFrame([cells for _, cells in rows], [line for line, _ in rows], names, dtype=str), separator)


def refuse_repeated_columns(columns: Sequence[str], where: str) -> None:
    """Raise RequestError where two columns have one name."""
    if repeated(columns):
        raise RequestError(f"{where}: columns repeated: {listed(repeated(columns))}; expected different names")


def _decoded(content: bytes, where: str) -> str:
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} is not a CSV in UTF-8 ({error}); save it as CSV in UTF-8") from error


def _separator(text: str) -> str:
    """The separator of the first line: a comma where it has one, else what parts it most often."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    counts = {mark: len(next(csv.reader([first], delimiter=mark), [])) for mark in SEPARATORS}
    return "," if counts[","] > 1 else max(SEPARATORS, key=lambda mark: counts[mark])


def _lines(text: str, separator: str, where: str) -> list[tuple[int, list[str]]]:
    """Line numbers and cells, without blank lines."""
    try:
        # not pandas.read_csv: it fills up short lines and does not know the line numbers
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        return [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        raise RequestError(f"{where} is not a CSV in UTF-8 ({error})") from error

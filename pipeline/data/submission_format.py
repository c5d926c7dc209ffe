"""What a contest's CSV must look like: header, ids, order and label texts, from a sample or from the file names."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from pipeline.errors import RequestError

DEFAULT_HEADER = ("Id", "label")
MOST_LISTED = 10
INTEGER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class SubmissionFormat:
    """The lines of the CSV: line i has ids[i] and the label text of testing record rows[i]."""

    header: tuple[str, str]
    ids: tuple[str, ...]
    rows: tuple[int, ...]
    labels: tuple[str, ...]  # the text of each class


def format_without_sample(files: Sequence[str], labels: Sequence[str]) -> SubmissionFormat:
    """`Id,label` by stem: integers (0001.jpg is 1) in numeric order when all are, else texts in text order.

    files: the testing records' files, in record order. Raises RequestError when two files give one integer.
    """
    stems = [PurePosixPath(file).stem for file in files]
    if not all(map(INTEGER.fullmatch, stems)):
        rows = sorted(range(len(stems)), key=lambda row: stems[row])
        return SubmissionFormat(DEFAULT_HEADER, tuple(stems[row] for row in rows), tuple(rows), tuple(labels))
    numbers = [int(stem) for stem in stems]
    rows = sorted(range(len(numbers)), key=lambda row: numbers[row])
    for row, following in pairwise(rows):
        if numbers[row] == numbers[following]:
            raise RequestError(
                f"{files[row]} and {files[following]} both give Id {numbers[row]}; expected one image per Id"
            )
    return SubmissionFormat(DEFAULT_HEADER, tuple(str(numbers[row]) for row in rows), tuple(rows), tuple(labels))


def format_from_sample(content: bytes, where: str, files: Sequence[str], labels: Sequence[str]) -> SubmissionFormat:
    """Take the sample's own header, ids (as text) and order, each id matched to the file that it names.

    content: the sample's bytes; where: its name for messages; files: the testing records' files, in record order.
    Raises RequestError when it is no table of two columns, or when its ids and the files are not one to one.
    """
    table = read_table(content, where)
    _, header = table[0]
    if len(header) > 2:
        raise RequestError(
            f"{where}: found {len(header)} columns, expected 2 (id and label); "
            "probability columns are not supported yet"
        )
    for line, cells in table:
        if len(cells) != 2:
            raise RequestError(f"{where}, line {line}: found {len(cells)} columns, expected 2 (id and label)")
    ids = [cells[0] for _, cells in table[1:]]
    rows = _match(ids, files, where)
    return SubmissionFormat((header[0], header[1]), tuple(ids), tuple(rows), tuple(labels))


def read_table(content: bytes, where: str) -> list[tuple[int, list[str]]]:
    """Lines of a CSV as (line number, cells as text), header first; a BOM, CRLF and blank lines are accepted.

    Raises RequestError when it is not UTF-8, not CSV, or empty.
    """
    try:
        text = content.decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        table = [(reader.line_num, cells) for cells in reader if cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{where} is not a CSV in UTF-8 ({error})") from error
    if not table:
        raise RequestError(f"{where} is empty, expected a header and one line per testing image")
    return table


def listed(items: Sequence[str]) -> str:
    """`3 (a, b, c)`: the count and at most the first ten."""
    more = ", ..." if len(items) > MOST_LISTED else ""
    return f"{len(items)} ({', '.join(items[:MOST_LISTED])}{more})"


def _match(ids: Sequence[str], files: Sequence[str], where: str) -> list[int]:
    """Row of each id: by exact file name, else by exact stem, else by equal integer; one to one or RequestError."""
    names = [PurePosixPath(file) for file in files]
    by_text = {name.stem: row for row, name in enumerate(names)} | {name.name: row for row, name in enumerate(names)}
    by_number = _rows_by_number([name.stem for name in names])
    matched = [by_text.get(id_, by_number.get(_number(id_), -1)) for id_ in ids]
    uses = Counter(matched)
    repeated = list(dict.fromkeys(id_ for id_, row in zip(ids, matched, strict=True) if row >= 0 and uses[row] > 1))
    without_image = [id_ for id_, row in zip(ids, matched, strict=True) if row < 0]
    without_id = [name.name for row, name in enumerate(names) if row not in uses]
    problems = {"ids repeated": repeated, "ids without a testing image": without_image}
    problems["testing images without an id"] = without_id
    found = "; ".join(f"{problem}: {listed(items)}" for problem, items in problems.items() if items)
    if found:
        raise RequestError(f"{where}: {found}; expected each testing image once, by file name, stem or number")
    return matched


def _number(text: str) -> int | None:
    return int(text) if INTEGER.fullmatch(text) else None


def _rows_by_number(stems: Sequence[str]) -> dict[int | None, int]:
    """Row of each number that one stem alone has: 1 does not say which of 1.jpg and 0001.jpg is meant."""
    numbers = [_number(stem) for stem in stems]
    counts = Counter(numbers)
    return {number: row for row, number in enumerate(numbers) if number is not None and counts[number] == 1}

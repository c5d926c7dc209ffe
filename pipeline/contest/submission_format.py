"""The format of a contest's CSV: header, ids, order and labels, from a sample or from the file names."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import pandas as pd

from pipeline.contest.folders import find_file
from pipeline.contest.match_ids import listed, match_ids, number, plain, repeated
from pipeline.contest.source import Source
from pipeline.runtime.errors import RequestError

SAMPLE_FILES = ("sample_submission.csv", "samplesubmission.csv")  # Kaggle's names, in any case
DEFAULT_HEADER = ("Id", "label")


@dataclass(frozen=True)
class SubmissionFormat:
    """The lines of the CSV: line i has ids[i] and the prediction for testing record rows[i].

    Without `columns` the prediction is the text of the most probable class. With them it is one probability per
    class: column 1 + k of the header is that of class columns[k].
    """

    header: tuple[str, ...]
    ids: tuple[str, ...]
    rows: tuple[int, ...]
    labels: tuple[str, ...]  # the text of each class
    columns: tuple[int, ...] = ()


def find_sample(source: Source, root: str) -> str | None:
    """Find the sample submission of the contest in `root`."""
    return find_file(source, root, SAMPLE_FILES)


def format_without_sample(files: Sequence[str], labels: Sequence[str], *, plain_ids: bool) -> SubmissionFormat:
    """`Id,label`; with plain_ids by stem, as integers (0001.jpg is 1) when all are, else by file name.

    In numeric order when all ids are integers, else in text order. files: the testing records' files, in record
    order. Raises RequestError when two files give one id.
    """
    names = [PurePosixPath(file).stem if plain_ids else PurePosixPath(file).name for file in files]
    numbers = [number(name) for name in names]
    ids = [text for text in numbers if text is not None]
    if len(ids) == len(names):
        rows = sorted(range(len(ids)), key=lambda row: int(ids[row]))
    else:
        ids = names
        rows = sorted(range(len(ids)), key=lambda row: ids[row])
    for row, following in pairwise(rows):
        if ids[row] == ids[following]:
            raise RequestError(
                f"{files[row]} and {files[following]} both give Id {ids[row]}; expected one image per Id"
            )
    return SubmissionFormat(DEFAULT_HEADER, tuple(ids[row] for row in rows), tuple(rows), tuple(labels))


def format_from_sample(content: bytes, where: str, files: Sequence[str], labels: Sequence[str]) -> SubmissionFormat:
    """The sample's own header, ids (as text) and order, with each id matched to the file that it names.

    Two columns ask for a label; more ask for probabilities, one column per class, in any order. content: bytes of the
    sample; where: its name in messages; files: those of the testing records, in record order. Raises RequestError
    when it has other columns, or when its ids and the files are not one to one.
    """
    table = read_table(content, where)
    header = tuple(table)
    if len(header) < 2:
        raise RequestError(f"{where}, line 1: found {len(header)} columns, expected an id and a label or classes")
    columns = _class_columns(header[1:], labels, where) if len(header) > 2 else ()
    ids = table.iloc[:, 0].tolist()  # by place: names may be repeated
    rows = _match(ids, files, where)
    return SubmissionFormat(header, tuple(ids), tuple(rows), tuple(labels), columns)


def read_table(content: bytes, where: str) -> pd.DataFrame:
    """A CSV as text: columns by the names of its header, rows by line number; a BOM, CRLF and blank lines are accepted.

    Raises RequestError when it is not UTF-8, not CSV, or empty, or when a line is longer or shorter than the header.
    """
    try:
        # not pandas.read_csv: it fills up short lines and does not know the line numbers
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        lines = [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RequestError(f"{where} is not a CSV in UTF-8 ({error})") from error
    if not lines:
        raise RequestError(f"{where} is empty, expected a header and one line per image")
    (_, header), *rows = lines
    _check_columns(header, rows, where)
    return pd.DataFrame([cells for _, cells in rows], [line for line, _ in rows], header, dtype=str)


def _check_columns(header: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]], where: str) -> None:
    separator = next((mark for mark in (";", "\t") if mark in header[0]), None)
    if separator and len(header) == 1:
        raise RequestError(f"{where}: columns are separated by {separator!r}, expected ','")
    for line, cells in rows:
        if len(cells) != len(header):
            raise RequestError(f"{where}, line {line}: found {len(cells)} columns, expected {len(header)}")


def _class_columns(names: Sequence[str], labels: Sequence[str], where: str) -> tuple[int, ...]:
    """Class index of each column."""
    names, index = list(map(plain, names)), {plain(label): position for position, label in enumerate(labels)}
    problems = {
        "columns repeated": repeated(names),
        "columns without a training image": [name for name in names if name not in index],
        "classes without a column": [label for label in index if label not in names],
    }
    found = "; ".join(f"{problem}: {listed(items)}" for problem, items in problems.items() if items)
    if found:
        raise RequestError(f"{where}: {found}; expected the id and one column per class, or the id and a label")
    return tuple(index[name] for name in names)


def _match(ids: Sequence[str], files: Sequence[str], where: str) -> list[int]:
    """Row of the file that each id names. Raises RequestError when they are not one to one."""
    matched = match_ids(ids, files)
    uses = Counter(matched)
    names = [PurePosixPath(file).name for file in files]
    problems = {
        "ids repeated": dict.fromkeys(id_ for id_, row in zip(ids, matched, strict=True) if row >= 0 and uses[row] > 1),
        "ids without a testing image": [id_ for id_, row in zip(ids, matched, strict=True) if row < 0],
        "testing images without an id": [name for row, name in enumerate(names) if row not in uses],
    }
    found = "; ".join(f"{problem}: {listed(list(items))}" for problem, items in problems.items() if items)
    if found:
        raise RequestError(f"{where}: {found}; expected each testing image once, by file name, stem or number")
    return matched

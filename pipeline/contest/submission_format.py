"""The format of a contest's CSV: header, ids, order and answers, from a sample or from the file names."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from pipeline.contest.answer_form import answer_of_sample, answer_without_sample
from pipeline.contest.match_ids import listed, match_ids, number, plain, repeated
from pipeline.contest.read_table import read_table
from pipeline.contest.sample import Sample
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

DEFAULT_HEADER = ("Id", "label")


@dataclass(frozen=True)
class SubmissionFormat:
    """The lines of the CSV: line i has ids[i] and the prediction for testing record rows[i].

    Without `columns` the prediction is the text of the most probable class. With them it is a probability per column:
    column 1 + k of the header is that of class columns[k].
    """

    header: tuple[str, ...]
    ids: tuple[str, ...]
    rows: tuple[int, ...]
    labels: tuple[str, ...]  # the text of each class
    columns: tuple[int, ...] = ()
    separator: str = ","


def format_without_sample(
    files: Sequence[str], classes: Sequence[str], data: DataSettings, where: str, *, plain_ids: bool
) -> SubmissionFormat:
    """`Id,label`; with plain_ids by stem, as integers (0001.jpg is 1) when all are, else by file name.

    In numeric order when all ids are integers, else in text order. files: the testing records' files, in record
    order. Raises RequestError when two files give one id.
    """
    answer = answer_without_sample(classes, data, where)
    ids = _ids(files, plain_ids=plain_ids)
    integers = plain_ids and all(number(id_) for id_ in ids)
    rows = sorted(range(len(ids)), key=lambda row: (int(ids[row]) if integers else 0, ids[row]))
    for row, following in pairwise(rows):
        if ids[row] == ids[following]:
            raise RequestError(
                f"{files[row]} and {files[following]} both give Id {ids[row]}; expected one image per Id"
            )
    ordered = tuple(ids[row] for row in rows)
    return SubmissionFormat(DEFAULT_HEADER, ordered, tuple(rows), answer.labels, answer.columns)


def format_from_sample(
    sample: Sample, where: str, files: Sequence[str], classes: Sequence[str], data: DataSettings
) -> SubmissionFormat:
    """The sample's own header, ids (as text) and order, with each id matched to the file that it names.

    Two columns ask for what answer_form.py finds; more ask for probabilities, one column per class, in any order.
    files: those of the testing records, in record order. Raises RequestError when it has other columns, or when its
    ids and the files are not one to one.
    """
    where = f"{where}/{sample.file}"
    table = read_table(sample.content, where)
    header = tuple(map(str, table.cells))
    if len(header) < 2:
        raise RequestError(f"{where}, line 1: found {len(header)} columns, expected an id and a label or classes")
    columns = _class_columns(header[1:], classes, where) if len(header) > 2 else ()
    labels = tuple(classes)
    ids = table.cells.iloc[:, 0].tolist()  # by place: names may be repeated
    rows = _match(ids, files, where)
    if len(header) == 2:
        answer = answer_of_sample(table.cells.iloc[:, 1].tolist(), plain(header[1]), classes, data, where)
        labels, columns = answer.labels, answer.columns
    return SubmissionFormat(header, tuple(ids), tuple(rows), labels, columns, table.separator)


def _ids(files: Sequence[str], *, plain_ids: bool) -> list[str]:
    """The stem, as a number when all are, or the file's name; where names repeat, the path after the folder of all."""
    names = [PurePosixPath(file).stem if plain_ids else PurePosixPath(file).name for file in files]
    numbers = [number(name) for name in names]
    if plain_ids and all(numbers):
        return [text for text in numbers if text is not None]
    if plain_ids or len(set(names)) == len(names):
        return names
    parts = [PurePosixPath(file).parts for file in files]
    shared = next(level for level in range(len(parts[0])) if len({path[level] for path in parts}) > 1)
    return ["/".join(path[shared:]) for path in parts]


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

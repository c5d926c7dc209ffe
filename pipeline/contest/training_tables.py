"""Tables of labels: which files are, which column names the images, which one holds the class.

N lines of a table, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.contest.label_columns import label_texts
from pipeline.contest.match_ids import ImageIndex, listed, plain
from pipeline.contest.read_table import read_table, refuse_repeated_columns
from pipeline.contest.split_names import split_name, words_of
from pipeline.contest.tree import IMAGE_ENDINGS, Tree, base, depth, ending, is_below, parent
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

DEEPEST_TABLE = 3  # folders above a table
LABEL_WORDS = frozenset(["label", "labels", "truth", "groundtruth", "annotation", "annotations", "target", "targets"])
UNNAMED = "Unnamed:"  # what pandas calls a column of line numbers without a name
HEADERLESS = ".txt"  # such a table has no header: file, class, more
TXT_COLUMNS = ("image", "label")
SPLIT_COLUMNS = frozenset(["split", "splits", "subset", "partition", "set"])
MOST_PIXEL_COLUMNS = 60  # of numbers alone: more are pixels or features


@dataclass(frozen=True)
class LabelTable:
    """The labels of a table. labels: {file: text of its class}; column: where they stand; skipped: ids without file."""

    labels: dict[str, str]
    column: str
    skipped: tuple[str, ...]


def label_tables(tree: Tree, split: str, outside: Sequence[str], sample: str | None) -> dict[str, int]:
    """Tables that may hold labels of a split, with the rank of their names: 0 is best, 2 names nothing.

    Without the sample and those below the folders `outside`. "" as split's own folder is the top.
    """
    found = {}
    for name in tree.files:
        rank = _rank(name, split)
        if rank is not None and name != sample and not any(is_below(name, folder) for folder in outside):
            found[name] = rank
    return found


def read_labels(
    tree: Tree,
    table: str,
    images: Sequence[str],
    asked: Sequence[str],
    data: DataSettings,
    folder_labels: Mapping[str, str] | None = None,
    *,
    allow_empty: bool = False,
) -> LabelTable:
    """The labels of a table, in the order of the images.

    asked: the header of the sample, empty without one. folder_labels: {file: its class folder}, where there are some.
    allow_empty: images whose line has no label are left out, as those of a sample are.
    Raises RequestError for a table without images or labels, for an image that is missing, and for one that has two
    labels.
    """
    where = f"{tree.where}/{table}"
    columns = _columns(tree, table, where)
    index = ImageIndex(images)
    name, rows = image_column(columns, index, asked, data, where)
    skipped = [id_ for id_, row in zip(columns[name], rows, strict=True) if row < 0]
    if skipped and data.missing == "refuse":
        raise RequestError(
            f"{where}: {name} without an image of its own: {listed(skipped)}; expected one image each, or "
            "--set data.missing=skip"
        )
    columns = columns.iloc[[place for place, row in enumerate(rows) if row >= 0]]
    rows = [row for row in rows if row >= 0]
    others = [str(other) for other in columns if index.rows(columns[other].tolist()) != rows]
    folders = None if folder_labels is None else [folder_labels.get(images[row]) for row in rows]
    texts, column = label_texts(columns, name, others, asked[1:], folders, data.label_column, where)
    empty = [id_ for id_, text in zip(columns[name], texts, strict=True) if not text]
    if empty and not allow_empty:
        raise RequestError(f"{where}: images without a label: {listed(empty)}; expected {column} in every line")
    labels: dict[str, str] = {}
    for id_, row, text in zip(columns[name], rows, texts, strict=True):
        if labels.setdefault(images[row], text) != text:
            raise RequestError(
                f"{where}: {name} repeated: {id_}, once {labels[images[row]]} and once {text}; expected one label"
            )
    return LabelTable({file: labels[file] for file in images if labels.get(file)}, column, tuple(skipped))


def names_images(tree: Tree, table: str, images: Sequence[str]) -> bool:
    """Whether a table can be read and one of its columns names at least half of its lines' images."""
    try:
        columns, files = _columns_and_files(tree, table, images)
    except RequestError:
        return False
    return len(files) >= len(columns) / 2


def has_column_of(tree: Tree, table: str, images: Sequence[str], labels: Mapping[str, str]) -> bool:
    """Whether a column of a table has one value for each of these labels, and another for each other one."""
    columns, files = _columns_and_files(tree, table, images)
    lines = [(line, labels[file]) for line, file in files.items() if file in labels]

    def is_alike(cells: pd.Series) -> bool:
        pairs = {(cells.iloc[line], label) for line, label in lines}
        return bool(pairs) and all(len({pair[end] for pair in pairs}) == len(pairs) for end in (0, 1))

    return any(is_alike(cells) for _, cells in columns.items())


def splits_of_column(tree: Tree, table: str, images: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    """The column of a table that says of each image which split it belongs to, and {file: split}; None without one.

    Its name says so (split, subset, partition, set), and each of its cells is the word of a split.
    """
    columns, files = _columns_and_files(tree, table, images)
    for name, cells in columns.items():
        words = {cell: split_name(cell) for cell in set(cells)}
        if SPLIT_COLUMNS & set(words_of(str(name))) and len(words) > 1 and all(words.values()):
            found = {cell: word.split for cell, word in words.items() if word}
            return str(name), {file: found[cells.iloc[line]] for line, file in files.items()}
    return None


def _columns_and_files(tree: Tree, table: str, images: Sequence[str]) -> tuple[pd.DataFrame, dict[int, str]]:
    """The columns of a table, and the image of each line that names one, by the column that names most."""
    columns, index = _columns(tree, table, table), ImageIndex(images)
    rows = max((index.rows(cells) for _, cells in columns.items()), key=lambda found: sum(row >= 0 for row in found))
    return columns, {line: images[row] for line, row in enumerate(rows) if row >= 0}


def image_column(
    columns: pd.DataFrame, index: ImageIndex, asked: Sequence[str], data: DataSettings, where: str
) -> tuple[str, list[int]]:
    """Name of the image column, and the row in the index of each of its cells.

    Raises RequestError where no column names images, and where two do, differently.
    """
    _refuse_without_header(columns, index, where)
    if data.image_column:
        if data.image_column not in columns:
            raise RequestError(f"{where}: no column {data.image_column}; found {listed(list(columns))}")
        return data.image_column, index.rows(columns[data.image_column].tolist())
    matches = {str(name): index.rows(cells) for name, cells in columns.items()}
    found = {name: len(set(rows) - {-1}) for name, rows in matches.items()}
    most = max(found.values())
    if not most:
        _refuse_without_images(columns, where)
    best = [name for name in found if found[name] == most]
    asked = [name for name in asked[:1] if name and not name.startswith(UNNAMED)]
    name = asked[0] if asked and asked[0] in best else best[0]
    others = [other for other in best if matches[other] != matches[name]]
    if others and name not in asked[:1]:  # a column of line numbers fits images too: 0, 1, 2, ...
        raise RequestError(
            f"{where}: {name} and {others[0]} both name the images, differently; say which with --image-column"
        )
    return name, matches[name]


def _columns(tree: Tree, table: str, where: str) -> pd.DataFrame:
    header = TXT_COLUMNS if ending(table) == HEADERLESS else ()
    columns = read_table(tree.source.read(table), where, header).cells.map(plain).rename(columns=plain)
    refuse_repeated_columns(list(columns), where)
    if columns.empty:
        raise RequestError(f"{where} has a header alone, expected one line per training image")
    return columns


def _refuse_without_header(columns: pd.DataFrame, index: ImageIndex, where: str) -> None:
    files = [str(name) for name in columns if ending(str(name)) in IMAGE_ENDINGS]
    if any(row >= 0 for row in index.rows(files)):
        raise RequestError(f"{where}: its first line names an image; expected a header above it, such as image,label")


def _refuse_without_images(columns: pd.DataFrame, where: str) -> None:
    names = [str(name) for name in columns]
    if len(names) > MOST_PIXEL_COLUMNS:
        raise RequestError(
            f"{where}: {len(names)} columns and none names the images; pixels in a table are not read: write each "
            "image to a file of its own"
        )
    raise RequestError(f"{where}: no column names the images; found columns {', '.join(names)[:120]}")


def _rank(name: str, split: str) -> int | None:
    """How well a file's name says that it holds labels of a split; None where it cannot."""
    end, words = ending(name), set(words_of(base(name).rpartition(".")[0]))
    if end not in (".csv", ".tsv", HEADERLESS) or depth(parent(name)) > DEEPEST_TABLE:
        return None
    found = split_name(base(name).rpartition(".")[0])
    holder = split_name(base(parent(name)))
    own = found.split if found else holder.split if holder else ""
    if own != split and (own or split != "training"):
        return None
    labelled = bool(words & LABEL_WORDS)
    if end == HEADERLESS and not labelled:
        return None
    return 0 if labelled else 1 if own else 2

"""Layout 3, Kaggle's tables: train.csv has images and labels, the test images are those in test/ or the remaining ones.

The image column is the one whose cells name files. The label column is the one in sample_submission.csv, else the only
other one, else the one with a usual name; labels may also be one-hot, one column per class.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.contest.folders import (
    TESTING_FOLDERS,
    ContestParts,
    find_file,
    find_folder,
    images_below,
    join,
    parent,
    testing_files,
)
from pipeline.contest.match_ids import listed, match_ids, plain, repeated
from pipeline.contest.source import Source
from pipeline.contest.submission_format import find_sample, read_table
from pipeline.runtime.errors import RequestError

TRAINING_TABLES = ("train.csv", "training.csv", "train_labels.csv", "trainlabels.csv")
VALIDATION_TABLES = ("valid.csv", "val.csv", "validation.csv")
LABEL_COLUMNS = ("label", "labels", "class", "target", "category")


def read_tables(source: Source, root: str) -> ContestParts:
    """Read the contest in `root`.

    Raises RequestError for a table without images or labels, and for an image that is missing, named twice or without
    a label.
    """
    table = find_file(source, root, TRAINING_TABLES)
    assert table is not None, "detect_layout found it"
    validation_table = find_file(source, root, VALIDATION_TABLES)
    test_folder = find_folder(source, root, TESTING_FOLDERS)
    inside_test = () if test_folder is None else (f"{test_folder}/",)
    images = [file for file in images_below(source, root) if not file.startswith(inside_test)]
    training = _read_labels(source, root, table, images)
    validation = None if validation_table is None else _read_labels(source, root, validation_table, images)
    known = training | (validation or {})
    if len(known) < len(training) + len(validation or {}):
        twice = [file for file in training if file in (validation or {})]
        raise RequestError(f"{source.path}: images in {table} and {validation_table}: {listed(twice)}; expected one")
    unlabelled = [file for file in images if file not in known]
    if test_folder is None:
        return ContestParts(training, validation, _remaining(source, root, unlabelled), plain_ids=False)
    _refuse_unlabelled(unlabelled, known, f"{source.path}/{table}")
    return ContestParts(training, validation, testing_files(source, root), plain_ids=False)


def _read_labels(source: Source, root: str, table: str, images: Sequence[str]) -> dict[str, str]:
    """{file: text of its class}, in the order of the files."""
    where = f"{source.path}/{table}"
    columns, sample_header = _read_columns(source.read(table), where), _sample_header(source, root)
    id_column, rows = _image_column(columns, images, sample_header, where)
    texts = _labels(columns, id_column, sample_header, where)
    return {images[row]: text for row, text in sorted(zip(rows, texts, strict=True))}


def _read_columns(content: bytes, where: str) -> pd.DataFrame:
    columns = read_table(content, where).map(plain).rename(columns=plain)
    if repeated(list(columns)):
        raise RequestError(f"{where}: columns repeated: {listed(repeated(list(columns)))}; expected different names")
    if columns.empty:
        raise RequestError(f"{where} has a header alone, expected one line per training image")
    return columns


def _image_column(
    columns: pd.DataFrame, images: Sequence[str], sample_header: Sequence[str], where: str
) -> tuple[str, list[int]]:
    """Name of the image column, and the row in `images` of each of its cells."""
    matches = {str(name): match_ids(cells.tolist(), images) for name, cells in columns.items()}
    found = {name: len(set(rows) - {-1}) for name, rows in matches.items()}
    most = max(found.values())
    if not most:
        raise RequestError(f"{where}: no column names the images; found columns {', '.join(columns)}")
    best = [name for name in found if found[name] == most]
    name = sample_header[0] if sample_header and sample_header[0] in best else best[0]
    others = [other for other in best if matches[other] != matches[name]]
    if others and name not in sample_header[:1]:  # a column of line numbers fits images too: 0, 1, 2, ...
        raise RequestError(
            f"{where}: {name} and {others[0]} both name the images, differently; take one of them away, or give a "
            "sample_submission.csv whose first column is called like the right one"
        )
    _check_rows(columns, name, pd.Series(matches[name], columns.index), where)
    return name, matches[name]


def _check_rows(columns: pd.DataFrame, name: str, rows: pd.Series, where: str) -> None:
    """Raise RequestError for a cell of the image column without an image, or with the image of another cell."""
    missing = columns.loc[rows < 0, name].tolist()
    if missing:
        raise RequestError(f"{where}: {name} without an image of its own: {listed(missing)}; expected one image each")
    twice = columns.loc[rows.duplicated(keep=False), name].unique().tolist()
    if twice:
        raise RequestError(f"{where}: {name} repeated: {listed(twice)}; expected one line and one label per image")


def _labels(columns: pd.DataFrame, id_column: str, sample_header: Sequence[str], where: str) -> list[str]:
    """Text of the class of each line."""
    others = [name for name in columns if name != id_column]
    asked = list(dict.fromkeys(sample_header[1:]))
    if len(asked) > 1 and set(asked) <= set(others):
        return _one_hot_labels(columns, id_column, asked, where)
    name = _label_column(columns, others, asked, where)
    empty = columns.loc[columns[name] == "", id_column].tolist()
    if empty:
        raise RequestError(f"{where}: images without a label: {listed(empty)}; expected {name} in every line")
    return columns[name].tolist()


def _label_column(columns: pd.DataFrame, others: Sequence[str], asked: Sequence[str], where: str) -> str:
    choices = [name for name in others if [name] == asked]
    choices = choices or [name for name in others if len(asked) > 1 and set(columns[name]) == set(asked)]
    choices = choices or (list(others) if len(others) == 1 else [])
    choices = choices or [name for name in others if name.lower() in LABEL_COLUMNS]
    if len(choices) != 1:
        raise RequestError(
            f"{where}: which column is the label? found {', '.join(columns)}; "
            f"expected one called as in sample_submission.csv, or one of {', '.join(LABEL_COLUMNS)}"
        )
    return choices[0]


def _one_hot_labels(columns: pd.DataFrame, id_column: str, classes: list[str], where: str) -> list[str]:
    hot_NC = columns[classes].isin(["1", "1.0"]).to_numpy()
    for row in np.flatnonzero(hot_NC.sum(1) != 1):
        image, found = columns[id_column].iloc[row], [classes[index] for index in np.flatnonzero(hot_NC[row])]
        raise RequestError(f"{where}: {image} has {len(found)} classes ({', '.join(found)}), expected exactly one 1")
    return [classes[index] for index in hot_NC.argmax(1)]


def _sample_header(source: Source, root: str) -> list[str]:
    sample = find_sample(source, root)
    return [] if sample is None else list(map(plain, read_table(source.read(sample), f"{source.path}/{sample}")))


def _remaining(source: Source, root: str, files: Sequence[str]) -> tuple[str, ...]:
    """Without a test folder the test images are the unlabelled ones; the sample must name each of them."""
    if find_sample(source, root) is None:
        missing = join(root, TESTING_FOLDERS[1])
        raise RequestError(
            f"{source.path}: found neither {missing}/ nor a sample_submission.csv that names test images"
        )
    if not files:
        raise RequestError(f"{source.path}: every image has a label, expected test images too")
    return tuple(files)


def _refuse_unlabelled(files: Sequence[str], labels: dict[str, str], where: str) -> None:
    """Images beside labelled ones need a label; folders without any label (masks, other sizes) are ignored."""
    folders = {parent(file) for file in labels}
    forgotten = [file for file in files if parent(file) in folders]
    if forgotten:
        raise RequestError(f"{where}: images without a line: {listed(forgotten)}; expected a label for each")

"""Layout 3, Kaggle's tables: train.csv names images and labels, test images lie in test/ or are what is left.

The column of the images is the one whose cells name files. The label is the column that sample_submission.csv asks
for, else the only other one, else the one that is called so; with one column per class it may be one-hot.
"""

from collections import Counter
from collections.abc import Sequence

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

Columns = dict[str, list[str]]  # cells by column name, in the order of the file


def read_tables(source: Source, root: str) -> ContestParts:
    """Read the contest in `root`.

    Raises RequestError for a table that does not say which image has which label, an image that is missing, named
    twice or without a label.
    """
    table = find_file(source, root, TRAINING_TABLES)
    assert table is not None, "detect_layout has found it"
    validation_table = find_file(source, root, VALIDATION_TABLES)
    test_folder = find_folder(source, root, TESTING_FOLDERS)
    images = [file for file in images_below(source, root) if not _inside(file, test_folder)]
    training = _read_labels(source, root, table, images)
    validation = None if validation_table is None else _read_labels(source, root, validation_table, images)
    known = training | (validation or {})
    if len(known) < len(training) + len(validation or {}):
        twice = [file for file in training if file in (validation or {})]
        raise RequestError(f"{source.path}: images in {table} and {validation_table}: {listed(twice)}; expected one")
    unlabelled = [file for file in images if file not in known]
    if test_folder is None:
        return ContestParts(training, validation, _left_over(source, root, unlabelled), plain_ids=False)
    _refuse_unlabelled(unlabelled, known, f"{source.path}/{table}")
    return ContestParts(training, validation, testing_files(source, root), plain_ids=False)


def _read_labels(source: Source, root: str, table: str, images: Sequence[str]) -> dict[str, str]:
    """{file: text of its class}, in the order of the files."""
    where = f"{source.path}/{table}"
    columns, sample_header = _read_columns(source.read(table), where), _sample_header(source, root)
    id_column, rows = _image_column(columns, images, sample_header, where)
    texts = _labels(columns, id_column, sample_header, where)
    return {images[row]: text for row, text in sorted(zip(rows, texts, strict=True))}


def _read_columns(content: bytes, where: str) -> Columns:
    (_, header), *lines = [(line, list(map(plain, cells))) for line, cells in read_table(content, where)]
    if repeated(header):
        raise RequestError(f"{where}: columns repeated: {listed(repeated(header))}; expected different names")
    for line, cells in lines:
        if len(cells) != len(header):
            raise RequestError(f"{where}, line {line}: found {len(cells)} columns, expected {len(header)}")
    if not lines:
        raise RequestError(f"{where} has a header alone, expected one line per training image")
    return dict(zip(header, map(list, zip(*(cells for _, cells in lines), strict=True)), strict=True))


def _image_column(
    columns: Columns, images: Sequence[str], sample_header: Sequence[str], where: str
) -> tuple[str, list[int]]:
    """Name of the column that names images, and the image's row in `images` for each of its cells."""
    matches = {name: match_ids(cells, images) for name, cells in columns.items()}
    found = {name: len(set(rows) - {-1}) for name, rows in matches.items()}
    most = max(found.values())
    if not most:
        raise RequestError(f"{where}: no column names the images; found columns {', '.join(columns)}")
    best = [name for name in columns if found[name] == most]
    name = sample_header[0] if sample_header and sample_header[0] in best else best[0]
    others = [other for other in best if matches[other] != matches[name]]
    if others and name not in sample_header[:1]:  # a column that only counts the lines names images too: 0, 1, 2, ...
        raise RequestError(
            f"{where}: {name} and {others[0]} both name the images, differently; take one of them away, or give a "
            "sample_submission.csv whose first column is called like the right one"
        )
    cells, rows = columns[name], matches[name]
    missing = [cell for cell, row in zip(cells, rows, strict=True) if row < 0]
    if missing:
        raise RequestError(f"{where}: {name} without an image of its own: {listed(missing)}; expected one image each")
    uses = Counter(rows)
    twice = list(dict.fromkeys(cell for cell, row in zip(cells, rows, strict=True) if uses[row] > 1))
    if twice:
        raise RequestError(f"{where}: {name} repeated: {listed(twice)}; expected one line and one label per image")
    return name, rows


def _labels(columns: Columns, id_column: str, sample_header: Sequence[str], where: str) -> list[str]:
    """The text of the class of each line."""
    others = [name for name in columns if name != id_column]
    asked = list(sample_header[1:])
    if len(asked) > 1 and set(asked) <= set(others):
        return _one_hot_labels(columns, id_column, asked, where)
    name = _label_column(columns, others, asked, where)
    empty = [cell for cell, label in zip(columns[id_column], columns[name], strict=True) if not label]
    if empty:
        raise RequestError(f"{where}: images without a label: {listed(empty)}; expected {name} in every line")
    return columns[name]


def _label_column(columns: Columns, others: Sequence[str], asked: Sequence[str], where: str) -> str:
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


def _one_hot_labels(columns: Columns, id_column: str, classes: Sequence[str], where: str) -> list[str]:
    lines = zip(columns[id_column], *(columns[name] for name in classes), strict=True)
    labels = []
    for image, *cells in lines:
        hot = [name for name, cell in zip(classes, cells, strict=True) if _is_one(cell)]
        if len(hot) != 1:
            raise RequestError(f"{where}: {image} has {len(hot)} classes ({', '.join(hot)}), expected exactly one 1")
        labels.append(hot[0])
    return labels


def _is_one(cell: str) -> bool:
    return cell in ("1", "1.0")


def _sample_header(source: Source, root: str) -> list[str]:
    sample = find_sample(source, root)
    header = [] if sample is None else read_table(source.read(sample), f"{source.path}/{sample}")[0][1]
    return list(map(plain, header))


def _left_over(source: Source, root: str, files: Sequence[str]) -> tuple[str, ...]:
    """Without a test folder the test images are those that the sample names; its ids and they must be one to one."""
    if find_sample(source, root) is None:
        missing = join(root, TESTING_FOLDERS[1])
        raise RequestError(
            f"{source.path}: found neither {missing}/ nor a sample_submission.csv that names test images"
        )
    if not files:
        raise RequestError(f"{source.path}: every image has a label, expected test images too")
    return tuple(files)


def _refuse_unlabelled(files: Sequence[str], labels: dict[str, str], where: str) -> None:
    """Images beside labelled ones must have a label; folders without any (masks, other sizes) are not training."""
    folders = {parent(file) for file in labels}
    forgotten = [file for file in files if parent(file) in folders]
    if forgotten:
        raise RequestError(f"{where}: images without a line: {listed(forgotten)}; expected a label for each")


def _inside(file: str, folder: str | None) -> bool:
    return folder is not None and file.startswith(f"{folder}/")

"""Kaggle's tables: a file such as train.csv names the images and their classes."""

from collections.abc import Sequence
from dataclasses import replace

from pipeline.contest.layout_folders import folder_labels
from pipeline.contest.match_ids import ImageIndex, listed
from pipeline.contest.parts import Parts
from pipeline.contest.read_table import read_table
from pipeline.contest.sample import Sample
from pipeline.contest.split_folders import SplitFolders
from pipeline.contest.split_names import SPLIT_WORDS
from pipeline.contest.test_images import TestImages, find_test_images
from pipeline.contest.training_tables import (
    LabelTable,
    has_column_of,
    label_tables,
    names_images,
    read_labels,
    splits_of_column,
)
from pipeline.contest.tree import Tree, is_below, parent
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError


def training_table(
    tree: Tree, folders: SplitFolders, sample: Sample | None, data: DataSettings, *, class_folders: bool
) -> str | None:
    """The table of the training labels; None where the labels stand elsewhere.

    A table named for training or labels comes before class folders. Raises RequestError where two tables are equally
    good and differ, and where another table may hold other labels than the class folders.
    """
    if data.labels_from in ("folders", "names"):
        return None
    if data.labels_from:
        return _stated(tree, data.labels_from)
    outside = [folder for folder in (folders.testing, folders.validation) if folder]
    ranks = label_tables(tree, "training", outside, sample.file if sample else None)
    images = _images_outside(tree, folders)
    naming = {table: rank for table, rank in ranks.items() if names_images(tree, table, images)}
    of_columns = bool(data.label_column or data.image_column)  # which speak of a table
    usable = {table: rank for table, rank in naming.items() if rank < 2 or not class_folders or of_columns}
    if not usable:
        for table in naming:
            _refuse_other_labels(tree, table, folders, images, data)
        named = [table for table, rank in ranks.items() if rank < 2]
        return named[0] if named and not class_folders and not naming else None
    best = [table for table, rank in usable.items() if rank == min(usable.values())]
    return best[0] if len(best) == 1 else _one_that_reads(tree, best, images, sample, data)


def _refuse_other_labels(
    tree: Tree, table: str, folders: SplitFolders, images: Sequence[str], data: DataSettings
) -> None:
    """Raise RequestError for a table that names the images of class folders, and has no column of these classes."""
    assert folders.training is not None
    of_folders = folder_labels(tree, folders.training, data)
    if not has_column_of(tree, table, images, of_folders):
        raise RequestError(
            f"{tree.where}: the labels can stand in class folders ({listed(sorted(set(of_folders.values())))}) or in "
            f"{table}: say which with --set data.labels_from=folders or --set data.labels_from={table}"
        )


def read_tables(
    tree: Tree, table: str, folders: SplitFolders, sample: Sample | None, data: DataSettings, *, class_folders: bool
) -> Parts:
    """Read a contest whose training labels stand in a table."""
    asked = sample.header if sample else ()
    images = _images_outside(tree, folders)
    of_folders = folder_labels(tree, folders.training, data) if class_folders and folders.training else None
    tests_inside = sample is not None and folders.testing is None  # the sample names images without a label
    found = read_labels(tree, table, images, asked, data, of_folders, allow_empty=tests_inside)
    divided = _divided(tree, table, found, folders, images)
    if divided:
        return divided
    training, validation, validation_table = _validation(tree, folders, found.labels, images, sample, data)
    known = training | (validation or {})
    unlabelled = [file for file in images if file not in known]
    tests, unlabelled = _tests(tree, folders, unlabelled, sample, data)
    unlisted = _unlisted(tree, table, unlabelled, known, data)
    notes = [*folders.notes, *tests.notes, *_notes(table, found, unlisted)]
    column = f"column {found.column} of {table}" + (f", {validation_table}" if validation_table else "")
    return Parts(training, validation, tests.files, tests.labels, False, column, tuple(notes))


def _divided(tree: Tree, table: str, found: LabelTable, folders: SplitFolders, images: Sequence[str]) -> Parts | None:
    """The parts of a contest whose table of labels has a column of splits and whose folders are none; else None."""
    if folders.testing is not None or folders.validation is not None:
        return None
    by_column = splits_of_column(tree, table, images)
    if by_column is None:
        return None
    column, splits = by_column
    own = {
        split: {file: text for file, text in found.labels.items() if splits.get(file) == split} for split in SPLIT_WORDS
    }
    where = f"column {found.column} of {table}, splits from its column {column}"
    tests = own["testing"]
    notes = (*folders.notes, *_notes(table, found, ()))
    return Parts(own["training"], own["validation"] or None, tuple(tests), tests, False, where, notes)


def _validation(
    tree: Tree,
    folders: SplitFolders,
    labels: dict[str, str],
    images: Sequence[str],
    sample: Sample | None,
    data: DataSettings,
) -> tuple[dict[str, str], dict[str, str] | None, str | None]:
    """Training and validation labels: those of a table of validation, else the images in the validation folder."""
    outside = [folder for folder in (folders.testing, folders.training) if folder]
    tables = label_tables(tree, "validation", outside, sample.file if sample else None)
    naming = {table: rank for table, rank in tables.items() if names_images(tree, table, images)}
    found = [table for table, rank in naming.items() if rank == min(naming.values())]
    if len(found) > 1:
        raise RequestError(f"{tree.where}: found {listed(found)}; expected one table of validation labels")
    if not found:
        inside = {
            file: text for file, text in labels.items() if folders.validation and is_below(file, folders.validation)
        }
        return {file: text for file, text in labels.items() if file not in inside}, inside or None, None
    validation = read_labels(tree, found[0], images, sample.header if sample else (), data).labels
    twice = [file for file in labels if file in validation]
    if twice:
        raise RequestError(f"{tree.where}: images in {found[0]} and in training: {listed(twice)}; expected one")
    return labels, validation, found[0]


def _tests(
    tree: Tree, folders: SplitFolders, unlabelled: list[str], sample: Sample | None, data: DataSettings
) -> tuple[TestImages, list[str]]:
    """The test images, and the unlabelled images that are none: without a test folder the sample or a table names them.

    Raises RequestError where the sample names images and none is unlabelled.
    """
    if folders.testing is not None:
        # their folders are no classes: those stand in a table
        tests = replace(find_test_images(tree, folders.testing, data), labels={}, notes=())
        return (tests if sample else _listed_tests(tree, tests, data)), unlabelled
    if sample is not None:
        if not unlabelled:
            raise RequestError(
                f"{tree.where}: every image has a label, expected test images for {sample.file} too: take the lines "
                "of test images out of the table, or give --sample none"
            )
        return TestImages(tuple(unlabelled)), []
    for table in label_tables(tree, "testing", (), None):
        if names_images(tree, table, unlabelled):
            files = _named(tree, table, unlabelled)
            return TestImages(tuple(files)), [file for file in unlabelled if file not in set(files)]
    return TestImages(), unlabelled


def _listed_tests(tree: Tree, tests: TestImages, data: DataSettings) -> TestImages:
    """The test images; where a table of test images names some of them alone, these, if the user says so."""
    for table in label_tables(tree, "testing", (), None):
        if not names_images(tree, table, tests.files):
            continue
        files = _named(tree, table, tests.files)
        rest = [file for file in tests.files if file not in set(files)]
        if rest and data.unlisted == "refuse":
            raise RequestError(
                f"{tree.where}/{table}: test images without a line: {listed(rest)}; expected one for each, or "
                "--set data.unlisted=ignore"
            )
        notes = (*tests.notes, f"test images without a line, ignored: {listed(rest)}") if rest else tests.notes
        return TestImages(tuple(files), tests.labels, notes)
    return tests


def _named(tree: Tree, table: str, files: Sequence[str]) -> list[str]:
    """The files that a table names in any of its columns."""
    columns, index = read_table(tree.source.read(table), table).cells, ImageIndex(files)
    return [files[row] for row in sorted({row for _, cells in columns.items() for row in index.rows(cells)} - {-1})]


def _unlisted(
    tree: Tree, table: str, files: Sequence[str], labels: dict[str, str], data: DataSettings
) -> tuple[str, ...]:
    """Images beside labelled ones without a line; folders without any label (masks, other sizes) are ignored."""
    folders = {parent(file) for file in labels}
    forgotten = [file for file in files if parent(file) in folders]
    if forgotten and data.unlisted == "refuse":
        raise RequestError(
            f"{tree.where}/{table}: images without a line: {listed(forgotten)}; expected a label for each, or "
            "--set data.unlisted=ignore"
        )
    return tuple(forgotten)


def _notes(table: str, found: LabelTable, unlisted: Sequence[str]) -> list[str]:
    notes = [f"{table}: lines without an image, skipped: {listed(found.skipped)}"] if found.skipped else []
    return notes + ([f"images without a line, ignored: {listed(unlisted)}"] if unlisted else [])


def _images_outside(tree: Tree, folders: SplitFolders) -> list[str]:
    """All images but those of the test folder, and of folders that only look like a split's."""
    outside = [folder for folder in (folders.testing, *folders.unread) if folder is not None]
    return [file for file in tree.images if not any(is_below(file, folder) for folder in outside)]


def _stated(tree: Tree, table: str) -> str:
    """A table of the settings: its path from the top of the contest, or the end of it."""
    found = [name for name in tree.files if name == table or name.endswith(f"/{table}")]
    if len(found) != 1:
        what = "no such table" if not found else f"fits {listed(found)}"
        raise RequestError(f"{tree.where}: data.labels_from {table}: {what}; expected folders, names or a table's path")
    return found[0]


def _one_that_reads(
    tree: Tree, tables: Sequence[str], images: Sequence[str], sample: Sample | None, data: DataSettings
) -> str:
    """Of several tables the one that can be read, or the first where all hold the same labels."""
    labels: dict[str, dict[str, str]] = {}
    for table in tables:
        try:
            labels[table] = read_labels(tree, table, images, sample.header if sample else (), data).labels
        except RequestError:
            continue
    found = list(labels) or list(tables)
    if len(found) > 1 and (not labels or any(labels[table] != labels[found[0]] for table in found)):
        raise RequestError(
            f"{tree.where}: found {listed(found)}; expected one table of labels: say which with "
            f"--set data.labels_from={found[0]}"
        )
    return found[0]

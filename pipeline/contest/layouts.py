"""Which layout a contest has: a table of labels, class folders, or labels in file names."""

from dataclasses import replace

from pipeline.contest.layout_folders import folder_labels, has_class_folders
from pipeline.contest.layout_names import name_labels
from pipeline.contest.layout_tables import read_tables, training_table
from pipeline.contest.match_ids import listed
from pipeline.contest.parts import Parts, foreign_images, no_images
from pipeline.contest.sample import Sample
from pipeline.contest.split_folders import SplitFolders, find_split_folders, inner_folder
from pipeline.contest.split_names import split_name
from pipeline.contest.test_images import TestImages, find_test_images
from pipeline.contest.training_tables import label_tables, read_labels
from pipeline.contest.tree import Tree, base, ending, is_below, parent
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")


def read_parts(tree: Tree, sample: Sample | None, data: DataSettings) -> Parts:
    """The parts of a contest, by the first layout that fits. Raises RequestError when none does."""
    folders = find_split_folders(tree, data)
    if not tree.images:
        _refuse_without_images(tree, folders, sample, data)
    folders = _with_training(tree, folders)
    class_folders = folders.training is not None and bool(tree.image_folders_in(folders.training))
    table = training_table(tree, folders, sample, data, class_folders=class_folders)
    if table:
        parts = read_tables(tree, table, folders, sample, data, class_folders=class_folders)
    elif folders.training is None:
        raise _no_training(tree)
    elif data.labels_from != "names" and has_class_folders(tree, folders.training):
        parts = _read_folders(tree, folders, data)
    else:
        parts = _read_names(tree, folders, data)
    _refuse_foreign(tree, parts, data)
    return parts


def _with_training(tree: Tree, folders: SplitFolders) -> SplitFolders:
    """Where no folder is called train, the folder that holds all images but those of the other splits.

    That is a dataset of class folders alone, or one folder of labelled images.
    """
    if folders.training is not None:
        return folders
    home = inner_folder(tree, tree.top)
    outside = [folder for folder in (folders.testing, folders.validation) if folder]
    if any(is_below(folder, home) or is_below(home, folder) or home == folder for folder in outside):
        return folders
    while len(tree.image_folders_in(home)) == 1 and not tree.images_in(home):
        home = tree.image_folders_in(home)[0]
    if any(split_name(base(folder)) for folder in tree.image_folders_in(home)):
        return folders  # splits that lie too deep, not classes
    return replace(folders, training=home)


def _read_folders(tree: Tree, folders: SplitFolders, data: DataSettings) -> Parts:
    assert folders.training is not None
    training = folder_labels(tree, folders.training, data)
    validation, validation_from = _validation(tree, folders, data)
    tests = _tests(tree, folders, data)
    where = f"class folders in {folders.training or 'the top'}" + validation_from
    return Parts(training, validation, tests.files, tests.labels, False, where, (*folders.notes, *tests.notes))


def _validation(tree: Tree, folders: SplitFolders, data: DataSettings) -> tuple[dict[str, str] | None, str]:
    """Labels of the validation images by their folders, or by a table of them (val_annotations.txt); where from."""
    if folders.validation is None:
        return None, ""
    outside = [folder for folder in (folders.training, folders.testing) if folder]
    tables = label_tables(tree, "validation", outside, None)
    if tables and tree.images_in(folders.validation):
        table = min(tables, key=lambda name: (tables[name], name))
        images = tree.images_in(folders.validation)
        return read_labels(tree, table, images, (), data.model_copy(update={"label_column": ""})).labels, f", {table}"
    return folder_labels(tree, folders.validation, data), ""


def _read_names(tree: Tree, folders: SplitFolders, data: DataSettings) -> Parts:
    stated = data.labels_from == "names"
    assert folders.training is not None

    def labels(folder: str) -> dict[str, str]:
        images = tree.images_below(folder) if stated else tree.images_in(folder)
        if not images:
            raise no_images(tree, folder)
        return name_labels(tree, images, sure=stated or folder == folders.validation)

    training = labels(folders.training)
    validation = None if folders.validation is None else labels(folders.validation)
    tests = _tests(tree, folders, data)
    where = f"names of the files in {folders.training or 'the top'}"
    return Parts(training, validation, tests.files, tests.labels, True, where, (*folders.notes, *tests.notes))


def _tests(tree: Tree, folders: SplitFolders, data: DataSettings) -> TestImages:
    return TestImages() if folders.testing is None else find_test_images(tree, folders.testing, data)


def _refuse_without_images(tree: Tree, folders: SplitFolders, sample: Sample | None, data: DataSettings) -> None:
    """Raise RequestError: pixels in a table, kinds of images that are not read, archives, or nothing at all."""
    if tree.foreign:
        raise foreign_images(tree, tree.foreign)
    for folder in (folders.training, folders.testing):
        if folder is not None:
            raise no_images(tree, folder)
    tables = label_tables(tree, "training", (), sample.file if sample else None)
    for table in sorted(tables, key=lambda name: tables[name]):
        read_labels(tree, table, [], (), data)  # refuses it
    raise _no_training(tree)


def _no_training(tree: Tree) -> RequestError:
    packed = [name for name in tree.files if ending(name) in ARCHIVES]
    unpack = f" (it holds {listed(packed)}: unpack first)" if packed else ""
    return RequestError(
        f"{tree.where} has no training images{unpack}; looked for train/{{class}}/, training/{{label}}_{{n}}.jpg and "
        "tables such as train.csv, up to 3 folders deep (docs/contests.md)"
    )


def _refuse_foreign(tree: Tree, parts: Parts, data: DataSettings) -> None:
    """Images of kinds that are not read, beside those that are: named, and left out where the user says so."""
    if data.broken == "skip" or not tree.foreign:
        return
    folders = {parent(file) for file in (*parts.training, *(parts.validation or {}), *parts.testing)}
    beside = [name for name in tree.foreign if parent(name) in folders]
    if beside:
        raise foreign_images(tree, beside)

"""Test images without their contest, for predictions from a packed file: a folder, a zip, a single image."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.contest.layouts import read_parts
from pipeline.contest.match_ids import number
from pipeline.contest.sample import Sample, find_sample
from pipeline.contest.source import Source
from pipeline.contest.split_folders import SplitFolders, find_split_folders
from pipeline.contest.submission_format import SubmissionFormat, format_from_sample, format_without_sample
from pipeline.contest.test_images import TestImages, find_test_images
from pipeline.contest.training_tables import label_tables
from pipeline.contest.tree import Tree
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError


@dataclass(frozen=True)
class Testing:
    """Test images and the format of their CSV. labels: the class that the folder of each shows, -1 where none does."""

    files: tuple[str, ...]
    submission: SubmissionFormat
    has_sample: bool
    labels: tuple[int, ...]
    notes: tuple[str, ...]


def read_testing(source: Source, classes: Sequence[str], data: DataSettings) -> Testing:
    """Test images: those of the contest around them, of a test folder, or all images that are there.

    classes: the text of each class. Raises RequestError without test images, and for a sample that does not fit them.
    """
    tree = Tree(source)
    sample = find_sample(tree, data)
    folders = find_split_folders(tree, data)
    found, plain_ids = _found(tree, folders, sample, data, classes)
    if not found.files:
        raise RequestError(f"{tree.where} has no test images; looked for test/, testing/ and images at its top level")
    if sample is None:
        submission = format_without_sample(found.files, classes, data, tree.where, plain_ids=plain_ids)
    else:
        submission = format_from_sample(sample, tree.where, found.files, classes, data)
    index = {name: position for position, name in enumerate(classes)}
    labels = tuple(index.get(found.labels.get(file, ""), -1) for file in found.files)
    strangers = sorted(set(found.labels.values()) - set(classes))
    notes = [f"folders that are no class of the file: {', '.join(strangers)[:120]}"] if strangers else []
    return Testing(found.files, submission, sample is not None, labels, (*found.notes, *notes))


def _found(
    tree: Tree, folders: SplitFolders, sample: Sample | None, data: DataSettings, classes: Sequence[str]
) -> tuple[TestImages, bool]:
    """The test images, and whether their ids are stems: as in the contest around them, else of classes in numbers."""
    numbers = all(number(name) == name for name in classes)
    tables = {table for table, rank in label_tables(tree, "training", (), None).items() if rank < 2}
    if folders.testing is not None:
        plain_ids = numbers
        if folders.training is not None:
            plain_ids = not tables and not tree.image_folders_in(folders.training)
        return find_test_images(tree, folders.testing, data), plain_ids
    if tables and tree.images:  # one folder holds training and test images
        parts = read_parts(tree, sample, data)
        return TestImages(parts.testing, parts.test_labels), parts.plain_ids
    if folders.training is not None or not tree.images:
        return TestImages(), numbers
    return find_test_images(tree, tree.top, data), numbers

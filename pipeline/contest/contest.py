"""A contest as records: which file is in which split, with which id and label, and the CSV that it wants."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sklearn.model_selection import train_test_split

from models.packed.header import MAX_CLASS_NAME_BYTES
from pipeline.contest.folders import (
    DEEPEST_ROOT,
    TESTING_FOLDERS,
    TRAINING_FOLDERS,
    ContestParts,
    find_root,
    images_in,
    testing_files,
    top_folder,
)
from pipeline.contest.layout_class_folders import has_class_folders, read_class_folders
from pipeline.contest.layout_labelled_names import read_labelled_names
from pipeline.contest.layout_tables import TRAINING_TABLES, read_tables
from pipeline.contest.match_ids import listed, number
from pipeline.contest.source import Source
from pipeline.contest.submission_format import SubmissionFormat, find_sample, format_from_sample, format_without_sample
from pipeline.runtime.errors import RequestError


@dataclass(frozen=True)
class Record:
    """One image. id: as text; file: its name in the source; label: index into classes, -1 unknown."""

    id: str
    file: str
    label: int


@dataclass(frozen=True)
class Contest:
    """A contest. splits: records by "training", "validation" and "testing", each in the order of their files."""

    name: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[Record, ...]]
    submission: SubmissionFormat
    has_sample: bool  # the format of the CSV is that of the contest's own sample


def read_contest(source: Source, *, validation_fraction: float, seed: int) -> Contest:
    """Read a contest of any known layout.

    validation_fraction (in (0, 0.5]) and seed: of the stratified split of training, where the contest has no
    validation split. Raises RequestError when the layout is unknown or a file does not fit it.
    """
    read_layout, root = detect_layout(source)
    parts = read_layout(source, root)
    classes = _classes(source, parts)
    training, validation = parts.training, parts.validation
    if validation is None:
        training, validation = _split_training(source, training, classes, validation_fraction, seed)
    index = {name: position for position, name in enumerate(classes)}
    labelled = {"training": training, "validation": validation}
    splits = {
        split: tuple(Record(_id(file, root, parts), file, index[label]) for file, label in labels.items())
        for split, labels in labelled.items()
    }
    splits["testing"] = tuple(Record(_id(file, root, parts), file, -1) for file in parts.testing)
    submission = _submission_format(source, root, parts.testing, classes, plain_ids=parts.plain_ids)
    name = PurePosixPath(root).name or source.name
    has_sample = find_sample(source, root) is not None
    return Contest(name, classes, splits, submission, has_sample)


def detect_layout(source: Source) -> tuple[Callable[[Source, str], ContestParts], str]:
    """Reader for the layout of these files, and the folder ("" is the top) that holds the contest."""
    root = find_root(source, TRAINING_TABLES, source.names())
    if root is not None:
        return read_tables, root
    root = find_root(source, TRAINING_FOLDERS, source.folders())
    if root is not None:
        return (read_class_folders if has_class_folders(source, root) else read_labelled_names), root
    packed = [name for name in source.names() if name.lower().endswith((".zip", ".tar", ".gz", ".7z"))]
    unpack = f" (it holds {listed(packed)}: unpack first)" if packed else ""
    raise RequestError(
        f"{source.path} has no training folder{unpack}; looked for training/{{label}}_{{n}}.jpg, train/{{class}}/ and "
        f"{TRAINING_TABLES[0]} at its top and up to {DEEPEST_ROOT} folders deep"
    )


def _classes(source: Source, parts: ContestParts) -> tuple[str, ...]:
    """Class names, in numeric order when all are numbers. Raises RequestError for classes that cannot be learned."""
    names = set(parts.training.values())
    numbers = all(number(name) for name in names)
    classes = sorted(names, key=lambda name: (int(name), name) if numbers else (0, name))
    if len(classes) < 2:
        raise RequestError(f"{source.path}: all training images have label {classes[0]}, expected at least 2 classes")
    for name in classes:
        if len(name.encode()) > MAX_CLASS_NAME_BYTES:
            raise RequestError(f"{source.path}: class {name[:40]}... is longer than {MAX_CLASS_NAME_BYTES} bytes")
    for file, label in (parts.validation or {}).items():
        if label not in names:
            raise RequestError(f"{source.path}/{file}: found class {label}, expected one that training has")
    absent = [] if parts.validation is None else sorted(names - set(parts.validation.values()), key=classes.index)
    if absent:
        raise RequestError(
            f"{source.path}: classes without a validation image: {listed(absent)}; expected at least one of each"
        )
    return tuple(classes)


def _split_training(
    source: Source, training: dict[str, str], classes: Sequence[str], fraction: float, seed: int
) -> tuple[dict[str, str], dict[str, str]]:
    counts = Counter(training.values())
    scarce = [name for name in classes if counts[name] < 2]
    if scarce:
        raise RequestError(
            f"{source.path}: classes with a single training image: {listed(scarce)}; "
            "expected at least 2 per class, as there is no validation folder and one must be split off"
        )
    index, files = {name: position for position, name in enumerate(classes)}, list(training)
    kept, split_off = split_off_validation([index[label] for label in training.values()], fraction, seed)
    return {files[i]: training[files[i]] for i in kept}, {files[i]: training[files[i]] for i in split_off}


def split_off_validation(labels: Sequence[int], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows that stay in training and rows split off, both ascending; every class keeps an image in training.

    labels: class of each row, each class at least twice. fraction: share of the rows that is split off. Raises
    RequestError when it is outside (0, 0.5].
    """
    if not 0 < fraction <= 0.5:
        raise RequestError(f"data.validation_fraction: found {fraction}, expected above 0 and at most 0.5")
    # Rounded down, so that a class of two keeps one: its share of training stays at least 1.
    size = max(int(fraction * len(labels) + 1e-9), len(set(labels)))
    kept, split_off = train_test_split(list(range(len(labels))), test_size=size, random_state=seed, stratify=labels)
    return sorted(kept), sorted(split_off)


def read_testing(source: Source, classes: Sequence[str]) -> tuple[tuple[str, ...], SubmissionFormat]:
    """Files of the test images, in a test folder or else at the top level, and the format of their CSV.

    classes: the text of each class. Raises RequestError without test images, and for a sample that does not fit them.
    """
    root, files = _testing_alone(source)
    if not files:
        raise RequestError(f"{source.path} has no test images; looked for testing/, test/ and images at its top level")
    return files, _submission_format(source, root, files, classes, plain_ids=_has_plain_ids(source, classes))


def _testing_alone(source: Source) -> tuple[str, tuple[str, ...]]:
    root = find_root(source, TESTING_FOLDERS, source.folders())
    if root is not None:
        return root, testing_files(source, root)
    root = find_root(source, TRAINING_TABLES, source.names())
    if root is not None:  # one folder holds training and test images
        return root, read_tables(source, root).testing
    top = top_folder(source)
    return top, tuple(images_in(source, top))


def _has_plain_ids(source: Source, classes: Sequence[str]) -> bool:
    """As in the contest around the images; without one, as in layout 1 when all classes are numbers."""
    marks = ((TRAINING_TABLES, source.names()), (TRAINING_FOLDERS, source.folders()))
    if any(find_root(source, names, among) is not None for names, among in marks):
        return detect_layout(source)[0] is read_labelled_names
    return all(number(name) == name for name in classes)


def _submission_format(
    source: Source, root: str, files: Sequence[str], classes: Sequence[str], *, plain_ids: bool
) -> SubmissionFormat:
    sample = find_sample(source, root)
    if sample is None:
        return format_without_sample(files, classes, plain_ids=plain_ids)
    return format_from_sample(source.read(sample), f"{source.path}/{sample}", files, classes)


def _id(file: str, root: str, parts: ContestParts) -> str:
    """The stem where the layout makes it unique, else the path in the contest; equal for a folder and its zip."""
    return PurePosixPath(file).stem if parts.plain_ids else file[len(root) + 1 if root else 0 :]

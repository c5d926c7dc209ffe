"""A contest as records: which file is in which split, with which id and label, and the CSV that it wants."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.data.source import Source
from pipeline.data.submission_format import SubmissionFormat, format_from_sample, format_without_sample, listed
from pipeline.data.validation_split import split_off_validation
from pipeline.errors import RequestError

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
SAMPLE_FILE = "sample_submission.csv"
DEEPEST_ROOT = 2  # folders around the contest: food11.zip holds food11/training
TESTING_FOLDERS = ("testing", "test")
LABELLED_FOLDERS = ("training", "train", "validation", "valid", "val")
LABELLED_STEM = re.compile(r"([0-9]{1,9})_.+")


@dataclass(frozen=True)
class Record:
    """One image. id: the file's stem, as text; file: its name in the source; label: index into classes, -1 unknown."""

    id: str
    file: str
    label: int


@dataclass(frozen=True)
class Contest:
    """A contest. splits: records by "training", "validation" and "testing", each in the order of their files."""

    name: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[Record, ...]]
    validation_made: bool  # the contest has no validation split of its own
    submission: SubmissionFormat


def read_contest(source: Source, *, validation_fraction: float, seed: int) -> Contest:
    """Read a contest of any known layout.

    validation_fraction (in (0, 0.5]) and seed: for the stratified split that is made when there is no validation
    folder. Raises RequestError when the layout is unknown or a file does not fit it.
    """
    read_layout, root = detect_layout(source)
    return read_layout(source, root, validation_fraction, seed)


def detect_layout(source: Source) -> tuple[Callable[[Source, str, float, int], Contest], str]:
    """Choose the reader for the layout of these files and the folder ("" is the top) that holds the contest."""
    root = _find_root(source, "training")
    if root is not None:
        return _read_report_layout, root
    raise RequestError(
        f"{source.path} has no training folder; looked for training/{{label}}_{{n}}.jpg "
        f"at its top and up to {DEEPEST_ROOT} folders deep"
    )


def read_testing(source: Source) -> tuple[Record, ...]:
    """Read the test images alone: of a testing or test folder, else the images at the top level.

    Raises RequestError when there are none, or when two have the same id.
    """
    return _read_testing_folder(source, _find_testing_folder(source))


def read_submission_format(source: Source, testing: Sequence[Record], labels: Sequence[str]) -> SubmissionFormat:
    """Read the CSV's format, from the sample_submission.csv beside the test images' folder when there is one.

    testing: at least one record; labels: the text of each class. Raises RequestError when the sample does not fit.
    """
    folder = _parent(testing[0].file)
    root = _parent(folder) if PurePosixPath(folder).name in TESTING_FOLDERS else folder
    sample = _join(root, SAMPLE_FILE)
    files = [record.file for record in testing]
    if sample not in source.names():
        return format_without_sample(files, labels)
    return format_from_sample(source.read(sample), f"{source.path}/{sample}", files, labels)


def _read_report_layout(source: Source, root: str, validation_fraction: float, seed: int) -> Contest:
    """training/{label}_{n}.jpg, validation/{label}_{n}.jpg, testing/{id}.jpg."""
    training_labels = _integer_labels(source, _join(root, "training"))
    classes = _check_classes(source, training_labels)
    training = _labelled_records(training_labels, classes)
    validation_folder = _join(root, "validation")
    validation_made = validation_folder not in source.folders()
    if validation_made:
        training, validation = _make_validation(source, training, classes, validation_fraction, seed)
    else:
        validation = _labelled_records(_known_labels(source, validation_folder, classes), classes)
    testing = _read_testing_folder(source, _join(root, "testing"))
    labels = tuple(map(str, classes))
    splits = {"training": training, "validation": validation, "testing": testing}
    name = PurePosixPath(root).name or source.name
    return Contest(name, labels, splits, validation_made, read_submission_format(source, testing, labels))


def _integer_labels(source: Source, folder: str) -> dict[str, int]:
    """{file: label as written} of a folder of {label}_{n}.jpg."""
    labels: dict[str, int] = {}
    for file in _images_in(source, folder):
        match = LABELLED_STEM.fullmatch(PurePosixPath(file).stem)
        if match is None:
            raise RequestError(f"{source.path}/{file}: expected a name {{label}}_{{n}} with an integer label")
        labels[file] = int(match[1])
    return labels


def _check_classes(source: Source, labels: dict[str, int]) -> list[int]:
    classes = sorted(set(labels.values()))
    if len(classes) < 2:
        raise RequestError(f"{source.path}: all training images have label {classes[0]}, expected at least 2 classes")
    return classes


def _known_labels(source: Source, folder: str, classes: Sequence[int]) -> dict[str, int]:
    known = set(classes)
    labels = _integer_labels(source, folder)
    for file, label in labels.items():
        if label not in known:
            raise RequestError(f"{source.path}/{file}: found class {label}, expected one that training has")
    return labels


def _labelled_records(labels: dict[str, int], classes: Sequence[int]) -> tuple[Record, ...]:
    index = {label: position for position, label in enumerate(classes)}
    return tuple(Record(PurePosixPath(file).stem, file, index[label]) for file, label in labels.items())


def _make_validation(
    source: Source, training: tuple[Record, ...], classes: Sequence[int], fraction: float, seed: int
) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    counts = Counter(record.label for record in training)
    scarce = [str(classes[label]) for label in sorted(counts) if counts[label] < 2]
    if scarce:
        raise RequestError(
            f"{source.path}: classes with a single training image: {listed(scarce)}; "
            "expected at least 2 per class, as there is no validation folder and one must be split off"
        )
    kept, split_off = split_off_validation([record.label for record in training], fraction, seed)
    return tuple(training[i] for i in kept), tuple(training[i] for i in split_off)


def _read_testing_folder(source: Source, folder: str) -> tuple[Record, ...]:
    records: dict[str, Record] = {}
    for file in _images_in(source, folder):
        record = Record(PurePosixPath(file).stem, file, -1)
        if record.id in records:
            raise RequestError(
                f"{source.path}: {records[record.id].file} and {file} have the same id {record.id!r}; "
                "expected one testing image per id"
            )
        records[record.id] = record
    return tuple(records.values())


def _find_testing_folder(source: Source) -> str:
    for name in TESTING_FOLDERS:
        root = _find_root(source, name)
        if root is not None:
            return _join(root, name)
    top = _top_folder(source)
    if any(_parent(name) == top and _is_image(name) for name in source.names()):
        return top
    raise RequestError(f"{source.path} has no test images; looked for testing/, test/ and images at its top level")


def _top_folder(source: Source) -> str:
    """Find the top, or the folder inside when the top holds nothing but one (a zip made of a folder)."""
    top = ""
    for _ in range(DEEPEST_ROOT):
        inside = [name for name in source.names() + source.folders() if _parent(name) == top]
        if len(inside) != 1 or inside[0] in source.names() or PurePosixPath(inside[0]).name in LABELLED_FOLDERS:
            break
        top = inside[0]
    return top


def _find_root(source: Source, folder_name: str) -> str | None:
    """Find the folder that holds `folder_name`: the shallowest, refused when there are two of them."""
    roots = [_parent(name) for name in source.folders() if PurePosixPath(name).name == folder_name]
    depths = {root: len(PurePosixPath(root).parts) for root in roots}
    shallowest = min(depths.values(), default=DEEPEST_ROOT + 1)
    if shallowest > DEEPEST_ROOT:
        return None
    candidates = [root for root in roots if depths[root] == shallowest]
    if len(candidates) > 1:
        raise RequestError(f"{source.path}: {folder_name} folders in {listed(candidates)}; expected one contest")
    return candidates[0]


def _images_in(source: Source, folder: str) -> list[str]:
    """Image files directly in a folder, sorted; RequestError when it is missing or has none."""
    where = f"{source.path}/{folder}"
    if folder and folder not in source.folders():
        raise RequestError(f"{where} does not exist, expected a folder of images")
    images = [name for name in source.names() if _parent(name) == folder and _is_image(name)]
    if not images:
        raise RequestError(f"{where} holds no images, expected {', '.join(sorted(IMAGE_EXTENSIONS))} directly in it")
    return images


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_EXTENSIONS


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name

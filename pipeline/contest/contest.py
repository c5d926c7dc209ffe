"""A contest as records: which file is in which split, with which id and label, and the CSV that it wants."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from models.packed.header import MAX_CLASS_NAME_BYTES
from pipeline.contest.answer_form import canonical
from pipeline.contest.layouts import read_parts
from pipeline.contest.match_ids import listed, number
from pipeline.contest.parts import Parts
from pipeline.contest.sample import find_sample
from pipeline.contest.source import Source
from pipeline.contest.split_off import split_off
from pipeline.contest.submission_format import SubmissionFormat, format_from_sample, format_without_sample
from pipeline.contest.tree import Tree, base, parent
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

UNKNOWN = -1


@dataclass(frozen=True)
class Record:
    """One image. id: as text; file: its name in the source; label: index into classes, -1 unknown."""

    id: str
    file: str
    label: int


@dataclass(frozen=True)
class Contest:
    """A contest. splits: records by "training", "validation" and "testing", each in the order of their files.

    test_labels: the class of each test image where its folder shows it, else -1; nothing learns from them. labels_from:
    where the labels stand; notes: what else was found, a line each.
    """

    name: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[Record, ...]]
    submission: SubmissionFormat
    has_sample: bool  # the format of the CSV is that of the contest's own sample
    test_labels: tuple[int, ...]
    labels_from: str
    notes: tuple[str, ...]


def read_contest(source: Source, data: DataSettings) -> Contest:
    """Read a contest of any known layout; `data` settles what can be read in more than one way.

    Raises RequestError when the layout is unknown, when a file does not fit it, and where two readings are possible.
    """
    tree = Tree(source)
    sample = find_sample(tree, data)
    parts = read_parts(tree, sample, data)
    parts = _with_canonical_labels(parts)
    classes, notes = _classes(tree, parts)
    parts, more = split_off(tree, parts, data)
    root, index = _root(parts), {name: position for position, name in enumerate(classes)}
    labelled = {"training": parts.training, "validation": parts.validation or {}}
    splits = {
        split: tuple(Record(_id(file, root, parts), file, index[label]) for file, label in labels.items())
        for split, labels in labelled.items()
    }
    splits["testing"] = tuple(Record(_id(file, root, parts), file, UNKNOWN) for file in parts.testing)
    _refuse_equal_stems(tree, parts)
    if sample is None:
        submission = format_without_sample(parts.testing, classes, data, tree.where, plain_ids=parts.plain_ids)
    elif parts.testing:
        submission = format_from_sample(sample, tree.where, parts.testing, classes, data)
    else:
        raise RequestError(f"{tree.where}: {sample.file} asks for test images, and there are none; or --sample none")
    test_labels = tuple(index.get(parts.test_labels.get(file, ""), UNKNOWN) for file in parts.testing)
    name = base(tree.top) or source.name
    notes = (*parts.notes, *notes, *more, *_strangers(parts, classes))
    return Contest(name, classes, splits, submission, sample is not None, test_labels, parts.labels_from, tuple(notes))


def _with_canonical_labels(parts: Parts) -> Parts:
    """Where all labels are numbers, 3.0 and 3 are one class: pandas writes integers so where a cell was empty."""
    texts = {*parts.training.values(), *(parts.validation or {}).values()}
    if not all(number(canonical(text).removeprefix("-")) for text in texts):
        return parts
    training, validation = (
        None if labels is None else {file: canonical(text) for file, text in labels.items()}
        for labels in (parts.training, parts.validation)
    )
    assert training is not None
    test_labels = {file: canonical(text) for file, text in parts.test_labels.items()}
    return Parts(training, validation, parts.testing, test_labels, parts.plain_ids, parts.labels_from, parts.notes)


def _classes(tree: Tree, parts: Parts) -> tuple[tuple[str, ...], list[str]]:
    """Class names, in numeric order when all are numbers, and notes about classes that can hardly be learned.

    Raises RequestError for classes that cannot be learned.
    """
    names = set(parts.training.values())
    numbers = all(number(name) for name in names)
    classes = sorted(names, key=lambda name: (int(name), name) if numbers else (0, name))
    if len(classes) < 2:
        raise RequestError(f"{tree.where}: all training images have label {classes[0]}, expected at least 2 classes")
    for name in classes:
        if len(name.encode()) > MAX_CLASS_NAME_BYTES:
            raise RequestError(f"{tree.where}: class {name[:40]}... is longer than {MAX_CLASS_NAME_BYTES} bytes")
    for file, label in (parts.validation or {}).items():
        if label not in names:
            raise RequestError(f"{tree.where}/{file}: found class {label}, expected one that training has")
    absent = [] if parts.validation is None else sorted(names - set(parts.validation.values()), key=classes.index)
    return tuple(classes), [f"classes without a validation image: {listed(absent)}"] if absent else []


def _strangers(parts: Parts, classes: Sequence[str]) -> list[str]:
    """A note where folders of test images have names that are no class."""
    names = sorted(set(parts.test_labels.values()) - set(classes))
    return [f"test folders that are no class of training: {listed(names)}"] if names else []


def _root(parts: Parts) -> str:
    """The folder that all images of the contest share."""
    return posixpath.commonpath([parent(file) for file in (*parts.training, *(parts.validation or {}), *parts.testing)])


def _id(file: str, root: str, parts: Parts) -> str:
    """The stem where the layout makes it unique, else the path in the contest; equal for a folder and its zip."""
    return PurePosixPath(file).stem if parts.plain_ids else file[len(root) + 1 if root else 0 :]


def _refuse_equal_stems(tree: Tree, parts: Parts) -> None:
    seen: dict[str, str] = {}
    for file in parts.testing if parts.plain_ids else ():
        stem = PurePosixPath(file).stem
        if stem in seen:
            raise RequestError(
                f"{tree.where}: {seen[stem]} and {file} have the same id {stem!r}; expected one testing image per id"
            )
        seen[stem] = file

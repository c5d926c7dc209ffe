"""Layout 1, the reference's: training/{label}_{n}.jpg, validation/{label}_{n}.jpg, testing/{id}.jpg."""

import re
from pathlib import PurePosixPath

from pipeline.contest.folders import (
    TRAINING_FOLDERS,
    VALIDATION_FOLDERS,
    ContestParts,
    find_folder,
    images_of_split,
    join,
    testing_files,
)
from pipeline.contest.source import Source
from pipeline.runtime.errors import RequestError

LABELLED_STEM = re.compile(r"([0-9]{1,9})_.+")


def read_labelled_names(source: Source, root: str) -> ContestParts:
    """Read the contest in `root`. Raises RequestError for names without a label and test images with equal ids."""
    training = find_folder(source, root, TRAINING_FOLDERS) or join(root, TRAINING_FOLDERS[0])
    validation = find_folder(source, root, VALIDATION_FOLDERS)
    testing = testing_files(source, root)
    _refuse_equal_stems(source, testing)
    return ContestParts(
        _labels(source, training), None if validation is None else _labels(source, validation), testing, plain_ids=True
    )


def _labels(source: Source, folder: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    for file in images_of_split(source, folder):
        match = LABELLED_STEM.fullmatch(PurePosixPath(file).stem)
        if match is None:
            raise RequestError(f"{source.path}/{file}: expected a name {{label}}_{{n}} with an integer label")
        labels[file] = str(int(match[1]))
    return labels


def _refuse_equal_stems(source: Source, files: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    for file in files:
        stem = PurePosixPath(file).stem
        if stem in seen:
            raise RequestError(
                f"{source.path}: {seen[stem]} and {file} have the same id {stem!r}; expected one testing image per id"
            )
        seen[stem] = file

"""Layout 2, a folder per class: train/<class>/*, val/<class>/* and test/*; the class is the folder's name."""

from pipeline.contest.folders import (
    TRAINING_FOLDERS,
    VALIDATION_FOLDERS,
    ContestParts,
    base,
    find_folder,
    folders_in,
    images_below,
    images_in,
    no_images,
    testing_files,
)
from pipeline.contest.match_ids import listed, plain
from pipeline.contest.source import Source
from pipeline.runtime.errors import RequestError


def has_class_folders(source: Source, root: str) -> bool:
    """Whether training images lie in folders of the training folder.

    Raises RequestError when they lie there and directly in it too: those would have no label.
    """
    training = find_folder(source, root, TRAINING_FOLDERS)
    if training is None:
        return False
    direct, below = images_in(source, training), images_below(source, training)
    if direct and len(below) > len(direct):
        raise RequestError(
            f"{source.path}/{training}: found images directly in it: {listed([base(file) for file in direct])}, and "
            "others in folders; expected all of them in one folder per class, or none"
        )
    return bool(below) and not direct


def read_class_folders(source: Source, root: str) -> ContestParts:
    """Read the contest in `root`. Raises RequestError for images without a class and for classes without images."""
    training = find_folder(source, root, TRAINING_FOLDERS)
    assert training is not None, "has_class_folders has found it"
    validation = find_folder(source, root, VALIDATION_FOLDERS)
    return ContestParts(
        _labels(source, training),
        None if validation is None else _labels(source, validation),
        testing_files(source, root),
        plain_ids=False,
    )


def _labels(source: Source, folder: str) -> dict[str, str]:
    """{file: name of its class folder}; a class folder may hold folders of its own.

    A folder in between (train/images/<class>/) is gone into.
    """
    inside = folders_in(source, folder)
    while len(inside) == 1 and not images_in(source, inside[0]) and len(folders_in(source, inside[0])) > 1:
        folder, inside = inside[0], folders_in(source, inside[0])
    direct = images_in(source, folder)
    if direct:
        names = listed([base(file) for file in direct])
        raise RequestError(f"{source.path}/{folder}: images without a label: {names}; expected one folder per class")
    labels = {file: plain(file[len(folder) + 1 :].partition("/")[0]) for file in images_below(source, folder)}
    if not labels:
        raise no_images(source, folder)
    empty = sorted({plain(base(path)) for path in folders_in(source, folder)} - set(labels.values()))
    if empty:
        raise RequestError(
            f"{source.path}/{folder}: classes without an image: {listed(empty)}; expected at least one image per class"
        )
    return labels

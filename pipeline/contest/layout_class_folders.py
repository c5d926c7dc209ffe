"""Layout 2, one folder per class: train/<class>/*, val/<class>/* and test/*."""

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
    """Whether training images are in folders of the training folder.

    Raises RequestError when some are directly in it: they have no label.
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
    assert training is not None, "has_class_folders found it"
    validation = find_folder(source, root, VALIDATION_FOLDERS)
    return ContestParts(
        _labels(source, training),
        None if validation is None else _labels(source, validation),
        testing_files(source, root),
        plain_ids=False,
    )


def _labels(source: Source, folder: str) -> dict[str, str]:
    """{file: name of its class folder}. A class folder may hold folders; one folder may lie in between.

    That is train/<class>/old/1.jpg and train/images/<class>/1.jpg.
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

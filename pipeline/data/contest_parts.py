"""What every layout is read into, and the test images, which lie alike in all of them."""

from dataclasses import dataclass

from pipeline.data.contest_folders import TESTING_FOLDERS, find_folder, images_below, images_in, join, no_images, parent
from pipeline.data.source import Source
from pipeline.errors import RequestError


@dataclass(frozen=True)
class ContestParts:
    """The files of a contest. training, validation: {file: text of its class}, in the order of the files."""

    training: dict[str, str]
    validation: dict[str, str] | None  # None: the contest has no such split
    testing: tuple[str, ...]
    plain_ids: bool  # without a sample an Id is the stem or its number (layout 1), else the file's name


def testing_files(source: Source, root: str) -> tuple[str, ...]:
    """Test images of the contest in `root`: directly in the test folder, or in the only folder inside (test/unknown/).

    Raises RequestError when there are none.
    """
    folder = find_folder(source, root, TESTING_FOLDERS)
    if folder is None:
        missing = join(root, TESTING_FOLDERS[0])
        raise RequestError(
            f"{source.path}/{missing} does not exist, expected a folder of images, called {', '.join(TESTING_FOLDERS)}"
        )
    images = images_below(source, folder)
    direct = images_in(source, folder)
    if direct and len(images) > len(direct):
        raise RequestError(f"{source.path}/{folder}: found images directly in it and in folders, expected one of both")
    if len({parent(image) for image in images}) != 1:
        raise no_images(source, folder)
    return tuple(images)

"""The parts of a contest in its folder or zip: the root, the folder of each split, the images in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.contest.match_ids import listed
from pipeline.contest.source import Source
from pipeline.runtime.errors import RequestError

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
DEEPEST_ROOT = 2  # folders around the contest: food11.zip holds food11/training
TRAINING_FOLDERS = ("training", "train")
VALIDATION_FOLDERS = ("validation", "valid", "val")
TESTING_FOLDERS = ("testing", "test", "test_images")
SPLIT_FOLDERS = TRAINING_FOLDERS + VALIDATION_FOLDERS + TESTING_FOLDERS


@dataclass(frozen=True)
class ContestParts:
    """The files of a contest, as a layout gives them.

    training, validation: {file: text of its class}, in the order of the files. plain_ids: without a sample an id is
    the stem or its number (layout 1), else the file's name.
    """

    training: dict[str, str]
    validation: dict[str, str] | None  # None: the contest has no such split
    testing: tuple[str, ...]
    plain_ids: bool


def find_root(source: Source, inside: Sequence[str], among: Sequence[str]) -> str | None:
    """The shallowest folder ("" is the top) that directly holds one of the names `inside`, out of all paths `among`.

    inside: in lower case, matches any case. At most DEEPEST_ROOT deep; None when there is none. Raises RequestError
    when two are equally deep.
    """
    fitting = [path for path in among if base(path).lower() in inside]
    roots = {parent(path) for path in fitting if _depth(parent(path)) <= DEEPEST_ROOT}
    shallowest = [root for root in sorted(roots) if _depth(root) == min(map(_depth, roots))]
    if len(shallowest) > 1:
        found = [path for path in fitting if parent(path) in shallowest]
        raise RequestError(f"{source.path}: found {listed(found)}; expected one contest")
    return shallowest[0] if shallowest else None


def find_folder(source: Source, root: str, names: Sequence[str]) -> str | None:
    """Find the one folder of these names in `root`. Raises RequestError when there are two.

    Where it holds only a folder of its own name, that one: unpacking test.zip into test/ makes test/test/.
    """
    folders = source.folders()
    found = [path for path in folders if parent(path) == root and base(path).lower() in names]
    if len(found) > 1:
        raise RequestError(f"{source.path}: found {' and '.join(found)}; expected one of them")
    if not found:
        return None
    folder = found[0]
    while folders_in(source, folder) == [join(folder, base(folder))] and not images_in(source, folder):
        folder = join(folder, base(folder))
    return folder


def find_file(source: Source, root: str, names: Sequence[str]) -> str | None:
    """Find the one file of these names, in any case, directly in `root`. Raises RequestError when there are two."""
    found = [name for name in source.names() if parent(name) == root and base(name).lower() in names]
    if len(found) > 1:
        raise RequestError(f"{source.path}: found {' and '.join(found)}; expected one of them")
    return found[0] if found else None


def top_folder(source: Source) -> str:
    """The top, or the folder that is alone in it (a zip made of a folder)."""
    top = ""
    for _ in range(DEEPEST_ROOT):
        inside = [name for name in source.names() + source.folders() if parent(name) == top]
        if len(inside) != 1 or inside[0] in source.names() or base(inside[0]).lower() in SPLIT_FOLDERS:
            break
        top = inside[0]
    return top


def testing_files(source: Source, root: str) -> tuple[str, ...]:
    """Test images of the contest in `root`: directly in the test folder, or in its only folder (test/unknown/).

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


def images_of_split(source: Source, folder: str) -> list[str]:
    """Image files directly in a split's folder; RequestError when it is missing or has none."""
    where = f"{source.path}/{folder}"
    if folder and folder not in source.folders():
        raise RequestError(f"{where} does not exist, expected a folder of images")
    images = images_in(source, folder)
    if not images:
        raise no_images(source, folder)
    return images


def no_images(source: Source, folder: str) -> RequestError:
    """The error for a folder that should hold images."""
    extensions = ", ".join(sorted(IMAGE_EXTENSIONS))
    elsewhere = " but those in its folders" if images_below(source, folder) else ""
    return RequestError(f"{source.path}/{folder} holds no images{elsewhere}, expected {extensions} directly in it")


def images_in(source: Source, folder: str) -> list[str]:
    """Image files directly in a folder, sorted."""
    return [name for name in source.names() if parent(name) == folder and is_image(name)]


def images_below(source: Source, folder: str) -> list[str]:
    """Image files in a folder and in all folders below it, sorted."""
    inside = f"{folder}/" if folder else ""
    return [name for name in source.names() if name.startswith(inside) and is_image(name)]


def folders_in(source: Source, folder: str) -> list[str]:
    """Folders directly in a folder, sorted."""
    return [path for path in source.folders() if parent(path) == folder]


def is_image(name: str) -> bool:
    """Whether a file has the extension of an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_EXTENSIONS


def parent(name: str) -> str:
    """The folder of a path, "" for the top."""
    return name.rpartition("/")[0]


def base(name: str) -> str:
    """The last part of a path."""
    return name.rpartition("/")[2]


def join(folder: str, name: str) -> str:
    """The path of `name` in `folder`, "" for the top."""
    return f"{folder}/{name}" if folder else name


def _depth(folder: str) -> int:
    return len(PurePosixPath(folder).parts)

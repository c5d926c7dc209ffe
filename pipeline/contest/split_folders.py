"""The folders of training, validation and test images, found by their names.

A folder's name says its split (split_names.py). Of the folders of one split the ones that lie least deep count, and of
these the one whose name says least else: train before train_masks. Where two remain, the user says which.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.contest.match_ids import listed
from pipeline.contest.split_names import SplitName, split_name
from pipeline.contest.tree import Tree, base, depth, is_below, parent
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

DEEPEST = 4  # folders below the top, the split's own with it
INNER_NAMES = frozenset(["images", "imgs", "img", "image", "data", "jpg", "jpeg", "png", "unknown"])


@dataclass(frozen=True)
class SplitFolders:
    """The folder of each split, None where there is none, and labelled test folders beside the unlabelled one."""

    training: str | None
    validation: str | None
    testing: str | None
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()  # folders whose names mean a split, of which another folder is read


def find_split_folders(tree: Tree, data: DataSettings) -> SplitFolders:
    """The folders that hold the images of each split.

    Raises RequestError where two folders could be the one, and for a stated folder that does not exist.
    """
    named = _outermost(tree, _named(tree))
    training = _stated(tree, "training", data.training_folder) or _one(tree, "training", named)
    validation = _stated(tree, "validation", data.validation_folder) or _one(tree, "validation", named)
    testing = _stated(tree, "testing", data.test_folder)
    notes: list[str] = []
    if testing is None:
        testing, labelled = _test_folder(tree, named)
        if labelled and validation is None:
            validation = labelled
            notes.append(
                f"{labelled}: has class folders, so it is the validation split; the test images are in {testing}"
            )
    read = (training, validation, testing)
    unread = [folder for folder in named if tree.holds_images(folder) and not _overlaps(folder, read)]
    notes += [f"folders that are not read: {listed(unread)}"] if unread else []
    folders = [None if folder is None else inner_folder(tree, folder) for folder in (training, validation, testing)]
    return SplitFolders(*folders, notes=tuple(notes), unread=tuple(unread))


def _overlaps(folder: str, others: Sequence[str | None]) -> bool:
    """Whether a folder is one of the others, or lies in one, or around one."""
    found = [other for other in others if other is not None]
    return any(folder == other or is_below(folder, other) or is_below(other, folder) for other in found)


def inner_folder(tree: Tree, folder: str) -> str:
    """The folder in which a split's images or class folders lie.

    That is train/train/ (a zip unpacked into a folder of its name) and train/images/, where nothing else is there.
    """
    while True:
        inside = tree.image_folders_in(folder)
        if len(inside) != 1 or tree.images_in(folder):
            return folder
        name = base(inside[0]).lower()
        if name != base(folder).lower() and name not in INNER_NAMES and not split_name(name):
            return folder
        folder = inside[0]


def _named(tree: Tree) -> dict[str, SplitName]:
    """Folders by the split that their names mean. Plain names count without images: an empty train/ is a mistake."""
    found = {}
    for folder in tree.folders:
        name = split_name(base(folder))
        if name and depth(folder) - depth(tree.top) <= DEEPEST and (tree.holds_images(folder) or name.rank == 0):
            found[folder] = name
    return found


def _outermost(tree: Tree, named: dict[str, SplitName]) -> dict[str, SplitName]:
    """Without folders around a whole contest (my-test-project/train, .../test), and without those inside another."""
    around = {folder for folder in named if _is_around_a_contest(folder, named)}
    kept = {folder: name for folder, name in named.items() if folder not in around}
    return {
        folder: name
        for folder, name in kept.items()
        if not any(is_below(folder, other) and tree.holds_images(other) for other in kept if other != folder)
    }


def _is_around_a_contest(folder: str, named: dict[str, SplitName]) -> bool:
    inside = {name.split for path, name in named.items() if parent(path) == folder and name.rank < 2}
    return len(inside) > 1


def _one(tree: Tree, split: str, named: dict[str, SplitName]) -> str | None:
    best = _best(split, named)
    if len(best) > 1:
        option = {"training": "training_folder", "validation": "validation_folder", "testing": "test_folder"}[split]
        raise RequestError(
            f"{tree.where}: found {listed(best)}; expected one of them: say which with --set data.{option}={best[0]}"
        )
    return best[0] if best else None


def _best(split: str, named: dict[str, SplitName]) -> list[str]:
    """The folders of a split that lie least deep and whose names say least else."""
    of_split = {folder: name.rank for folder, name in named.items() if name.split == split}
    least_deep = [folder for folder in of_split if depth(folder) == min(map(depth, of_split))]
    return [folder for folder in least_deep if of_split[folder] == min(of_split[path] for path in least_deep)]


def _test_folder(tree: Tree, named: dict[str, SplitName]) -> tuple[str | None, str | None]:
    """The test folder; and where two are equally good and one of them has class folders, that one beside it."""
    best = _best("testing", named)
    if len(best) == 2:
        labelled = [folder for folder in best if len(tree.image_folders_in(inner_folder(tree, folder))) > 1]
        if len(labelled) == 1:
            return next(folder for folder in best if folder not in labelled), labelled[0]
    return _one(tree, "testing", named), None


def _stated(tree: Tree, split: str, folder: str) -> str | None:
    """A folder of the settings: a path from the top of the contest, or its end."""
    if not folder:
        return None
    wanted = folder.strip("/")
    found = [path for path in tree.folders if path == wanted] or [
        path for path in tree.folders if path.endswith(f"/{wanted}")
    ]
    if len(found) != 1 or not tree.holds_images(found[0]):
        what = "is no folder of images in it" if not found else f"fits {listed(found)}"
        raise RequestError(f"{tree.where}: the {split} folder {folder} {what}; found {listed(tree.folders)}")
    return found[0]

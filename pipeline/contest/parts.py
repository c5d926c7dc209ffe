"""The parts of a contest as a layout gives them, and the faults that all layouts share."""

from dataclasses import dataclass

from pipeline.contest.match_ids import listed
from pipeline.contest.tree import IMAGE_ENDINGS, Tree, base
from pipeline.runtime.errors import RequestError


@dataclass(frozen=True)
class Parts:
    """The files of a contest.

    training, validation: {file: text of its class}, in the order of the files. test_labels: those that the folders of
    the test images show; nothing learns from them. plain_ids: without a sample an id is the stem or its number
    (labels in names), else the file's name. labels_from: where the labels stand, in words. notes: what else was found,
    a line each.
    """

    training: dict[str, str]
    validation: dict[str, str] | None  # None: the contest has no such split
    testing: tuple[str, ...]
    test_labels: dict[str, str]
    plain_ids: bool
    labels_from: str
    notes: tuple[str, ...] = ()


def no_images(tree: Tree, folder: str) -> RequestError:
    """The error for a folder that should hold images."""
    foreign = [name for name in tree.foreign if name.startswith(f"{folder}/")]
    if foreign:
        return foreign_images(tree, foreign)
    elsewhere = " but those in its folders" if tree.holds_images(folder) else ""
    endings = ", ".join(sorted(IMAGE_ENDINGS)[:8])
    return RequestError(f"{tree.where}/{folder} holds no images{elsewhere}, expected files such as {endings}")


def foreign_images(tree: Tree, names: list[str]) -> RequestError:
    """The error for images of kinds that are not decoded."""
    found = listed([base(name) for name in names])
    return RequestError(f"{tree.where}: images of kinds that are not read: {found}; expected png or jpg")

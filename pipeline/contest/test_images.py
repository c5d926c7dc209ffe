"""The test images: in one folder, or in class folders, whose names are then known labels that nothing learns from."""

from dataclasses import dataclass, field

from pipeline.contest.match_ids import plain
from pipeline.contest.parts import no_images
from pipeline.contest.split_folders import inner_folder
from pipeline.contest.tree import Tree, is_below, parent
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError


@dataclass(frozen=True)
class TestImages:
    """Files of the test images, and the class folder of each where there are some."""

    __test__ = False  # not a class of tests

    files: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_test_images(tree: Tree, folder: str, data: DataSettings) -> TestImages:
    """The images of a test folder. Raises RequestError where there are none, or some lie in it and some in folders."""
    home = inner_folder(tree, folder)
    direct, inside = tree.images_in(home), tree.image_folders_in(home)
    if direct and inside:
        raise RequestError(f"{tree.where}/{home}: found images directly in it and in folders, expected one of both")
    if not direct and not inside:
        raise no_images(tree, folder)
    if direct:
        return TestImages(tuple(direct))
    files = tree.images_below(home)
    labels = {file: plain(_class_folder(file, home, data)) for file in files}
    if len(inside) == 1 and data.class_folders == "":
        return TestImages(tuple(files))  # test/unknown/
    note = f"{home}: its {len(inside)} folders are taken for the classes of the test images; nothing learns from them"
    return TestImages(tuple(files), labels, (note,))


def _class_folder(file: str, home: str, data: DataSettings) -> str:
    """The folder that is the class of an image: the outer one of several, or the inner one where that is asked for."""
    assert is_below(file, home)
    folders = parent(file)[len(home) + 1 if home else 0 :].split("/")
    return folders[-1] if data.class_folders == "inner" else folders[0]

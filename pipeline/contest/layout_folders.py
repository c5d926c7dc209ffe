"""Class folders: train/<class>/*, val/<class>/*, or one folder per class alone."""

from pipeline.contest.match_ids import listed, plain
from pipeline.contest.parts import no_images
from pipeline.contest.split_folders import INNER_NAMES
from pipeline.contest.tree import Tree, base
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError


def has_class_folders(tree: Tree, folder: str) -> bool:
    """Whether images lie in folders of a split's folder.

    Raises RequestError when some are directly in it too: they have no label.
    """
    direct, inside = tree.images_in(folder), tree.image_folders_in(folder)
    if direct and inside:
        raise RequestError(
            f"{tree.where}/{folder}: found images directly in it: {listed([base(file) for file in direct])}, and "
            "others in folders; expected all of them in one folder per class, or none"
        )
    return bool(inside)


def folder_labels(tree: Tree, folder: str, data: DataSettings) -> dict[str, str]:
    """{file: name of its class folder}.

    Raises RequestError for images without a class, for classes without images, and where of two levels of folders
    either could be the class.
    """
    direct = tree.images_in(folder)
    if direct:
        names = listed([base(file) for file in direct])
        raise RequestError(f"{tree.where}/{folder}: images without a label: {names}; expected one folder per class")
    classes = _class_folders(tree, folder, data)
    if not classes:
        raise no_images(tree, folder)
    empty = [plain(base(path)) for path in tree.folders_in(folder) if not tree.holds_images(path)]
    if empty:
        raise RequestError(
            f"{tree.where}/{folder}: classes without an image: {listed(empty)}; expected at least one image per class"
        )
    labels = {file: plain(base(path)) for path in classes for file in tree.images_below(path)}
    return dict(sorted(labels.items()))


def _class_folders(tree: Tree, folder: str, data: DataSettings) -> list[str]:
    """The folders that are classes: those in `folder`, or those one level deeper."""
    outer = tree.image_folders_in(folder)
    deep = [path for path in outer if not tree.images_in(path)]
    if data.class_folders == "outer" or not deep or _are_wrappers(tree, deep):
        return outer
    inner = [path for above in deep for path in tree.image_folders_in(above)]
    if data.class_folders == "inner":
        if len(deep) < len(outer):
            found = listed([path for path in outer if path not in deep])
            raise RequestError(f"{tree.where}: data.class_folders is inner, but {found} hold images directly")
        return inner
    raise RequestError(
        f"{tree.where}: two levels of class folders, such as {inner[0]}; say which is the class with "
        "--set data.class_folders=outer or inner"
    )


def _are_wrappers(tree: Tree, deep: list[str]) -> bool:
    """Whether each of these holds one folder that only wraps its images: train/<class>/images/*."""
    inside = [tree.image_folders_in(path) for path in deep]
    names = {base(paths[0]).lower() for paths in inside if len(paths) == 1}
    return all(len(paths) == 1 for paths in inside) and (names <= INNER_NAMES or _are_doubled(deep, inside))


def _are_doubled(deep: list[str], inside: list[list[str]]) -> bool:
    return all(base(path).lower() == base(paths[0]).lower() for path, paths in zip(deep, inside, strict=True))

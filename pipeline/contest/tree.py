"""The files of a contest as folders of images: which files are images, and what lies in which folder."""

from bisect import bisect_left
from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath

from pipeline.contest.source import Source

IMAGE_ENDINGS = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".avif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    ]
)
# Images of kinds that are not decoded; they are named, not left out.
FOREIGN_ENDINGS = frozenset(
    [
        ".heic",
        ".heif",
        ".svg",
        ".dcm",
        ".dicom",
        ".raw",
        ".cr2",
        ".nef",
        ".arw",
        ".dng",
        ".jp2",
        ".j2k",
        ".jxl",
        ".psd",
        ".exr",
        ".hdr",
        ".tga",
        ".nii",
        ".mha",
        ".fits",
    ]
)
OTHER_ENDINGS = frozenset(
    [
        ".txt",
        ".csv",
        ".tsv",
        ".json",
        ".jsonl",
        ".xml",
        ".yaml",
        ".yml",
        ".md",
        ".rst",
        ".html",
        ".pdf",
        ".mat",
        ".db",
        ".py",
        ".ipynb",
        ".npy",
        ".npz",
        ".h5",
        ".hdf5",
        ".parquet",
        ".tfrec",
        ".tfrecord",
        ".log",
        ".ini",
        ".zip",
        ".tar",
        ".gz",
        ".tgz",
        ".7z",
        ".rar",
        ".xls",
        ".xlsx",
        ".doc",
        ".docx",
        ".lst",
        ".names",
        ".cfg",
        ".sh",
        ".bat",
    ]
)
AFTER_SLASH = chr(ord("/") + 1)
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")


class Tree:
    """A contest's files, indexed by folder. Names are posix paths, sorted; "" is the top."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.where = str(source.path)
        self.files = source.names()
        self.folders = source.folders()

    @cached_property
    def images(self) -> list[str]:
        """All images: by their ending, or where it says nothing, by how their content begins."""
        return [name for name in self.files if self._is_image(name)]

    @cached_property
    def foreign(self) -> list[str]:
        """Images of kinds that are not decoded."""
        return [name for name in self.files if ending(name) in FOREIGN_ENDINGS]

    def images_in(self, folder: str) -> list[str]:
        """Images directly in a folder."""
        return self._images_by_folder.get(folder, [])

    def images_below(self, folder: str) -> list[str]:
        """Images in a folder and in all folders below it."""
        if not folder:
            return list(self.images)
        first, end = (bisect_left(self.images, f"{folder}{mark}") for mark in ("/", AFTER_SLASH))
        return self.images[first:end]

    def folders_in(self, folder: str) -> list[str]:
        """Folders directly in a folder."""
        return self._folders_by_parent.get(folder, [])

    def holds_images(self, folder: str) -> bool:
        """Whether an image lies in a folder or below it."""
        return folder in self._with_images

    def image_folders_in(self, folder: str) -> list[str]:
        """Folders directly in a folder that hold images."""
        return [path for path in self.folders_in(folder) if self.holds_images(path)]

    @cached_property
    def top(self) -> str:
        """The top, or the folder that is alone in it, and so on: a zip made of a folder."""
        top = ""
        while True:
            inside = self.folders_in(top)
            if len(inside) != 1 or any(parent(name) == top for name in self.files):
                return top
            top = inside[0]

    def _is_image(self, name: str) -> bool:
        end = ending(name)
        if end in IMAGE_ENDINGS:
            return True
        if end in OTHER_ENDINGS or end in FOREIGN_ENDINGS:
            return False
        return begins_like_an_image(self.source.read(name)[:32])

    @cached_property
    def _images_by_folder(self) -> dict[str, list[str]]:
        return _by_parent(self.images)

    @cached_property
    def _folders_by_parent(self) -> dict[str, list[str]]:
        return _by_parent(self.folders)

    @cached_property
    def _with_images(self) -> set[str]:
        found: set[str] = set()
        for folder in self._images_by_folder:
            found |= {folder, *(str(path) for path in PurePosixPath(folder).parents if str(path) != ".")}
        return found


def begins_like_an_image(content: bytes) -> bool:
    """Whether the first bytes of a file are those of a kind of image that is decoded."""
    webp, avif = content[:4] == b"RIFF" and content[8:12] == b"WEBP", content[4:12] in (b"ftypavif", b"ftypavis")
    netpbm = content[:1] == b"P" and content[1:2] in b"123456" and content[2:3] in b"\n\r\t #" and len(content) > 2
    return content.startswith(_BEGINNINGS) or webp or avif or netpbm


def ending(name: str) -> str:
    """The ending of a file's name in lower case, with its dot."""
    return PurePosixPath(name).suffix.lower()


def is_below(name: str, folder: str) -> bool:
    """Whether a file or folder lies in a folder, however deep."""
    return not folder or name.startswith(f"{folder}/")


def parent(name: str) -> str:
    """The folder of a name, "" for the top."""
    return name.rpartition("/")[0]


def base(name: str) -> str:
    """The last part of a path."""
    return name.rpartition("/")[2]


def depth(folder: str) -> int:
    """How many folders deep a path is; the top is 0."""
    return len(PurePosixPath(folder).parts) if folder else 0


def _by_parent(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(parent(name), []).append(name)
    return found

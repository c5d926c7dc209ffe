"""Opens a contest: a folder, a zip, or zips inside either of them; nothing is extracted."""

import hashlib
from pathlib import Path

from pipeline.contest.source import FolderSource, Source, ZipSource
from pipeline.contest.tree import IMAGE_ENDINGS, depth, ending, is_below, parent
from pipeline.runtime.errors import RequestError

DEEPEST_ZIP = 2  # folders above a zip inside a contest


def open_source(path: Path, zip_encoding: str = "") -> Source:
    """Open a contest's folder or zip, or a single image. zip_encoding: of names that are not UTF-8.

    Raises RequestError when it is missing, not a zip, or an unsafe zip.
    """
    if path.is_dir():
        source: Source = FolderSource(path)
    elif path.is_file() and path.suffix.lower() in IMAGE_ENDINGS:
        return OneImage(path)
    elif path.is_file():
        source = ZipSource(path, zip_encoding)
    else:
        found = "is neither a folder nor a file" if path.exists() else "does not exist"
        raise RequestError(f"{path} {found}; expected a contest's folder or zip")
    return WithInnerZips(source, zip_encoding) if any(map(_is_inner_zip, source.names())) else source


class OneImage(Source):
    """A single image, for predictions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """See Source."""
        return [self.path.name]

    def folders(self) -> list[str]:
        """See Source."""
        return []

    def read(self, name: str) -> bytes:
        """See Source."""
        assert name == self.path.name
        return self.path.read_bytes()

    def digest(self) -> str:
        """See Source."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


class WithInnerZips(Source):
    """A folder or zip whose zips count as folders: train.zip is train/. One that is unpacked beside is not read."""

    def __init__(self, outer: Source, zip_encoding: str) -> None:
        self.path = outer.path
        self._outer = outer
        self._inner: dict[str, Source] = {}
        for name in filter(_is_inner_zip, outer.names()):
            folder = name[: -len(".zip")]
            if folder not in outer.folders():
                self._inner[folder] = _opened(outer, name, zip_encoding)

    def names(self) -> list[str]:
        """See Source."""
        inside = [f"{folder}/{name}" for folder, source in self._inner.items() for name in source.names()]
        return sorted([name for name in self._outer.names() if not _is_inner_zip(name)] + inside)

    def folders(self) -> list[str]:
        """See Source."""
        inside = [f"{folder}/{path}" for folder, source in self._inner.items() for path in source.folders()]
        return sorted([*self._outer.folders(), *self._inner, *inside])

    def read(self, name: str) -> bytes:
        """See Source."""
        for folder, source in self._inner.items():
            if is_below(name, folder):
                return source.read(name[len(folder) + 1 :])
        return self._outer.read(name)

    def digest(self) -> str:
        """See Source."""
        return self._outer.digest()


def _is_inner_zip(name: str) -> bool:
    return ending(name) == ".zip" and depth(parent(name)) <= DEEPEST_ZIP


def _opened(outer: Source, name: str, zip_encoding: str) -> Source:
    if isinstance(outer, FolderSource):
        return ZipSource(outer.path / name, zip_encoding)
    return ZipSource(outer.path / name, zip_encoding, outer.read(name))

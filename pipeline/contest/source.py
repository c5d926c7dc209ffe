"""The files of a contest, read in place from a folder or a zip; nothing is extracted."""

import hashlib
import io
import os
import re
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from threading import Lock

from pipeline.runtime.errors import RequestError

# ImageNet's training split has 1.3 million files; the index of two million entries takes about 1 GB of memory.
MOST_ENTRIES = 2_000_000
# The largest image contests on Kaggle that fit one machine stay below this; a zip bomb does not.
MOST_UNPACKED_BYTES = 64 * 2**30
# One file is read into memory whole, by several threads at once; no image or table of a contest is near this.
LARGEST_FILE_BYTES = 2**30

UTF8_FLAG = 0x800  # of a zip's entry: its name is UTF-8
OS_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "_ds_store"})


class Source(ABC):
    """The files of one contest. Names are posix paths relative to the top; read() may be called from many threads."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name, or the zip's without its extension."""
        return self.path.resolve().name if self.path.is_dir() else self.path.stem

    @abstractmethod
    def names(self) -> list[str]:
        """All files, sorted, without hidden files and those of operating systems (Thumbs.db, __MACOSX)."""

    @abstractmethod
    def folders(self) -> list[str]:
        """All folders, sorted, with empty ones and without the top itself."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Bytes of one file. Raises RequestError when a zip's entry is damaged, OSError when the disk fails."""

    @abstractmethod
    def digest(self) -> str:
        """Sha256 (hex) that changes when the files do: of a zip's bytes, of a folder's names, sizes and times."""


class FolderSource(Source):
    """Files below a folder. Links are followed: the folder is the user's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files, self._folders = _scan_folder(path)

    def names(self) -> list[str]:
        """See Source."""
        return list(self._files)

    def folders(self) -> list[str]:
        """See Source."""
        return list(self._folders)

    def read(self, name: str) -> bytes:
        """See Source."""
        return (self.path / name).read_bytes()

    def digest(self) -> str:
        """See Source."""
        digest = hashlib.sha256()
        for name in self.names():
            size_bytes, mtime_ns = self._files[name]
            digest.update(f"{name}\0{size_bytes}\0{mtime_ns}\n".encode())
        return digest.hexdigest()


class ZipSource(Source):
    """Entries of a zip, checked when it is opened."""

    def __init__(self, path: Path, encoding: str = "", content: bytes | None = None) -> None:
        """encoding: of names without the mark of UTF-8. content: of a zip that lies in another one."""
        self.path = path
        self._archive = _opened(path, encoding, content)
        self._lock = Lock()  # ZipFile counts its open entries without a lock of its own
        entries = self._archive.infolist()
        _check_entries(path, entries)
        self._entries, self._folders = _index_entries(path, entries, encoding)

    def names(self) -> list[str]:
        """See Source."""
        return list(self._entries)

    def folders(self) -> list[str]:
        """See Source."""
        return list(self._folders)

    def read(self, name: str) -> bytes:
        """See Source."""
        entry = self._entries[name]
        if entry.file_size > LARGEST_FILE_BYTES:
            raise RequestError(
                f"{self.path}: {name} unpacks to {entry.file_size:,} bytes, expected at most {LARGEST_FILE_BYTES:,}"
            )
        try:
            with self._lock:
                return self._archive.read(entry)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise RequestError(
                f"{self.path}: {name} cannot be unpacked ({error}); expected an undamaged zip"
            ) from error

    def digest(self) -> str:
        """See Source."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path, encoding: str, content: bytes | None) -> zipfile.ZipFile:
    try:
        file = path if content is None else io.BytesIO(content)
        return zipfile.ZipFile(file, metadata_encoding=encoding or None)
    except LookupError:
        raise RequestError(
            f"data.zip_encoding {encoding}: no such encoding; expected one such as gbk or cp866"
        ) from None
    except UnicodeDecodeError as error:
        expected = f"names in {encoding}" if encoding else "names in UTF-8"
        raise RequestError(f"{path}: {error.reason} in the name of a file; expected {expected}") from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise RequestError(f"{path} is not a readable zip ({error}); expected a contest's folder or zip") from error


def _is_kept(part: str) -> bool:
    return not part.startswith(".") and part.lower() not in OS_FILES


def _scan_folder(top: Path) -> tuple[dict[str, tuple[int, int]], list[str]]:
    """Files as {name: (size in bytes, mtime in ns)} and the folders, both sorted."""
    files: dict[str, tuple[int, int]] = {}
    folders: list[str] = []
    for folder, subfolders, file_names in os.walk(top, followlinks=True, onerror=_raise):
        here = Path(folder)
        subfolders[:] = [name for name in subfolders if _is_kept(name) and not _is_loop(here, name)]
        folders += [(here / name).relative_to(top).as_posix() for name in subfolders]
        for file_name in filter(_is_kept, file_names):
            status = _status(here / file_name)
            if stat.S_ISREG(status.st_mode):
                files[(here / file_name).relative_to(top).as_posix()] = (status.st_size, status.st_mtime_ns)
    return dict(sorted(files.items())), sorted(folders)


def _raise(error: OSError) -> None:
    raise error


def _is_loop(folder: Path, name: str) -> bool:
    real = folder.resolve()
    return real.is_relative_to((folder / name).resolve())


def _status(path: Path) -> os.stat_result:
    try:
        str(path).encode()
        return path.stat()
    except UnicodeEncodeError as error:
        raise RequestError(f"{str(path)!a}: the file name is not UTF-8; expected a name that a CSV can hold") from error
    except FileNotFoundError as error:
        raise RequestError(f"{path} is a link to nothing; expected a file") from error


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_ENTRIES:
        raise RequestError(f"{path} holds {len(entries):,} entries, expected at most {MOST_ENTRIES:,}")
    unpacked_bytes = sum(entry.file_size for entry in entries)
    if unpacked_bytes > MOST_UNPACKED_BYTES:
        raise RequestError(f"{path} unpacks to {unpacked_bytes:,} bytes, expected at most {MOST_UNPACKED_BYTES:,}")
    for entry in entries:
        name = entry.orig_filename.replace("\\", "/")
        if name.startswith("/") or ".." in name.split("/") or re.match(r"[A-Za-z]:", name):
            raise RequestError(f"{path}: entry {name!r} climbs out of the zip; expected relative names")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise RequestError(f"{path}: entry {name!r} is a symbolic link; expected files and folders alone")
        if entry.flag_bits & 1:
            raise RequestError(f"{path}: entry {name!r} is encrypted; expected a zip without a password")


def _entry_name(path: Path, entry: zipfile.ZipInfo, encoding: str) -> str:
    """The name of an entry, with '/' where a zip of Windows has backslashes.

    Without the mark of UTF-8 zipfile reads names in code page 437; many such names are UTF-8 all the same. Raises
    RequestError for other ones: which letters their bytes mean is not known.
    """
    name = entry.filename
    if not entry.flag_bits & UTF8_FLAG and not encoding and not name.isascii():
        try:
            name = name.encode("cp437").decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            raise RequestError(
                f"{path}: the file names are not in UTF-8 (one reads {name[:40]!r}); say their encoding with "
                "--set data.zip_encoding=gbk, or cp932, cp866, cp437"
            ) from None
    return name.replace("\\", "/")


def _index_entries(
    path: Path, entries: list[zipfile.ZipInfo], encoding: str
) -> tuple[dict[str, zipfile.ZipInfo], list[str]]:
    """Files as {name: entry}, and the folders, named or implied, both sorted; hidden files are left out."""
    files: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for entry in entries:
        full_name = _entry_name(path, entry, encoding)
        parts = PurePosixPath(full_name).parts  # drops './' and '//'
        if not parts or not all(map(_is_kept, parts)):
            continue
        name = "/".join(parts)
        if full_name.endswith("/"):
            folders.add(name)
        elif name in files:
            raise RequestError(f"{path}: entry {name!r} stands there twice; expected each file once")
        else:
            files[name] = entry
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return {name: files[name] for name in sorted(files)}, sorted(folders)

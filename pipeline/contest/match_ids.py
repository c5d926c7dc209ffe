"""From the ids in a table to image files: by path, file name, stem or number."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from pipeline.contest.split_names import split_name
from pipeline.contest.tree import IMAGE_ENDINGS

MOST_LISTED = 10
LONGEST_LIST = 120  # characters
INTEGER = re.compile(r"[0-9]{1,18}")
Rows = dict[str | None, int]


class ImageIndex:
    """Image files by everything that a table may call them."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files
        self._paths = [PurePosixPath(plain(file)) for file in files]

    def rows(self, ids: Iterable[str]) -> list[int]:
        """Row of the file that each id names; -1 where no file or more than one fits.

        An id is, in this order: the end of the file's path (b/1.jpg, 1.jpg); the same without the ending; a number that
        is the file's (1 is 0001.jpg); the same in other case or with another image ending; the path of another
        computer, whose last folders and name are the file's.
        """
        return [self._row(plain(id_).replace("\\", "/")) for id_ in ids]

    def _row(self, id_: str) -> int:
        row = self._row_of_text(id_)
        parts = id_.split("/")
        for start in range(1, len(parts)):
            if row >= 0:
                return row
            row = self._row_of_text("/".join(parts[start:]))
            if row >= 0 and _other_split(parts[start - 1], self._folder_above(row, len(parts) - start)):
                return -1
        return row

    def _row_of_text(self, id_: str) -> int:
        if not id_:
            return -1
        for rows, key in (
            (self._by_name, id_),
            (self._by_stem, id_),
            (self._by_number, number(id_)),
            (self._by_folded, _without_image_ending(id_).casefold()),
        ):
            if key in rows:
                return rows[key]
        return -1

    def _folder_above(self, row: int, parts: int) -> str:
        """The folder above the last parts of a file's path, "" where there is none."""
        above = self._paths[row].parts[:-parts]
        return above[-1] if above else ""

    @cached_property
    def _by_name(self) -> Rows:
        return _rows(_path_ends(str(path)) for path in self._paths)

    @cached_property
    def _by_stem(self) -> Rows:
        return _rows(_path_ends(str(path.with_suffix(""))) for path in self._paths)

    @cached_property
    def _by_number(self) -> Rows:
        return _rows([number(path.stem)] for path in self._paths)

    @cached_property
    def _by_folded(self) -> Rows:
        return _rows(_path_ends(_without_image_ending(str(path)).casefold()) for path in self._paths)


def match_ids(ids: Sequence[str], files: Sequence[str]) -> list[int]:
    """Row of the file that each id names, as ImageIndex finds it."""
    return ImageIndex(files).rows(ids)


def plain(text: str) -> str:
    """The text without blanks around it and with composed accents, which file names of a Mac have decomposed."""
    return unicodedata.normalize("NFC", text.strip())


def number(text: str) -> str | None:
    """The integer in a text, as plain digits; None for any other text."""
    return str(int(text)) if INTEGER.fullmatch(text) else None


def listed(items: Sequence[str]) -> str:
    """`3 (a, b, c)`: the count and at most the first ten, in at most 120 characters and one item."""
    return f"{len(items)} ({shown(items)})"


def shown(items: Sequence[str]) -> str:
    """`a, b, c, ...`: at most the first ten, in at most 120 characters and one item."""
    kept: list[str] = []
    for item in items[:MOST_LISTED]:
        if kept and sum(map(len, kept)) + len(item) > LONGEST_LIST:
            break
        kept.append(item if len(item) <= LONGEST_LIST else f"{item[:LONGEST_LIST]}...")
    return ", ".join(kept) + (", ..." if len(kept) < len(items) else "")


def repeated(items: Sequence[str]) -> list[str]:
    """Items that occur more than once, each once."""
    return [item for item, uses in Counter(items).items() if uses > 1]


def _without_image_ending(text: str) -> str:
    path = PurePosixPath(text)
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_ENDINGS else text


def _other_split(folder: str, other: str) -> bool:
    """Whether two folders are of different splits: test/1.jpg in a table is not train/1.jpg."""
    one, two = split_name(folder), split_name(other)
    return bool(one and two and one.split != two.split)


def _path_ends(path: str) -> Iterator[str]:
    """a/b/c.jpg, b/c.jpg and c.jpg: the paths in a table start at any folder above the image."""
    parts = path.split("/")
    for start in range(len(parts)):
        yield "/".join(parts[start:])


def _rows(keys_of_rows: Iterable[Iterable[str | None]]) -> Rows:
    """{key: its row}, without keys of several rows."""
    found: Rows = {}
    several: set[str | None] = {None}
    for row, keys in enumerate(keys_of_rows):
        for key in keys:
            if key in found:
                several.add(key)
            found[key] = row
    return {key: row for key, row in found.items() if key not in several}

"""From the ids in a table to image files: by path, file name, stem or number."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

MOST_LISTED = 10
INTEGER = re.compile(r"[0-9]{1,18}")


def match_ids(ids: Sequence[str], files: Sequence[str]) -> list[int]:
    """Row of the file that each id names: by exact path or file name, else by exact stem, else by equal integer.

    -1 where no file or more than one fits: 1 fits 01.jpg and 0001.jpg, a file name fits files in two folders.
    """
    paths = [PurePosixPath(plain(file)) for file in files]
    by_name = _rows(_path_ends(path) for path in paths)
    by_stem = _rows(_path_ends(path.with_suffix("")) for path in paths)
    by_number = _rows([number(path.stem)] for path in paths)
    asked = map(plain, ids)
    return [by_name.get(id_, by_stem.get(id_, by_number.get(number(id_), -1))) for id_ in asked]


def plain(text: str) -> str:
    """The text without blanks around it and with composed accents, which file names of a Mac have decomposed."""
    return unicodedata.normalize("NFC", text.strip())


def number(text: str) -> str | None:
    """The integer in a text, as plain digits; None for any other text."""
    return str(int(text)) if INTEGER.fullmatch(text) else None


def listed(items: Sequence[str]) -> str:
    """`3 (a, b, c)`: the count and at most the first ten."""
    more = ", ..." if len(items) > MOST_LISTED else ""
    return f"{len(items)} ({', '.join(items[:MOST_LISTED])}{more})"


def repeated(items: Sequence[str]) -> list[str]:
    """Items that occur more than once, each once."""
    return [item for item, uses in Counter(items).items() if uses > 1]


def _path_ends(path: PurePosixPath) -> Iterator[str]:
    """a/b/c.jpg, b/c.jpg and c.jpg: the paths in a table start at any folder above the image."""
    for start in range(len(path.parts)):
        yield "/".join(path.parts[start:])


def _rows(keys_of_rows: Iterable[Iterable[str | None]]) -> dict[str | None, int]:
    """{key: its row}, without keys of several rows."""
    found: dict[str | None, int] = {}
    several: set[str | None] = {None}
    for row, keys in enumerate(keys_of_rows):
        for key in keys:
            if key in found:
                several.add(key)
            found[key] = row
    return {key: row for key, row in found.items() if key not in several}

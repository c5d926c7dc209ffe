"""From the ids of a table to the image files that they name: by path, file name, stem or number."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

MOST_LISTED = 10
INTEGER = re.compile(r"[0-9]{1,18}")


def match_ids(ids: Sequence[str], files: Sequence[str]) -> list[int]:
    """Row of the file that each id names: by exact path or file name, else by exact stem, else by equal integer.

    -1 where none or more than one fits: 1 does not say which of 1.jpg and 0001.jpg is meant, a name does not say in
    which of two folders.
    """
    paths = [PurePosixPath(plain(file)) for file in files]
    by_name = _rows(_path_ends(path) for path in paths)
    by_stem = _rows(_path_ends(path.with_suffix("")) for path in paths)
    by_number = _rows([number(path.stem)] for path in paths)
    asked = map(plain, ids)
    return [by_name.get(id_, by_stem.get(id_, by_number.get(number(id_), -1))) for id_ in asked]


def plain(text: str) -> str:
    """The text without blanks around it and with composed accents: a Mac writes them apart, a table does not."""
    return unicodedata.normalize("NFC", text.strip())


def number(text: str) -> str | None:
    """The integer that a text writes, as plain digits; None when it writes none."""
    return str(int(text)) if INTEGER.fullmatch(text) else None


def listed(items: Sequence[str]) -> str:
    """`3 (a, b, c)`: the count and at most the first ten."""
    more = ", ..." if len(items) > MOST_LISTED else ""
    return f"{len(items)} ({', '.join(items[:MOST_LISTED])}{more})"


def repeated(items: Sequence[str]) -> list[str]:
    """Return the items that stand there more than once, each once."""
    return [item for item, uses in Counter(items).items() if uses > 1]


def _path_ends(path: PurePosixPath) -> Iterator[str]:
    """a/b/c.jpg, b/c.jpg and c.jpg: tables name images from any folder above them."""
    for start in range(len(path.parts)):
        yield "/".join(path.parts[start:])


def _rows(keys_of_rows: Iterable[Iterable[str | None]]) -> dict[str | None, int]:
    """Row of each key that one row alone has."""
    found: dict[str | None, int] = {}
    several: set[str | None] = {None}
    for row, keys in enumerate(keys_of_rows):
        for key in keys:
            if key in found:
                several.add(key)
            found[key] = row
    return {key: row for key, row in found.items() if key not in several}

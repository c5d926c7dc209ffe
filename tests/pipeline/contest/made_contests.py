"""Contests made of file names alone: reading a contest opens no image."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pipeline.contest.contest import Contest, read_contest
from pipeline.contest.open_source import open_source
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

CATS_AND_DOGS = [f"train/{name}/{n}.jpg" for name in ("dog", "cat") for n in range(4)]
TEST_IMAGES = ["test/0010.jpg", "test/2.png", "test/NA.jpg"]
TRAIN_IMAGES = [f"train/{n:03d}.jpg" for n in range(8)]
TABLE = "image,label,source\n" + "".join(f"{n:03d},{('cat', 'dog')[n % 2]},web\n" for n in range(8))


def make(top: Path, names: Iterable[str], **tables: str) -> Path:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not read here")
    for name, text in tables.items():
        (top / f"{name}.csv").write_text(text)
    return top


def read(path: Path, **changes: Any) -> Contest:
    return read_contest(open_source(path), DataSettings(validation_fraction=0.25, **changes))


def labels(contest: Contest, split: str) -> dict[str, str]:
    return {record.file: contest.classes[record.label] for record in contest.splits[split]}


def refused(path: Path, message: str, **changes: Any) -> None:
    with pytest.raises(RequestError, match=message) as caught:
        read(path, **changes)
    text = str(caught.value).replace(str(path), "")
    assert "\n" not in text
    assert len(text) <= 300

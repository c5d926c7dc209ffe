import hashlib
import json
from pathlib import Path

import pytest

from pipeline.runtime.atomic import atomic_file, file_digest, value_digest, write_bytes, write_json


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write_half() -> None:
        with atomic_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_there_until_the_write_is_whole(tmp_path: Path):
    path = tmp_path / "new" / "a.bin"
    with atomic_file(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == path.parent  # a rename is atomic on one file system only
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_body_that_writes_nothing_fails(tmp_path: Path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "a.bin"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_leaves_no_temporary_file(tmp_path: Path):
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "a.bin", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_json_with_a_final_newline(tmp_path: Path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"é": [1, 2.5, None]}
    assert (tmp_path / "a.json").read_text().endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_has_no_nan(tmp_path: Path, value: float):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": value})
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}


def test_digests(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert value_digest({"a": 1, "b": [2]}) == value_digest({"b": [2], "a": 1})
    assert value_digest({"a": 1}) != value_digest({"a": 1.0})

import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.contest import source as source_module
from pipeline.contest.open_source import open_source
from pipeline.runtime.errors import RequestError

FILES = {"b/2.txt": b"two", "b/10.txt": b"ten", "a.txt": b"a"}
OS_FILES = ("__MACOSX/b/._2.txt", ".DS_Store", "b/Thumbs.db", ".git/config", "desktop.ini")


def write_folder(path: Path, names_and_bytes: dict[str, bytes]) -> Path:
    for name, content in names_and_bytes.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_zip(path: Path, names_and_bytes: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names_and_bytes.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


@pytest.fixture(params=["folder", "zip"])
def contest_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    everything = FILES | dict.fromkeys(OS_FILES, b"x")
    if request.param == "folder":
        return write_folder(tmp_path / "contest", everything)
    return write_zip(tmp_path / "contest.zip", everything)


def test_folder_and_zip_read_alike(contest_path: Path):
    source = open_source(contest_path)
    assert source.name == "contest"
    assert source.names() == ["a.txt", "b/10.txt", "b/2.txt"]
    assert source.folders() == ["b"]
    assert {name: source.read(name) for name in source.names()} == FILES


def test_many_threads_read_the_right_bytes(tmp_path: Path):
    files = {f"{i}.bin": bytes([i]) * 5000 for i in range(64)}
    source = open_source(write_zip(tmp_path / "c.zip", files))
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(source.read, list(files) * 4))
    assert contents == list(files.values()) * 4


def test_a_zip_is_not_extracted(tmp_path: Path):
    source = open_source(write_zip(tmp_path / "c.zip", FILES))
    source.read("a.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["c.zip"]


def test_empty_folders_are_seen(tmp_path: Path):
    (tmp_path / "folder" / "validation").mkdir(parents=True)
    archive = write_zip(tmp_path / "c.zip", {"validation/": b"", "x/y/z.txt": b""})
    assert open_source(tmp_path / "folder").folders() == ["validation"]
    assert open_source(archive).folders() == ["validation", "x", "x/y"]


def test_dot_slash_names_of_a_zip_are_plain_names(tmp_path: Path):
    assert open_source(write_zip(tmp_path / "c.zip", {"./a/1.txt": b"1"})).names() == ["a/1.txt"]


def test_digest_of_a_folder_changes_with_name_size_and_time(tmp_path: Path):
    folder = write_folder(tmp_path / "c", FILES)
    digests = [open_source(folder).digest(), open_source(folder).digest()]
    os.utime(folder / "a.txt", ns=(1, 1))
    digests.append(open_source(folder).digest())
    (folder / "a.txt").write_bytes(b"aa")
    os.utime(folder / "a.txt", ns=(1, 1))
    digests.append(open_source(folder).digest())
    (folder / "a.txt").rename(folder / "c.txt")
    digests.append(open_source(folder).digest())
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_digest_of_a_zip_is_that_of_its_bytes(tmp_path: Path):
    first = write_zip(tmp_path / "1.zip", FILES)
    copy = tmp_path / "2.zip"
    copy.write_bytes(first.read_bytes())
    other = write_zip(tmp_path / "3.zip", FILES | {"a.txt": b"b"})
    digests = [open_source(path).digest() for path in (first, copy, other)]
    assert digests[0] == digests[1] != digests[2]


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path):
    write_folder(tmp_path / "elsewhere", {"1.txt": b"1"})
    folder = write_folder(tmp_path / "c", {"a.txt": b"a"})
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    assert open_source(folder).names() == ["a.txt", "link/1.txt"]


def test_link_to_nothing_is_refused(tmp_path: Path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(RequestError, match=r"a\.jpg is a link to nothing"):
        open_source(tmp_path)


def test_missing_path_is_refused(tmp_path: Path):
    with pytest.raises(RequestError, match=r"gone\.zip does not exist; expected a contest's folder or zip"):
        open_source(tmp_path / "gone.zip")


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path):
    (tmp_path / "c.zip").write_bytes(b"<html>please log in</html>")
    with pytest.raises(RequestError, match=r"c\.zip is not a readable zip"):
        open_source(tmp_path / "c.zip")


@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg", "..\\evil.jpg"])
def test_entries_that_climb_out_are_refused(tmp_path: Path, name: str):
    write_zip(tmp_path / "c.zip", FILES | {name: b"x"})
    with pytest.raises(RequestError, match=r"entry '.*evil\.jpg' climbs out of the zip"):
        open_source(tmp_path / "c.zip")


def test_symbolic_links_in_a_zip_are_refused(tmp_path: Path):
    link = zipfile.ZipInfo("a.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(RequestError, match=r"entry 'a\.jpg' is a symbolic link"):
        open_source(tmp_path / "c.zip")


def test_encrypted_entries_are_refused(tmp_path: Path):
    content = bytearray(write_zip(tmp_path / "c.zip", {"a.jpg": b"x"}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "c.zip").write_bytes(content)
    with pytest.raises(RequestError, match=r"entry 'a\.jpg' is encrypted"):
        open_source(tmp_path / "c.zip")


def test_a_name_twice_in_a_zip_is_refused(tmp_path: Path):
    write_zip(tmp_path / "c.zip", {"a.jpg": b"1", "./a.jpg": b"2"})
    with pytest.raises(RequestError, match=r"entry 'a\.jpg' stands there twice"):
        open_source(tmp_path / "c.zip")


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source_module, "MOST_ENTRIES", 2)
    with pytest.raises(RequestError, match="holds 3 entries, expected at most 2"):
        open_source(write_zip(tmp_path / "c.zip", FILES))


def test_too_many_bytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source_module, "MOST_UNPACKED_BYTES", 6)
    with pytest.raises(RequestError, match="unpacks to 7 bytes, expected at most 6"):
        open_source(write_zip(tmp_path / "c.zip", FILES))


def test_a_file_too_large_for_memory_is_refused_when_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(source_module, "LARGEST_FILE_BYTES", 2)
    source = open_source(write_zip(tmp_path / "c.zip", FILES))
    with pytest.raises(RequestError, match=r"b/2\.txt unpacks to 3 bytes, expected at most 2"):
        source.read("b/2.txt")


def test_a_damaged_entry_is_named(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a.txt", b"unmistakable")
    content = (tmp_path / "c.zip").read_bytes().replace(b"unmistakable", b"unmistakeble")
    (tmp_path / "c.zip").write_bytes(content)
    with pytest.raises(RequestError, match=r"a\.txt cannot be unpacked \(Bad CRC-32"):
        open_source(tmp_path / "c.zip").read("a.txt")

"""Where a run keeps its files, and the locks that keep two processes off one output.

runs/<name>/ holds intermediate files and can be deleted; submissions/<name>/ holds what the run delivers. A cell of a
study keeps each step in a folder named by what the step reads, so that equal steps of all studies are one.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError

SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
SPLITS = ("training", "validation", "testing")
STORE = ".steps"  # below runs/: the steps of all studies
USED_BY = "used_by"  # in a step's folder: an empty file for each study that uses it
KEY_DIGITS = 16  # of the digest in a step's folder


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. root: the folder that holds runs/ and submissions/."""

    root: Path
    name: str

    @property
    def folder(self) -> Path:
        """All intermediate files."""
        return self.root / "runs" / self.name

    @property
    def submission(self) -> Path:
        """What the run delivers."""
        return self.root / "submissions" / self.name

    @property
    def request(self) -> Path:
        """The resolved request: contest, settings, budget, protocol."""
        return self.folder / "run.json"

    @property
    def arithmetic(self) -> Path:
        """What a trial of the CPU chose; absent where nothing was measured."""
        return self.folder / "arithmetic.json"

    def place(self, step: str) -> Path:  # noqa: ARG002
        """The folder below which a step writes: for a run, all steps share it."""
        return self.folder

    def settle(self, step: str, identity: str) -> None:
        """Take note of what a step reads, as a digest, before its place is asked for; a run has no need of it."""

    def receipt(self, step: str) -> Path:
        """The receipt of a finished step."""
        return self.place(step) / "receipts" / f"{step}.json"

    @contextlib.contextmanager
    def step_locked(self, step: str) -> Iterator[None]:
        """Hold the lock of a step. Raises RequestError when another process makes it."""
        with _lock(
            self.place(step) / "locks" / f"{step}.lock", f"{step} of run {self.name} is being made by another process"
        ):
            yield

    @contextlib.contextmanager
    def locked(self, busy: str) -> Iterator[None]:
        """Hold the lock of the whole run. Raises RequestError(busy) when another process holds it."""
        with _lock(self.folder / "locks" / "run.lock", busy):
            yield

    @contextlib.contextmanager
    def all_locked(self, busy: str) -> Iterator[None]:
        """Hold the locks of the run and of its steps. Raises RequestError(busy) as `locked` does."""
        with contextlib.ExitStack() as held:
            held.enter_context(self.locked(busy))
            for path in sorted(self.folder.rglob("locks/*.lock")):
                if path.name != "run.lock":
                    held.enter_context(_lock(path, busy))
            yield


@dataclass(frozen=True)
class CellFolder(RunFolder):
    """The files of one cell of a study, each step in a folder named by the digest of all that it reads.

    A step that another process makes is waited for: what it makes is what this one would.
    """

    places: dict[str, Path] = field(default_factory=dict)  # of the steps that were settled

    def place(self, step: str) -> Path:
        """The folder below which a settled step writes. Raises RequestError for one whose turn has not come."""
        if step not in self.places:
            raise RequestError(f"study {self.name}: {step} is not done yet")
        return self.places[step]

    def settle(self, step: str, identity: str) -> None:
        """Give the step the folder of all that it reads, and mark there that this study uses it."""
        self.places[step] = store(self.root) / f"{step}-{identity[:KEY_DIGITS]}"
        mark = self.places[step] / USED_BY / self.name
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()

    @contextlib.contextmanager
    def step_locked(self, step: str) -> Iterator[None]:
        """Hold the lock of a step, after whoever makes it now."""
        path = self.place(step) / "locks" / f"{step}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            say(f"{step}: waits for another process that makes it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def store(root: Path) -> Path:
    """The folder of all steps of all studies."""
    return root / "runs" / STORE


def steps_used_by(root: Path, study: str) -> list[Path]:
    """The folders of the steps that a study uses, alone or with others."""
    return sorted(path.parent.parent for path in store(root).glob(f"*/{USED_BY}/{study}"))


@contextlib.contextmanager
def _lock(path: Path, busy: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise RequestError(busy) from None
    try:
        yield
    finally:
        lock.release()


def disk_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 when it does not exist."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def readable_size(size_bytes: int) -> str:
    """A size in decimal gigabytes or megabytes, as text."""
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"


def check_name(name: str) -> str:
    """Return the name of a run. Raises RequestError when it is not fit for a folder."""
    if not SAFE_NAME.fullmatch(name):
        expected = "letters, digits, '.', '_' and '-', not beginning with '.' or '-', at most 100 characters"
        raise RequestError(f"--name {name!r}: expected {expected}")
    return name

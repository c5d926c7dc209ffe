"""The path of every file of a run, and the locks that keep two processes off one output.

runs/<name>/ holds intermediate files and can be deleted; submissions/<name>/ holds what the run delivers.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.runtime.errors import RequestError

SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
SPLITS = ("training", "validation", "testing")


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. root: the folder that holds runs/ and submissions/.

    A study trains several students on the views and soft labels of one run: each is a `cell` with its own files.
    """

    root: Path
    name: str
    cell: str = ""
    cell_steps: frozenset[str] = frozenset()  # steps whose receipts and locks belong to the cell

    @property
    def folder(self) -> Path:
        """All intermediate files."""
        return self.root / "runs" / self.name

    @property
    def student_folder(self) -> Path:
        """The files of the student; those of the views and the teacher are in `folder`."""
        return self.folder / "cells" / self.cell if self.cell else self.folder

    @property
    def submission(self) -> Path:
        """What the run delivers."""
        return self.root / "submissions" / self.name

    @property
    def request(self) -> Path:
        """The resolved request: contest, settings, budget, protocol."""
        return self.folder / "run.json"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch of every training."""
        return self.student_folder / "metrics.jsonl"

    @property
    def contest(self) -> Path:
        """Classes, ids, labels, channel statistics and the format of the CSV."""
        return self.folder / "contest.json"

    def clean(self, split: str) -> Path:
        """View 0 of a split, of both banks: the decoded images, uint8 [N, H, W, 3]."""
        return self.folder / "views" / "clean" / f"{split}.npy"

    def view(self, bank: str, split: str, view: int) -> Path:
        """A stored view, uint8 [N, H, W, 3]; view 0 is the clean one."""
        return self.clean(split) if view == 0 else self.folder / "views" / bank / f"{split}.{view:03d}.npy"

    @staticmethod
    def view_step(bank: str, split: str, view: int) -> str:
        """The name of the step that makes a view."""
        return "prepare-decode" if view == 0 else f"prepare-{bank}-{split}-{view:03d}"

    def member(self, member: int) -> Path:
        """The weights of a finished member."""
        return self.folder / "members" / f"{member:02d}" / "member.safetensors"

    def member_log_probs(self, member: int) -> Path:
        """Log-probabilities of a member for every view, float16 [V, N, C] per split."""
        return self.folder / "members" / f"{member:02d}" / "log_probs.safetensors"

    @property
    def soft_labels(self) -> Path:
        """The soft labels of every student view."""
        return self.folder / "soft_labels.safetensors"

    @property
    def student(self) -> Path:
        """The weights of the finished student, float32."""
        return self.student_folder / "student" / "student.safetensors"

    @property
    def quantised_student(self) -> Path:
        """The student after LSQ: float32 weights and the step sizes of their rounding."""
        return self.student_folder / "quantised" / "student.safetensors"

    def packed(self, precision: str) -> Path:
        """The packed file of one precision."""
        return self.student_folder / "packed" / f"{precision}.bin"

    @property
    def pack_record(self) -> Path:
        """Bytes and accuracy of every precision, the chosen one and its ledger."""
        return self.student_folder / "packed" / "pack.json"

    @property
    def predictions(self) -> Path:
        """The CSV of the packed student."""
        return self.student_folder / "predictions.csv"

    @property
    def student_log_probs(self) -> Path:
        """Log-probabilities of the shipped file for the clean images, float32 [N, C] per claimable split."""
        return self.student_folder / "student_log_probs.safetensors"

    @property
    def teacher_predictions(self) -> Path:
        """The CSV of the ensemble."""
        return self.student_folder / "teacher_predictions.csv"

    def receipt(self, step: str) -> Path:
        """The receipt of a finished step."""
        return self._folder_of(step) / "receipts" / f"{step}.json"

    def _folder_of(self, step: str) -> Path:
        return self.student_folder if step in self.cell_steps else self.folder

    def checkpoint(self, finished: Path) -> Path:
        """The checkpoint of the training that ends with the file `finished`."""
        return finished.with_name("last.safetensors")

    @contextlib.contextmanager
    def locked(self, step: str, busy: str) -> Iterator[None]:
        """Hold the lock of a step, or of the whole run. Raises RequestError(busy) when another process holds it."""
        path = self._folder_of(step) / "locks" / f"{step}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path, busy):
            yield

    @contextlib.contextmanager
    def all_locked(self, busy: str) -> Iterator[None]:
        """Hold the locks of the run, of its steps and of its cells. Raises RequestError(busy) as `locked` does."""
        with contextlib.ExitStack() as held:
            held.enter_context(self.locked("run", busy))
            for path in sorted(self.folder.rglob("locks/*.lock")):
                if path.name != "run.lock":
                    held.enter_context(_lock(path, busy))
            yield


@contextlib.contextmanager
def _lock(path: Path, busy: str) -> Iterator[None]:
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

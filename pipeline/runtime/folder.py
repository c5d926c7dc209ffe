"""Where every file of a run lies, and the locks that keep two processes off one output.

runs/<name>/ holds what a run makes on its way and can be deleted; submissions/<name>/ holds what it delivers.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import RequestError

SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
STUDENT_STEPS = ("distill", "quantise", "pack", "predict")
SPLITS = ("training", "validation", "testing")


@dataclass(frozen=True)
class RunFolder:
    """The files of one run. `root` is the folder that holds runs/ and submissions/.

    A study trains several students on one run's views and soft labels: each is a `point` with files of its own.
    """

    root: Path
    name: str
    point: str = ""

    @property
    def folder(self) -> Path:
        """Everything that a run makes on its way."""
        return self.root / "runs" / self.name

    @property
    def student_folder(self) -> Path:
        """What belongs to the student and not to the views and labels that it learns from."""
        return self.folder / "points" / self.point if self.point else self.folder

    @property
    def submission(self) -> Path:
        """What it delivers."""
        return self.root / "submissions" / self.name

    @property
    def request(self) -> Path:
        """What was asked for, resolved: contest, settings, budget, protocol."""
        return self.folder / "run.json"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch of every training."""
        return self.student_folder / "metrics.jsonl"

    @property
    def contest(self) -> Path:
        """Classes, ids, labels and the CSV's format."""
        return self.folder / "contest.json"

    def clean(self, split: str) -> Path:
        """View 0 of a split, of both banks: the decoded images, uint8 [N, H, W, 3]."""
        return self.folder / "views" / "clean" / f"{split}.npy"

    def view(self, bank: str, split: str, view: int) -> Path:
        """A stored view, uint8 [N, H, W, 3]; view 0 is the clean one."""
        return self.clean(split) if view == 0 else self.folder / "views" / bank / f"{split}.{view:03d}.npy"

    @staticmethod
    def view_step(bank: str, split: str, view: int) -> str:
        """The step that makes a view."""
        return "prepare-decode" if view == 0 else f"prepare-{bank}-{split}-{view:03d}"

    def member(self, member: int) -> Path:
        """A finished member's weights."""
        return self.folder / "members" / f"{member:02d}" / "member.safetensors"

    def member_log_probs(self, member: int) -> Path:
        """float16 [V, N, C] per split: what this member says of every view."""
        return self.folder / "members" / f"{member:02d}" / "log_probs.safetensors"

    @property
    def soft_labels(self) -> Path:
        """What the ensemble says of every student view."""
        return self.folder / "soft_labels.safetensors"

    @property
    def student(self) -> Path:
        """The finished student's weights, float32."""
        return self.student_folder / "student" / "student.safetensors"

    @property
    def quantised_student(self) -> Path:
        """The student after training with low-bit weights: float weights and the steps that round them."""
        return self.student_folder / "quantised" / "student.safetensors"

    def packed(self, precision: str) -> Path:
        """The student as bytes."""
        return self.student_folder / "packed" / f"{precision}.bin"

    @property
    def pack_report(self) -> Path:
        """Every precision's bytes and accuracy, the chosen one, its ledger."""
        return self.student_folder / "packed" / "pack.json"

    @property
    def predictions(self) -> Path:
        """The packed student's CSV."""
        return self.student_folder / "predictions.csv"

    @property
    def teacher_predictions(self) -> Path:
        """The ensemble's CSV."""
        return self.student_folder / "teacher_predictions.csv"

    def receipt(self, step: str) -> Path:
        """The proof that a step finished."""
        folder = self.student_folder if step in STUDENT_STEPS else self.folder
        return folder / "receipts" / f"{step}.json"

    def checkpoint(self, finished: Path) -> Path:
        """The half-trained state that becomes `finished`."""
        return finished.with_name("last.safetensors")

    @contextlib.contextmanager
    def locked(self, step: str, busy: str) -> Iterator[None]:
        """Hold the lock of a step, or of the whole run. Raises RequestError(busy) when another process holds it."""
        from filelock import FileLock, Timeout

        folder = self.student_folder if step in STUDENT_STEPS else self.folder
        path = folder / "locks" / f"{step}.lock"
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


def check_name(name: str) -> str:
    """Return a run's name, or raise RequestError: it becomes a folder's name."""
    if not SAFE_NAME.fullmatch(name):
        expected = "letters, digits, '.', '_' and '-', not beginning with '.' or '-', at most 100 characters"
        raise RequestError(f"--name {name!r}: expected {expected}")
    return name

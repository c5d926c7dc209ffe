"""The artifacts of a run: its files, each with the step that makes it and the digest from that step's receipt."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.atomic import file_digest
from pipeline.runtime.errors import RequestError, check_file
from pipeline.runtime.folder import RunFolder


@dataclass(frozen=True)
class Artifact:
    """A file of a run that knows which step makes it. `file`: below the place of that step, or absolute."""

    run: RunFolder
    step: str
    file: str

    @property
    def path(self) -> Path:
        """Where it lies. Raises RequestError in a study, when its step is not settled."""
        return self.run.place(self.step) / self.file

    @property
    def key(self) -> str:
        """Its name in the receipt."""
        return Path(self.file).name if Path(self.file).is_absolute() else self.file

    def digest(self) -> str:
        """sha256 from the receipt of its step; the file is read only where its time is another.

        Raises RequestError when that step never finished, or its file is not the one that it wrote: a single stage was
        started too early.
        """
        try:
            recorded = json.loads(self.run.receipt(self.step).read_text())["outputs"][self.key]
            size_bytes, mtime_ns, digest = (recorded[key] for key in ("size_bytes", "mtime_ns", "sha256"))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            raise self._refusal("is not done yet") from None
        if not self.path.is_file():
            raise self._refusal(f"has lost {self.path.name}")
        stat = self.path.stat()
        moved = stat.st_mtime_ns != mtime_ns
        if stat.st_size != size_bytes or (moved and _digest_at(self.path, stat.st_size, stat.st_mtime_ns) != digest):
            raise self._refusal(f"wrote another {self.path.name}")
        return digest

    def _refusal(self, fault: str) -> RequestError:
        name, stage = self.run.name, self.step.partition("-")[0]
        return RequestError(f"run {name}: {self.step} {fault}; run ./run.sh {stage} --name {name} first")


@functools.lru_cache(maxsize=1024)
def _digest_at(path: Path, _size_bytes: int, _mtime_ns: int) -> str:
    """The digest of a file that has this size and time: a file that was copied is read once."""
    return file_digest(path)


@dataclass(frozen=True)
class GivenFile:
    """A file from outside the run that a step reads, such as given soft labels."""

    path: Path

    def digest(self) -> str:
        """sha256 of its bytes, read now. Raises RequestError when there is no such file."""
        check_file(self.path)
        return file_digest(self.path)


@dataclass(frozen=True)
class Artifacts:
    """Every artifact of a run."""

    run: RunFolder

    @property
    def contest(self) -> Artifact:
        """Classes, ids, labels, channel statistics and the format of the CSV."""
        return Artifact(self.run, "prepare-decode", "contest.json")

    def clean(self, split: str) -> Artifact:
        """View 0 of a split, of both banks: the decoded images, uint8 [N, H, W, 3]."""
        return Artifact(self.run, "prepare-decode", f"views/clean/{split}.npy")

    def view(self, bank: str, split: str, view: int) -> Artifact:
        """A stored view, uint8 [N, H, W, 3]; view 0 is the clean one."""
        if view == 0:
            return self.clean(split)
        return Artifact(self.run, f"prepare-{bank}-{split}-{view:03d}", f"views/{bank}/{split}.{view:03d}.npy")

    def member(self, member: int) -> Artifact:
        """The weights of a finished member."""
        return Artifact(self.run, f"teach-{member:02d}", f"members/{member:02d}/member.safetensors")

    def member_metrics(self, member: int) -> Artifact:
        """One JSON line per epoch of a member."""
        return Artifact(self.run, f"teach-{member:02d}", f"members/{member:02d}/metrics.jsonl")

    def member_log_probs(self, member: int) -> Artifact:
        """Log-probabilities of a member for every view, float16 [V, N, C] per split."""
        return Artifact(self.run, f"export-{member:02d}", f"members/{member:02d}/log_probs.safetensors")

    @property
    def soft_labels(self) -> Artifact:
        """The soft labels of every student view."""
        return Artifact(self.run, "export-soft-labels", "soft_labels.safetensors")

    @property
    def student(self) -> Artifact:
        """The weights of the finished student, float32, with its architecture."""
        return Artifact(self.run, "distill", "student/student.safetensors")

    @property
    def student_metrics(self) -> Artifact:
        """One JSON line per epoch of the student."""
        return Artifact(self.run, "distill", "student/metrics.jsonl")

    @property
    def early_student(self) -> Artifact:
        """The student some epochs before its end, float32: where pruning rewinds its weights."""
        return Artifact(self.run, "distill", "student/early.safetensors")

    def pruned_student(self, step: int) -> Artifact:
        """The student after a step of pruning, with its smaller architecture; steps are counted from 1."""
        return Artifact(self.run, f"prune-{step:03d}", f"pruned/{step:03d}/student.safetensors")

    def pruned_early_student(self, step: int) -> Artifact:
        """The early student after the same step, not trained since."""
        return Artifact(self.run, f"prune-{step:03d}", f"pruned/{step:03d}/early.safetensors")

    def pruned_metrics(self, step: int) -> Artifact:
        """One JSON line per epoch after a step of pruning."""
        return Artifact(self.run, f"prune-{step:03d}", f"pruned/{step:03d}/metrics.jsonl")

    @property
    def factorised_student(self) -> Artifact:
        """The student with low-rank layers."""
        return Artifact(self.run, "factorise", "factorised/student.safetensors")

    @property
    def factorised_metrics(self) -> Artifact:
        """One JSON line per epoch with low-rank layers."""
        return Artifact(self.run, "factorise", "factorised/metrics.jsonl")

    @property
    def quantised_student(self) -> Artifact:
        """The student after LSQ: float32 weights and the step sizes of their rounding."""
        return Artifact(self.run, "quantise", "quantised/student.safetensors")

    @property
    def quantised_metrics(self) -> Artifact:
        """One JSON line per epoch with low-bit weights."""
        return Artifact(self.run, "quantise", "quantised/metrics.jsonl")

    def packed(self, precision: str) -> Artifact:
        """The packed file of one precision."""
        return Artifact(self.run, "pack", f"packed/{precision}.bin")

    @property
    def pack_record(self) -> Artifact:
        """Bytes and accuracy of every precision, the chosen one and its ledger."""
        return Artifact(self.run, "pack", "packed/pack.json")

    @property
    def predictions(self) -> Artifact:
        """The CSV of the packed student."""
        return Artifact(self.run, "predict", "predictions.csv")

    @property
    def teacher_predictions(self) -> Artifact:
        """The CSV of the ensemble."""
        return Artifact(self.run, "predict", "teacher_predictions.csv")

    @property
    def student_log_probs(self) -> Artifact:
        """Log-probabilities of the shipped file for the clean images, float32 [N, C] per claimable split."""
        return Artifact(self.run, "predict", "student_log_probs.safetensors")

    def delivered(self, name: str) -> Artifact:
        """A file of the submission."""
        return Artifact(self.run, "deliver", str((self.run.submission / name).absolute()))


def view_name(split: str, view: int) -> str:
    """The name of a view among the inputs of a step."""
    return f"view {view} of {split}"


def views_of(artifacts: Artifacts, bank: str, counts: Mapping[str, int]) -> dict[str, Artifact]:
    """The first views of a bank by name; `counts`: how many of each split."""
    return {
        view_name(split, view): artifacts.view(bank, split, view)
        for split, count in counts.items()
        for view in range(count)
    }

"""The artifacts of a run: its files, each with the step that makes it and the digest from that step's receipt."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import RunFolder


@dataclass(frozen=True)
class Artifact:
    """A file of a run that knows which step makes it."""

    run: RunFolder
    step: str
    path: Path

    def digest(self) -> str:
        """sha256 from the receipt of its step, without reading the file.

        Raises RequestError when that step never finished: a single stage was started too early.
        """
        try:
            return json.loads(self.run.receipt(self.step).read_text())["outputs"][self.path.name]["sha256"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            name, stage = self.run.name, self.step.partition("-")[0]
            raise RequestError(
                f"run {name}: {self.step} is not done yet; run ./run.sh {stage} --name {name} first"
            ) from None


@dataclass(frozen=True)
class Artifacts:
    """Every artifact of a run that a later step may depend on."""

    run: RunFolder

    @property
    def contest(self) -> Artifact:
        """Classes, ids, labels, channel statistics and the format of the CSV."""
        return Artifact(self.run, "prepare-decode", self.run.contest)

    def view(self, bank: str, split: str, view: int) -> Artifact:
        """A stored view; view 0 is the clean one."""
        return Artifact(self.run, self.run.view_step(bank, split, view), self.run.view(bank, split, view))

    def views(self, bank: str, split: str, count: int) -> dict[str, Artifact]:
        """The first `count` views of a split, by name, in order."""
        return {f"{bank} view {view} of {split}": self.view(bank, split, view) for view in range(count)}

    def clean(self, split: str) -> Artifact:
        """The clean images of a split."""
        return self.view("", split, 0)

    def member(self, member: int) -> Artifact:
        """The weights of a member."""
        return Artifact(self.run, f"teach-{member:02d}", self.run.member(member))

    def member_log_probs(self, member: int) -> Artifact:
        """Log-probabilities of a member for every view."""
        return Artifact(self.run, f"export-{member:02d}", self.run.member_log_probs(member))

    @property
    def soft_labels(self) -> Artifact:
        """The soft labels of every student view."""
        return Artifact(self.run, "export-soft-labels", self.run.soft_labels)

    @property
    def student(self) -> Artifact:
        """The weights of the finished student."""
        return Artifact(self.run, "distill", self.run.student)

    @property
    def quantised_student(self) -> Artifact:
        """The student after LSQ."""
        return Artifact(self.run, "quantise", self.run.quantised_student)

    def packed(self, precision: str) -> Artifact:
        """The packed file of one precision."""
        return Artifact(self.run, "pack", self.run.packed(precision))

    @property
    def pack_record(self) -> Artifact:
        """Bytes and accuracy of every precision, the chosen one and its ledger."""
        return Artifact(self.run, "pack", self.run.pack_record)

    @property
    def predictions(self) -> Artifact:
        """The CSV of the student."""
        return Artifact(self.run, "predict", self.run.predictions)

    @property
    def teacher_predictions(self) -> Artifact:
        """The CSV of the ensemble."""
        return Artifact(self.run, "predict", self.run.teacher_predictions)


def digests(artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """The digest of each artifact, by name. Raises RequestError as `Artifact.digest` does."""
    return {name: artifact.digest() for name, artifact in artifacts.items()}

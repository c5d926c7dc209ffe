"""The table of stages: what a run consists of, in order. Everything that lists stages reads it.

The whole run, a single stage, `--help`, the progress lines, the manifest's seconds and the README's table come from
here. A stage is a function `name(job, device)` in the module `name`; it is imported when it is done, so that the help
answers without torch. A new stage is one file and one row.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.request import Job
from pipeline.runtime.steps import read_notes


@dataclass(frozen=True)
class Stage:
    """One part of a run. `summary`, `reads` and `writes` are for people; `steps` names its receipts in a run."""

    name: str
    package: str  # below pipeline.stages, "" is itself
    summary: str  # for the help
    reads: str
    writes: str
    steps: Callable[[Job, str], tuple[str, ...]] = lambda _, name: (name,)
    shared: bool = False  # by all students of a study
    alone: bool = True  # is a command of its own
    needed: Callable[[Job], bool] = lambda _: True
    gate: bool = False  # done alone, it ends with the size gate
    on_device: bool = True  # needs the device of training; False: the CPU alone

    def function(self) -> Callable[..., bool | None]:
        """The function that carries it out: (job, device), and options of its own."""
        module = ".".join(filter(None, ("pipeline.stages", self.package, self.name)))
        return getattr(importlib.import_module(module), self.name)

    def do(self, job: Job, device: object, **options: Any) -> bool:
        """Carry it out; False when the answer is no, which ends the run with exit code 1."""
        return self.function()(job, device, **options) is not False

    def seconds(self, job: Job) -> float:
        """What its steps took, added up, whenever they were done; on a CPU several members work at once."""
        return round(sum(read_notes(job.run, name)["seconds"] for name in self.steps(job, self.name)), 1)


def _view_steps(job: Job, _: str) -> tuple[str, ...]:
    return ("prepare-decode", *(job.run.view_step(*stored) for stored in job.stored_views()))


def _member_steps(job: Job, name: str) -> tuple[str, ...]:
    return tuple(f"{name}-{member:02d}" for member in range(job.taught_members))


def _export_steps(job: Job, name: str) -> tuple[str, ...]:
    return (*_member_steps(job, name), "export-soft-labels")


STAGES = (
    Stage(
        "prepare",
        "",
        "Decode every image once and make the stored views.",
        "contest",
        "every image decoded once; stored views",
        steps=_view_steps,
        shared=True,
        on_device=False,
    ),
    Stage(
        "teach",
        "teacher",
        "Train the members of the ensemble.",
        "teacher views, labels",
        "one checkpoint per member of the ensemble",
        steps=_member_steps,
        shared=True,
        needed=lambda job: not job.request.soft_labels,
    ),
    Stage(
        "export",
        "teacher",
        "Predict with every member and make the soft labels.",
        "members, student views",
        "each member's log_probs per view; the soft labels",
        steps=_export_steps,
        shared=True,
    ),
    Stage(
        "distill",
        "student",
        "Train the student on the soft labels.",
        "student views, soft labels, labels",
        "the student, EMA of the last epoch",
    ),
    Stage(
        "quantise",
        "student",
        "Train the student on with low-bit weights (LSQ).",
        "student, student views, soft labels, labels",
        "the student with low-bit weights (LSQ)",
    ),
    Stage(
        "pack",
        "student",
        "Write and measure the packed files, and choose the one to ship.",
        "both students, clean images, soft labels",
        "packed files, ledger, accuracy measured from the decoded file",
        gate=True,
        on_device=False,
    ),
    Stage(
        "verify",
        "delivery",
        "Check the size of the shipped file.",
        "packed file",
        "nothing: the size gate",
        steps=lambda *_: (),
        alone=False,
        on_device=False,
    ),
    Stage(
        "predict",
        "delivery",
        "Predict the test images from the packed file.",
        "packed file, clean images, soft labels",
        "the CSV in the contest's own format; the student's log_probs and fidelity on every split",
        alone=False,
        on_device=False,
    ),
)


def stage_named(name: str) -> Stage:
    """The stage of a name that is in the table."""
    return next(stage for stage in STAGES if stage.name == name)

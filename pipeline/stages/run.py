"""The table of stages: what a run consists of, in order. Everything that lists stages reads it.

The whole run, a single stage, `--help`, the progress lines, the manifest's seconds and the documents' tables come from
here. A stage is a function of a job in the module of its name: it yields waves of steps, each wave when the one before
it is done. The module is imported when the stage is done, so that the help answers without torch. A new stage is one
file and one row.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.request import Job
from pipeline.runtime.waves import Wave


@dataclass(frozen=True)
class Stage:
    """One part of a run. `summary`, `reads` and `writes` are for people."""

    name: str
    package: str  # below pipeline.stages, "" is itself
    summary: str  # for the help
    reads: str
    writes: str
    shared: bool = False  # a study does it for all cells together, so that equal steps are done once
    alone: bool = True  # is a command of its own
    needed: Callable[[Job], bool] = lambda _: True
    gate: bool = False  # its file must fit: done alone, it ends with the size gate
    on_device: bool = True  # needs the device of training; False: the CPU alone
    has_steps: bool = True  # False: it makes nothing, it looks and refuses

    def function(self) -> Callable[..., Any]:
        """The function of a job that yields its waves."""
        module = ".".join(filter(None, ("pipeline.stages", self.package, self.name)))
        return getattr(importlib.import_module(module), self.name)

    def waves(self, job: Job, **options: Any) -> Iterator[Wave]:
        """Its waves, in order; each may be asked for when the one before it is done."""
        return self.function()(job, **options)


STAGES = (
    Stage(
        "prepare",
        "",
        "Decode every image once and make the stored views.",
        "contest",
        "every image decoded once; stored views",
        shared=True,
        on_device=False,
    ),
    Stage(
        "teach",
        "teacher",
        "Train the members of the ensemble.",
        "teacher views, labels",
        "one checkpoint per member of the ensemble",
        shared=True,
        needed=lambda job: not job.request.soft_labels,
    ),
    Stage(
        "export",
        "teacher",
        "Predict with every member and make the soft labels.",
        "members, student views",
        "each member's log_probs per view; the soft labels",
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
        "prune",
        "student",
        "Remove filters from the student, where prune.keep asks for it.",
        "student, clean images, soft labels; where it trains student views and labels",
        "the student with fewer filters, one per step",
        needed=lambda job: job.settings.prune.is_on,
    ),
    Stage(
        "factorise",
        "student",
        "Make layers of the student low-rank, where factorise.form asks for it.",
        "student, soft labels; where it trains student views and labels",
        "the student with low-rank layers",
        needed=lambda job: job.settings.factorise.is_on,
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
        "nothing: it checks the size limit",
        alone=False,
        on_device=False,
        has_steps=False,
    ),
    Stage(
        "predict",
        "delivery",
        "Predict the test images from the packed file.",
        "packed file, clean images; soft labels for the fidelity",
        "the CSV in the contest's own format; the student's log_probs and fidelity on every split",
        alone=False,
        on_device=False,
    ),
)


def stage_named(name: str) -> Stage:
    """The stage of a name that is in the table."""
    return next(stage for stage in STAGES if stage.name == name)

"""The request of a run: resolved once and written into its folder, so that single stages can read and resume it."""

import json
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.runtime.artifacts import Artifacts
from pipeline.runtime.atomic import write_json
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import SPLITS, RunFolder
from pipeline.runtime.load_settings import tuples
from pipeline.runtime.plan import Plan
from pipeline.runtime.records import CpuArithmetic
from pipeline.runtime.section import Section
from pipeline.runtime.settings import BUDGET_BYTES, Settings, StepDevice
from pipeline.runtime.training_settings import FinalPhaseSettings, MemberSettings


class Request(Section):
    """One run, complete: nothing else decides its result."""

    name: str
    data: str  # the contest's folder or zip
    preset: str
    budget_bytes: int = BUDGET_BYTES
    inductive: bool = False  # test images take no part in training
    final: bool = False  # validation joins training, and no validation figure is claimed
    study: str = ""  # name of the study; empty: a run
    has_test_images: bool = True  # without any a run is inductive and writes no CSV
    soft_labels: tuple[str, ...] = ()  # given files of soft labels; empty: teach and export make them
    given_labels_mixed: bool = False  # they were made for views of which every second one is mixed
    minutes: float | None = None  # that the run was asked to take; None: as long as its settings take
    plan: Plan | None = None  # that was made for these minutes, and that the settings follow; None: not yet, or none
    settings: Settings

    @property
    def trains_inductively(self) -> bool:
        """Whether nothing is learned from test images."""
        return self.inductive or not self.has_test_images

    @property
    def protocol(self) -> str:
        """`transductive` or `inductive`, with `, final` where validation was trained on."""
        return ("inductive" if self.trains_inductively else "transductive") + (", final" if self.final else "")

    @property
    def labelled_splits(self) -> tuple[str, ...]:
        """Splits whose labels are trained on."""
        return ("training", "validation") if self.final else ("training",)

    @property
    def claimable_splits(self) -> tuple[str, ...]:
        """Splits of which figures may be claimed: not validation where it was trained on."""
        return tuple(split for split in SPLITS if split == "training" or split not in self.labelled_splits)

    @property
    def student_splits(self) -> tuple[str, ...]:
        """Splits whose images the student learns from."""
        return self.labelled_splits if self.trains_inductively else (*self.labelled_splits, "testing")

    @property
    def mixes_views(self) -> bool:
        """Whether every second student view is mixed."""
        own = self.settings.views.student_mixing
        return own == "half" or (own == "auto" and (self.given_labels_mixed if self.soft_labels else True))

    @property
    def final_phase(self) -> FinalPhaseSettings | None:
        """The final phase of the student's training; None without. "auto" has one where test images may take part."""
        own = self.settings.distill.final_phase
        without = own.images == "none" or (own.images == "auto" and self.trains_inductively)
        if without or self.settings.distill.training_share < 1.0:
            return None
        return own.model_copy(update={"images": "testing"})


@dataclass(frozen=True)
class Job:
    """A request and the folder of its run: the argument of every stage."""

    run: RunFolder
    request: Request
    full_check: bool = False  # hash large files again, whatever their size and time
    arithmetic: CpuArithmetic | None = None  # of a CPU where the dtype is left open, once it is measured

    @property
    def settings(self) -> Settings:
        """The request's settings."""
        return self.request.settings

    @property
    def device(self) -> StepDevice:
        """From what its steps build their device."""
        return StepDevice(**dict(self.settings.device), arithmetic=self.arithmetic)

    def stored_views(self) -> list[tuple[str, str, int]]:
        """Bank, split and number of every view that this run stores, without the clean ones."""
        views, request = self.settings.views, self.request
        banks = [("student", request.student_splits, views.student_views)]
        if not request.soft_labels:
            taught = [row for row in self.settings.teach.members if not row.weights]
            used = dict.fromkeys(self.teacher_bank(row) for row in taught)
            banks = [(bank, request.labelled_splits, views.teacher_views) for bank in used] + banks
        return [(bank, split, view) for bank, splits, count in banks for split in splits for view in range(1, count)]

    def teacher_bank(self, row: MemberSettings) -> str:
        """The bank of views that a member learns from; each policy of the ensemble has one."""
        own = self.settings.views.teacher_policy
        return "teacher" if row.policy in ("", own) else f"teacher-{row.policy}"

    def policy_of(self, bank: str) -> str:
        """The augmentation policy of a bank."""
        views = self.settings.views
        own = {"student": views.student_policy, "teacher": views.teacher_policy}
        return own.get(bank, bank.removeprefix("teacher-"))

    def is_mixed(self, bank: str, view: int) -> bool:
        """Whether a view of a bank is made of two images."""
        return bank == "student" and view % 2 == 1 and self.request.mixes_views

    def mixed_views(self) -> tuple[int, ...]:
        """The numbers of the student views that are made of two images."""
        return tuple(view for view in range(self.settings.views.student_views) if self.is_mixed("student", view))

    @property
    def artifacts(self) -> Artifacts:
        """The files of its run, each with the step that makes it."""
        return Artifacts(self.run)

    def student_views(self, split: str) -> int:
        """Number of views of a split for the student; the clean one alone for a split that it does not train on."""
        return self.settings.views.student_views if split in self.request.student_splits else 1


def save_request(run: RunFolder, request: Request) -> None:
    """Write the request into the folder of its run."""
    write_json(run.request, request.model_dump(mode="json"))


def load_request(run: RunFolder) -> Request:
    """Read the request of a run. Raises RequestError when there is none, or when it is of another version."""
    try:
        return Request.model_validate(tuples(json.loads(run.request.read_bytes())))
    except FileNotFoundError:
        raise RequestError(
            f"--name {run.name}: no such run (looked for {run.request}); start it with ./run.sh"
        ) from None
    except ValidationError as error:
        where = "".join(f"{part}." for part in error.errors()[0]["loc"]).rstrip(".") or "its content"
        raise RequestError(f"{run.request}: {where}: {error.errors()[0]['msg']}; run ./run.sh again") from None
    except ValueError as error:
        raise RequestError(f"{run.request}: damaged ({error}); run ./run.sh again") from None

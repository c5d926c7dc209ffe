"""What was asked for, resolved once and written into the run, so that single stages can be run and resumed from it."""

import json
from dataclasses import dataclass

from pydantic import ValidationError

from pipeline.runtime.atomic import write_json
from pipeline.runtime.cores import available_cores
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.load_settings import tuples
from pipeline.runtime.settings import BUDGET_BYTES, MemberSettings, Section, Settings


class Request(Section):
    """One run, complete: nothing else decides what comes out."""

    name: str
    data: str  # the contest's folder or zip
    preset: str
    budget_bytes: int = BUDGET_BYTES
    inductive: bool = False  # test images take no part in training
    final: bool = False  # validation joins training, and no validation figure is claimed
    study: str = ""  # the study that this is; empty: a run
    labels: tuple[str, ...] = ()  # files of soft labels from elsewhere; empty: teach and export make them
    settings: Settings

    @property
    def protocol(self) -> str:
        """`transductive` or `inductive`, with `, final` where validation was trained on."""
        return ("inductive" if self.inductive else "transductive") + (", final" if self.final else "")

    @property
    def labelled_splits(self) -> tuple[str, ...]:
        """Splits whose labels are trained on."""
        return ("training", "validation") if self.final else ("training",)

    @property
    def student_splits(self) -> tuple[str, ...]:
        """Splits whose images the student learns from."""
        return self.labelled_splits if self.inductive else (*self.labelled_splits, "testing")


@dataclass(frozen=True)
class Job:
    """A request and the folder it is carried out in: what every stage is given."""

    run: RunFolder
    request: Request
    full_check: bool = False  # hash large files again instead of trusting size and time

    @property
    def settings(self) -> Settings:
        """The request's settings."""
        return self.request.settings

    @property
    def workers(self) -> int:
        """How many threads decode, how many processes augment or train: the setting, else one per core."""
        return self.settings.device.workers or available_cores()

    def stored_views(self) -> list[tuple[str, str, int]]:
        """Bank, split and number of every view that this run stores beside the clean ones."""
        views, request = self.settings.views, self.request
        banks = [("student", request.student_splits, views.student_views)]
        if not request.labels:
            taught = [row for row in self.settings.teach.members if not row.weights]
            used = dict.fromkeys(self.teacher_bank(row) for row in taught)
            banks = [(bank, request.labelled_splits, views.teacher_views) for bank in used] + banks
        return [(bank, split, view) for bank, splits, count in banks for split in splits for view in range(1, count)]

    def teacher_bank(self, row: MemberSettings) -> str:
        """The bank of views that a member learns from; each policy of the ensemble has one."""
        own = self.settings.views.teacher_policy
        return "teacher" if row.policy in ("", own) else f"teacher-{row.policy}"

    def policy_of(self, bank: str) -> str:
        """How the views of a bank are made."""
        views = self.settings.views
        own = {"student": views.student_policy, "teacher": views.teacher_policy}
        return own.get(bank, bank.removeprefix("teacher-"))

    def step_names(self, stage: str) -> list[str]:
        """The steps that a stage consists of in this run."""
        if stage == "prepare":
            return ["prepare-decode", *(self.run.view_step(*stored) for stored in self.stored_views())]
        members = range(0 if self.request.labels else len(self.settings.teach.members))
        each = [f"{stage}-{member:02d}" for member in members] if stage in ("teach", "export") else [stage]
        more = {"export": ["export-soft-labels"], "distill": ["quantise"]}
        return [*each, *more.get(stage, [])]

    def student_views(self, split: str) -> int:
        """How many stored views of a split the student's side needs: the clean one only where nothing learns."""
        return self.settings.views.student_views if split in self.request.student_splits else 1


def save_request(run: RunFolder, request: Request) -> None:
    """Write the request into its run."""
    write_json(run.request, request.model_dump(mode="json"))


def load_request(run: RunFolder) -> Request:
    """Read a run's request. Raises RequestError when there is no such run, or it was written by another version."""
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

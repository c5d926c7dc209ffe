"""A study from the contest to its table: views and soft labels once, then every student that is missing."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.console import say, table
from pipeline.runtime.device import pick_device
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job, save_request
from pipeline.stages.check_request import check_budget, check_members, contest_of
from pipeline.stages.run import STAGES
from pipeline.studies import frontier, members, networks, recipes
from pipeline.studies.cells import Cell, train_cell


@dataclass(frozen=True)
class Study:
    """One experiment: its budgets, its cells, and what it delivers after each of them."""

    budgets: tuple[int, ...]
    cells: Callable[[Sequence[int], int], list[Cell]]
    deliver: Callable[[Job, Cell, Sequence[dict[str, Any]]], None]
    lines: Callable[[Job, Sequence[dict[str, Any]]], list[str]]  # shown when all rows are there


def study_lines(_: Job, rows: Sequence[dict[str, Any]]) -> list[str]:
    """A study's rows as a table."""
    header = ("cell", "seed", "network", "precision", "protocol", "final phase", "TTA", "weights", "predicted bytes")
    header = (*header, "bytes", "validation", "agreement", "KL")
    return table(header, list(map(_cells_of_row, rows)), left=7)


def _cells_of_row(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["cell"],
        str(row["seed"]),
        row["network"],
        row["precision"],
        row["protocol"],
        row["final_phase"],
        "flip" if row["tta_flip"] else "none",
        f"{row['parameters']:,}",
        f"{row['predicted_bytes']:,}",
        f"{row['packed_bytes']:,}",
        f"{row['validation_accuracy']:.2%}",
        f"{row['validation_agreement']:.2%}",
        f"{row['validation_kl']:.4f}",
    )


def _recipe_lines(job: Job, rows: Sequence[dict[str, Any]]) -> list[str]:
    return study_lines(job, rows) + recipes.gain_lines(recipes.with_fidelity(job, rows))


STUDIES = {
    "frontier": Study(frontier.BUDGETS, frontier.frontier_cells, frontier.write_frontier, study_lines),
    "networks": Study(networks.BUDGETS, networks.network_cells, networks.write_networks, study_lines),
    "recipes": Study(recipes.BUDGETS, recipes.recipe_cells, recipes.write_recipes, _recipe_lines),
}
MEMBERS = "members"


def run_study(name: str, job: Job, budgets: Sequence[int], seeds: int) -> None:
    """Do what is missing of a study and say its rows; the same command again resumes."""
    if name == MEMBERS:
        _run_members(job, budgets, seeds)
    else:
        _run_students(name, job, budgets, seeds)


def _run_members(job: Job, budgets: Sequence[int], seeds: int) -> None:
    if budgets:
        raise RequestError("study members trains no student, so it has no --budgets")
    job = members.with_seeds(job, seeds)
    check_members(job)
    contest_of(job)
    with _started(MEMBERS, job):
        members.study_members(job, pick_device(job.settings.device))


@contextlib.contextmanager
def _started(name: str, job: Job) -> Iterator[None]:
    """Hold the study's lock; its request is written and shown."""
    with job.run.locked("run", f"run {job.run.name} is going on in another process; give this one another --name"):
        save_request(job.run, job.request)
        say(f"study {name}: {job.request.data}, preset {job.request.preset}, {job.request.protocol}")
        yield


def _run_students(name: str, job: Job, budgets: Sequence[int], seeds: int) -> None:
    study, device = STUDIES[name], pick_device(job.settings.device)
    cells = study.cells(list(dict.fromkeys(budgets or study.budgets)), seeds)
    _check(job, cells)
    with _started(name, job):
        for stage in STAGES:
            if stage.shared and stage.needed(job):
                stage.do(job, device)
        rows: list[dict[str, Any]] = []
        for cell in cells:
            rows += train_cell(cell, job, device)
            study.deliver(job, cell, rows)
    say("\n".join(study.lines(job, rows)))
    say("validation figures from decoded files")
    say(f"in {job.run.submission}")


def _check(job: Job, cells: Sequence[Cell]) -> None:
    """Refuse what cannot end well before anything is trained."""
    check_members(job)
    classes = contest_of(job).classes
    for cell in cells:
        own = cell.job(job)
        if own.request.inductive and own.settings.distill.final_phase.images == "testing":
            raise RequestError("--inductive: this study has students of both protocols; leave it out")
        check_budget(own, classes)

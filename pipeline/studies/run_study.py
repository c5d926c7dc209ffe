"""A study from the contest to its table: views and soft labels once, then every student that is missing."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job, save_request
from pipeline.stages.run import check_budget, check_members, read_classes
from pipeline.studies import frontier, members, networks, recipes
from pipeline.studies.points import Point, train_point


@dataclass(frozen=True)
class Study:
    """One experiment: the limits it is about, its students, and what it delivers after each of them."""

    budgets: tuple[int, ...]
    points: Callable[[Sequence[int], int], list[Point]]
    deliver: Callable[[Job, Point, Sequence[dict[str, Any]]], None]
    lines: Callable[[Job, Sequence[dict[str, Any]]], list[str]]  # what it says when all rows are there


def study_lines(_: Job, rows: Sequence[dict[str, Any]]) -> list[str]:
    """A study's rows as a table."""
    titles = f"{'network':>18}{'weights':>9}{'predicted':>10}{'bytes':>9}{'validation':>11}{'agrees':>8}{'KL':>8}"
    lines = [f"{'student':28}{titles}  protocol, focus, answers"]
    for row in rows:
        student = f"{row['point']} {row['precision']}, seed {row['seed']}"
        sizes = f"{row['parameters']:>9,}{row['predicted_bytes']:>10,}{row['packed_bytes']:>9,}"
        fidelity = f"{row['validation_agreement']:>8.2%}{row['validation_divergence']:>8.4f}"
        measured = f"{row['validation_accuracy']:>11.2%}{fidelity}"
        answers = "mirrored" if row["mirrored"] else "alone"
        told = f"{row['protocol']}, {row['focus']}, {answers}"
        lines.append(f"{student:28}{row['network']:>18}{sizes}{measured}  {told}")
    return lines


def _recipe_lines(job: Job, rows: Sequence[dict[str, Any]]) -> list[str]:
    return study_lines(job, rows) + recipes.gain_lines(recipes.with_fidelity(job, rows))


STUDIES = {
    "frontier": Study(frontier.BUDGETS, frontier.frontier_points, frontier.write_frontier, study_lines),
    "networks": Study(networks.BUDGETS, networks.network_points, networks.write_networks, study_lines),
    "recipes": Study(recipes.BUDGETS, recipes.recipe_points, recipes.write_recipes, _recipe_lines),
}
MEMBERS = "members"


def run_study(name: str, job: Job, budgets: Sequence[int], seeds: int) -> None:
    """Do what is missing of a study and say its rows; the same command again resumes."""
    if name == MEMBERS:
        _run_members(job, budgets, seeds)
    else:
        _run_students(name, job, budgets, seeds)


def _run_members(job: Job, budgets: Sequence[int], seeds: int) -> None:
    from pipeline.runtime.device import pick_device

    if budgets:
        raise RequestError("study members trains no student, so it has no --budgets")
    job = members.with_seeds(job, seeds)
    check_members(job)
    read_classes(job)
    with _started(MEMBERS, job):
        members.study_members(job, pick_device(job.settings.device))


@contextlib.contextmanager
def _started(name: str, job: Job) -> Iterator[None]:
    """Hold the study's lock; its request is written and said."""
    with job.run.locked("run", f"run {job.run.name} is going on in another process; give this one another --name"):
        save_request(job.run, job.request)
        say(f"study {name}: {job.request.data}, preset {job.request.preset}, {job.request.protocol}")
        yield


def _run_students(name: str, job: Job, budgets: Sequence[int], seeds: int) -> None:
    from pipeline.runtime.device import pick_device
    from pipeline.stages.prepare import prepare_views
    from pipeline.stages.teacher.export import export_soft_labels
    from pipeline.stages.teacher.teach import teach_members

    study, device = STUDIES[name], pick_device(job.settings.device)
    points = study.points(list(dict.fromkeys(budgets or study.budgets)), seeds)
    _check(job, points)
    with _started(name, job):
        prepare_views(job)
        if not job.request.labels:
            teach_members(job, device)
        export_soft_labels(job, device)
        rows: list[dict[str, Any]] = []
        for point in points:
            rows += train_point(point, job, device)
            study.deliver(job, point, rows)
    say("\n".join(study.lines(job, rows)))
    say("validation figures from decoded files")
    say(f"in {job.run.submission}")


def _check(job: Job, points: Sequence[Point]) -> None:
    """Refuse what cannot end well before anything is trained."""
    check_members(job)
    classes = read_classes(job)
    for point in points:
        own = point.job(job)
        if own.request.inductive and own.settings.distill.focus == "testing":
            raise RequestError("--inductive: this study has students of both protocols; leave it out")
        check_budget(own, classes)

"""From the words on the command line to a resolved request: which contest, preset, name, budget. No torch."""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.contest.open_source import open_source
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import RunFolder, check_name, steps_used_by
from pipeline.runtime.plan import Plan
from pipeline.runtime.request import Request, load_request
from pipeline.runtime.settings import BUDGET_BYTES, Settings
from pipeline.runtime.steps import receipt_reads
from pipeline.stages.planning.ladder import BASE
from pipeline.stages.planning.sizes import SMALLEST
from pipeline.stages.planning.stated import first_settings, preset_settings

DEMONSTRATION_NAME = "digits"
DECODE = "prepare-decode"  # the step that reads the contest


@dataclass(frozen=True)
class RunArguments:
    """What a run or a study is asked for on the command line; None where nothing was given."""

    data: Path | None = None
    preset: str | None = None
    name: str | None = None
    budget_bytes: int = BUDGET_BYTES
    soft_labels: tuple[Path, ...] = ()
    inductive: bool = False
    final: bool = False
    changes: tuple[str, ...] = ()  # key=value, of --set
    study: str = ""  # empty: a run
    minutes: float | None = None  # that the run is to take


def resolve(
    arguments: RunArguments,
    root: Path,
    default_preset: Callable[[], str],
    automatic_size: Callable[[Path, DataSettings], int],
) -> Request:
    """The request; a used --name without --data goes on with that run's contest and, without --preset, its preset.

    `default_preset` names what this machine can carry, and `automatic_size` the image size for a contest's images;
    they are asked only after the contest is known to exist. A request with minutes that has no plan yet has the
    settings of the smallest. Raises RequestError for a bad name, preset, setting, or a contest or soft labels file
    that does not exist.
    """
    if arguments.minutes is not None and arguments.preset:
        raise RequestError("--minutes with --preset: a preset is a plan made before; give --minutes or --preset")
    changes = arguments.changes
    named = None if arguments.name is None else RunFolder(root, check_name(arguments.name))
    goes_on = _recorded(named) if named and not arguments.data else None
    if named and not arguments.data and not goes_on and named.request.exists():
        raise RequestError(f"{named.request}: damaged; give --data and what else the run was asked for again")
    data = arguments.data or (Path(goes_on.data) if goes_on else data_beside(root))
    run = named or RunFolder(root, contest_name(data))
    files = None if data is None or is_embedded(run, str(data)) else data
    check_data(files)
    recorded = _recorded(run)
    minutes = arguments.minutes or (goes_on.minutes if goes_on and not arguments.preset else None)
    plan = _plan_made_before(recorded, arguments, minutes)
    if minutes is not None:
        preset, settings = BASE, first_settings(plan, changes, given_labels=bool(arguments.soft_labels))
    else:
        preset = arguments.preset or (goes_on.preset if goes_on else "demo" if data is None else default_preset())
        # the embedded digits are scans of 8x8 pixels
        size = functools.partial(automatic_size, files) if files else lambda _: SMALLEST
        settings = preset_settings(preset, changes, arguments.study, size)
    data = data or embedded_contest(run)
    if arguments.inductive and settings.distill.final_phase.images == "testing":
        expected = 'found "testing", which --inductive bans; expected "auto" or "none"'
        raise RequestError(f"distill.final_phase.images: {expected}")
    if recorded:
        _refuse_another_kind(run, recorded.study, arguments.study)
        _refuse_another_contest(run, Path(recorded.data), data)
    return Request(
        name=run.name,
        data=str(data.resolve()),
        preset=preset,
        budget_bytes=arguments.budget_bytes,
        inductive=arguments.inductive,
        final=arguments.final,
        study=arguments.study,
        soft_labels=_existing(arguments.soft_labels),
        minutes=minutes,
        plan=plan,
        settings=with_absolute_path(settings),
    )


def _plan_made_before(recorded: Request | None, arguments: RunArguments, minutes: float | None) -> Plan | None:
    """The plan of the run of this name, where it was made for the same; without minutes none."""
    if recorded is None or minutes is None:
        return None
    asked = (minutes, arguments.budget_bytes, arguments.inductive, arguments.final, bool(arguments.soft_labels))
    before = (recorded.minutes, recorded.budget_bytes, recorded.inductive, recorded.final, bool(recorded.soft_labels))
    return recorded.plan if asked == before else None


def check_data(data: Path | None) -> None:
    """Refuse a contest that does not exist, before anything heavy is loaded. Raises RequestError."""
    if data is not None and not data.exists():
        raise RequestError(f"--data {data} does not exist; expected a contest's folder or zip")


def budget(text: str) -> int:
    """A number of decimal bytes, at least 1; 300,000 and 300_000 are accepted as people write them."""
    digits = text.replace(",", "").replace("_", "")
    if not re.fullmatch(r"-?\d+", digits) or int(digits) <= 0:
        raise RequestError(f"--budget {text}: expected a number of bytes above 0, such as 300000")
    return int(digits)


def minutes(text: str) -> float:
    """A number of minutes above 0, fractions allowed."""
    if not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", text) or float(text) <= 0:
        raise RequestError(f"--minutes {text}: expected a number of minutes above 0, such as 30 or 7.5")
    return float(text)


def data_beside(root: Path) -> Path | None:
    """The contest that lies beside run.sh, if there is one."""
    return next((path for path in (root / "data", root / "data.zip") if path.exists()), None)


def contest_name(data: Path | None) -> str:
    """The contest's name, made fit for a folder's name."""
    if data is None:
        return DEMONSTRATION_NAME
    resolved = data.resolve()
    name = resolved.stem if resolved.suffix == ".zip" else resolved.name
    return check_name(re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "run")


def embedded_contest(run: RunFolder) -> Path:
    """Where a run's copy of the embedded digits lies."""
    return run.folder / DEMONSTRATION_NAME


def is_embedded(run: RunFolder, data: str) -> bool:
    """Whether a run's contest is its copy of the embedded digits."""
    return data == str(embedded_contest(run).resolve())


def with_absolute_path(settings: Settings) -> Settings:
    """The settings with a path that means the same file wherever the run is resumed."""
    distill = settings.distill
    if not distill.init_from:
        return settings
    init_from = str(Path(distill.init_from).resolve())
    return settings.model_copy(update={"distill": distill.model_copy(update={"init_from": init_from})})


def _recorded(run: RunFolder) -> Request | None:
    """What the run of this name was asked for, if there was one and its record is whole."""
    try:
        return load_request(run)
    except RequestError:  # none yet, or damaged: it is about to be written again
        return None


def _refuse_another_kind(run: RunFolder, recorded: str, wanted: str) -> None:
    """A study and a run share no folder: each would write over the other's request and deliveries."""
    if recorded != wanted:
        kinds = [f"the study {kind}" if kind else "a run" for kind in (recorded, wanted)]
        raise RequestError(f"--name {run.name} is {kinds[0]}; give {kinds[1]} another --name")


def _refuse_another_contest(run: RunFolder, recorded: Path, data: Path) -> None:
    """A run belongs to one contest: another one would redo everything that was trained.

    A contest that only moved is the same contest.
    """
    if recorded == data.resolve():
        return
    known = _contest_digests(run)
    if known and open_source(data).digest() not in known:
        raise RequestError(f"run {run.name} is of contest {recorded}; give {data} another --name")


def _contest_digests(run: RunFolder) -> set[str]:
    """The digests of the contests that a run or a study has decoded: there is one, or none yet."""
    decoded = [run.place(DECODE)] + [step for step in steps_used_by(run.root, run.name) if step.name.startswith(DECODE)]
    found = [receipt_reads(place / "receipts" / f"{DECODE}.json").get("contest") for place in decoded]
    return {digest for digest in found if digest}


def _existing(files: tuple[Path, ...]) -> tuple[str, ...]:
    for file in files:
        if not file.is_file():
            what = "is a folder, expected a file of soft labels" if file.is_dir() else "no such file"
            raise RequestError(f"--soft-labels {file}: {what}")
    return tuple(str(file.resolve()) for file in files)

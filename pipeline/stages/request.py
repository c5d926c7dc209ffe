"""From the words on the command line to a resolved request: which contest, preset, name, budget."""

import argparse
import re
import tempfile
from pathlib import Path

from pipeline.contest.source import open_source
from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import RunFolder, check_name
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.request import Request, load_request
from pipeline.runtime.settings import Settings
from pipeline.runtime.steps import receipt_reads

DEMONSTRATION_NAME = "digits"


def resolve(arguments: argparse.Namespace, root: Path) -> Request:
    """The request; a used --name without --data goes on with that run's contest and, without --preset, its preset.

    Raises RequestError for a bad name, preset, setting, or a contest or labels file that does not exist.
    """
    named = None if arguments.name is None else RunFolder(root, check_name(arguments.name))
    goes_on = _recorded(named) if named and not arguments.data else None
    data = arguments.data or (Path(goes_on.data) if goes_on else data_beside(root))
    preset = arguments.preset or (goes_on.preset if goes_on else _default_preset(data))
    run = named or RunFolder(root, contest_name(data))
    recorded = _recorded(run)
    settings = load_settings(preset, [change for group in arguments.changes for change in group])
    if data is None:
        data = _write_digits(run)
    if not data.exists():
        raise RequestError(f"--data {data} does not exist; expected a contest's folder or zip")
    if arguments.inductive and settings.distill.focus == "testing":
        raise RequestError('distill.focus: found "testing", which --inductive bans; expected "unseen"')
    if recorded:
        _refuse_another_kind(run, recorded.study, arguments.study)
        _refuse_another_contest(run, Path(recorded.data), data)
    return Request(
        name=run.name,
        data=str(data.resolve()),
        preset=preset,
        budget_bytes=arguments.budget,
        inductive=arguments.inductive,
        final=arguments.final,
        study=arguments.study,
        labels=_existing(arguments.labels),
        settings=_with_absolute_start(settings),
    )


def _with_absolute_start(settings: Settings) -> Settings:
    """The settings with a path that means the same file wherever the run is resumed."""
    distill = settings.distill
    if not distill.start:
        return settings
    start = str(Path(distill.start).resolve())
    return settings.model_copy(update={"distill": distill.model_copy(update={"start": start})})


def budget(text: str) -> int:
    """A number of decimal bytes, at least 1; 300,000 and 300_000 are accepted as people write them."""
    digits = text.replace(",", "").replace("_", "")
    if not re.fullmatch(r"-?\d+", digits) or int(digits) <= 0:
        raise RequestError(f"--budget {text}: expected a number of bytes above 0, such as 300000")
    return int(digits)


def data_beside(root: Path) -> Path | None:
    """The contest that lies beside run.sh, if there is one."""
    return next((path for path in (root / "data", root / "data.zip") if path.exists()), None)


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
    digest = receipt_reads(run, "prepare-decode").get("contest")
    if digest is not None and digest != open_source(data).digest():
        raise RequestError(f"run {run.name} is of contest {recorded}; give {data} another --name")


def _default_preset(data: Path | None) -> str:
    """`demo` for the embedded digits, else what this machine can carry."""
    if data is None:
        return "demo"
    from pipeline.runtime.device import cuda_fault

    return "cpu" if cuda_fault() else "gpu"


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


def _write_digits(run: RunFolder) -> Path:
    """Write the embedded contest into the run, once and wholly."""
    from pipeline.contest.digits import write_digits

    say("no --data and no data/ beside run.sh: using scikit-learn's handwritten digits")
    folder = embedded_contest(run)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            write_digits(Path(unfinished) / "whole")
            (Path(unfinished) / "whole").rename(folder)
    return folder


def _existing(files: list[Path] | None) -> tuple[str, ...]:
    for file in files or []:
        if not file.is_file():
            raise RequestError(f"--labels {file}: no such file")
    return tuple(str(file.resolve()) for file in files or [])

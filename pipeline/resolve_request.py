"""From the words on the command line to a resolved request: which contest, preset, name, budget."""

import argparse
import re
import tempfile
from pathlib import Path

from pipeline.console import say
from pipeline.data.source import open_source
from pipeline.errors import RequestError
from pipeline.read_settings import load_settings
from pipeline.receipts import receipt_reads
from pipeline.request import Request, load_request
from pipeline.run_folder import RunFolder, check_name

DEMONSTRATION_NAME = "digits"


def resolve(arguments: argparse.Namespace, root: Path) -> Request:
    """The request.

    Raises RequestError for a bad name, preset, setting, or a contest or labels file that does not exist.
    """
    run = None if arguments.name is None else RunFolder(root, check_name(arguments.name))
    data = arguments.data or (run and _recorded_contest(run)) or _data_beside(root)
    preset = arguments.preset or (_preset_for_this_machine() if data else "demo")
    settings = load_settings(preset, [change for group in arguments.changes for change in group])
    run = run or RunFolder(root, _name_of(data))
    if data is None:
        data = _write_digits(run)
    if not data.exists():
        raise RequestError(f"--data {data} does not exist; expected a contest's folder or zip")
    _refuse_another_contest(run, data)
    return Request(
        name=run.name,
        data=str(data.resolve()),
        preset=preset,
        budget_bytes=arguments.budget,
        inductive=arguments.inductive,
        final=arguments.final,
        labels=_existing(arguments.labels),
        settings=settings,
    )


def budget(text: str) -> int:
    """A number of decimal bytes, at least 1; 300,000 and 300_000 are accepted as people write them."""
    digits = text.replace(",", "").replace("_", "")
    if not re.fullmatch(r"-?\d+", digits) or int(digits) <= 0:
        raise RequestError(f"--budget {text}: expected a number of bytes above 0, such as 300000")
    return int(digits)


def _data_beside(root: Path) -> Path | None:
    return next((path for path in (root / "data", root / "data.zip") if path.exists()), None)


def _recorded_contest(run: RunFolder) -> Path | None:
    """The contest of a run that was started before, so that the same name without --data goes on with it."""
    return Path(load_request(run).data) if run.request.is_file() else None


def _refuse_another_contest(run: RunFolder, data: Path) -> None:
    """A run belongs to one contest: another one would redo everything that was trained.

    A contest that only moved, or a zip that was unpacked and packed again to the same bytes, is the same contest.
    """
    recorded = _recorded_contest(run)
    if recorded is None or recorded == data.resolve():
        return
    digest = receipt_reads(run, "prepare-decode").get("contest")
    if digest is not None and digest != open_source(data).digest():
        raise RequestError(f"run {run.name} is of contest {recorded}; give {data} another --name")


def _preset_for_this_machine() -> str:
    from pipeline.learning.device import cuda_fault

    return "cpu" if cuda_fault() else "gpu"


def _name_of(data: Path | None) -> str:
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
    from pipeline.data.digits import write_digits

    say("no --data and no data/ beside run.sh: using scikit-learn's handwritten digits")
    folder = embedded_contest(run)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            write_digits(Path(unfinished) / "whole")
            (Path(unfinished) / "whole").rename(folder)
    return folder


def _existing(labels: Path | None) -> str:
    if labels is None:
        return ""
    if not labels.is_file():
        raise RequestError(f"--labels {labels}: no such file")
    return str(labels.resolve())

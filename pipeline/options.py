"""The options of every command, each with a help text in plain words and units."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import get_args

from pipeline.contest_options import contest_changes, contest_options
from pipeline.runtime.errors import RequestError
from pipeline.runtime.load_settings import preset_names
from pipeline.runtime.settings import BUDGET_BYTES, MetricName
from pipeline.stages.request import RunArguments, budget, minutes
from pipeline.stages.study_catalogue import study_summaries


def _data_option(parser: ArgumentParser, *, required: bool, meaning: str) -> None:
    parser.add_argument("--data", metavar="DIR_OR_ZIP", type=_data_path, required=required, help=meaning)


def _data_path(text: str) -> Path:
    if not text:
        raise RequestError("--data is empty; expected a contest's folder or zip")
    return Path(text)


def _preset_options(parser: ArgumentParser, default_preset: str) -> None:
    names = f"one of {', '.join(preset_names())}, or a .toml file; default: {default_preset}"
    parser.add_argument("--preset", metavar="NAME_OR_TOML", help=f"the settings to start from: {names}")
    _set_option(parser)


def _set_option(parser: ArgumentParser) -> None:
    meaning = "change settings, such as distill.epochs=60; ./run.sh settings lists them"
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", nargs="+", default=[], help=meaning)


def _student_options(parser: ArgumentParser) -> None:
    meaning = "files of soft labels to use; no teacher is trained"
    parser.add_argument("--soft-labels", metavar="FILE", type=Path, nargs="+", default=[], help=meaning)
    parser.add_argument("--inductive", action="store_true", help="keep the test images out of the training")


def run_options(parser: ArgumentParser) -> None:
    """Options of a run."""
    _data_option(
        parser,
        required=False,
        meaning="the contest; default: data/ or data.zip beside run.sh, else scikit-learn digits",
    )
    _preset_options(parser, "that of an existing run; else demo for the digits, gpu with a CUDA GPU, cpu without")
    meaning = "plan the run for so many minutes on this machine, instead of a preset"
    parser.add_argument("--minutes", metavar="T", type=minutes, help=meaning)
    parser.add_argument("--name", metavar="NAME", help="name of the run's folders; default: the contest's name")
    _budget_option(parser)
    _student_options(parser)
    _metric_option(parser)
    contest_options(parser, columns=True)
    parser.add_argument("--final", action="store_true", help="train on validation too, and claim no figure for it")
    parser.add_argument("--rehash", action="store_true", help="on resuming, read every stored file again in full")


def _metric_option(parser: ArgumentParser) -> None:
    meaning = "what the contest judges by; default accuracy"
    parser.add_argument("--metric", choices=get_args(MetricName), help=meaning)


def check_options(parser: ArgumentParser) -> None:
    """Options of the check of a contest: those of a run that decide what it reads and what it takes."""
    _data_option(parser, required=False, meaning="the contest; default: as for a run")
    _preset_options(parser, "as for a run")
    parser.add_argument("--name", metavar="NAME", help="name of the run that is to come; default: the contest's name")
    _budget_option(parser)
    _student_options(parser)
    contest_options(parser, columns=True)
    parser.add_argument("--no-plan", action="store_true", help="leave out the trial of this machine's speed")


def _budget_option(parser: ArgumentParser) -> None:
    meaning = f"the size limit of the packed file in decimal bytes; default {BUDGET_BYTES:,}"
    parser.add_argument("--budget", metavar="BYTES", type=budget, default=BUDGET_BYTES, help=meaning)


def run_arguments(given: Namespace) -> RunArguments:
    """The typed form of the options that a run and a study share."""
    return RunArguments(
        data=given.data,
        preset=given.preset,
        name=given.name,
        soft_labels=tuple(given.soft_labels),
        inductive=given.inductive,
        changes=(*_metric_change(given), *contest_changes(given), *(change for group in given.set for change in group)),
    )


def _metric_change(given: Namespace) -> tuple[str, ...]:
    metric = getattr(given, "metric", None)
    return (f'pack.metric="{metric}"',) if metric else ()


def verify_options(parser: ArgumentParser) -> None:
    """Options of the size gate."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the file to check")
    _budget_option(parser)


def ledger_options(parser: ArgumentParser) -> None:
    """Options of the ledger."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a packed file")
    json_option(parser)


def json_option(parser: ArgumentParser) -> None:
    """--json instead of a table."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def predict_options(parser: ArgumentParser) -> None:
    """Options of predictions from a packed file."""
    parser.add_argument("file", metavar="FILE", type=Path, help="a packed file")
    _data_option(parser, required=True, meaning="the contest; a folder or zip of test images alone is enough")
    parser.add_argument("--out", metavar="CSV", type=Path, required=True, help="the CSV to write")
    contest_options(parser, columns=False)


def settings_options(parser: ArgumentParser) -> None:
    """Options of the list of settings."""
    parser.add_argument("section", metavar="SECTION", nargs="?", help="one section, such as distill; default: all")
    json_option(parser)


def clean_options(parser: ArgumentParser) -> None:
    """Options of freeing a run."""
    parser.add_argument("--name", metavar="NAME", required=True, help="the run whose runs/NAME is deleted")


def bench_options(parser: ArgumentParser) -> None:
    """Options of the bench."""
    _data_option(parser, required=False, meaning="the contest whose images are used; default: as for a run")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to this file too")
    _set_option(parser)


def study_options(parser: ArgumentParser) -> None:
    """Options of a study."""
    summaries = study_summaries()
    width = max(map(len, summaries))
    parser.epilog = "\n".join(["studies:", *(f"  {name:{width}}  {line}" for name, line in summaries.items())])
    parser.add_argument("study", metavar="STUDY", help=f"one of {', '.join(summaries)}")
    _data_option(parser, required=True, meaning="the contest")
    _preset_options(parser, "study")
    parser.add_argument("--name", metavar="NAME", help="the study; default: the contest's name and the study's")
    _student_options(parser)
    contest_options(parser, columns=True)
    meaning = "size limits of the students in decimal bytes; default: the study's own"
    parser.add_argument("--budgets", metavar="BYTES", type=budget, nargs="+", default=[], help=meaning)
    meaning = "seeds per cell, 1 to 10; recipes trains at least 3"
    parser.add_argument("--seeds", metavar="N", type=int, choices=range(1, 11), default=1, help=meaning)


def stage_options(parser: ArgumentParser, *, of_members: bool) -> None:
    """Options of a single stage; a stage of members can do one of them."""
    parser.add_argument("--name", metavar="NAME", required=True, help="the name of a run that was started before")
    if of_members:
        parser.add_argument("--member", metavar="I", type=int, help="do this member alone, counted from 0")


def option_names(parser: ArgumentParser) -> list[str]:
    """Every option of a parser, such as --budget."""
    return [name for action in parser._actions for name in action.option_strings]  # argparse has no public way

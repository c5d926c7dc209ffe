"""The command line: one table of commands, and how each is carried out.

Laziness has this one door: a command imports what it needs when it is carried out, so `--help`, `verify`, `ledger`,
`models`, `settings`, `list` and `clean` answer without torch.
"""

import argparse
import dataclasses
import functools
import json
import sys
import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pipeline.contest_options import contest_settings
from pipeline.options import (
    bench_options,
    check_options,
    clean_options,
    json_option,
    ledger_options,
    option_names,
    predict_options,
    run_arguments,
    run_options,
    settings_options,
    stage_options,
    study_options,
    verify_options,
)
from pipeline.runtime.console import say, table
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError
from pipeline.runtime.exit_codes import EXIT_CODES, end_on_signals, exit_code_of
from pipeline.runtime.folder import RunFolder, check_name
from pipeline.runtime.load_settings import load_settings, nearest, preset_values
from pipeline.runtime.request import Job, load_request
from pipeline.runtime.settings import BUDGET_BYTES
from pipeline.stages.request import check_data, contest_name, data_beside, resolve
from pipeline.stages.run import STAGES, Stage
from pipeline.stages.study_catalogue import check_study

ROOT = Path(__file__).resolve().parent.parent  # the folder of run.sh: runs/ and submissions/ lie there
RUN = ""  # what `./run.sh` without the name of a command does
OF_RUN_SH = "test"
DESCRIPTION = """Train a teacher ensemble, distill it into a small network, pack that into a file under a byte limit,
prove that it fits, and write the CSV to upload. The same command again resumes."""


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message} ({self.prog} --help shows what there is)")


@dataclass(frozen=True)
class Command:
    """One command: a line for the help, its options, and the function that carries it out and returns an exit code."""

    summary: str
    options: Callable[[ArgumentParser], None]
    work: Callable[[Namespace, Path], int]


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    """Carry out one command and return its exit code (see pipeline.runtime.exit_codes)."""
    return exit_code_of(lambda: _carry_out(list(argv), root))


def _carry_out(argv: list[str], root: Path) -> int:
    name = argv.pop(0) if argv and not argv[0].startswith("-") else RUN
    if name == "help":
        asked = argv[0] if argv and argv[0] not in ("help", "--help", "-h") else RUN
        name, argv = asked, ["--help"]
    if name == OF_RUN_SH:
        raise RequestError("run.sh itself does this: ./run.sh test [--long] [arguments of pytest]")
    if name not in COMMANDS:
        data_hint = f" (did you mean --data {name}?)" if Path(name).exists() else ""
        alike = [known for known in (*COMMANDS, "help", OF_RUN_SH) if known[:1] == name[:1]]  # not prune for run
        near = data_hint or nearest(name, alike)
        raise RequestError(f"unknown command {name!r}{near}; ./run.sh help lists them all")
    parser = _parser(name, COMMANDS[name])
    _refuse_unknown_options(parser, argv)
    return COMMANDS[name].work(parser.parse_args(argv), root)


def _refuse_unknown_options(parser: ArgumentParser, argv: list[str]) -> None:
    """An option that does not exist is answered with the nearest one, before one that is missing."""
    known = option_names(parser)
    unknown = [word for word in argv if word.startswith("--") and word.partition("=")[0] not in known]
    if unknown:
        word = unknown[0].partition("=")[0]
        command_hint = f" (a command: ./run.sh {word[2:]})" if word[2:] in COMMANDS else ""
        near = command_hint or nearest(word, known)
        parser.error(f"unrecognized arguments: {' '.join(argv[argv.index(unknown[0]) :])}{near}")


def _parser(name: str, command: Command) -> ArgumentParser:
    whole = name == RUN
    parser = _Parser(
        prog="./run.sh" if whole else f"./run.sh {name}",
        usage="./run.sh [options of a run], or ./run.sh COMMAND [its options]" if whole else None,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION if whole else command.summary,
        epilog=_command_list() if whole else None,
    )
    command.options(parser)
    return parser


def _command_list() -> str:
    names = [*(name for name in COMMANDS if name != RUN), OF_RUN_SH]
    width = max(map(len, names))
    summaries = {name: command.summary for name, command in COMMANDS.items()} | {OF_RUN_SH: "Run all tests."}
    commands = [f"  {name:{width}}  {summaries[name]}" for name in names]
    return "\n".join(["commands, each with --help:", *commands, "", "exit codes:", *textwrap.wrap(EXIT_CODES, 100)])


def _run(given: Namespace, root: Path) -> int:
    arguments = dataclasses.replace(
        run_arguments(given), budget_bytes=given.budget, final=given.final, minutes=given.minutes
    )
    request = resolve(arguments, root, _preset_of_this_machine, _size_of_images)
    from pipeline.stages.whole_run import run_all

    run_all(Job(RunFolder(root, request.name), request, given.rehash), arguments.changes)
    return 0


def _check(given: Namespace, root: Path) -> int:
    arguments = dataclasses.replace(run_arguments(given), budget_bytes=given.budget)
    if arguments.data is None and data_beside(root) is None:
        raise RequestError("no contest: give --data, or put data/ or data.zip beside run.sh")
    request = resolve(arguments, root, _preset_of_this_machine, _size_of_images)
    from pipeline.stages.contest_check import check_contest

    check_contest(Job(RunFolder(root, request.name), request), with_plan=not given.no_plan)
    return 0


def _preset_of_this_machine() -> str:
    from pipeline.runtime.device import cuda_fault

    return "cpu" if cuda_fault() else "gpu"


def _size_of_images(data: Path, own: DataSettings) -> int:
    from pipeline.stages.planning.image_files import automatic_size

    return automatic_size(data, own)


def _stage_command(stage: Stage) -> Command:
    options = functools.partial(stage_options, of_members=stage.name == "teach")

    def work(given: Namespace, root: Path) -> int:
        run = RunFolder(root, check_name(given.name))
        job = Job(run, load_request(run))
        from pipeline.stages.whole_run import run_stage

        run_stage(stage, job, getattr(given, "member", None))
        return 0

    return Command(f"One stage of a run. {stage.summary}", options, work)


def _verify(given: Namespace, _: Path) -> int:
    from pipeline.stages.delivery.verify import verify_file

    fits, lines = verify_file(given.file, given.budget)
    say("\n".join(lines))
    return 0 if fits else 1


def _ledger(given: Namespace, _: Path) -> int:
    from pipeline.stages.delivery.ledger import ledger_json, ledger_lines, read_ledger

    rows = read_ledger(given.file)
    say(json.dumps(ledger_json(rows), indent=1) if given.json else "\n".join(ledger_lines(rows)))
    return 0


def _predict(given: Namespace, _: Path) -> int:
    check_data(given.data)
    from pipeline.runtime.engine import available_cores
    from pipeline.stages.delivery.predict import predict_folder

    count = predict_folder(given.file, given.data, given.out, contest_settings(given), available_cores())
    say(f"{given.out}: {count} predictions")
    return 0


def _models(given: Namespace, _: Path) -> int:
    from models.packed.size import describe_students
    from models.students.families import families_help

    students = describe_students()
    if given.json:
        say(json.dumps(students, indent=1))
        return 0
    header = ("network", "parameters", *students[0]["bytes"])
    numbers = [(row["parameters"], *row["bytes"].values()) for row in students]
    rows = [(row["name"], *map("{:,}".format, figures)) for row, figures in zip(students, numbers, strict=True)]
    say("\n".join([*table(header, rows), "", *families_help()]))
    return 0


def _settings(given: Namespace, _: Path) -> int:
    from pipeline.runtime.describe_settings import describe_settings, settings_lines

    rows = describe_settings(given.section)
    say(json.dumps(rows, indent=1) if given.json else "\n".join(settings_lines(rows)))
    return 0


def _list(given: Namespace, root: Path) -> int:
    from pipeline.stages.delivery.list_runs import list_lines, list_runs

    rows = list_runs(root)
    say(json.dumps(rows, indent=1) if given.json else "\n".join(list_lines(rows)))
    return 0


def _clean(given: Namespace, root: Path) -> int:
    from pipeline.stages.delivery.clean_run import clean_run

    say("\n".join(clean_run(RunFolder(root, check_name(given.name)))))
    return 0


def _bench(given: Namespace, root: Path) -> int:
    settings = load_settings("cpu", [change for group in given.set for change in group])
    check_data(given.data)
    from pipeline.bench.run_bench import Effort, bench_lines, run_bench
    from pipeline.runtime.atomic import write_json

    found = run_bench(given.data or data_beside(root), settings, Effort())
    say("\n".join(bench_lines(found)))
    if given.json:
        write_json(given.json, found)
    return 0


def _study(given: Namespace, root: Path) -> int:
    check_study(given.study)
    largest = max(given.budgets, default=BUDGET_BYTES)
    name = given.name or f"{contest_name(given.data)}-{given.study}"
    arguments = dataclasses.replace(
        run_arguments(given), name=name, preset=given.preset or "study", budget_bytes=largest, study=given.study
    )
    request = resolve(arguments, root, _preset_of_this_machine, _size_of_images)
    from pipeline.studies.engine.run_study import run_study

    stated = preset_values(request.preset, arguments.changes)
    run_study(given.study, Job(RunFolder(root, request.name), request), stated, tuple(given.budgets), given.seeds)
    return 0


COMMANDS: dict[str, Command] = {
    RUN: Command("Do the whole run; the default.", run_options, _run),
    "check": Command("Check a contest before a run: what is found in it, and what a run takes.", check_options, _check),
    **{stage.name: _stage_command(stage) for stage in STAGES if stage.alone},
    "verify": Command("Check a file's bytes on disk against the size limit.", verify_options, _verify),
    "ledger": Command("Show where the bytes of a packed file go, tensor by tensor.", ledger_options, _ledger),
    "predict": Command("Write the CSV of the test images from a packed file alone.", predict_options, _predict),
    "study": Command("Train many networks and compare them in a table.", study_options, _study),
    "bench": Command("Measure this machine's training speed against a plain loop.", bench_options, _bench),
    "models": Command(
        "List every student network: parameters, bytes of its file at 64x64 pixels and 11 classes.",
        json_option,
        _models,
    ),
    "settings": Command("List every setting: meaning, unit, default, range.", settings_options, _settings),
    "list": Command("List every run and submission: bytes, accuracy, seconds, disk.", json_option, _list),
    "clean": Command("Delete what a run left in runs/NAME; its submission stays.", clean_options, _clean),
}


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main(sys.argv[1:]))

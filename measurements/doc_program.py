"""Tables of the program itself: presets, stages, commands, files of a submission, exit codes, studies."""

import re
from argparse import Action, ArgumentParser
from pathlib import Path

from measurements.doc_markers import markdown
from measurements.doc_records import manifest
from pipeline.__main__ import COMMANDS, OF_RUN_SH, RUN, Command
from pipeline.runtime.exit_codes import EXIT_CODES
from pipeline.runtime.load_settings import PRESETS, preset_names
from pipeline.stages.run import STAGES
from pipeline.stages.study_catalogue import study_summaries

FIRST_PRESETS = ("demo", "quick", "cpu", "gpu")  # what a user chooses from
MACHINES = {"2 cores": "2 CPU cores", "H100": "one H100"}  # in the cost of a preset -> column
ONE_COMMAND_RUN = "food11-evening"  # has every file that a run delivers
FILES = {  # what a run delivers, the file to upload first
    "predictions.csv": "**upload this**: one row per test image, in the contest's own format",
    "student.bin": "the packed file under the limit; `predict` needs nothing else",
    "report.html": "one page about the run: figures, curves, errors",
    "teacher_predictions.csv": "what the ensemble predicts, for comparison",
    "soft_labels.safetensors": "the ensemble's class probabilities, for `--soft-labels`",
    "settings.toml": "all settings, for `--preset`; its first lines hold the command",
    "manifest.json": "the origin of every file and figure",
}
PURPOSE_AND_COST = re.compile(r"Purpose: (.*?)\.? Cost: (.*?)[.;](?: [A-Z]|$)")


def presets(_: Path) -> str:
    """The presets that a user chooses from: what for, and how long on which machine."""
    rows = [(f"`{name}`", purpose_and_cost(name)[0], *_times(name)) for name in FIRST_PRESETS]
    return markdown(("preset", "for", *MACHINES.values()), rows)


def all_presets(_: Path) -> str:
    """Every preset with its purpose and its full cost."""
    return markdown(("preset", "for", "cost"), [(f"`{name}`", *purpose_and_cost(name)) for name in preset_names()])


def purpose_and_cost(name: str) -> tuple[str, str]:
    """What the comment at the top of a preset states."""
    lines = (PRESETS / f"{name}.toml").read_text().split("\n[")[0].splitlines()
    comment = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    match = PURPOSE_AND_COST.match(comment)
    assert match, f"preset {name} states no purpose and cost"
    return match[1], match[2]


def stages(_: Path) -> str:
    """The table of stages."""
    rows = [(stage.name, stage.reads, stage.writes) for stage in STAGES]
    return markdown(("stage", "reads", "writes"), rows)


def commands(_: Path) -> str:
    """Every command on one line, the single stages together."""
    alone = [stage.name for stage in STAGES if stage.alone]
    together = f"`{'`, `'.join(alone)}`", "One stage of a run that was started before, with `--name NAME`."
    rows = [("`./run.sh`", COMMANDS[RUN].summary), together]
    others = {name: command for name, command in COMMANDS.items() if name not in (RUN, *alone)}
    rows += [(f"`{_usage(name, command)}`", command.summary) for name, command in others.items()]
    rows += [(f"`{OF_RUN_SH}`", "Run the linters and all tests; `--long` adds the slow ones.")]
    return markdown(("command", "what it does"), rows)


def files(_: Path) -> str:
    """What a run leaves in its submission, the file to upload first."""
    delivered = {*manifest(ONE_COMMAND_RUN).sha256, "manifest.json"}
    missing = delivered - FILES.keys()
    assert not missing, f"files without a description: {', '.join(sorted(missing))}"
    rows = [(f"`{name}`", meaning) for name, meaning in FILES.items() if name in delivered]
    return markdown(("file in `submissions/<name>/`", "what it is"), rows)


def exit_codes(_: Path) -> str:
    """The exit codes and their meaning."""
    found = re.findall(r"((?:\d+(?:, | and ))*\d+) (.*?)(?:, (?=\d)|$)", EXIT_CODES)
    return markdown(("exit code", "meaning"), found)


def studies(_: Path) -> str:
    """Every study with its first line."""
    return markdown(("study", "question"), [(f"`{name}`", text) for name, text in study_summaries().items()])


def check_first(_: Path) -> str:
    """How to check a contest, once there is a command for it."""
    if "check" not in COMMANDS:
        return ""
    return "    ./run.sh check --data mycontest.zip\n\n`check` describes the contest, its faults and the cost of a run."


def _usage(name: str, command: Command) -> str:
    """The command with its positional arguments and the options that it demands."""
    parser = ArgumentParser(add_help=False)
    command.options(parser)
    return " ".join([name, *filter(None, map(_word, parser._actions))])  # argparse has no public way


def _word(action: Action) -> str:
    if not action.option_strings:
        return f"[{action.metavar}]" if action.nargs == "?" else str(action.metavar)
    return f"{action.option_strings[0]} {action.metavar}" if action.required else ""


def _times(name: str) -> list[str]:
    time, _, where = purpose_and_cost(name)[1].partition(" on ")
    machine = where.partition(" with")[0]
    return [time if key in machine else "not measured" for key in MACHINES]

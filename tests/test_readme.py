"""Every command of README and docs: the real parser takes it, its settings exist, and it works at smoke scale."""

import dataclasses
import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from measurements.write_docs import SETTINGS, documents
from pipeline.__main__ import COMMANDS, OF_RUN_SH, RUN
from pipeline.bench import run_bench
from pipeline.runtime import exit_codes
from pipeline.runtime.load_settings import load_settings, preset_names
from pipeline.stages.run import STAGES
from pipeline.stages.study_catalogue import study_names

ROOT = Path(__file__).resolve().parent.parent
PAGES = {str(page.relative_to(ROOT)): page.read_text() for page in (*documents(), SETTINGS)}
LINES = {name: re.findall(r"^    \./run\.sh(.*)$", text, re.MULTILINE) for name, text in PAGES.items()}
LINES = {name: [line.strip() for line in lines] for name, lines in LINES.items() if lines}
SCRIPTS = re.findall(r"^    PYTHONPATH=\. python (.*)$", "\n".join(PAGES.values()), re.MULTILINE)
FAST = ("README.md",)
CONTESTS = ("food11", "mycontest")


def test_every_command_and_study_has_an_example() -> None:
    words = [line.split() for lines in LINES.values() for line in lines]
    first_words = {found[0] if found and not found[0].startswith("-") else RUN for found in words}
    assert {*COMMANDS, "help"} == first_words
    assert {found[1] for found in words if found and found[0] == "study"} == {*study_names()}


def test_the_readme_lists_every_command_and_stage() -> None:
    readme = PAGES["README.md"]
    for name in (*COMMANDS, OF_RUN_SH):
        assert re.search(rf"`{name or './run.sh'}[ `]", readme)
    for stage in STAGES:
        assert f"| {stage.name} | {stage.reads} | {stage.writes} |" in readme


def test_every_preset_is_on_the_page_of_settings() -> None:
    for name in preset_names():
        assert f"| `{name}` |" in PAGES["docs/settings.md"]


def test_exit_codes_are_those_of_the_program() -> None:
    text = PAGES["docs/commands.md"]
    told = text[text.index("<!-- table: exit-codes -->") :]
    codes = re.findall(r"\b\d+\b", exit_codes.EXIT_CODES)
    assert len(codes) >= 9
    assert re.findall(r"\b\d+\b", told) == codes


@pytest.mark.parametrize(("page", "line"), [(page, line) for page, lines in LINES.items() for line in lines])
def test_every_command_is_parsed(page: str, line: str, monkeypatch, run_cli, tmp_path) -> None:
    """By the program's own parser, with the work of every command taken away."""
    taken: list[Namespace] = []

    def idle(given: Namespace, _: Path) -> int:
        taken.append(given)
        return 0

    for name, command in list(COMMANDS.items()):
        monkeypatch.setitem(COMMANDS, name, dataclasses.replace(command, work=idle))
    code, out, err = run_cli(shlex.split(line), tmp_path)
    assert (page, code, err) == (page, 0, "")
    if line == "help":
        assert "commands, each with --help" in out
        return
    (given,) = taken
    changes = [change for group in getattr(given, "set", []) for change in group]
    load_settings(getattr(given, "preset", None) or "cpu", changes)
    if hasattr(given, "study"):
        assert given.study in study_names()


def arguments_of(line: str, smoke_arguments: tuple[str, ...]) -> list[str]:
    """A line of a document as it is carried out here: whole runs as small as they get."""
    words = shlex.split(line)
    if words and words[0] == "study":
        limit = ["--budgets", "5000"] if words[1] in ("frontier", "networks") else []
        once = ("distill.epochs=1", "quantise.epochs=0")
        return [*words, *limit, "--preset", "smoke", *smoke_arguments, "--set", *once]
    if words and not words[0].startswith("-"):
        return words
    large = [f"{section}.batch_size=64" for section in ("teach", "distill")]
    digits = [] if words else large  # 1,797 scans need larger batches
    if "--minutes" in words:  # the smallest plan
        words[words.index("--minutes") + 1] = "0.1"
        return [*words, *smoke_arguments, "--set", "distill.epochs=3"]
    return [*words, "--preset", "smoke", *smoke_arguments, "--set", "distill.epochs=3", *digits]


@pytest.mark.parametrize("page", [pytest.param(page, marks=[] if page in FAST else pytest.mark.long) for page in LINES])
def test_every_command_works(page: str, tmp_path, monkeypatch, tiny_contest, smoke_arguments, run_cli) -> None:
    for name in CONTESTS:
        shutil.make_archive(str(tmp_path / name), "zip", tiny_contest(name))
    monkeypatch.chdir(tmp_path)
    a_moment = functools.partial(run_bench.Effort, images=8, repeats=1, seconds=0.0, workers=0)
    monkeypatch.setattr(run_bench, "Effort", a_moment)
    for line in LINES[page]:
        code, _, err = run_cli(arguments_of(line, smoke_arguments), tmp_path)
        assert (line, code, err) == (line, 0, "")
    if page == "README.md":
        assert (tmp_path / "submissions" / "mycontest" / "predictions.csv").is_file()  # what it says to upload
    if page == "docs/commands.md":
        assert not (tmp_path / "runs" / "mine").exists()  # cleaned at the end


@pytest.mark.long
@pytest.mark.parametrize("line", sorted(set(SCRIPTS)))
def test_every_script_works(line: str, data_file) -> None:
    words = shlex.split(line)
    if "--data" in words:
        words[words.index("--data") + 1] = str(data_file("FOOD11_DATA"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-P", *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

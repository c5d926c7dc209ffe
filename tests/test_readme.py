"""README truth: its presets, stages and commands are those of the program, and every command is carried out."""

import functools
import re
import shlex
import shutil
from pathlib import Path

import pytest

from pipeline.__main__ import COMMANDS, RUN
from pipeline.bench import run_bench
from pipeline.runtime import exit_codes
from pipeline.runtime.load_settings import PRESETS, preset_names
from pipeline.stages.run import STAGES
from pipeline.stages.study_catalogue import study_names

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMAND_LINES = re.findall(r"^    \./run\.sh(.*)$", README, re.MULTILINE)


def preset_row(name: str) -> str:
    lines = (PRESETS / f"{name}.toml").read_text().split("\n[")[0].splitlines()
    comment = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    purpose, cost = re.match(r"Purpose: (.*?)\.? Cost: (.*?)[.;](?: [A-Z]|$)", comment).groups()
    return f"| `{name}` | {purpose} | {cost} |"


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_those_of_the_files(name: str) -> None:
    assert preset_row(name) in README


def test_stages_are_those_of_the_program() -> None:
    rows = README[README.index("| stage | reads | writes |") :].split("\n\n")[0].splitlines()[2:]
    assert rows == [f"| {stage.name} | {stage.reads} | {stage.writes} |" for stage in STAGES]


def test_exit_codes_are_those_of_the_program() -> None:
    told = re.search(r"Exit codes: (.*?)\n\n", README, re.DOTALL).group(1)
    codes = re.findall(r"\b\d+\b", exit_codes.EXIT_CODES)
    assert len(codes) >= 9
    assert sorted(re.findall(r"\b\d+\b", told), key=int) == sorted(codes, key=int)


def test_every_command_of_the_program_is_in_the_readme() -> None:
    first_words = {line.split()[0] if line.split() else RUN for line in COMMAND_LINES}
    assert {*COMMANDS, "help", "test"} == {word for word in first_words if not word.startswith("-")}
    studies = {words[1] for words in map(str.split, COMMAND_LINES) if words and words[0] == "study"}
    assert studies == {*study_names()}


def arguments_of(line: str, smoke_arguments: tuple[str, ...]) -> list[str]:
    """A line of the README as it is carried out here: whole runs as small as they get."""
    words = shlex.split(line)
    if words and words[0] == "study":
        limit = ["--budgets", "5000"] if words[1] in ("frontier", "networks") else []
        once = ("distill.epochs=1", "quantise.epochs=0")
        return [*words, *limit, "--preset", "smoke", *smoke_arguments, "--set", *once]
    if words and not words[0].startswith("-"):
        return words
    large = [f"{section}.batch_size=64" for section in ("teach", "distill")]
    digits = [] if words else large  # 1,797 scans need larger batches
    return [*words, "--preset", "smoke", *smoke_arguments, "--set", "distill.epochs=3", *digits]


def test_every_command_of_the_readme_works(tmp_path, monkeypatch, tiny_contest, smoke_arguments, run_cli) -> None:
    shutil.make_archive(str(tmp_path / "food11"), "zip", tiny_contest())
    monkeypatch.chdir(tmp_path)
    a_moment = functools.partial(run_bench.Effort, images=8, repeats=1, seconds=0.0, workers=0)
    monkeypatch.setattr(run_bench, "Effort", a_moment)
    done = []
    for line in COMMAND_LINES:
        if line.strip() != "test":  # what is running now
            code, _, err = run_cli(arguments_of(line, smoke_arguments), tmp_path)
            assert (line, code, err) == (line, 0, "")
            done.append(line)
    assert len(done) >= 29
    assert {path.name for path in (tmp_path / "submissions").iterdir()} >= {"digits", "food11", "mine", "retrained"}
    assert not (tmp_path / "runs" / "mine").exists()  # cleaned at the end

"""Tables of the program: what is not built yet has no place, what is built appears without a hand."""

import dataclasses
from pathlib import Path

import pytest

from measurements import doc_program
from pipeline.__main__ import COMMANDS
from pipeline.runtime.load_settings import preset_names

PAGE = Path("README.md")


def test_a_command_to_check_a_contest_appears_once_it_exists(monkeypatch) -> None:
    without = {name: command for name, command in COMMANDS.items() if name != "check"}
    monkeypatch.setattr(doc_program, "COMMANDS", without)
    assert doc_program.check_first(PAGE) == ""
    check = dataclasses.replace(COMMANDS["verify"], summary="Describe a contest.")
    monkeypatch.setattr(doc_program, "COMMANDS", without | {"check": check})
    assert doc_program.check_first(PAGE).startswith("    ./run.sh check --data ")
    assert "| `check FILE` | Describe a contest. |" in doc_program.commands(PAGE)


def test_commands_show_what_they_demand() -> None:
    rows = doc_program.commands(PAGE).splitlines()
    assert rows[2].startswith("| `./run.sh` |")
    for usage in ("predict FILE --data DIR_OR_ZIP --out CSV", "settings [SECTION]", "clean --name NAME", "list"):
        assert sum(row.startswith(f"| `{usage}` |") for row in rows) == 1


def test_every_exit_code_has_a_row() -> None:
    rows = [row.split("|")[1].strip() for row in doc_program.exit_codes(PAGE).splitlines()[2:]]
    assert rows == ["0", "1", "2", "3", "70", "129, 130 and 143", "141"]


def test_files_begin_with_the_one_to_upload() -> None:
    rows = doc_program.files(PAGE).splitlines()[2:]
    assert rows[0].startswith("| `predictions.csv` | **upload this**")


def test_a_file_without_a_description_is_refused(monkeypatch) -> None:
    known = {name: meaning for name, meaning in doc_program.FILES.items() if name != "student.bin"}
    monkeypatch.setattr(doc_program, "FILES", known)
    with pytest.raises(AssertionError, match=r"student\.bin"):
        doc_program.files(PAGE)


def test_the_times_of_presets_stand_below_their_machine() -> None:
    rows = dict(row.strip("| ").split(" | ", 1) for row in doc_program.presets(PAGE).splitlines()[2:])
    assert rows.keys() == {f"`{name}`" for name in doc_program.FIRST_PRESETS}
    for name, cells in rows.items():
        cpu, gpu = (cell.strip() for cell in cells.split("|")[-2:])
        measured_on_gpu = name == "`gpu`"
        assert ("minutes" in cpu, "minutes" in gpu) == (not measured_on_gpu, measured_on_gpu)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_states_purpose_and_cost(name: str) -> None:
    purpose, cost = doc_program.purpose_and_cost(name)
    assert min(len(purpose), len(cost)) > 5

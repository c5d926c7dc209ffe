"""README truth: its tables are what the manifests and presets say, and its commands are carried out."""

import csv
import functools
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from pipeline.__main__ import COMMANDS
from pipeline.bench import run_bench
from pipeline.runtime.atomic import file_digest
from pipeline.runtime.load_settings import PRESETS, preset_names
from pipeline.studies.recipes import gain_lines
from pipeline.studies.run_study import MEMBERS, STUDIES
from pipeline.studies.tables import mean_and_error

ROOT = Path(__file__).resolve().parent.parent
README, FOOD11, SPEED, STUDENTS = (
    (ROOT / f"{name}.md").read_text() for name in ("README", "FOOD11", "SPEED", "STUDENTS")
)


def table(text: str, header: str) -> list[str]:
    """The rows of the table that begins so, so that none of them can be left over."""
    return text[text.index(header) :].split("\n\n")[0].splitlines()[2:]


RESULTS = table(README, "| run |")  # what users run themselves is not in it
SUBMISSIONS = [ROOT / "submissions" / row.split("|")[1].strip() for row in RESULTS]
COMMAND_LINES = re.findall(r"^    \./run\.sh(.*)$", README, re.MULTILINE)


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def result_row(manifest: dict) -> str:
    accuracy = manifest["accuracy"][0]
    cells = (
        manifest["name"],
        f"{manifest['packed_bytes']:,}",
        f"{manifest['budget_bytes']:,}",
        manifest["precision"],
        f"{accuracy['value']:.2%}",
        f"{manifest['teacher']['ensemble']:.2%}",
        f"{manifest['agreement']['value']:.2%}",
        f"{manifest['fidelity']['testing']['divergence']:.3f}",
        f"{accuracy['protocol']}, {manifest['focus']}",
    )
    return f"| {' | '.join(cells)} |"


def precision_row(found: dict) -> str:
    shares = (f"{found[f'validation_{name}']:.2%}" for name in ("accuracy", "agreement"))
    cells = (found["precision"], f"{found['packed_bytes']:,}", *shares, f"{found['validation_divergence']:.4f}")
    return f"| {' | '.join(cells)} |"


def member_row(member: dict) -> str:
    accuracy = f"{member['validation_accuracy']:.2%}"
    cells = (member["network"], f"{member['parameters']:,}", str(member["epochs"]), accuracy)
    return f"| {' | '.join(cells)} |"


def preset_row(name: str) -> str:
    lines = (PRESETS / f"{name}.toml").read_text().split("\n[")[0].splitlines()
    comment = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    purpose, cost = re.match(r"Purpose: (.*?)\.? Cost: (.*?)[.;](?: [A-Z]|$)", comment).groups()
    return f"| `{name}` | {purpose} | {cost} |"


@pytest.mark.parametrize("folder", SUBMISSIONS, ids=lambda folder: folder.name)
def test_results_are_those_of_the_manifests(folder: Path) -> None:
    assert result_row(manifest_of(folder)) in RESULTS


def test_the_results_name_the_real_contest() -> None:
    assert ROOT / "submissions" / "food11" in SUBMISSIONS


def test_the_full_tables_are_those_of_food11() -> None:
    manifest = manifest_of(ROOT / "submissions" / "food11")
    *members, _ensemble = table(FOOD11, "| member | parameters |")
    assert members == [member_row(member) for member in manifest["teacher"]["members"]]
    assert table(STUDENTS, "| precision | bytes on disk |") == [
        precision_row(found) for found in manifest["precisions"]
    ]


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_those_of_the_files(name: str) -> None:
    assert preset_row(name) in README


def speed_row(name: str, found: dict) -> str:
    return f"| {name} | {found['plain']:,.1f} | {found['ours']:,.1f} | {found['ratio']:.2f} |"


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_speed_is_that_of_the_measurements(dtype: str) -> None:
    found = json.loads((ROOT / "measurements" / f"speed-cpu-{dtype}.json").read_text())
    assert dtype in found["machine"]["device"]
    assert table(SPEED, f"| {dtype} |") == [speed_row(name, found[name]) for name in ("student", "teacher", "export")]


def test_shares_are_those_of_the_measurements() -> None:
    found = json.loads((ROOT / "measurements" / "speed-cpu-bfloat16.json").read_text())
    text = " ".join(SPEED.split())
    assert f"{found['student']['loading_share']:.1%} of the student's step is loading" in text
    assert f"reaches {found['student']['share_of_limit']:.1%} of the machine's" in text
    assert f"the teacher {found['teacher']['share_of_limit']:.1%}" in text


FRONTIER = ROOT / "submissions" / "food11-frontier"
NETWORKS = ROOT / "submissions" / "food11-networks" / "networks.csv"


def study_groups(table: Path) -> list[list[dict[str, str]]]:
    """The rows of a study's table, those that differ only by the seed together."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            groups.setdefault((row["point"], row["precision"]), []).append(row)
    return list(groups.values())


def share_cell(group: list[dict[str, str]], column: str) -> str:
    """The mean of a column over the seeds in percent, with its standard error where there are several."""
    mean, error = mean_and_error([100 * float(row[column]) for row in group])
    return f"{mean:.2f}%" + (f" ± {error:.2f}" if len(group) > 1 else "")


def study_row(group: list[dict[str, str]]) -> str:
    """A row of the README: the mean over seeds, with its standard error where there are several."""
    first, made = group[0], group[0]["precision"] == "low-bit"
    agreement, _ = mean_and_error([100 * float(row["validation_agreement"]) for row in group])
    cells = (
        first["network"],
        f"{int(first['parameters']):,}",
        f"{first['bits']} bits" if made else first["precision"],
        f"{int(first['predicted_bytes']):,}",
        f"{max(int(row['packed_bytes']) for row in group):,}",
        share_cell(group, "validation_accuracy"),
        f"{agreement:.2f}%",
    )
    if "mirrored" in first:  # a study of now: divergence, where it was measured, and how the files answer
        known = [float(row["validation_divergence"]) for row in group if row["validation_divergence"]]
        assert len(known) in (0, len(group))
        cells += (f"{mean_and_error(known)[0]:.4f}" if known else "", "yes" if first["mirrored"] == "True" else "no")
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("found", [FRONTIER / "frontier.csv", NETWORKS], ids=lambda found: found.stem)
def test_studies_are_those_of_their_tables(found: Path) -> None:
    text = STUDENTS if found == NETWORKS else README
    assert sorted(table(text, "| network | weights |")) == sorted(map(study_row, study_groups(found)))


RECIPES = ROOT / "submissions" / "food11-recipes"


def recipe_row(group: list[dict[str, str]]) -> str:
    """A row of STUDENTS.md: the mean of the seeds, with its standard error where there are several."""
    cells = [group[0]["point"], group[0]["protocol"], str(len(group))]
    cells += [share_cell(group, name) for name in ("validation_accuracy", "validation_agreement", "testing_agreement")]
    for split in ("validation", "testing"):
        mean, _ = mean_and_error([float(row[f"{split}_divergence"]) for row in group])
        cells.append(f"{mean:.4f}")
    return f"| {' | '.join(cells)} |"


def test_recipes_are_those_of_their_table() -> None:
    groups = study_groups(RECIPES / "recipes.csv")
    assert min(len(group) for group in groups if group[0]["point"] in ("report", "unseen")) >= 3
    assert table(STUDENTS, "| recipe | protocol |") == [recipe_row(group) for group in groups]
    for line in gain_lines(rows_of(RECIPES / "recipes.csv")):
        assert f"- {line}" in STUDENTS


def test_end_games_are_those_of_their_table() -> None:
    groups = study_groups(RECIPES / "end_game.csv")
    assert table(STUDENTS, "| end game | protocol |") == [recipe_row(group) for group in groups]
    for line in gain_lines(rows_of(RECIPES / "end_game.csv")):  # against the row that has no end game
        assert f"- {line}" in STUDENTS


FAMILIES = ROOT / "submissions" / "food11-families"


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_families_are_those_of_their_table() -> None:
    members = rows_of(FAMILIES / "members.csv")
    expected = []
    for row in members:
        numbers = (f"{int(row['parameters']):,}", row["epochs"], f"{float(row['seconds']):,.0f}")
        cells = (row["network"], *numbers, f"{float(row['validation_accuracy']):.2%}")
        expected.append(f"| {' | '.join(cells)} |")
    assert table(README, "| member | parameters |") == expected
    assert len({row["network"] for row in members}) >= 3


def test_ensembles_by_size_are_those_of_their_table() -> None:
    ensembles = rows_of(FAMILIES / "ensembles.csv")
    assert len(ensembles) == len(rows_of(FAMILIES / "members.csv"))
    for row in ensembles:
        mean, best = (f"{float(row[name]):.2%}" for name in ("mean", "best"))
        assert f"| {row['members']} | {row['ensembles']} | {mean} | {best} |" in README


def test_the_frontiers_files_are_those_of_its_table() -> None:
    rows = {group[0]["point"]: group[0] for group in study_groups(FRONTIER / "frontier.csv")}
    files = {path.stem: path for path in FRONTIER.glob("*.bin")}
    assert set(files) == {"report-fp16" if name == "report" else name for name in rows}
    assert sum(path.stat().st_size for path in FRONTIER.iterdir()) < 1_200_000
    for name in set(files) - {"report-fp16"}:
        assert 0.99 * int(name) <= files[name].stat().st_size == int(rows[name]["packed_bytes"]) <= int(name)


def test_a_file_of_the_frontier_gives_its_predictions(data_file, run_cli, tmp_path) -> None:
    argv = ["predict", FRONTIER / "50000.bin", "--data", data_file("FOOD11_DATA"), "--out", tmp_path / "out.csv"]
    code, _, err = run_cli(argv, tmp_path)
    assert (code, err) == (0, "")
    assert (tmp_path / "out.csv").read_bytes() == (FRONTIER / "50000.csv").read_bytes()


@pytest.mark.parametrize("folder", SUBMISSIONS, ids=lambda folder: folder.name)
def test_what_is_delivered_is_whole(folder: Path) -> None:
    manifest = manifest_of(folder)
    assert manifest["sha256"] == {name: file_digest(folder / name) for name in manifest["sha256"]}
    assert manifest["packed_bytes"] == (folder / "student.bin").stat().st_size <= manifest["budget_bytes"]
    with (folder / "predictions.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["Id", "label"]
    assert [row[0] for row in rows] == [str(number) for number in range(manifest["agreement"]["images"])]


def test_every_command_of_the_program_is_in_the_readme() -> None:
    first_words = {line.split()[0] for line in COMMAND_LINES if line.split()}
    assert set(COMMANDS) <= first_words
    studies = {words[1] for words in map(str.split, COMMAND_LINES) if words and words[0] == "study"}
    assert studies == {*STUDIES, MEMBERS}


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
    assert len(done) >= 22
    assert {path.name for path in (tmp_path / "submissions").iterdir()} >= {"digits", "food11", "mine", "retrained"}


def test_the_delivered_student_gives_the_delivered_predictions(data_file, run_cli, tmp_path) -> None:
    data, folder = data_file("FOOD11_DATA"), ROOT / "submissions" / "food11"
    code, out, err = run_cli(["verify", folder / "student.bin"], tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"fits: {(folder / 'student.bin').stat().st_size} of 300000 bytes"
    out_file = tmp_path / "again.csv"
    code, _, err = run_cli(["predict", folder / "student.bin", "--data", data, "--out", out_file], tmp_path)
    assert (code, err) == (0, "")
    assert out_file.read_bytes() == (folder / "predictions.csv").read_bytes()

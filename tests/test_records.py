"""The documents tell what the records say, and the records what the committed files are."""

import csv
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from pipeline.runtime.atomic import file_digest, value_digest
from pipeline.runtime.load_settings import load_settings, tuples
from pipeline.runtime.records import Manifest
from pipeline.runtime.settings import Settings
from pipeline.studies.engine.gains import gain_lines
from pipeline.studies.engine.rows import StudentRow
from pipeline.studies.engine.tables import mean_and_error, read_table

ROOT = Path(__file__).resolve().parent.parent
README, FOOD11, SPEED, STUDENTS = (
    (ROOT / f"{name}.md").read_text() for name in ("README", "FOOD11", "SPEED", "STUDENTS")
)
SUBMISSIONS = ROOT / "submissions"
FRONTIER, RECIPES, FAMILIES = (SUBMISSIONS / f"food11-{study}" for study in ("frontier", "recipes", "families"))
NETWORKS = SUBMISSIONS / "food11-networks" / "networks.csv"
REFERENCE = SUBMISSIONS / "food11-reference"  # of soft labels that are not kept, so it is no result


def table(text: str, header: str) -> list[str]:
    """The rows of the table that begins so, so that none of them can be left over."""
    return text[text.index(header) :].split("\n\n")[0].splitlines()[2:]


def row_of(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


RESULTS = table(README, "| run |")  # what users run themselves is not in it
DELIVERED = [SUBMISSIONS / row.split("|")[1].strip() for row in RESULTS]
STUDENT_FOLDERS = [*DELIVERED, REFERENCE]


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def result_row(manifest: dict) -> str:
    accuracy = manifest["accuracy"][0]
    return row_of(
        [
            manifest["name"],
            f"{manifest['packed_bytes']:,}",
            f"{manifest['budget_bytes']:,}",
            manifest["precision"],
            f"{accuracy['value']:.2%}",
            f"{manifest['teacher']['ensemble']:.2%}",
            f"{manifest['agreement']['value']:.2%}",
            f"{manifest['fidelity']['testing']['kl']:.3f}",
            f"{accuracy['protocol']}, {manifest['final_phase']}",
        ]
    )


def precision_row(found: dict) -> str:
    shares = (f"{found[f'validation_{name}']:.2%}" for name in ("accuracy", "agreement"))
    return row_of([found["precision"], f"{found['packed_bytes']:,}", *shares, f"{found['validation_kl']:.4f}"])


def member_row(member: dict) -> str:
    accuracy = f"{member['validation_accuracy']:.2%}"
    return row_of([member["network"], f"{member['parameters']:,}", str(member["epochs"]), accuracy])


def test_results_are_those_of_the_manifests() -> None:
    assert [result_row(manifest_of(folder)) for folder in DELIVERED] == RESULTS


def committed(pattern: str) -> list[Path]:
    """Files of the repository, not what users run themselves."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", pattern], capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [path for path in map(ROOT.joinpath, listed.stdout.splitlines()) if path.exists()]


def test_the_results_name_the_real_contest() -> None:
    assert SUBMISSIONS / "food11" in DELIVERED


def test_the_results_name_every_committed_student() -> None:
    folders = {path.parent for path in committed("submissions/*/student.bin")}
    assert folders  # those of the table exist, as other tests find
    assert folders <= set(STUDENT_FOLDERS)


def test_the_full_tables_are_those_of_food11() -> None:
    manifest = manifest_of(SUBMISSIONS / "food11")
    *members, _ensemble = table(FOOD11, "| member | parameters |")
    assert members == [member_row(member) for member in manifest["teacher"]["members"]]
    assert table(STUDENTS, "| precision | bytes on disk |") == [
        precision_row(found) for found in manifest["precisions"]
    ]


def speed_row(name: str, found: dict) -> str:
    return row_of([name, f"{found['plain']:,.1f}", f"{found['ours']:,.1f}", f"{found['ratio']:.2f}"])


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


def study_groups(table: Path) -> list[list[dict[str, str]]]:
    """The rows of a study's table, those that differ only by the seed together."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows_of(table):
        groups.setdefault((row["cell"], row["precision"]), []).append(row)
    return list(groups.values())


def share_cell(group: list[dict[str, str]], column: str) -> str:
    """The mean of a column over the seeds in percent, with its standard error where there are several."""
    mean, error = mean_and_error([100 * float(row[column]) for row in group])
    return f"{mean:.2f}%" + (f" ± {error:.2f}" if len(group) > 1 else "")


def study_row(group: list[dict[str, str]]) -> str:
    """A row of the documents: the mean over seeds, with its standard error where there are several."""
    first, low_bit = group[0], group[0]["precision"] == "low-bit"
    agreement, _ = mean_and_error([100 * float(row["validation_agreement"]) for row in group])
    known = [float(row["validation_kl"]) for row in group if row["validation_kl"]]
    assert len(known) in (0, len(group))
    return row_of(
        [
            first["network"],
            f"{int(first['parameters']):,}",
            f"{first['bits']} bits" if low_bit else first["precision"],
            f"{int(first['predicted_bytes']):,}",
            f"{max(int(row['packed_bytes']) for row in group):,}",
            share_cell(group, "validation_accuracy"),
            f"{agreement:.2f}%",
            f"{mean_and_error(known)[0]:.4f}" if known else "",
            {"True": "yes", "False": "no"}[first["tta_flip"]],
        ]
    )


@pytest.mark.parametrize("found", [FRONTIER / "frontier.csv", NETWORKS], ids=lambda found: found.stem)
def test_studies_are_those_of_their_tables(found: Path) -> None:
    text = STUDENTS if found == NETWORKS else README
    assert sorted(table(text, "| network | weights |")) == sorted(map(study_row, study_groups(found)))


def recipe_row(group: list[dict[str, str]]) -> str:
    """A row of STUDENTS.md: the mean of the seeds, with its standard error where there are several."""
    cells = [group[0]["cell"], group[0]["protocol"], str(len(group))]
    cells += [share_cell(group, name) for name in ("validation_accuracy", "validation_agreement", "testing_agreement")]
    kls = [mean_and_error([float(row[f"{split}_kl"]) for row in group])[0] for split in ("validation", "testing")]
    return row_of(cells + [f"{kl:.4f}" for kl in kls])


@pytest.mark.parametrize(("name", "header"), [("recipes", "| recipe | protocol |"), ("final_phase", "| final phase |")])
def test_recipes_are_those_of_their_tables(name: str, header: str) -> None:
    groups = study_groups(RECIPES / f"{name}.csv")
    assert min(map(len, groups)) >= 3
    assert table(STUDENTS, header) == [recipe_row(group) for group in groups]
    lines = gain_lines(
        read_table(RECIPES / f"{name}.csv", StudentRow)
    )  # over the first: the reference, and no final phase
    assert len(lines) == 2 * (len(groups) - 1)
    for line in lines:
        assert f"- {line}" in STUDENTS


def test_the_tables_of_students_have_the_same_columns() -> None:
    tables = (FRONTIER / "frontier.csv", NETWORKS, RECIPES / "recipes.csv", RECIPES / "final_phase.csv")
    columns = [list(rows_of(found)[0]) for found in tables]
    assert all(found[: len(columns[0])] == columns[0] for found in columns)


def test_families_are_those_of_their_table() -> None:
    members, expected = rows_of(FAMILIES / "members.csv"), []
    for row in members:
        numbers = (f"{int(row['parameters']):,}", row["epochs"], f"{float(row['seconds']):,.0f}")
        expected.append(row_of([row["network"], *numbers, f"{float(row['validation_accuracy']):.2%}"]))
    assert table(README, "| member | parameters |") == expected
    assert len({row["network"] for row in members}) >= 3


def test_ensembles_by_size_are_those_of_their_table() -> None:
    ensembles = rows_of(FAMILIES / "ensembles.csv")
    assert len(ensembles) == len(rows_of(FAMILIES / "members.csv"))
    for row in ensembles:
        mean, best = (f"{float(row[name]):.2%}" for name in ("mean", "best"))
        assert row_of([row["members"], row["ensembles"], mean, best]) in README


@pytest.mark.parametrize(("folder", "cell"), [("food11-100000", "100000"), ("food11-50000", "50000")])
def test_the_frontiers_students_are_those_of_its_table(folder: str, cell: str) -> None:
    found = next(row for row in rows_of(FRONTIER / "frontier.csv") if row["cell"] == cell)
    manifest = manifest_of(SUBMISSIONS / folder)
    assert manifest["budget_bytes"] == int(cell)
    assert 0.85 * int(cell) <= manifest["packed_bytes"] == int(found["packed_bytes"]) <= int(cell)
    assert_same_student(manifest, found)
    for name in ("agreement", "kl"):
        assert manifest["fidelity"]["validation"][name] == pytest.approx(float(found[f"validation_{name}"]), abs=1e-6)


def test_the_frontiers_reference_is_that_of_its_table() -> None:
    rows = [row for row in rows_of(FRONTIER / "frontier.csv") if row["precision"] == "fp16" and row["seed"] == "0"]
    assert [row["cell"] for row in rows] == ["reference"]
    assert manifest_of(REFERENCE)["packed_bytes"] == int(rows[0]["packed_bytes"])
    assert_same_student(manifest_of(REFERENCE), rows[0])


def assert_same_student(manifest: dict, row: dict[str, str]) -> None:
    accuracy = round(manifest["accuracy"][0]["value"], 6)
    assert (accuracy, manifest["parameters"]) == (float(row["validation_accuracy"]), int(row["parameters"]))
    for name in ("protocol", "final_phase", "precision", "tta_flip", "network"):
        assert str(manifest[name]) == row[name]


@pytest.mark.parametrize("folder", STUDENT_FOLDERS, ids=lambda folder: folder.name)
def test_what_is_delivered_is_whole(folder: Path) -> None:
    manifest = manifest_of(folder)
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *manifest["sha256"]}
    assert manifest["sha256"] == {name: file_digest(folder / name) for name in manifest["sha256"]}
    for name, twin in manifest.get("shared", {}).items():
        assert twin["sha256"] == file_digest(SUBMISSIONS / twin["submission"] / name)
    kept = {*manifest["sha256"], *manifest.get("shared", {})}
    taught = {"teacher_predictions.csv", "soft_labels.safetensors"} if manifest.get("teacher") else set()
    settings = {"settings.toml"} if manifest.get("settings") else set()
    assert kept == {"student.bin", "predictions.csv", *taught, *settings}
    assert manifest["packed_bytes"] == (folder / "student.bin").stat().st_size <= manifest["budget_bytes"]
    with (folder / "predictions.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["Id", "label"]
    assert [row[0] for row in rows] == [str(number) for number in range(manifest["agreement"]["images"])]


@pytest.mark.parametrize("folder", DELIVERED, ids=lambda folder: folder.name)
def test_recorded_settings_are_those_of_the_program(folder: Path) -> None:
    manifest = manifest_of(folder)
    if "settings" not in manifest:  # of a file that no single run delivered
        assert manifest["made"] == "by hand-chained runs"
        return
    assert manifest["settings_sha256"] == value_digest(manifest["settings"])
    settings = Settings.model_validate(tuples(manifest["settings"]))
    assert settings.distill.final_phase.images == manifest["final_phase"]
    assert settings.tta_flip() == manifest["tta_flip"]
    assert load_settings(str(folder / "settings.toml"), []) == settings


@pytest.mark.parametrize("folder", STUDENT_FOLDERS, ids=lambda folder: folder.name)
def test_manifests_are_records_of_this_format(folder: Path) -> None:
    manifest = manifest_of(folder)
    assert manifest["format"] == 1
    assert Manifest.read(manifest).written() == manifest


def test_no_file_is_stored_twice() -> None:
    own_files = (path for folder in STUDENT_FOLDERS for path in folder.iterdir())
    digests = Counter(map(file_digest, {*committed("submissions"), *own_files}))
    assert max(digests.values()) == 1


ONE_OR_ALL = [
    pytest.param(folder, id=folder.name, marks=[] if folder.name in ("food11", "food11-50000") else pytest.mark.long)
    for folder in STUDENT_FOLDERS
]


@pytest.mark.parametrize("folder", ONE_OR_ALL)
def test_a_committed_student_gives_its_predictions(folder: Path, data_file, run_cli, tmp_path) -> None:
    data, manifest = data_file("FOOD11_DATA"), manifest_of(folder)
    code, out, err = run_cli(["verify", folder / "student.bin", "--budget", manifest["budget_bytes"]], tmp_path)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"fits: {manifest['packed_bytes']} of {manifest['budget_bytes']} bytes"
    out_file = tmp_path / "again.csv"
    code, _, err = run_cli(["predict", folder / "student.bin", "--data", data, "--out", out_file], tmp_path)
    assert (code, err) == (0, "")
    assert out_file.read_bytes() == (folder / "predictions.csv").read_bytes()

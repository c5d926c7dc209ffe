"""The records tell what the committed files are, and the tables of studies agree with them.

That the documents state what the records say is the generator's work: tests/test_docs.py.
"""

import csv
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from measurements.doc_records import FAMILIES, FINAL_PHASE, FRONTIER, NETWORKS, RECIPES, REFERENCE, RESULTS, groups
from pipeline.runtime.atomic import file_digest, value_digest
from pipeline.runtime.load_settings import load_settings, tuples
from pipeline.runtime.records import Manifest
from pipeline.runtime.settings import Settings
from pipeline.studies.engine.gains import gain_lines
from pipeline.studies.engine.rows import StudentRow
from pipeline.studies.engine.tables import read_table

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"
STUDENT_FOLDERS = [SUBMISSIONS / name for name in RESULTS]
DELIVERED = [folder for folder in STUDENT_FOLDERS if folder.name != REFERENCE]  # its soft labels are not kept


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


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


@pytest.mark.parametrize("table", [RECIPES, FINAL_PHASE], ids=lambda table: table.stem)
def test_recipes_have_three_seeds_of_each_and_gains_over_the_first(table: Path) -> None:
    assert min(map(len, groups(table))) >= 3
    assert len({row.seed for group in groups(table) for row in group}) >= 3
    assert len(gain_lines(read_table(table, StudentRow))) == 2 * (len(groups(table)) - 1)


def test_kl_is_known_for_all_seeds_of_a_cell_or_for_none() -> None:
    for group in (*groups(FRONTIER), *groups(NETWORKS)):
        assert sum(row.validation_kl is not None for row in group) in (0, len(group))


def test_the_tables_of_students_have_the_same_columns() -> None:
    columns = [list(rows_of(found)[0]) for found in (FRONTIER, NETWORKS, RECIPES, FINAL_PHASE)]
    assert all(found[: len(columns[0])] == columns[0] for found in columns)


def test_families_are_several_and_ensembles_are_of_them() -> None:
    members, ensembles = rows_of(FAMILIES / "members.csv"), rows_of(FAMILIES / "ensembles.csv")
    assert len({row["network"] for row in members}) >= 3
    assert len(ensembles) == len(members)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_speed_was_measured_in_the_dtype_of_its_name(dtype: str) -> None:
    found = json.loads((ROOT / "measurements" / f"speed-cpu-{dtype}.json").read_text())
    assert dtype in found["machine"]["device"]


@pytest.mark.parametrize(("folder", "cell"), [("food11-100000", "100000"), ("food11-50000", "50000")])
def test_the_frontiers_students_are_those_of_its_table(folder: str, cell: str) -> None:
    found = next(row for row in rows_of(FRONTIER) if row["cell"] == cell)
    manifest = manifest_of(SUBMISSIONS / folder)
    assert manifest["budget_bytes"] == int(cell)
    assert 0.85 * int(cell) <= manifest["packed_bytes"] == int(found["packed_bytes"]) <= int(cell)
    assert_same_student(manifest, found)
    for name in ("agreement", "kl"):
        assert manifest["fidelity"]["validation"][name] == pytest.approx(float(found[f"validation_{name}"]), abs=1e-6)


def test_the_frontiers_reference_is_that_of_its_table() -> None:
    rows = [row for row in rows_of(FRONTIER) if row["precision"] == "fp16" and row["seed"] == "0"]
    manifest = manifest_of(SUBMISSIONS / REFERENCE)
    assert [row["cell"] for row in rows] == ["reference"]
    assert manifest["packed_bytes"] == int(rows[0]["packed_bytes"])
    assert_same_student(manifest, rows[0])


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
    phase, automatic = settings.distill.final_phase.images, "none" if "inductive" in manifest["protocol"] else "testing"
    assert manifest["final_phase"] == (automatic if phase == "auto" else phase)
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

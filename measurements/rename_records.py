"""Rewrite the committed records to the names that the program has now: one word for one thing, the field's own terms.

    PYTHONPATH=. python measurements/rename_records.py

Rewrites submissions/*/manifest.json and the tables of studies, renames end_game.csv to final_phase.csv, and draws the
frontier's plot again. No figure changes, nothing is added that was not known. What has the new names is left alone, so
a second call changes nothing. Ends with an error when an old name is left in any record.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.runtime.atomic import value_digest, write_bytes, write_json
from pipeline.runtime.load_settings import tuples
from pipeline.runtime.settings import Settings
from pipeline.studies.plots import plot_frontier

ROOT = Path(__file__).resolve().parent.parent
SUBMISSIONS = ROOT / "submissions"

AUGMENT = ("flip", "shift", "mixup_alpha", "cutmix_alpha", "mix_probability")
FINAL_PHASE = {"focus": "images", "focus_part": "fraction", "focus_share": "test_share"}
PHASES = {"unseen": "none"}  # what the field `focus` said -> what `final_phase` says
CELLS = {"report": "reference", "unseen": "preset", "testing": "final-phase"}
COLUMNS = {"point": "cell", "focus": "final_phase", "mirrored": "tta_flip", "coarser": "step_scale"}
MANIFEST = {"focus": "final_phase", "mirrored": "tta_flip", "started_from": "init_from"}
TEACHER = {"labels": "soft_labels", "labels_sha256": "soft_labels_sha256"}
MADE = {"food11": "by hand-chained runs"}  # what no single command gives again
# every table of students has these, in this order; a study before `tta_flip` measured without it, one before
# `validation_kl` did not measure that
STUDENT_COLUMNS = (
    *("cell", "seed", "budget_bytes", "packed_bytes", "predicted_bytes"),
    *("validation_accuracy", "validation_agreement", "validation_kl", "protocol", "final_phase", "precision"),
    *("tta_flip", "bits", "step_scale", "network", "parameters", "seconds"),
)
NOT_RECORDED = {"tta_flip": "False", "validation_kl": ""}
OLD_NAMES = re.compile(
    r"\breport\b|report-(?:student|cnn)|divergence|mirror|focus(?!_s\b)|coarser|started_from|"
    r"\bunseen\b|\blabels_sha256|\"(?:start|clip|labels)\"|compensated|^point,",
    re.MULTILINE,
)


def renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The same values in the same order, under new names where there are some."""
    return {names.get(name, name): value for name, value in values.items()}


def renamed_network(name: str) -> str:
    """report-student and report-cnn are the reference's."""
    return re.sub(r"^report-", "reference-", name)


def with_augment(training: Mapping[str, Any]) -> dict[str, Any]:
    """A section of training settings with its live augmentation in a table of its own, behind ema_decay."""
    if "augment" in training:
        return dict(training)
    moved: dict[str, Any] = {}
    for name, value in training.items():
        if name not in AUGMENT:
            moved[name] = value
        if name == "ema_decay":
            moved["augment"] = {setting: training[setting] for setting in AUGMENT}
    return moved


def renamed_member(row: Mapping[str, Any]) -> dict[str, Any]:
    """A member of the ensemble, of the settings or of the record."""
    return {**row, "network": renamed_network(row["network"])}


def renamed_distill(distill: Mapping[str, Any]) -> dict[str, Any]:
    """[distill], whose focus becomes a table; what it did not say then is not said now."""
    moved: dict[str, Any] = {}
    for name, value in with_augment(distill).items():
        if name in FINAL_PHASE:
            stated = PHASES.get(value, value) if name == "focus" else value
            moved.setdefault("final_phase", {})[FINAL_PHASE[name]] = stated
        else:
            moved["init_from" if name == "start" else name] = value
    return moved | {"network": renamed_network(moved["network"])}


def renamed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a run."""
    teach = with_augment(settings["teach"])
    teach["members"] = [renamed_member(with_augment(row)) for row in teach["members"]]
    pack = renamed(settings["pack"], {"mirror": "tta_flip"})
    pack["rounding"] = {"compensated": "gptq"}.get(pack["rounding"], pack["rounding"])
    return {
        **settings,
        "teach": teach,
        "export": renamed(settings["export"], {"flip": "tta_flip"}),
        "distill": renamed_distill(settings["distill"]),
        "quantise": renamed(with_augment(settings["quantise"]), {"clip": "initial_clip_std"}),
        "pack": pack,
    }


def renamed_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A submission's manifest, with the digest of its settings made anew."""
    found = renamed(manifest, MANIFEST) | {"network": renamed_network(manifest["network"])}
    found["final_phase"] = PHASES.get(found["final_phase"], found["final_phase"])
    measured = {"validation_divergence": "validation_kl", "coarser": "step_scale"}
    found["precisions"] = [renamed(row, measured) for row in manifest["precisions"]]
    found["fidelity"] = {split: renamed(row, {"divergence": "kl"}) for split, row in manifest["fidelity"].items()}
    if teacher := manifest["teacher"]:
        found["teacher"] = renamed(teacher, TEACHER) | {"members": list(map(renamed_member, teacher["members"]))}
    if manifest["settings"]:
        found["settings"] = renamed_settings(manifest["settings"])
        found["settings_sha256"] = value_digest(found["settings"])
    found.setdefault("shared", {})
    if made := MADE.get(manifest["name"]):
        found["made"] = made
    return found


def check_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Refuse settings that the program would refuse or read otherwise; say which ones are not recorded."""
    read = Settings.model_validate(tuples(settings)).model_dump(mode="json")
    known, recorded = dict(flat(read)), dict(flat(settings))
    assert {name: known[name] for name in recorded} == recorded, path
    for name in sorted(known.keys() - recorded.keys()):
        print(f"{path.relative_to(ROOT)}: {name} is not recorded, it reads as {known[name]}")  # noqa: T201


def flat(value: Any, name: str = "settings") -> Iterator[tuple[str, Any]]:
    """Every single setting with its full name; rows of a list by their numbers."""
    inner = dict(enumerate(value)) if isinstance(value, list) else value
    if isinstance(inner, dict) and inner:
        for key, part in inner.items():
            yield from flat(part, f"{name}.{key}")
    else:
        yield name, value


def renamed_table(table: pd.DataFrame) -> pd.DataFrame:
    """A study's table, all cells as text."""
    names = {name: re.sub(r"_divergence$", "_kl", COLUMNS.get(name, name)) for name in map(str, table.columns)}
    table, was_old = table.rename(columns=names), "point" in table
    if "network" in table:
        table["network"] = table["network"].map(renamed_network)
    if "cell" not in table:  # a table of members
        return table
    if was_old:
        table["cell"] = table["cell"].replace(CELLS)
    table["final_phase"] = table["final_phase"].replace(PHASES)
    # trained with focus=testing and a focus_share of 0.001 (STUDENTS.md), written down in words of a version between
    table.loc[table["cell"] == "late", "final_phase"] = "testing"
    for name, value in NOT_RECORDED.items():
        if name not in table:
            table[name] = value
    return table.loc[:, [*STUDENT_COLUMNS, *(name for name in table.columns if name not in STUDENT_COLUMNS)]]


def rename_table(path: Path) -> None:
    """Bring one CSV to the new names; text stays text, lines end in a line feed."""
    table = renamed_table(pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False))
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def main() -> None:
    """Rewrite every record, then look for old names."""
    for path in SUBMISSIONS.glob("*/end_game.csv"):
        path.rename(path.with_name("final_phase.csv"))
    tables = ("frontier", "networks", "recipes", "final_phase", "members", "ensembles")
    for path in sorted(path for name in tables for path in SUBMISSIONS.glob(f"*/{name}.csv")):
        rename_table(path)
    for path in sorted(SUBMISSIONS.glob("*/manifest.json")):
        manifest = renamed_manifest(json.loads(path.read_text()))
        write_json(path, manifest)
        if manifest["settings"]:
            check_settings(path, manifest["settings"])
    for path in SUBMISSIONS.glob("*/frontier.csv"):
        rows = pd.read_csv(path).to_dict("records")
        plot_frontier(path.with_name("frontier.png"), rows, rows[0]["protocol"])
    for path in (*SUBMISSIONS.glob("*/*.csv"), *SUBMISSIONS.glob("*/*.json"), *ROOT.glob("measurements/*.json")):
        found = OLD_NAMES.search(path.read_text())
        assert not found, f"{path.relative_to(ROOT)}: still has {found}"


if __name__ == "__main__":
    main()

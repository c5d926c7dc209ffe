"""Measure a committed student anew, from its packed file alone, and check its manifest: exit code 1 where they differ.

    PYTHONPATH=. python measurements/remeasure.py food11 --data food11.zip
    PYTHONPATH=. python measurements/remeasure.py food11-100000 --data food11.zip --write

Decodes submissions/NAME/student.bin, predicts every split on the CPU in float32, and compares with the labels, with the
soft labels of the clean images and, byte for byte, with predictions.csv. `--write` writes the manifest of a file that
no single run delivered: what is measured, what STATED says, and null for what is not known.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from models.students.architecture import parameter_count
from models.students.short_form import name_of
from pipeline.contest.contest import Contest, read_contest
from pipeline.contest.decode import decode_images, refuse_broken
from pipeline.contest.open_source import open_source
from pipeline.contest.source import Source
from pipeline.contest.submission import write_submission
from pipeline.data.soft_labels import check_soft_labels, load_soft_labels
from pipeline.data.views import create_image_array
from pipeline.runtime.atomic import file_digest
from pipeline.runtime.console import say
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.engine import available_cores
from pipeline.runtime.records import Manifest, read_manifest, write_record
from pipeline.training.inference import load_packed, predict_with_packed
from pipeline.training.metrics import accuracy, evaluate

SUBMISSIONS = Path(__file__).resolve().parent.parent / "submissions"
OWN, SHARED = ("student.bin", "predictions.csv"), ("soft_labels.safetensors", "teacher_predictions.csv")
KL_TOLERANCE = 1e-6  # nats; the order of a float32 sum is the machine's. Accuracy and agreement are counts: exact
CHAINED = {"soft_labels_of": "food11", "final_phase": "none", "made": "by hand-chained runs"}
UNKNOWN_TEACHER = {"init_from": "", "made": "by study frontier, seed 0", "teacher": None}  # its labels are not kept
STATED: dict[str, dict[str, Any]] = {  # what the files do not state themselves: see provenance.json
    "food11-100000": {"budget_bytes": 100_000, **CHAINED},
    "food11-50000": {"budget_bytes": 50_000, **CHAINED},
    "food11-reference": {"budget_bytes": 300_000, **CHAINED, **UNKNOWN_TEACHER},
}


def measure(folder: Path, labels_folder: Path, data: Path, scratch: Path) -> dict[str, Any]:
    """The fields of a manifest that student.bin shows, and the accuracy of the soft labels, which fit the images."""
    packed, labels = load_packed(folder / OWN[0]), load_soft_labels(labels_folder / SHARED[0])
    header, size, source = packed.header, packed.header.image_size, open_source(data)
    contest = read_contest(source, DataSettings())
    files = {split: _decode(source, contest, split, size, scratch) for split in contest.splits}
    ids = {split: tuple(record.id for record in records) for split, records in contest.splits.items()}
    digests = {split: [file_digest(path)] for split, path in files.items()}
    check_soft_labels(labels, labels_folder.name, contest.classes, ids, digests)
    ours = {split: predict_with_packed(packed, np.load(path, mmap_mode="r")) for split, path in files.items()}
    ensemble = {split: labels.log_probs_VNC[split][0].float().numpy() for split in files}
    _check_csv(contest, ours["testing"], folder / OWN[1], scratch)
    _check_csv(contest, ensemble["testing"], labels_folder / SHARED[1], scratch)
    found = {split: evaluate(ours[split], None, ensemble[split]) | {"images": len(ours[split])} for split in files}
    truth_N = np.array([record.label for record in contest.splits["validation"]])
    row = {"precision": packed.precision, "packed_bytes": (folder / OWN[0]).stat().st_size}
    figures = {"accuracy": accuracy(ours["validation"], truth_N), **found["validation"]}
    claim = {"split": "validation", "protocol": header.protocol, "value": figures["accuracy"], "images": len(truth_N)}
    testing = found["testing"]
    return row | {
        "contest": contest.name,
        "protocol": header.protocol,
        "tta_flip": header.tta_flip,
        "network": name_of(header.architecture),
        "parameters": parameter_count(header.architecture),
        "sha256": {own: file_digest(folder / own) for own in OWN},
        "accuracy": [claim | {"measured_on": OWN[0]}],
        "precisions": [row | {f"validation_{name}": figures[name] for name in ("accuracy", "agreement", "kl")}],
        "teacher": {"ensemble": accuracy(ensemble["validation"], truth_N)},
        "agreement": {"split": "testing", "value": testing["agreement"], "images": testing["images"]},
        "fidelity": found,
    }


def _decode(source: Source, contest: Contest, split: str, image_size: int, folder: Path) -> Path:
    """Decode a split into a file, as the stage `prepare` does: soft labels name the images by its digest."""
    path, files = folder / f"{split}.npy", [record.file for record in contest.splits[split]]
    images_NHWC = create_image_array(path, len(files), image_size)
    broken = decode_images(source, files, image_size, images_NHWC, workers=available_cores(), on_done=lambda _: None)
    refuse_broken(broken, len(files), source)
    images_NHWC.flush()
    return path


def _check_csv(contest: Contest, log_probs_NC: np.ndarray, path: Path, scratch: Path) -> None:
    write_submission(scratch / path.name, contest.submission, log_probs_NC)
    if (scratch / path.name).read_bytes() != path.read_bytes():
        sys.exit(f"{path}: its student or soft labels give other predictions")


def manifest(folder: Path, labels_folder: Path, found: dict[str, Any]) -> Manifest:
    """The record that `deliver` writes, as far as it is known; `fidelity_to` where that was not its teacher."""
    source = read_manifest(labels_folder / "manifest.json")
    shared = {name: {"submission": labels_folder.name, "sha256": file_digest(labels_folder / name)} for name in SHARED}
    known = found | {"name": folder.name, "seeds": {"student": 0}}
    known |= {name: value for name, value in STATED[folder.name].items() if name != "soft_labels_of"}
    known["fits"] = known["packed_bytes"] <= known["budget_bytes"]
    if known["teacher"] is None:
        return Manifest.read(known | {"fidelity_to": shared[SHARED[0]]})
    assert source.teacher is not None
    seeds = source.seeds | known["seeds"]
    return Manifest.read(known | {"teacher": source.teacher.model_dump(mode="json"), "shared": shared, "seeds": seeds})


def flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every single figure with its full name; rows of a list by their numbers."""
    inner = dict(enumerate(value)) if isinstance(value, list) else value
    if not isinstance(inner, dict):
        return [(name, value)]
    return [figure for key, part in inner.items() for figure in flat(part, f"{name}.{key}".lstrip("."))]


def differences(recorded: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """A line for every figure that the manifest has otherwise; says all of them."""
    rows, lines = [row for row in recorded["precisions"] if row["precision"] == found["precision"]], []
    known = dict(flat(recorded | {"precisions": rows}))
    for name, value in flat(found if recorded["teacher"] else found | {"teacher": {}}):
        say(f"{name}: {value}")
        was = known.get(name)
        same = abs(was - value) <= KL_TOLERANCE if was is not None and name.endswith("kl") else was == value
        lines += [] if same else [f"DIFFERENT: {name}: recorded {was}, found {value}"]
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", metavar="NAME", help="a folder of submissions/")
    parser.add_argument("--data", metavar="DIR_OR_ZIP", type=Path, required=True, help="its contest")
    parser.add_argument("--write", action="store_true", help="write the manifest of one that STATED tells of")
    given = parser.parse_args()
    student = SUBMISSIONS / given.name
    teacher = SUBMISSIONS / STATED.get(given.name, {}).get("soft_labels_of", given.name)
    with tempfile.TemporaryDirectory() as scratch_folder:
        figures = measure(student, teacher, given.data, Path(scratch_folder))
    if given.write:
        write_record(student / "manifest.json", manifest(student, teacher, figures))
    wrong = differences(json.loads((student / "manifest.json").read_text()), figures)
    say("\n".join(wrong) or f"{given.name}: as recorded, predictions byte for byte")
    sys.exit(bool(wrong))

"""The whole run on a tiny contest, seen from outside: what it delivers, and whether its manifest is true."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.packed.container import read_container
from models.packed.student_file import unpack_student
from pipeline.data.soft_labels import load_soft_labels
from pipeline.runtime.atomic import value_digest
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.records import Manifest, read_epochs
from pipeline.runtime.request import load_request
from pipeline.runtime.tensor_file import load_tensors

DELIVERED = [
    "manifest.json",
    "predictions.csv",
    "settings.toml",
    "soft_labels.safetensors",
    "student.bin",
    "teacher_predictions.csv",
]
RunCli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def manifest(smoke_run) -> dict[str, Any]:
    return json.loads((smoke_run.run.submission / "manifest.json").read_text())


@pytest.fixture(scope="session")
def predictions(smoke_run) -> Callable[[str], np.ndarray]:
    """Predicted classes of student.bin for a split, from the contest's own files; shares no stage with the run."""
    student = unpack_student((smoke_run.run.submission / "student.bin").read_bytes())
    mean, std = (np.array(value, np.float32) for value in (student.header.mean, student.header.std))

    def predict(split: str) -> np.ndarray:
        files = sorted((smoke_run.data / split).iterdir(), key=lambda path: path.name)
        images_NHWC = np.stack([np.asarray(Image.open(path)) for path in files]).astype(np.float32)
        inputs = torch.from_numpy((images_NHWC - mean) / std).permute(0, 3, 1, 2)
        return student.module(inputs).argmax(1).numpy()

    return predict


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="ascii") as file:
        return list(csv.reader(file))


def test_delivered_files(smoke_run):
    assert sorted(path.name for path in smoke_run.run.submission.iterdir()) == DELIVERED
    assert not list(smoke_run.root.rglob("*.part"))
    assert not list(smoke_run.root.rglob("last.safetensors"))  # half-trained states are cleared away


def test_last_line_is_the_gate(smoke_run):
    size = (smoke_run.run.submission / "student.bin").stat().st_size
    assert smoke_run.stdout.splitlines()[-1] == f"fits: {size} of 300000 bytes"


def test_the_protocol_stands_beside_the_accuracy(smoke_run, manifest: dict[str, Any]):
    line = next(line for line in smoke_run.stdout.splitlines() if line.startswith("  validation "))
    assert f"student {manifest['accuracy'][0]['value']:.2%} (decoded file, transductive)" in line


def test_manifest_of_the_size(smoke_run, manifest: dict[str, Any]):
    assert manifest["packed_bytes"] == (smoke_run.run.submission / "student.bin").stat().st_size
    assert manifest["budget_bytes"] == 300_000
    assert manifest["fits"] is True
    assert manifest["precision"] == "fp16"
    assert manifest["network"] == "reference-student"
    weights = sum(parameter.numel() for parameter in unpack_smoke(smoke_run).parameters())
    assert weights < manifest["parameters"] == 109_779  # BatchNorm is folded away in the file


def unpack_smoke(smoke_run) -> torch.nn.Module:
    return unpack_student((smoke_run.run.submission / "student.bin").read_bytes()).module


def test_manifest_has_the_digest_of_every_other_file(smoke_run, manifest: dict[str, Any]):
    folder = smoke_run.run.submission
    assert sorted([*manifest["sha256"], "manifest.json"]) == DELIVERED
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_manifest_accuracy_is_that_of_the_delivered_file(manifest: dict[str, Any], predictions, smoke_run):
    labels = [int(path.name.split("_")[0]) for path in sorted((smoke_run.data / "validation").iterdir())]
    expected = float((predictions("validation") == np.array(labels)).mean())
    assert manifest["accuracy"] == [
        {
            "split": "validation",
            "protocol": "transductive",
            "value": expected,
            "images": 12,
            "measured_on": "student.bin",
            "chosen_on_it": ["pack.precision"],
        }
    ]
    shipped = next(row for row in manifest["precisions"] if row["precision"] == manifest["precision"])
    assert shipped["validation_accuracy"] == expected


def test_manifest_of_where_it_came_from(smoke_run, manifest: dict[str, Any]):
    assert (manifest["name"], manifest["contest"], manifest["preset"]) == ("tiny", "tiny", "smoke")
    assert (manifest["protocol"], manifest["final_phase"]) == ("transductive", "none")
    assert manifest["seeds"] == {"student": 0, "members": [1, 2]}
    assert manifest["settings"]["distill"]["batch_size"] == 4
    assert manifest["settings_sha256"] == value_digest(manifest["settings"])
    assert manifest["settings"] == json.loads(smoke_run.run.request.read_text())["settings"]
    assert manifest["commit"] == ""  # no repository here
    assert manifest["device"].endswith(", float32")
    assert manifest["versions"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]


def test_its_settings_are_a_preset_that_does_nothing_anew(smoke_copy, run_cli):
    settings = smoke_copy.run.submission / "settings.toml"
    assert load_settings(str(settings), []) == load_request(smoke_copy.run).settings
    before = smoke_copy.receipts()
    code, out, err = run_cli(["--data", smoke_copy.data, "--preset", settings], smoke_copy.root)
    assert (code, err) == (0, "")
    assert "done again" not in out.replace("deliver: its settings changed, done again", "")
    assert smoke_copy.redone(before) == {"deliver"}  # the preset's name is another
    assert json.loads((smoke_copy.run.submission / "manifest.json").read_text())["preset"] == "settings.toml"


def test_the_manifest_is_a_record(manifest: dict[str, Any]):
    assert manifest["format"] == 1
    assert Manifest.read(manifest).written() == manifest
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Manifest.read(manifest | {"more": 1})


def test_manifest_of_the_time(manifest: dict[str, Any]):
    seconds = manifest["stage_seconds"]
    assert list(seconds) == ["prepare", "teach", "export", "distill", "quantise", "pack", "predict"]
    assert all(0 <= value < 600 for value in seconds.values())
    assert seconds["teach"] > 0


def test_manifest_of_the_teacher(manifest: dict[str, Any], smoke_run):
    teacher = manifest["teacher"]
    assert teacher["soft_labels"] == ""
    assert [(row["network"], row["seed"], row["epochs"]) for row in teacher["members"]] == [
        ("reference-cnn", 1, 3),
        ("test_resnet", 2, 3),
    ]
    assert teacher["members"][0]["parameters"] == 842_923
    labels = load_soft_labels(smoke_run.run.submission / "soft_labels.safetensors")
    truth = [int(image_id.split("_")[0]) for image_id in labels.ids["validation"]]
    right = labels.log_probs_VNC["validation"][0].argmax(1) == torch.tensor(truth)
    assert teacher["ensemble"] == pytest.approx(float(right.float().mean()))


def test_manifest_agreement_is_that_of_the_two_csvs(manifest: dict[str, Any], smoke_run):
    folder = smoke_run.run.submission
    student, teacher = (read_csv(folder / f"{who}predictions.csv")[1:] for who in ("", "teacher_"))
    equal = [one == other for one, other in zip(student, teacher, strict=True)]
    assert manifest["agreement"] == {"split": "testing", "value": sum(equal) / 12, "images": 12}
    found = manifest["fidelity"]
    assert found["testing"]["agreement"] == sum(equal) / 12
    assert {split: row["images"] for split, row in found.items()} == {"training": 42, "validation": 12, "testing": 12}
    shipped = next(row for row in manifest["precisions"] if row["precision"] == manifest["precision"])
    assert all(found["validation"][name] == shipped[f"validation_{name}"] for name in ("agreement", "kl"))


def test_the_students_log_probs_are_kept(smoke_run, predictions):
    log_probs, _ = load_tensors(smoke_run.artifacts.student_log_probs.path)
    assert {split: tuple(value.shape) for split, value in log_probs.items()} == {
        "training": (42, 3),
        "validation": (12, 3),
        "testing": (12, 3),
    }
    for split, value in log_probs.items():
        torch.testing.assert_close(value.exp().sum(1), torch.ones(len(value)))
        assert value.argmax(1).tolist() == predictions(split).tolist()


@pytest.mark.parametrize("name", ["predictions.csv", "teacher_predictions.csv"])
def test_csv(smoke_run, name: str):
    header, *rows = read_csv(smoke_run.run.submission / name)
    assert header == ["Id", "label"]
    assert [row[0] for row in rows] == [str(i) for i in range(1, 13)]
    assert {row[1] for row in rows} <= {"0", "1", "2"}


def test_csv_holds_the_predictions_of_the_delivered_file(smoke_run, predictions):
    rows = read_csv(smoke_run.run.submission / "predictions.csv")[1:]
    assert [int(row[1]) for row in rows] == predictions("testing").tolist()


@pytest.mark.parametrize("name", ["predictions.csv", "teacher_predictions.csv"])
def test_the_colours_are_learnt(smoke_run, name: str):
    """The test images' classes go 0, 1, 2, 0, ...: whatever mixes up images and labels shows here."""
    rows = read_csv(smoke_run.run.submission / name)[1:]
    assert sum(int(row[1]) == i % 3 for i, row in enumerate(rows)) >= 10


def test_soft_labels_are_probabilities(smoke_run):
    labels = load_soft_labels(smoke_run.run.submission / "soft_labels.safetensors")
    assert {split: tuple(value.shape) for split, value in labels.log_probs_VNC.items()} == {
        "training": (2, 42, 3),
        "validation": (1, 12, 3),
        "testing": (2, 12, 3),
    }
    for log_probs_VNC in labels.log_probs_VNC.values():
        assert log_probs_VNC.dtype == torch.float16
        assert (log_probs_VNC.float().exp().sum(2) - 1).abs().max() < 1e-3
    assert labels.classes == ("0", "1", "2")
    assert labels.ids["testing"] == tuple(f"{i:04d}" for i in range(1, 13))


def test_views_are_named_by_the_digest_of_their_files(smoke_run):
    labels = load_soft_labels(smoke_run.run.submission / "soft_labels.safetensors")
    for split, digests in labels.view_digests.items():
        files = [smoke_run.artifacts.view("student", split, view).path for view in range(len(digests))]
        assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == list(digests)
    assert np.load(smoke_run.artifacts.view("student", "testing", 1).path).shape == (12, 16, 16, 3)


def test_one_line_of_metrics_per_epoch(smoke_run):
    made = smoke_run.artifacts
    files = [made.member_metrics(0), made.member_metrics(1), made.student_metrics, made.quantised_metrics]
    lines = [line for file in files for line in read_epochs(file.path)]
    for line in lines:
        assert np.isfinite(line.loss)
        assert line.learning_rate >= 0
        assert line.seconds >= 0
    expected = [("teach", member, epoch) for member in (0, 1) for epoch in (1, 2, 3)]
    expected += [("distill", None, epoch) for epoch in (1, 2, 3)] + [("quantise", None, epoch) for epoch in (1, 2)]
    assert [(line.stage, line.member, line.epoch) for line in lines] == expected
    measured = [line for line in lines if line.validation_accuracy is not None]
    ends = [("teach", 3), ("teach", 3), ("distill", 3), ("quantise", 2)]
    assert [(line.stage, line.epoch) for line in measured] == ends
    for line in measured:
        assert 0 <= line.validation_accuracy <= 1
    assert 0 <= measured[-1].validation_agreement <= 1


def test_ledger_adds_up_to_the_packed_bytes(smoke_run, manifest: dict[str, Any]):
    record = json.loads(smoke_run.artifacts.pack_record.path.read_text())
    assert record["chosen"] == manifest["precision"]
    assert sum(row["size_bytes"] for row in record["ledger"]) == manifest["packed_bytes"]
    assert (record["ledger"][0]["name"], record["ledger"][-1]["name"]) == ("header", "check-sum")
    sizes = {row["precision"]: row["packed_bytes"] for row in record["measured"]}
    assert sizes == {name: smoke_run.artifacts.packed(name).path.stat().st_size for name in sizes}
    assert len(sizes) == 6


def test_the_header_tells_how_the_file_was_trained(smoke_run):
    found, _ = read_container((smoke_run.run.submission / "student.bin").read_bytes())
    assert (found.inductive, found.final, found.tta_flip, found.image_size) == (False, False, True, 16)

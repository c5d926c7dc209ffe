"""A student that goes on from the packed file of an earlier one, and the files from which it may not."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.packed.header import Header
from models.packed.student_file import pack_student
from models.students.build import build_student
from models.students.families import STUDENTS, Network
from pipeline.runtime.atomic import file_digest
from pipeline.stages.student.warm_start import init_is_low_bit
from pipeline.training.inference import load_packed, predict_with_packed

CLASSES = ("0", "1", "2")


def packed_file(path: Path, network: Network = STUDENTS["reference-student"], **facts: object) -> Path:
    fields = {"image_size": 16, "classes": CLASSES, "mean": (1, 2, 3), "std": (4, 5, 6)} | facts
    architecture = network.architecture(len(fields["classes"]), fields.pop("image_size"))
    path.write_bytes(pack_student(build_student(architecture), Header(architecture, **fields), "fp16"))
    return path


def test_a_warm_start_continues_the_other_student(smoke_copy, run_cli, tmp_path):
    start = tmp_path / "start.bin"
    start.write_bytes(smoke_copy.artifacts.packed("fp32").path.read_bytes())
    before = smoke_copy.receipts()
    hardly = ("distill.epochs=1", "distill.learning_rate=1e-9", f"distill.init_from={start}")
    code, out, err = run_cli((*smoke_copy.argv, "--set", *hardly), smoke_copy.root)
    assert (code, err) == (0, "")
    assert f"from {start}" in out
    assert smoke_copy.redone(before) >= {"distill", "quantise", "pack", "predict", "deliver"}
    images_NHWC = np.load(smoke_copy.artifacts.clean("testing").path)
    old, new = (
        predict_with_packed(load_packed(path), images_NHWC)
        for path in (start, smoke_copy.artifacts.packed("fp32").path)
    )
    # BatchNorm's variances are unbiased ones of each batch once more, which shows on so few images
    np.testing.assert_allclose(new, old, atol=0.05)
    manifest = json.loads((smoke_copy.run.submission / "manifest.json").read_text())
    assert manifest["init_from"] == file_digest(start)
    assert manifest["settings"]["distill"]["init_from"] == "start.bin"
    # a start of its own is what random weights would have been far from
    assert run_cli((*smoke_copy.argv, "--set", *hardly[:2]), smoke_copy.root)[0] == 0
    random = predict_with_packed(load_packed(smoke_copy.artifacts.packed("fp32").path), images_NHWC)
    assert np.abs(random - old).max() > 0.5
    # the same name with other bytes is another start
    assert run_cli((*smoke_copy.argv, "--set", *hardly), smoke_copy.root)[0] == 0
    packed_file(start)
    before = smoke_copy.receipts()
    assert run_cli((*smoke_copy.argv, "--set", *hardly), smoke_copy.root)[0] == 0
    assert "distill" in smoke_copy.redone(before)


@pytest.mark.parametrize(("precision", "few_bits"), [("low-bit", True), ("fp16", False), ("", False)])
def test_a_warm_start_from_a_low_bit_file(smoke_run, precision, few_bits):
    start = str(smoke_run.artifacts.packed(precision).path) if precision else ""
    assert init_is_low_bit(start) is few_bits


@pytest.mark.parametrize(
    ("facts", "flags", "message"),
    [
        (
            {"network": Network("residual", (4, 1, 8))},
            (),
            "holds the network residual-4-1-8, distill.network is",
        ),
        ({"image_size": 32}, (), "is for 32 pixels, data.image_size is 16"),
        ({"classes": ("0", "1", "2", "3")}, (), "has classes 0, 1, 2, 3 (4), the contest has 0, 1, 2 (3)"),
        ({"final": True}, (), "was made with --final: it was trained on validation; give --final here too"),
        ({}, ("--inductive",), "has learned from test images, which --inductive bans"),
    ],
)
def test_refused_warm_starts(smoke_run, run_cli, tmp_path, facts, flags, message):
    start = packed_file(tmp_path / "start.bin", **facts)
    argv = (*smoke_run.argv, *flags, "--set", f"distill.init_from={start}")
    code, out, err = run_cli(argv, tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: distill.init_from: {start} ")
    assert message in err
    assert err.count("\n") == 1


def test_a_run_does_not_start_from_itself(smoke_copy, run_cli):
    start = smoke_copy.run.submission / "student.bin"
    code, out, err = run_cli((*smoke_copy.argv, "--set", f"distill.init_from={start}"), smoke_copy.root)
    assert (code, out) == (2, "")
    assert err == f"error: distill.init_from: {start} belongs to run tiny itself; give the new student another --name\n"


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG"])
def test_a_start_that_is_no_packed_file(smoke_run, run_cli, tmp_path, content):
    start = tmp_path / "start.bin"
    if content is not None:
        start.write_bytes(content)
    code, out, err = run_cli((*smoke_run.argv, "--set", f"distill.init_from={start}"), tmp_path)
    assert (code, out) == (2, "")
    assert str(start) in err
    assert err.count("\n") == 1

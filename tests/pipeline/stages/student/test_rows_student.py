"""A student of no family: every stage after distill follows the architecture of its checkpoint."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.compress.batchnorm_folding import unfold_batchnorm
from models.packed.container import read_container
from models.packed.header import Header
from models.packed.student_file import pack_student, unpack_student
from models.students import architecture_json
from models.students.architecture import parameter_shapes
from models.students.build import build_student
from models.students.families import STUDENTS
from models.students.short_form import same_but_for_names
from pipeline.runtime.tensor_file import TensorFileError, load_tensors, save_tensors
from pipeline.stages.student.network import load_architecture
from pipeline.stages.student.warm_start import with_names_of
from pipeline.training.inference import load_packed, predict_with_packed
from tests.models.packed.made_rows import irregular


def facts(path: Path) -> object:
    return load_tensors(path)[1]["architecture"]


def test_checkpoints_carry_the_architecture(smoke_run):
    expected = architecture_json.to_json(STUDENTS["reference-student"].architecture(3, 16))
    assert facts(smoke_run.artifacts.student.path) == facts(smoke_run.artifacts.quantised_student.path) == expected
    assert [row["name"] for row in expected["rows"]][-2:] == ["flatten", "classifier"]


def test_a_run_with_a_student_of_rows(smoke_copy, run_cli, monkeypatch, tmp_path):
    for module in ("student.distill", "check_request"):
        monkeypatch.setattr(f"pipeline.stages.{module}.choose_architecture", lambda *_: irregular())
    before = smoke_copy.receipts()
    code, out, err = run_cli(smoke_copy.argv, smoke_copy.root)
    assert (code, err) == (0, "")
    assert "student: rows (14 layers), " in out
    assert smoke_copy.redone(before) >= {"distill", "quantise", "pack", "predict", "deliver"}
    run, made = smoke_copy.run, smoke_copy.artifacts
    assert facts(made.student.path) == facts(made.quantised_student.path) == architecture_json.to_json(irregular())
    shipped = run.submission / "student.bin"
    assert same_but_for_names(read_container(shipped.read_bytes())[0].architecture, irregular())
    assert json.loads((run.submission / "manifest.json").read_text())["network"] == "rows (14 layers)"
    for command in (["verify", shipped], ["ledger", shipped]):
        code, out, _ = run_cli(command, tmp_path)
        assert code == 0
        assert (
            "rows (14 layers), 3 classes, 16x16 pixels, 28 tensors" in out
            or f"total: {shipped.stat().st_size} b" in out
        )
    code, _, _ = run_cli(["predict", shipped, "--data", smoke_copy.data, "--out", tmp_path / "out.csv"], tmp_path)
    assert code == 0
    assert (tmp_path / "out.csv").read_bytes() == (run.submission / "predictions.csv").read_bytes()
    goes_on_from_it(smoke_copy, run_cli, tmp_path)


def goes_on_from_it(smoke_copy, run_cli, tmp_path):
    """A warm start from the file of rows, whose layers have other names."""
    start = shutil.copy(smoke_copy.artifacts.packed("fp32").path, tmp_path / "start.bin")
    hardly = ("distill.epochs=1", "distill.learning_rate=1e-9", f"distill.init_from={start}")
    assert run_cli((*smoke_copy.argv, "--set", *hardly), smoke_copy.root)[0] == 0
    images_NHWC = np.load(smoke_copy.artifacts.clean("testing").path)
    old, new = (
        predict_with_packed(load_packed(path), images_NHWC)
        for path in (start, smoke_copy.artifacts.packed("fp32").path)
    )
    np.testing.assert_allclose(new, old, atol=0.2)  # BatchNorm's variances of so few images


def test_a_packed_file_of_rows_takes_the_names_of_an_equal_architecture():
    torch.manual_seed(0)
    header = Header(irregular(), ("0", "1", "2"), (1, 2, 3), (4, 5, 6))
    packed = unpack_student(pack_student(build_student(irregular()), header, "fp32")).module
    renamed, student = with_names_of(packed, irregular()), build_student(irregular())
    assert [name for name, _ in renamed.named_parameters()] == [name for name, _ in parameter_shapes(irregular())]
    images_N3HW = torch.randn(8, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(renamed(images_N3HW), packed(images_N3HW))
        unfold_batchnorm(student, renamed, [images_N3HW])
        torch.testing.assert_close(student(images_N3HW), packed(images_N3HW), rtol=0, atol=1e-5)


def test_a_start_of_other_rows_is_refused(smoke_run, run_cli, tmp_path):
    header = Header(irregular(), ("0", "1", "2"), (1, 2, 3), (4, 5, 6))
    start = tmp_path / "start.bin"
    start.write_bytes(pack_student(build_student(irregular()), header, "fp16"))
    code, out, err = run_cli((*smoke_run.argv, "--set", f"distill.init_from={start}"), tmp_path)
    assert (code, out) == (2, "")
    assert err == (
        f"error: distill.init_from: {start} holds the network rows (14 layers), distill.network is reference-student\n"
    )


def test_a_checkpoint_without_an_architecture_is_refused(smoke_copy, tmp_path):
    tensors, _ = load_tensors(smoke_copy.artifacts.student.path)
    save_tensors(tmp_path / "old.safetensors", tensors, {})
    with pytest.raises(TensorFileError, match=r"old.safetensors: no architecture: TypeError"):
        load_architecture(tmp_path / "old.safetensors")

"""Packed files against the trained students that they come from: the same network, on clean images."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.compress.batchnorm_folding import fold_batchnorm
from models.compress.batchnorm_recalibration import recalibrate_batchnorm
from models.compress.bit_plan import Bits
from models.compress.lsq import prepare_lsq
from models.packed.container import read_container
from models.packed.student_file import PackedStudent, unpack_student
from models.students.build import build_student
from pipeline.data.batches import Normalisation
from pipeline.runtime.records import Measurement
from pipeline.runtime.tensor_file import load_tensors
from pipeline.stages.student import pack as pack_stage
from pipeline.stages.student.quantise import expected_growth


def packed(smoke_run, precision: str) -> PackedStudent:
    return unpack_student(smoke_run.artifacts.packed(precision).path.read_bytes())


def images(smoke_run, split: str) -> Tensor:
    header = packed(smoke_run, "fp32").header
    images_NHWC = torch.from_numpy(np.load(smoke_run.artifacts.clean(split).path))
    return Normalisation(header.mean, header.std).apply(images_NHWC)


def float_student(smoke_run) -> nn.Module:
    header = packed(smoke_run, "fp32").header
    return build_student(header.architecture)


def test_files_have_batchnorm_recalibrated_on_clean_training_images(smoke_run):
    student = float_student(smoke_run)
    student.load_state_dict(load_tensors(smoke_run.artifacts.student.path)[0])
    as_trained = fold_batchnorm(student)
    recalibrate_batchnorm(student, [images(smoke_run, "training")])  # so few that they are one batch
    expected, found = fold_batchnorm(student).state_dict(), packed(smoke_run, "fp32").module.state_dict()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    assert any(not torch.allclose(as_trained.state_dict()[name], value) for name, value in found.items())


@pytest.mark.parametrize("split", ["validation", "testing"])
def test_the_low_bit_file_predicts_as_the_rounded_network(smoke_run, split):
    record = json.loads(smoke_run.artifacts.pack_record.path.read_text())
    assert next(row["step_scale"] for row in record["measured"] if row["precision"] == "low-bit") == 1.0
    found = packed(smoke_run, "low-bit")
    plan = Bits("4", "8", {}, 3.0).of_layers(found.header.architecture)
    network = prepare_lsq(float_student(smoke_run), plan, 3.0)
    network.load_state_dict(load_tensors(smoke_run.artifacts.quantised_student.path)[0])
    recalibrate_batchnorm(network, [images(smoke_run, "training")])
    images_NCHW = images(smoke_run, split)
    with torch.no_grad():
        assert torch.equal(found.module(images_NCHW).argmax(1), network(images_NCHW).argmax(1))


def test_a_file_without_flip_tta_needs_no_training(smoke_copy, run_cli):
    code, out, err = run_cli([*smoke_copy.argv, "--set", "pack.tta_flip=false"], smoke_copy.root)
    assert (code, err) == (0, "")
    assert "epoch" not in out
    submission = smoke_copy.run.submission
    header, _ = read_container((submission / "student.bin").read_bytes())
    assert (header.tta_flip, json.loads((submission / "manifest.json").read_text())["tta_flip"]) == (False, False)


def test_a_file_grows_with_its_first_low_bit_epochs_alone():
    found = [expected_growth(epochs, low_bit_before=False) for epochs in (0, 3, 5, 50)]
    assert found == pytest.approx([1.0, 1.0072, 1.012, 1.012])
    assert expected_growth(3, low_bit_before=True) == 1.0


@pytest.mark.parametrize(("scale", "shown"), [(1.0, ""), (1.25, ", learned steps times 1.250")])
def test_the_line_of_a_precision_tells_a_step_scale(scale, shown):
    measured = Measurement(precision="low-bit", packed_bytes=45_000, validation_accuracy=0.9, step_scale=scale)
    expected = "pack: low-bit: 45,000 bytes, validation 90.00% (from the decoded file)"
    assert pack_stage._line(measured, "accuracy") == expected + shown

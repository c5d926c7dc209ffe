"""The reference solution's own path: preset `reference` on 11 classes at 64x64, everything else as small as it gets."""

import json

import pytest
import torch

from models.students.architecture import parameter_count
from models.students.families import STUDENTS
from pipeline.data.soft_labels import load_soft_labels
from pipeline.runtime.load_settings import load_settings
from tests.conftest import CPU, write_contest

ROW = '{network = "reference-cnn", seed = %d, options = {width = 4, dropout = 0.5}}'
SMALL = (
    f"teach.members=[{ROW % 1}, {ROW % 2}]",
    "teach.epochs=1",
    "teach.batch_size=8",
    "views.teacher_views=1",
    "distill.epochs=1",
    "distill.batch_size=8",
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, run_cli):
    """reference(*more settings) -> the folder that the run delivered, and its output."""
    folder = tmp_path_factory.mktemp("reference")
    data = write_contest(folder / "eleven", classes=11)

    def run(*more: str):
        argv = ["--data", data, "--preset", "reference", *CPU, *SMALL, *more]
        code, out, err = run_cli(argv, folder / "root")
        assert (code, err) == (0, "")
        return folder / "root" / "submissions" / "eleven", out

    return run


def test_the_preset_is_the_references_recipe():
    settings = load_settings("reference", [])
    assert [row.network for row in settings.teach.members] == 8 * ["reference-cnn"]
    assert len({row.seed for row in settings.teach.members}) == 8
    assert (settings.export.normalisation, settings.distill.alpha, settings.distill.epochs) == ("minmax", 0.8, 450)
    assert (settings.distill.network, settings.pack.precision) == ("reference-student", "fp16")
    assert settings.views.student_views == 1
    assert settings.tta_flip() is False


def test_from_the_ensemble_to_the_csv_in_fp16(reference):
    folder, out = reference()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [row["network"] for row in manifest["teacher"]["members"]] == 2 * ["reference-cnn"]
    assert manifest["parameters"] == parameter_count(STUDENTS["reference-student"].architecture(11, 64)) == 120_859
    assert (manifest["precision"], manifest["packed_bytes"], manifest["fits"]) == ("fp16", 240_635, True)
    assert (folder / "student.bin").stat().st_size == 240_635
    assert "fits: 240635 of 300000 bytes" in out.splitlines()
    assert len((folder / "predictions.csv").read_text().splitlines()) == 1 + 12


def test_the_soft_labels_of_the_test_images_are_normalised(reference):
    folder, _ = reference()
    log_probs_VNC = load_soft_labels(folder / "soft_labels.safetensors").log_probs_VNC["testing"].float()
    assert log_probs_VNC.shape == (1, 12, 11)
    torch.testing.assert_close(log_probs_VNC.exp().sum(2), torch.ones(1, 12), atol=2e-3, rtol=0)
    assert log_probs_VNC.amin(2).eq(-16.0).all()  # min-max: the least probable class has nothing


def test_eight_bits_by_one_setting(reference):
    reference()
    folder, out = reference("pack.precision=uint8")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["precision"], manifest["packed_bytes"]) == ("uint8", 122_443)
    assert out.splitlines()[-1] == "fits: 122443 of 300000 bytes"
    assert "epoch" not in out  # nothing is trained again

"""Soft labels of several files: their mean, recorded with all members behind them."""

import dataclasses
import json

import pytest
import torch

from pipeline.data.soft_labels import load_soft_labels, save_soft_labels


@pytest.fixture
def second_file(smoke_run, tmp_path):
    """The smoke run's labels with the classes' probabilities turned round, of its clean view and one more."""
    labels = load_soft_labels(smoke_run.run.submission / "soft_labels.safetensors")
    turned = {split: value.roll(1, dims=2) for split, value in labels.log_probs_VNC.items()}
    save_soft_labels(tmp_path / "turned.safetensors", dataclasses.replace(labels, log_probs_VNC=turned))
    return tmp_path / "turned.safetensors"


def test_the_mean_of_two_files(smoke_run, second_file, run_cli, tmp_path):
    first_file = smoke_run.run.submission / "soft_labels.safetensors"
    argv = (*smoke_run.argv, "--soft-labels", first_file, second_file)
    code, out, err = run_cli(argv, tmp_path)
    assert code == 0, err
    folder = tmp_path / "submissions" / "tiny"
    first, second, found = (load_soft_labels(path) for path in (first_file, second_file, folder / first_file.name))
    for split, log_probs_VNC in found.log_probs_VNC.items():
        mean = (first.log_probs_VNC[split].float().exp() + second.log_probs_VNC[split].float().exp()) / 2
        torch.testing.assert_close(log_probs_VNC.float().exp(), mean, atol=2e-3, rtol=0)
    assert found.view_digests == first.view_digests
    teacher = json.loads((folder / "manifest.json").read_text())["teacher"]
    assert teacher["soft_labels"] == "soft_labels.safetensors, turned.safetensors"
    assert [member["network"] for member in teacher["members"]] == [
        "reference-cnn",
        "test_resnet",
    ]  # the second's are unknown
    assert f"soft labels of {first_file} and {second_file}: validation" in out
    assert "export-soft-labels: done before, skipped" in run_cli(argv, tmp_path)[1]


def test_of_several_files_numbers_are_refused(smoke_run, second_file, run_cli, tmp_path):
    argv = (*smoke_run.argv, "--soft-labels", second_file, second_file, "--set", "export.weights=[1.0, 2.0]")
    code, _, err = run_cli(argv, tmp_path)
    assert code == 2
    assert err == 'error: export.weights: numbers are of members; of several --soft-labels expected "fitted" or none\n'


def test_a_second_file_of_other_images_is_refused(smoke_run, second_file, run_cli, tmp_path):
    labels = load_soft_labels(second_file)
    other = {split: ("0" * 64, *digests[1:]) for split, digests in labels.view_digests.items()}
    save_soft_labels(tmp_path / "other.safetensors", dataclasses.replace(labels, view_digests=other))
    code, _, err = run_cli((*smoke_run.argv, "--soft-labels", second_file, tmp_path / "other.safetensors"), tmp_path)
    assert code == 2
    assert "other.safetensors: its view 0 of training has digest 000000000000" in err
    assert err.count("\n") == 1

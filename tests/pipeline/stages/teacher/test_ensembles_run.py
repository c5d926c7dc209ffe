"""Ensembles through the whole program: folds, fitted weights, progressive resizing, contradicting requests."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from models.teachers.short_resnet import WhitenedPatches
from pipeline.contest.facts import load_contest
from pipeline.data.batches import Normalisation
from pipeline.data.folds import fold_of_images
from pipeline.data.soft_labels import load_soft_labels
from pipeline.runtime.tensor_file import load_tensors
from pipeline.stages.teacher import teach as teach_stage
from pipeline.training import losses
from pipeline.training.ensemble import normalise


def test_with_folds_soft_labels_are_out_of_fold(smoke_copy, run_cli):
    before = smoke_copy.receipts()
    code, _, err = run_cli((*smoke_copy.argv, "--set", "teach.folds=2"), smoke_copy.root)
    assert code == 0, err
    assert {"teach-00", "teach-01", "export-soft-labels"} <= smoke_copy.redone(before)
    made = smoke_copy.artifacts
    log_probs = [load_tensors(made.member_log_probs(member).path)[0]["training"] for member in range(2)]
    labels = load_soft_labels(made.soft_labels.path)
    fold_N = fold_of_images(load_contest(made.contest.path).labels["training"], 2, seed=0)
    for image, fold in enumerate(fold_N.tolist()):
        out_of_fold = log_probs[fold][0, image][None].float()
        expected = normalise(out_of_fold, "softmax", 1.0)[0]
        torch.testing.assert_close(labels.log_probs_VNC["training"][0, image].float(), expected, atol=0.01, rtol=0.01)


def test_fitted_weights_are_recorded_with_their_gain(smoke_copy, run_cli):
    before = smoke_copy.receipts()
    code, out, err = run_cli((*smoke_copy.argv, "--set", "export.weights=fitted"), smoke_copy.root)
    assert code == 0, err
    assert "ensemble: fitted weights " in out
    assert not {name for name in smoke_copy.redone(before) if name.startswith(("teach", "export-0"))}
    teacher = json.loads((smoke_copy.run.submission / "manifest.json").read_text())["teacher"]
    assert sum(teacher["fitted"]["weights"]) == pytest.approx(1.0, abs=1e-3)
    assert set(teacher["fitted"]["cross_validated"]) == {"accuracy_gain", "loss_gain", "loss_gain_error"}
    assert teacher["chosen_on_it"] == ["export.weights"]


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        (
            "teach.folds=2",
            {"training": (0, 0, 1, 2, 2), "validation": ()},
            "teach.folds: needs 2 labelled images of each",
        ),
        ("export.weights=fitted", {"training": (0, 1, 2), "validation": (0, 0, 1, 1, 2)}, "class 2 has 1"),
    ],
)
def test_too_few_images_are_refused_before_training(smoke_copy, run_cli, monkeypatch, change, labels, message):
    facts = dataclasses.replace(load_contest(smoke_copy.artifacts.contest.path), labels=labels)
    monkeypatch.setattr("pipeline.stages.teacher.blend.load_contest", lambda _: facts)
    code, _, err = run_cli((*smoke_copy.argv, "--set", change), smoke_copy.root)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


def watched(loss_of, seen: list[int]):
    """The loss, which notes the rows of every batch's images."""

    def loss(logits_NC, batch):
        seen.append(batch.images_BCHW.shape[2])
        return loss_of(logits_NC, batch)

    return loss


def test_progressive_resizing(smoke_copy, run_cli, monkeypatch):
    before = smoke_copy.receipts()
    seen: list[int] = []
    monkeypatch.setattr(teach_stage, "member_loss", watched(losses.member_loss, seen))
    growing = ("data.image_size=32", "teach.sizes=[16, 16, 32]", "teach.optimizer=muon")
    code, _, err = run_cli((*smoke_copy.argv, "--set", *growing), smoke_copy.root)
    assert code == 0, err
    assert {"teach-00", "teach-01"} <= smoke_copy.redone(before)
    epoch = 42 // 8  # batches
    assert seen == 2 * ([16] * 2 * epoch + [32] * epoch)


def test_flip_tta_of_clean_images_only(smoke_copy, run_cli):
    """View 0 as with flip TTA everywhere, the augmented view as with none."""

    def log_probs(flip: str | None) -> torch.Tensor:
        if flip is not None:
            assert run_cli((*smoke_copy.argv, "--set", f"export.tta_flip={flip}"), smoke_copy.root)[0] == 0
        return load_tensors(smoke_copy.artifacts.member_log_probs(0).path)[0]["training"]

    everywhere, clean, nowhere = log_probs(None), log_probs("clean"), log_probs("false")
    assert torch.equal(clean, torch.stack([everywhere[0], nowhere[1]]))
    assert not torch.equal(everywhere[0], nowhere[0])
    assert not torch.equal(everywhere[1], nowhere[1])


def test_patches_are_whitened_by_the_contest(smoke_copy, run_cli):
    made, short = smoke_copy.artifacts, 'teach.members=[{network="short-resnet", options={widths=[4, 4, 4, 4]}}]'
    assert run_cli((*smoke_copy.argv, "--set", short), smoke_copy.root)[0] == 0
    facts = load_contest(made.contest.path)
    images = torch.from_numpy(np.load(made.clean("training").path))
    expected = WhitenedPatches(4)
    expected.whiten([Normalisation(facts.mean, facts.std).apply(images)])
    found = load_tensors(made.member(0).path)[0]["patches.weight"]
    assert float(found.abs().max()) > 0
    torch.testing.assert_close(found, expected.weight.detach(), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("teach.folds=3",), "3 folds need as many members, found 2"),
        (("teach.folds=1",), "found 1, expected 0 (none) or at least 2"),
        (("teach.sizes=[8]",), "teach.sizes"),
        (("teach.sizes=[32]",), "teach.sizes: found 32, images have data.image_size = 16"),
        (("teach.sizes=[16, 16, 16, 16]",), "4 sizes for 3 epochs, expected at most one each"),
        (("export.weights=fited",), 'export.weights: expected one number per member, not below 0, or "fitted"'),
        (("--final", "export.weights=fitted"), "fitted needs validation images that nothing learns from"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(smoke_run, run_cli, tmp_path, change, message):
    flags = [word for word in change if word.startswith("--")]
    sets = [word for word in change if not word.startswith("--")]
    code, _, err = run_cli((*smoke_run.argv, *flags, "--set", *sets), tmp_path)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1

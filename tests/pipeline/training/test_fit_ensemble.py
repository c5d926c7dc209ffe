"""Stacking: the optimum by hand, and gains that are only noise are rejected."""

import numpy as np
import pytest

from pipeline.training.fit_ensemble import fit_ensemble, fit_weights


def test_the_better_of_two_has_all_the_weight():
    probs_MNC = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.6, 0.4], [0.5, 0.5]]])
    assert fit_weights(probs_MNC, np.array([0, 1])).tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_the_optimum_by_hand():
    # label's probability under weight w of the first: 0.8 w + 0.2 (1 - w) for two images, 0.2 w + 0.8 (1 - w) for one;
    # the likelihood (0.2 + 0.6 w)^2 (0.8 - 0.6 w) is largest where 2 (0.8 - 0.6 w) = 0.2 + 0.6 w: w = 7 / 9
    first, second = [[0.8, 0.2]] * 2 + [[0.2, 0.8]], [[0.2, 0.8]] * 2 + [[0.8, 0.2]]
    weights = fit_weights(np.array([first, second]), np.array([0, 0, 0]))
    assert weights.tolist() == pytest.approx([7 / 9, 2 / 9], abs=1e-4)
    assert weights.sum() == pytest.approx(1.0)


def predictions(
    skills: tuple[float, ...], images: int = 600, classes: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of members whose logits are noise, plus their skill for the label's class; and the labels."""
    random = np.random.default_rng(seed)
    labels_N = np.arange(images) % classes
    logits_MNC = random.normal(size=(len(skills), images, classes))
    for member, skill in enumerate(skills):
        logits_MNC[member, np.arange(images), labels_N] += skill
    return logits_MNC - np.log(np.exp(logits_MNC).sum(2, keepdims=True)), labels_N


def test_a_member_of_pure_noise_is_left_out():
    fitted = fit_ensemble(*predictions((3.0, 3.0, 0.0)), seed=0)
    assert fitted.improves
    assert fitted.weights[2] < 0.05
    assert fitted.weights[0] == pytest.approx(0.5, abs=0.2)
    assert fitted.loss_gain > 0.05
    assert sum(fitted.weights) == pytest.approx(1.0)


def test_equal_members_do_not_improve():
    fitted = fit_ensemble(*predictions((1.5, 1.5, 1.5, 1.5)), seed=0)
    assert not fitted.improves
    assert abs(fitted.loss_gain) < 0.02


def test_cross_validation_measures_on_images_that_were_left_out():
    # with as many members as images of each class, fitting to all would always gain
    log_probs_MNC, labels_N = predictions((0.5,) * 12, images=30)
    fitted = fit_ensemble(log_probs_MNC, labels_N, seed=0)
    plain = -np.log(np.exp(log_probs_MNC).mean(0)[np.arange(30), labels_N]).mean()
    to_all = -np.log(np.tensordot(fitted.weights, np.exp(log_probs_MNC), 1)[np.arange(30), labels_N]).mean()
    assert to_all < plain
    assert fitted.loss_gain < plain - to_all

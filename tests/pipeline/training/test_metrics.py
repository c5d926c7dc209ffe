"""Accuracy, agreement and KL by hand."""

import numpy as np
import pytest

from pipeline.training.metrics import accuracy, agreement, evaluate, kl


def test_accuracy_and_agreement_by_hand():
    ours = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.4, 0.3, 0.3]], np.float32))
    theirs = np.log(np.array([[0.9, 0.1, 0.0], [0.1, 0.6, 0.3], [0.2, 0.5, 0.3], [0.3, 0.4, 0.3]], np.float32) + 1e-6)
    assert accuracy(ours, np.array([0, 2, 1, 2])) == 0.75
    assert accuracy(ours, np.array([1, 1, 0, 2])) == 0.0
    assert agreement(ours, theirs) == 0.5
    assert agreement(ours, ours) == 1.0


def test_kl_by_hand():
    # 0.5 ln(0.5 / 0.25) + 0.5 ln(0.5 / 0.75), and 0 where both are equal
    ours, theirs = (np.log(np.array(rows, np.float32)) for rows in ([[0.25, 0.75]] * 2, [[0.5, 0.5], [0.25, 0.75]]))
    assert kl(ours, theirs) == pytest.approx(0.25 * np.log(4 / 3), abs=1e-7)
    assert kl(theirs, theirs) == 0.0


def test_kl_of_predictions_that_are_certain():
    impossible = np.array([[0.0, -np.inf]], np.float16)  # float16 of a probability that is too small
    assert kl(np.log(np.array([[0.5, 0.5]], np.float32)), impossible) == pytest.approx(np.log(2))
    assert kl(np.array([[0.0, -np.inf]], np.float32), impossible) == 0.0


def test_evaluate_gives_what_can_be_had():
    ours, theirs = (np.log(np.array(rows, np.float32)) for rows in ([[0.25, 0.75]], [[0.5, 0.5]]))
    fidelity = {"agreement": 0.0, "kl": pytest.approx(0.5 * np.log(4 / 3), abs=1e-7)}
    assert evaluate(ours, None, None) == {}
    assert evaluate(ours, np.array([1]), None) == {"accuracy": 1.0}
    assert evaluate(ours, None, theirs) == fidelity
    assert evaluate(ours, np.array([0]), theirs) == {"accuracy": 0.0} | fidelity

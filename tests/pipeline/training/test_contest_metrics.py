"""The metrics of contests by hand and against scikit-learn, and the temperature of least log-loss."""

import numpy as np
import pytest
from sklearn.metrics import log_loss as reference_log_loss
from sklearn.metrics import roc_auc_score

from pipeline.training.contest_metrics import (
    METRICS,
    NOT_ONE,
    auc,
    best_temperature,
    log_loss,
    macro_f1,
    mean_log_probs,
)

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, 200)
LOG_PROBS = np.log(RANDOM.dirichlet((1, 1, 1), 200)).astype(np.float32)


def test_log_loss_by_hand_and_against_the_reference():
    log_probs_NC = np.log(np.array([[0.5, 0.5], [0.8, 0.2]]))
    assert log_loss(log_probs_NC, np.array([0, 1])) == pytest.approx((np.log(2) + np.log(5)) / 2)
    assert log_loss(LOG_PROBS, LABELS) == pytest.approx(reference_log_loss(LABELS, np.exp(LOG_PROBS)), abs=1e-6)


def test_auc_against_the_reference():
    probs_NC = np.exp(LOG_PROBS.astype(np.float64))
    expected = np.mean([roc_auc_score(c == LABELS, probs_NC[:, c]) for c in range(3)])
    assert auc(LOG_PROBS, LABELS) == pytest.approx(expected)
    two, labels_N = LOG_PROBS[:, :2], (LABELS > 0).astype(int)
    assert auc(two, labels_N) == pytest.approx(roc_auc_score(labels_N, np.exp(two[:, 1])))
    assert auc(LOG_PROBS[LABELS < 2], LABELS[LABELS < 2]) == pytest.approx(
        np.mean([roc_auc_score(LABELS[LABELS < 2] == c, probs_NC[LABELS < 2, c]) for c in range(2)])
    )
    assert np.isnan(auc(LOG_PROBS[:3], np.zeros(3, int)))


def test_macro_f1_by_hand():
    """Class 0: precision 1, recall 1/2, F1 2/3. Class 1: precision 1/2, recall 1, F1 2/3."""
    log_probs_NC = np.log(np.array([[0.9, 0.1], [0.1, 0.9], [0.1, 0.9]]))
    assert macro_f1(log_probs_NC, np.array([0, 0, 1])) == pytest.approx(2 / 3)


def test_less_log_loss_is_better_and_more_of_the_others():
    assert {name: metric.more_is_better for name, metric in METRICS.items()} == {
        "accuracy": True,
        "log-loss": False,
        "auc": True,
        "macro-f1": True,
    }


def test_the_mean_over_versions_is_of_probabilities():
    logits_VNC = np.log(np.array([[[0.8, 0.2]], [[0.4, 0.6]]]))
    assert np.exp(mean_log_probs(logits_VNC, 1.0)) == pytest.approx(np.array([[0.6, 0.4]]))
    assert np.exp(mean_log_probs(logits_VNC[:1], 2.0)) == pytest.approx(np.array([[2 / 3, 1 / 3]]))  # 4 : 1 is 2 : 1


@pytest.mark.parametrize("true", [0.5, 2.0])
def test_the_temperature_that_made_the_labels_is_found(true: float):
    """Labels drawn from softmax(logits / T): no other temperature has less expected log-loss."""
    logits_NC = RANDOM.normal(0, 3, (20_000, 4))
    probs_NC = np.exp(mean_log_probs(logits_NC[None], true))
    labels_N = (probs_NC.cumsum(1) < RANDOM.random((len(logits_NC), 1))).sum(1)
    found = best_temperature(logits_NC[None], labels_N)
    assert found == pytest.approx(true, rel=0.05)
    assert found * 256 == int(found * 256)
    losses = [log_loss(mean_log_probs(logits_NC[None], t), labels_N) for t in (found, found * 1.05, found / 1.05)]
    assert losses[0] == min(losses)


def test_a_temperature_of_one_is_avoided():
    """A file without a temperature is shorter than one with it; all have one, so that its size is known before."""
    logits_NC = np.array([[2.0, 0.0]] * 8808 + [[2.0, 0.0]] * 1192)  # softmax of (2, 0) is 0.8808
    assert best_temperature(logits_NC[None], np.array([0] * 8808 + [1] * 1192)) == NOT_ONE

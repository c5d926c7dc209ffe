"""Stacking: ensemble weights fitted on the validation images, used only where cross-validation finds a gain.

M members, N images, C classes. The weights are not negative, sum to 1 and minimise the log loss of the weighted mean of
the probabilities, which is convex in them (Wolpert 1992, Breiman 1996).
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import LinearConstraint, minimize
from sklearn.model_selection import StratifiedKFold

FOLDS = 5
STANDARD_ERRORS = 2.0  # a gain below so many of them is noise


@dataclass(frozen=True)
class FittedEnsemble:
    """Weights that sum to 1, and their cross-validated gain over uniform weights."""

    weights: tuple[float, ...]
    accuracy_gain: float  # out of fold, a fraction
    loss_gain: float  # in log loss, out of fold, nats per image; above 0 is better
    loss_gain_error: float  # standard error of loss_gain

    @property
    def improves(self) -> bool:
        """Whether the log loss improves beyond noise and the accuracy does not fall."""
        return self.loss_gain > STANDARD_ERRORS * self.loss_gain_error and self.accuracy_gain >= 0


def fit_ensemble(log_probs_MNC: np.ndarray, labels_N: np.ndarray, seed: int) -> FittedEnsemble:
    """Fit weights to the members' predictions (float log-probabilities); the gain is measured by cross-validation.

    Every class has at least two images: one to fit to, one to measure on.
    """
    folds = min(FOLDS, *np.unique(labels_N, return_counts=True)[1].tolist())
    probs_MNC = np.exp(log_probs_MNC.astype(np.float64))
    stacked_NC = np.empty(probs_MNC.shape[1:])
    for kept, left_out in StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels_N, labels_N):
        weights_M = fit_weights(probs_MNC[:, kept], labels_N[kept])
        stacked_NC[left_out] = np.tensordot(weights_M, probs_MNC[:, left_out], 1)
    uniform_NC = probs_MNC.mean(0)
    gain_N = _log_losses(uniform_NC, labels_N) - _log_losses(stacked_NC, labels_N)
    accuracy_gain = (stacked_NC.argmax(1) == labels_N).mean() - (uniform_NC.argmax(1) == labels_N).mean()
    weights = tuple(float(weight) for weight in fit_weights(probs_MNC, labels_N))
    return FittedEnsemble(weights, float(accuracy_gain), float(gain_N.mean()), float(gain_N.std() / len(gain_N) ** 0.5))


def fit_weights(probs_MNC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """The weights [M], 0..1 and of sum 1, under which the labels are most probable."""
    members = len(probs_MNC)
    label_probs_MN = np.take_along_axis(probs_MNC, labels_N[None, :, None], 2)[:, :, 0]

    def loss(weights_M: np.ndarray) -> tuple[float, np.ndarray]:
        stacked_N = np.maximum(weights_M @ label_probs_MN, 1e-12)
        return float(-np.log(stacked_N).mean()), -(label_probs_MN / stacked_N).mean(1)

    start, bounds = np.full(members, 1 / members), [(0.0, 1.0)] * members
    sum_to_one = LinearConstraint(np.ones(members), 1.0, 1.0)
    found = minimize(loss, start, jac=True, bounds=bounds, constraints=sum_to_one, method="SLSQP", tol=1e-9)
    weights_M = np.clip(found.x, 0.0, None)
    return weights_M / weights_M.sum()


def _log_losses(probs_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(np.take_along_axis(probs_NC, labels_N[:, None], 1)[:, 0], 1e-12))

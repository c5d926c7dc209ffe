"""How much each member counts: weights fitted on the validation images, used only where they are worth it.

M members, N images, C classes. Non-negative weights that sum to 1 and minimise the negative log-likelihood of the
blended probabilities, which is convex in them (stacking with log loss; Wolpert 1992, Breiman 1996).
"""

from dataclasses import dataclass

import numpy as np

FOLDS = 5
STANDARD_ERRORS = 2.0  # a gain below so many of them is noise


@dataclass(frozen=True)
class FittedBlend:
    """Weights that sum to 1, and what cross-validation says of fitting them."""

    weights: tuple[float, ...]
    accuracy_gain: float  # over the plain mean on images that the weights were not fitted to, a fraction
    loss_gain: float  # in nats per image, above 0: better
    loss_gain_error: float  # one standard error of it

    @property
    def worth_it(self) -> bool:
        """Whether the blend says more than noise, and is right no less often."""
        return self.loss_gain > STANDARD_ERRORS * self.loss_gain_error and self.accuracy_gain >= 0


def fit_blend(log_probs_MNC: np.ndarray, labels_N: np.ndarray, seed: int) -> FittedBlend:
    """Fit weights to members' answers (float, rows are log-probabilities); the gain is measured by cross-validation.

    Every class has at least two images: one to fit, one to judge.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = min(FOLDS, *np.unique(labels_N, return_counts=True)[1].tolist())

    probs_MNC = np.exp(log_probs_MNC.astype(np.float64))
    blended_NC = np.empty(probs_MNC.shape[1:])
    for kept, left_out in StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels_N, labels_N):
        weights_M = fit_weights(probs_MNC[:, kept], labels_N[kept])
        blended_NC[left_out] = np.tensordot(weights_M, probs_MNC[:, left_out], 1)
    plain_NC = probs_MNC.mean(0)
    gain_N = _losses(plain_NC, labels_N) - _losses(blended_NC, labels_N)
    right = (blended_NC.argmax(1) == labels_N).mean() - (plain_NC.argmax(1) == labels_N).mean()
    weights = tuple(float(weight) for weight in fit_weights(probs_MNC, labels_N))
    return FittedBlend(weights, float(right), float(gain_N.mean()), float(gain_N.std() / len(gain_N) ** 0.5))


def fit_weights(probs_MNC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """The weights [M], 0..1 and of sum 1, under which the labels are most probable."""
    from scipy.optimize import LinearConstraint, minimize

    members = len(probs_MNC)
    of_label_MN = np.take_along_axis(probs_MNC, labels_N[None, :, None], 2)[:, :, 0]

    def loss(weights_M: np.ndarray) -> tuple[float, np.ndarray]:
        blended_N = np.maximum(weights_M @ of_label_MN, 1e-12)
        return float(-np.log(blended_N).mean()), -(of_label_MN / blended_N).mean(1)

    start, bounds = np.full(members, 1 / members), [(0.0, 1.0)] * members
    whole = LinearConstraint(np.ones(members), 1.0, 1.0)  # they sum to 1
    found = minimize(loss, start, jac=True, bounds=bounds, constraints=whole, method="SLSQP", tol=1e-9)
    weights_M = np.clip(found.x, 0.0, None)
    return weights_M / weights_M.sum()


def _losses(probs_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(np.take_along_axis(probs_NC, labels_N[:, None], 1)[:, 0], 1e-12))

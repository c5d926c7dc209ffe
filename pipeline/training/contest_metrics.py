"""The metric that a contest judges by, and the temperature that is best for its log-loss. N images, C classes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.metrics import f1_score, roc_auc_score

from models.packed.header_fields import TEMPERATURE_ONE
from pipeline.runtime.settings import MetricName
from pipeline.training.metrics import accuracy

TEMPERATURES = (0.1, 10.0)  # within which the best one is looked for
NOT_ONE = 1.0 + 1 / TEMPERATURE_ONE  # takes as many bytes as any temperature that is not 1, which takes none


@dataclass(frozen=True)
class Metric:
    """A figure of log-probabilities [N, C] and labels [N], and whether more of it is better."""

    value: Callable[[np.ndarray, np.ndarray], float]
    more_is_better: bool = True


def log_loss(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """Mean negative log-probability of the labels, nats per image."""
    return float(-log_probs_NC[np.arange(len(labels_N)), labels_N].astype(np.float64).mean())


def auc(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """Area under the ROC curve, one class against the rest, mean over the classes that occur (scikit-learn's)."""
    probs_NC = np.exp(log_probs_NC.astype(np.float64))
    present = np.unique(labels_N)
    if len(present) < 2:
        return float("nan")  # it has no meaning
    if log_probs_NC.shape[1] == 2:
        return float(roc_auc_score(labels_N, probs_NC[:, 1]))
    return float(np.mean([roc_auc_score(labels_N == name, probs_NC[:, name]) for name in present]))


def macro_f1(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """F1 score, mean over the classes that occur as label or prediction (scikit-learn's)."""
    return float(f1_score(labels_N, log_probs_NC.argmax(1), average="macro"))


METRICS: dict[MetricName, Metric] = {
    "accuracy": Metric(accuracy),
    "log-loss": Metric(log_loss, more_is_better=False),
    "auc": Metric(auc),
    "macro-f1": Metric(macro_f1),
}


def best_temperature(logits_VNC: np.ndarray, labels_N: np.ndarray) -> float:
    """The temperature of least log-loss, a multiple of 1/256 that is not 1.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599, section 4.2), of the mean over V versions of each image
    (the image and its mirror image). logits_VNC: at temperature 1.
    """

    def loss(log_temperature: float) -> float:
        return log_loss(mean_log_probs(logits_VNC, float(np.exp(log_temperature))), labels_N)

    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    temperature = round(float(np.exp(found.x)) * TEMPERATURE_ONE) / TEMPERATURE_ONE
    return NOT_ONE if temperature == 1.0 else temperature


def mean_log_probs(logits_VNC: np.ndarray, temperature: float) -> np.ndarray:
    """Log of the mean over V of the probabilities at a temperature, float64 [N, C]."""
    scaled = logits_VNC.astype(np.float64) / temperature
    log_probs_VNC = scaled - np.logaddexp.reduce(scaled, axis=2, keepdims=True)
    return np.logaddexp.reduce(log_probs_VNC, axis=0) - np.log(len(logits_VNC))

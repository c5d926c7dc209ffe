"""Accuracy against labels, and fidelity to the ensemble: agreement and KL divergence. N images, C classes."""

import numpy as np


def accuracy(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """Share of images whose most probable class is the label, a fraction."""
    return float((log_probs_NC.argmax(1) == labels_N).mean())


def agreement(log_probs_NC: np.ndarray, others_NC: np.ndarray) -> float:
    """Share of images for which both predict the same class, a fraction."""
    return accuracy(log_probs_NC, others_NC.argmax(1))


def kl(log_probs_NC: np.ndarray, others_NC: np.ndarray) -> float:
    """KL(others || ours) of log-probabilities, mean over images, nats: the loss from using ours in place of theirs."""
    others_NC = others_NC.astype(np.float64)
    probs_NC = np.exp(others_NC)
    difference_NC = np.subtract(others_NC, log_probs_NC, out=np.zeros_like(probs_NC), where=probs_NC > 0)
    return float((probs_NC * difference_NC).sum(1).mean())


def fidelity(log_probs_NC: np.ndarray, ensemble_NC: np.ndarray) -> dict[str, float]:
    """How closely a student follows the ensemble: agreement, a fraction, and kl, nats per image."""
    return {"agreement": agreement(log_probs_NC, ensemble_NC), "kl": kl(log_probs_NC, ensemble_NC)}

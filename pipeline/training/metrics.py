"""Accuracy against labels, and fidelity to the ensemble: agreement and KL divergence. N images, C classes."""

import numpy as np


def accuracy(log_probs_NC: np.ndarray, labels_N: np.ndarray) -> float:
    """Share of images whose most probable class is the label, a fraction."""
    return float((log_probs_NC.argmax(1) == labels_N).mean())


def agreement(log_probs_NC: np.ndarray, others_NC: np.ndarray) -> float:
    """Share of images for which both answer the same class, a fraction."""
    return accuracy(log_probs_NC, others_NC.argmax(1))


def divergence(log_probs_NC: np.ndarray, others_NC: np.ndarray) -> float:
    """KL divergence of our answers from the others', nats per image: what is lost by taking ours for theirs."""
    others_NC = others_NC.astype(np.float64)
    probs_NC = np.exp(others_NC)
    missing_NC = np.subtract(others_NC, log_probs_NC, out=np.zeros_like(probs_NC), where=probs_NC > 0)
    return float((probs_NC * missing_NC).sum(1).mean())


def fidelity(log_probs_NC: np.ndarray, ensemble_NC: np.ndarray) -> dict[str, float]:
    """How nearly a student answers as the ensemble does: agreement, a fraction, and divergence, nats per image."""
    return {"agreement": agreement(log_probs_NC, ensemble_NC), "divergence": divergence(log_probs_NC, ensemble_NC)}

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


def evaluate(log_probs_NC: np.ndarray, labels_N: np.ndarray | None, ensemble_NC: np.ndarray | None) -> dict[str, float]:
    """Every figure that can be had: accuracy with labels, agreement and kl (nats per image) with the ensemble's."""
    figures = {} if labels_N is None else {"accuracy": accuracy(log_probs_NC, labels_N)}
    if ensemble_NC is not None:
        figures |= {"agreement": agreement(log_probs_NC, ensemble_NC), "kl": kl(log_probs_NC, ensemble_NC)}
    return figures

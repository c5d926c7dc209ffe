"""The figures of a split: accuracy against the labels, fidelity to the ensemble; none where none may be claimed."""

from collections.abc import Sequence

import numpy as np

from pipeline.contest.facts import ContestFacts
from pipeline.data.soft_labels import SoftLabels
from pipeline.training.metrics import evaluate


def evaluate_split(
    claimable_splits: Sequence[str],
    facts: ContestFacts,
    split: str,
    log_probs_NC: np.ndarray,
    soft_labels: SoftLabels | None = None,
) -> dict[str, float]:
    """Figures by name, such as validation_accuracy and validation_kl, of log-probabilities for a split's clean images.

    Without soft labels no fidelity, for a split without labels no accuracy, for one that is not claimable nothing.
    """
    if split not in claimable_splits:
        return {}
    labels_N = np.array(facts.labels[split])
    ensemble_NC = None if soft_labels is None else soft_labels.log_probs_VNC[split][0].float().numpy()
    known_N = None if (labels_N < 0).any() else labels_N
    return {f"{split}_{name}": value for name, value in evaluate(log_probs_NC, known_N, ensemble_NC).items()}

"""From the members' predictions to the ensemble's, and on to soft labels. M members, N rows, C classes, float32."""

from collections.abc import Sequence

import torch
from torch import Tensor

SMALLEST_LOG_PROB = -16.0  # e^-16 is 1e-7: far below what float16 rows can resolve, and finite


def blend(log_probs_MNC: Tensor, weights: Sequence[float], mask_MN: Tensor | None = None) -> Tensor:
    """Log of the weighted mean of the members' probabilities [N, C]; weights of any scale, empty is uniform.

    `mask_MN`, bool: which members count for a row, at least one each (out-of-fold). Where their weights are all 0, they
    count equally.
    """
    members, rows = log_probs_MNC.shape[:2]
    mask_MN = torch.ones(members, rows, dtype=torch.bool) if mask_MN is None else mask_MN
    weights_MN = torch.tensor(list(weights) or [1.0] * members, dtype=torch.float32)[:, None] * mask_MN
    weights_MN = torch.where(weights_MN.sum(0) > 0, weights_MN, mask_MN.float())
    shares_MN = weights_MN / weights_MN.sum(0)
    return torch.logsumexp(log_probs_MNC.float() + shares_MN.log()[:, :, None], dim=0)


def normalise(log_probs_NC: Tensor, kind: str, temperature: float) -> Tensor:
    """Turn the ensemble's log-probabilities into soft labels, as log-probabilities [N, C] whose rows sum to 1.

    `softmax`: at a temperature. `standardised`: each row to mean 0 and standard deviation 1 before that softmax, so
    that the student learns the shape and not the scale (Sun et al. 2024, arXiv 2403.01427). `minmax`: each row rescaled
    to 0..1 and divided by its sum, the reference's remedy for values too large or too small.
    """
    if kind == "minmax":
        low_N1, high_N1 = log_probs_NC.amin(1, keepdim=True), log_probs_NC.amax(1, keepdim=True)
        rescaled = (log_probs_NC - low_N1) / (high_N1 - low_N1).clamp_min(1e-6)
        # a row of equal values becomes uniform
        rescaled = torch.where(high_N1 > low_N1, rescaled, torch.ones_like(rescaled))
        result = (rescaled / rescaled.sum(1, keepdim=True)).log()
    else:
        logits_NC = log_probs_NC
        if kind == "standardised":
            deviation_N1 = logits_NC.std(1, keepdim=True, correction=0).clamp_min(1e-6)
            logits_NC = (logits_NC - logits_NC.mean(1, keepdim=True)) / deviation_N1
        result = torch.log_softmax(logits_NC / temperature, dim=1)
    return result.clamp_min(SMALLEST_LOG_PROB)

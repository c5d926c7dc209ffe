"""Losses. N images, C classes; logits, log_probs and probs are three different things. float32 throughout."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.data.augment import Batch


def cross_entropy(logits_NC: Tensor, probs_NC: Tensor) -> Tensor:
    """Cross-entropy [N] against target probabilities; it is 0 for a row of zeros (no label)."""
    return F.cross_entropy(logits_NC.float(), probs_NC, reduction="none")


def distillation(logits_NC: Tensor, teacher_probs_NC: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) [N]; both at temperature T, `teacher_probs_NC` already softened.

    The gradient of KL at temperature T shrinks as 1/T^2; the factor keeps soft and hard loss comparable (Hinton et
    al. 2015, arXiv 1503.02531, section 2).
    """
    log_probs_NC = F.log_softmax(logits_NC.float() / temperature, dim=1)
    return F.kl_div(log_probs_NC, teacher_probs_NC, reduction="none").sum(1) * temperature**2


def member_loss(logits_NC: Tensor, batch: Batch) -> Tensor:
    """The loss of a member: mean cross-entropy against its (smoothed, mixed) labels."""
    return cross_entropy(logits_NC, batch.hard_probs_BC).mean()


def student_loss(
    logits_NC: Tensor, batch: Batch, *, alpha: float, temperature: float, class_weights: tuple[float, ...] = ()
) -> Tensor:
    """The loss of the student: alpha soft + (1 - alpha) hard with a label, soft alone without one.

    class_weights: factors on the loss of labelled images, by class; none: all count alike.

    A row's label mass m is 1 with a label, 0 without, and between when such images are mixed; the soft share is then
    1 - (1 - alpha) m, and the hard loss carries m already.
    """
    assert batch.soft_probs_BC is not None
    soft_N = distillation(logits_NC, batch.soft_probs_BC, temperature)
    mass_N = batch.hard_probs_BC.sum(1)
    weights_N = _row_weights(batch, mass_N, class_weights) if class_weights else 1.0
    if alpha == 1.0:
        return (weights_N * soft_N).mean()
    hard_N = cross_entropy(logits_NC, batch.hard_probs_BC)
    return (weights_N * ((1.0 - (1.0 - alpha) * mass_N) * soft_N + (1.0 - alpha) * hard_N)).mean()


def balanced_weights(labels: Sequence[int], classes: int) -> tuple[float, ...]:
    """N / (C n_c) for class c of n_c images: its mean over the N labelled images is 1. -1 is no label."""
    counts = Counter(label for label in labels if label >= 0)
    labelled = sum(counts.values())
    return tuple(labelled / (classes * counts[c]) if counts[c] else 1.0 for c in range(classes))


def _row_weights(batch: Batch, mass_N: Tensor, class_weights: tuple[float, ...]) -> Tensor:
    """The weight of each row: that of its classes as far as it is labelled, 1 for the rest."""
    weights_C = torch.tensor(class_weights, device=mass_N.device, dtype=mass_N.dtype)
    return (1.0 - mass_N) + batch.hard_probs_BC @ weights_C

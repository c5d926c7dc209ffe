"""Soft labels: the ensemble's class probabilities for every stored view, and the digests of those views.

V views of a split, N images, C classes. A view is identified by the sha256 of its stored bytes, so soft labels of
another run are only accepted for exactly the images that their teacher saw.
"""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipeline.runtime.errors import RequestError
from pipeline.runtime.tensor_file import TensorFileError, load_tensors, save_tensors

FORMAT = "soft labels 1"
LARGEST_ROW_ERROR = 0.01  # ours are within 1e-3; float16 alone costs 2e-3 where many classes are equally probable


@dataclass(frozen=True)
class SoftLabels:
    """Soft labels by split; log_probs_VNC are float16, rows of their exponentials sum to 1 within 1e-3."""

    classes: tuple[str, ...]
    ids: dict[str, tuple[str, ...]]
    log_probs_VNC: dict[str, Tensor]
    view_digests: dict[str, tuple[str, ...]]
    policy: str
    seed: int
    mixed: bool = False  # every second view is made of two images
    final: bool = False  # the teachers trained on validation, so no validation figure may be claimed


def save_soft_labels(path: Path, soft_labels: SoftLabels) -> None:
    """Write soft labels as one safetensors file."""
    facts = {
        "format": FORMAT,
        "classes": soft_labels.classes,
        "ids": {split: "\n".join(ids) for split, ids in soft_labels.ids.items()},
        "view_digests": soft_labels.view_digests,
        "policy": soft_labels.policy,
        "seed": soft_labels.seed,
        "mixed": soft_labels.mixed,
        "final": soft_labels.final,
    }
    save_tensors(path, {f"log_probs/{split}": value for split, value in soft_labels.log_probs_VNC.items()}, facts)


def load_soft_labels(path: Path) -> SoftLabels:
    """Read soft labels. Raises RequestError when the file is missing, damaged, or something else."""
    try:
        tensors, facts = load_tensors(path)
    except FileNotFoundError:
        raise RequestError(f"{path}: no such soft labels file") from None
    except TensorFileError as error:
        raise RequestError(str(error)) from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise RequestError(f"{path}: a safetensors file, but not of soft labels")
    try:
        return SoftLabels(
            classes=tuple(facts["classes"]),
            ids={split: tuple(ids.split("\n")) for split, ids in facts["ids"].items()},
            log_probs_VNC={name.removeprefix("log_probs/"): value for name, value in tensors.items()},
            view_digests={split: tuple(digests) for split, digests in facts["view_digests"].items()},
            policy=facts["policy"],
            seed=facts["seed"],
            mixed=bool(facts.get("mixed", False)),
            final=bool(facts.get("final", False)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"{path}: its facts are not those of soft labels ({error!r})") from None


def check_soft_labels(
    soft_labels: SoftLabels,
    where: str,
    classes: tuple[str, ...],
    ids: dict[str, tuple[str, ...]],
    views: dict[str, list[str]],
) -> None:
    """Refuse soft labels of other classes, images or views.

    `ids` and `views` hold, per split that is needed, the image ids and the digests of the views that will be used;
    the soft labels may have more views than that. Raises RequestError with the first difference.
    """
    if soft_labels.classes != classes:
        found, expected = format_classes(soft_labels.classes), format_classes(classes)
        raise RequestError(f"{where}: made for classes {found}, the contest has {expected}")
    for split, split_ids in ids.items():
        if not all(split in part for part in (soft_labels.log_probs_VNC, soft_labels.ids, soft_labels.view_digests)):
            raise RequestError(f"{where}: has no soft labels for {split}")
        if soft_labels.ids[split] != split_ids:
            found, expected = _first_difference(soft_labels.ids[split], split_ids)
            raise RequestError(f"{where}: made for other {split} images: found id {found}, expected {expected}")
        shape = tuple(soft_labels.log_probs_VNC[split].shape)
        expected_shape = (len(soft_labels.view_digests[split]), len(split_ids), len(classes))
        if shape != expected_shape:
            raise RequestError(f"{where}: soft labels of {split} have shape {shape}, expected {expected_shape}")
        _check_rows(soft_labels, where, split)
        _check_views(soft_labels, where, split, views[split])


def _check_rows(soft_labels: SoftLabels, where: str, split: str) -> None:
    sums_VN = soft_labels.log_probs_VNC[split].float().exp().sum(-1)
    worst = float((sums_VN - 1).abs().max())
    if not worst <= LARGEST_ROW_ERROR:  # NaN is not either
        raise RequestError(f"{where}: rows of {split} sum to 1 within {worst:.3g}, expected {LARGEST_ROW_ERROR}")


def _check_views(soft_labels: SoftLabels, where: str, split: str, digests: list[str]) -> None:
    recorded = soft_labels.view_digests[split]
    if len(recorded) < len(digests):
        raise RequestError(
            f"{where}: has {len(recorded)} views of {split}, {len(digests)} are wanted (views.student_views)"
        )
    for view, (found, expected) in enumerate(zip(recorded, digests, strict=False)):
        if found != expected:
            raise RequestError(
                f"{where}: its view {view} of {split} has digest {found[:12]}, here it is {expected[:12]}: "
                f"the teacher saw other images (policy {soft_labels.policy!r}, seed {soft_labels.seed}, "
                f"{'half' if soft_labels.mixed else 'none'} mixed)"
            )


def _first_difference(found: tuple[str, ...], expected: tuple[str, ...]) -> tuple[str, str]:
    for one, other in zip(found, expected, strict=False):
        if one != other:
            return repr(one), repr(other)
    return f"{len(found)} ids", f"{len(expected)}"


def format_classes(classes: tuple[str, ...]) -> str:
    """The first five classes and how many there are, for a message."""
    return f"{', '.join(classes[:5])}{', ...' if len(classes) > 5 else ''} ({len(classes)})"

"""Predict: class predictions for the test images, from the packed file alone.

In a run: reads the packed file, the decoded images and the soft labels; writes predictions.csv, for comparison the
ensemble's teacher_predictions.csv, and the student's log_probs; measures its fidelity on every split. As a command of
its own: reads a packed file and any folder or zip with test images.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline.contest.decode import decode_images, decode_what_is_there, refuse_broken
from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.contest.found_lines import csv_line
from pipeline.contest.match_ids import shown
from pipeline.contest.open_source import open_source
from pipeline.contest.submission import write_submission
from pipeline.contest.testing_alone import read_testing
from pipeline.data.soft_labels import load_soft_labels
from pipeline.runtime.console import progress, say
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Input, Notes, Opened, Step
from pipeline.runtime.tensor_file import save_tensors
from pipeline.runtime.waves import Wave
from pipeline.stages.shipped import pack_record
from pipeline.training.inference import load_packed, predict_with_packed
from pipeline.training.metrics import accuracy, evaluate

TESTING = "testing"


class PredictStepSettings(Section):
    """Of which splits figures may be claimed, and whether there are test images to answer."""

    claimable_splits: tuple[str, ...]
    has_test_images: bool


def predict(job: Job) -> Iterator[Wave]:
    """Write the run's predictions, and the ensemble's beside them."""
    artifacts = job.artifacts
    inputs: dict[str, Input] = {"packed file": artifacts.packed(pack_record(job).chosen), "contest": artifacts.contest}
    inputs |= {"soft labels": artifacts.soft_labels} | {split: artifacts.clean(split) for split in SPLITS}
    outputs = {"log_probs": artifacts.student_log_probs}
    has_test_images = job.request.has_test_images
    if has_test_images:
        outputs |= {"predictions": artifacts.predictions, "teacher predictions": artifacts.teacher_predictions}
    settings = PredictStepSettings(claimable_splits=job.request.claimable_splits, has_test_images=has_test_images)
    yield Wave([Step(job.run, artifacts.predictions.step, 5, inputs, settings, outputs, _predict)])


def predict_folder(packed_file: Path, data: Path, out: Path, own: DataSettings, workers: int) -> int:
    """Write the CSV for the test images of a folder, a zip, or of one image; return how many there were.

    Says which header, ids and answers it has. Test images that cannot be decoded are answered and named.

    Raises RequestError for a file that is no packed student, for images or samples that do not fit, and for a place
    that cannot take the CSV.
    """
    _check_out(out)
    packed = load_packed(packed_file)
    source, classes = open_source(data, own.zip_encoding), packed.header.classes
    testing = read_testing(source, classes, own)
    say("\n".join([csv_line(testing.submission, has_sample=testing.has_sample), *testing.notes]))
    size, count = packed.header.image_size, len(testing.files)
    images_NHWC = np.empty((count, size, size, 3), np.uint8)
    with progress("decoding", count) as on_done:
        broken = decode_images(source, testing.files, size, images_NHWC, workers=workers, on_done=on_done)
    hopeless = decode_what_is_there(source, broken, images_NHWC)
    if len(hopeless) == count:
        refuse_broken(hopeless, count, source)
    if broken:
        names = shown([f"{found.file} ({found.reason})" for found in broken])
        say(f"{len(broken)} of {count} images are broken, answered from what is there of them: {names}")
    log_probs_NC = predict_with_packed(packed, images_NHWC)
    log_probs_NC[[found.row for found in hopeless], :] = -np.log(len(classes))
    write_submission(out, testing.submission, log_probs_NC)
    _say_accuracy(np.array(testing.labels), log_probs_NC)
    return count


def _say_accuracy(labels_N: np.ndarray, log_probs_NC: np.ndarray) -> None:
    """A line with the accuracy, where class folders show labels."""
    known_N = labels_N >= 0
    if known_N.any():
        value = accuracy(log_probs_NC[known_N], labels_N[known_N])
        say(f"{known_N.sum()} images lie in folders of classes: accuracy {value:.2%}")


def _check_out(out: Path) -> None:
    """Refuse a place that cannot take a file, before any work."""
    if out.is_dir():
        raise RequestError(f"--out {out}: is a folder, expected the name of a CSV")
    if out.exists() and not out.is_file():
        raise RequestError(f"--out {out}: is no regular file, expected the name of a CSV")
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir():
        raise RequestError(f"--out {out}: {above} is a file, expected a folder")


def _predict(opened: Opened[PredictStepSettings]) -> Notes:
    packed, soft_labels = load_packed(opened.inputs["packed file"]), load_soft_labels(opened.inputs["soft labels"])
    splits, facts = opened.settings.claimable_splits, load_contest(opened.inputs["contest"])
    if not opened.settings.has_test_images:
        splits = tuple(split for split in splits if split != TESTING)
    ours = {split: predict_with_packed(packed, np.load(opened.inputs[split], mmap_mode="r")) for split in splits}
    ensemble = {split: soft_labels.log_probs_VNC[split][0].float().numpy() for split in splits}
    save_tensors(opened.outputs["log_probs"], {split: torch.from_numpy(found) for split, found in ours.items()}, {})
    found = {split: evaluate(ours[split], None, ensemble[split]) | {"images": len(ours[split])} for split in splits}
    if TESTING not in splits:
        return {"fidelity": found}
    for log_probs_NC in (ours[TESTING], ensemble[TESTING]):
        log_probs_NC[list(facts.undecodable)] = _class_shares(facts)
    write_submission(opened.outputs["predictions"], facts.submission, ours[TESTING])
    write_submission(opened.outputs["teacher predictions"], facts.submission, ensemble[TESTING])
    images, agreed = found[TESTING]["images"], found[TESTING]["agreement"]
    say(f"predict: {images} test images, student and ensemble agree on {agreed:.2%}")
    return {"fidelity": found} | _test_accuracy(facts, ours[TESTING])


def _class_shares(facts: ContestFacts) -> np.ndarray:
    """Log of the shares of the classes in training, float32 [C]: all that is known of an image without pixels."""
    counts_C = np.bincount(np.array(facts.labels["training"]), minlength=len(facts.classes))
    return np.log(counts_C / counts_C.sum()).astype(np.float32)


def _test_accuracy(facts: ContestFacts, log_probs_NC: np.ndarray) -> dict[str, float]:
    """Accuracy on the test images whose labels their folders show, by name; empty where none does."""
    labels_N = np.array(facts.test_labels)
    known_N = labels_N >= 0
    if not known_N.any():
        return {}
    value = accuracy(log_probs_NC[known_N], labels_N[known_N])
    say(f"predict: {known_N.sum()} test images have labels, which nothing learned from: accuracy {value:.2%}")
    return {"test_accuracy": value}

"""Predict: class predictions for the test images, from the packed file alone.

In a run: reads the packed file, the decoded images and the soft labels; writes predictions.csv, for comparison the
ensemble's teacher_predictions.csv, and the student's log_probs; measures its fidelity on every split. As a command of
its own: reads a packed file and any folder or zip with test images.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipeline.contest.contest import read_testing
from pipeline.contest.decode import decode_images
from pipeline.contest.facts import load_contest
from pipeline.contest.open_source import open_source
from pipeline.contest.submission import write_submission
from pipeline.data.soft_labels import load_soft_labels
from pipeline.runtime.console import progress, say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import SPLITS
from pipeline.runtime.request import Job
from pipeline.runtime.section import Section
from pipeline.runtime.steps import Input, Notes, Opened, Step
from pipeline.runtime.tensor_file import save_tensors
from pipeline.runtime.waves import Wave
from pipeline.stages.shipped import pack_record
from pipeline.training.inference import load_packed, predict_with_packed
from pipeline.training.metrics import evaluate


class PredictStepSettings(Section):
    """Of which splits figures may be claimed."""

    claimable_splits: tuple[str, ...]


def predict(job: Job) -> Iterator[Wave]:
    """Write the run's predictions, and the ensemble's beside them."""
    artifacts = job.artifacts
    inputs: dict[str, Input] = {"packed file": artifacts.packed(pack_record(job).chosen), "contest": artifacts.contest}
    inputs |= {"soft labels": artifacts.soft_labels} | {split: artifacts.clean(split) for split in SPLITS}
    outputs = {
        "predictions": artifacts.predictions,
        "teacher predictions": artifacts.teacher_predictions,
        "log_probs": artifacts.student_log_probs,
    }
    settings = PredictStepSettings(claimable_splits=job.request.claimable_splits)
    yield Wave([Step(job.run, artifacts.predictions.step, 4, inputs, settings, outputs, _predict)])


def predict_folder(packed_file: Path, data: Path, out: Path, workers: int) -> int:
    """Write the CSV for the test images of a folder or zip; return how many there were.

    Raises RequestError for a file that is no packed student, for images or samples that do not fit, and for a place
    that cannot take the CSV.
    """
    _check_out(out)
    packed = load_packed(packed_file)
    source = open_source(data)
    files, submission = read_testing(source, packed.header.classes)
    size = packed.header.image_size
    images_NHWC = np.empty((len(files), size, size, 3), np.uint8)
    with progress("decoding", len(files)) as on_done:
        decode_images(source, files, size, images_NHWC, workers=workers, on_done=on_done)
    write_submission(out, submission, predict_with_packed(packed, images_NHWC))
    return len(files)


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
    splits, submission = opened.settings.claimable_splits, load_contest(opened.inputs["contest"]).submission
    ours = {split: predict_with_packed(packed, np.load(opened.inputs[split], mmap_mode="r")) for split in splits}
    ensemble = {split: soft_labels.log_probs_VNC[split][0].float().numpy() for split in splits}
    save_tensors(opened.outputs["log_probs"], {split: torch.from_numpy(found) for split, found in ours.items()}, {})
    write_submission(opened.outputs["predictions"], submission, ours["testing"])
    write_submission(opened.outputs["teacher predictions"], submission, ensemble["testing"])
    found = {split: evaluate(ours[split], None, ensemble[split]) | {"images": len(ours[split])} for split in splits}
    images, agreed = found["testing"]["images"], found["testing"]["agreement"]
    say(f"predict: {images} test images, student and ensemble agree on {agreed:.2%}")
    return {"fidelity": found}

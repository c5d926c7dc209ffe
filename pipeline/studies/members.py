"""The preset's members as teachers: what each costs and reaches, and what more of them are worth.

Trains every row of [teach] and predicts validation; no student. Writes submissions/<name>/members.csv and
ensembles.csv.
M members, N validation images, C classes.
"""

import itertools
import math
import random
import statistics
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from pipeline.contest.facts import load_contest
from pipeline.runtime.console import say, table
from pipeline.runtime.device import Device
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job
from pipeline.runtime.settings import Settings
from pipeline.runtime.steps import read_notes
from pipeline.stages.prepare import prepare
from pipeline.stages.teacher.teach import teach
from pipeline.studies.tables import write_table
from pipeline.training.inference import predict_log_probs
from pipeline.training.members import load_member
from pipeline.training.metrics import accuracy

MOST_SUBSETS = 1_000  # of one size; eight members have at most 70


def with_seeds(job: Job, seeds: int) -> Job:
    """The job with every row so many times, each with a seed of its own.

    Raises RequestError where that gives no members to measure, or too many.
    """
    settings = job.settings.model_dump()
    if (
        job.request.soft_labels
        or not job.settings.teach.members
        or any(row.weights for row in job.settings.teach.members)
    ):
        raise RequestError(
            "study members trains what it measures: no --soft-labels, no rows with `weights`, at least one row"
        )
    rows = settings["teach"]["members"]
    again = [row | {"seed": row["seed"] + 1_000 * turn} for turn in range(seeds) for row in rows]
    settings["teach"]["members"] = tuple(again)
    settings["export"]["weights"] = ()
    try:
        changed = {"settings": Settings.model_validate(settings)}
    except ValidationError as error:
        raise RequestError(f"--seeds {seeds}: {len(again)} members: {error.errors()[0]['msg']}") from None
    return Job(job.run, job.request.model_copy(update=changed), job.full_check)


def study_members(job: Job, device: Device) -> None:
    """Train the rows, measure them, write both tables and say them."""
    prepare(job, device)
    teach(job, device)
    log_probs_MNC = np.stack([_log_probs(job, device, member) for member in range(len(job.settings.teach.members))])
    labels_N = np.array(load_contest(job.run.contest).labels["validation"])
    members = [_row(job, member, log_probs_MNC[member], labels_N) for member in range(len(log_probs_MNC))]
    ensembles = ensemble_rows(log_probs_MNC, labels_N)
    write_table(job.run.submission / "members.csv", members)
    write_table(job.run.submission / "ensembles.csv", ensembles)
    say("\n".join(table(("member", "parameters", "seconds", "validation"), list(map(_cells_of_row, members)))))
    for row in ensembles:
        say(f"ensembles of {row['members']}: mean {row['mean']:.2%}, best {row['best']:.2%}")
    say(f"in {job.run.submission}")


def _cells_of_row(row: dict[str, Any]) -> tuple[str, ...]:
    numbers = (f"{row['parameters']:,}", f"{row['seconds']:,.0f}")
    return (row["network"], *numbers, f"{row['validation_accuracy']:.2%}")


def ensemble_rows(log_probs_MNC: np.ndarray, labels_N: np.ndarray) -> list[dict[str, Any]]:
    """For every size the validation accuracy of the uniform ensembles of that size: mean, spread, best.

    Of all subsets, or of a thousand drawn at random where there are more. The best was chosen on these images.
    """
    probs_MNC, rows = np.exp(log_probs_MNC), []
    for size in range(1, len(probs_MNC) + 1):
        subsets = _subsets(len(probs_MNC), size)
        found = {subset: accuracy(probs_MNC[list(subset)].mean(0), labels_N) for subset in subsets}
        best = max(found, key=lambda subset: found[subset])
        spread = statistics.pstdev(found.values())
        rows.append(
            {
                "members": size,
                "ensembles": len(subsets),
                "mean": round(statistics.fmean(found.values()), 6),
                "spread": round(spread, 6),
                "best": round(found[best], 6),
                "best_members": " ".join(map(str, best)),
            }
        )
    return rows


def _subsets(members: int, size: int) -> list[tuple[int, ...]]:
    if math.comb(members, size) <= MOST_SUBSETS:
        return list(itertools.combinations(range(members), size))
    drawn = random.Random(size)
    return sorted({tuple(sorted(drawn.sample(range(members), size))) for _ in range(MOST_SUBSETS)})


def _log_probs(job: Job, device: Device, member: int) -> np.ndarray:
    """log-probabilities [N, C] of the clean validation images, float32."""
    row, facts = job.settings.teach.members[member], load_contest(job.run.contest)
    network, normalisation = load_member(job.run.member(member), row, facts, job.settings.data.image_size)
    images_NHWC = np.load(job.run.clean("validation"), mmap_mode="r")
    network = network.to(device.where).to(memory_format=torch.channels_last)
    return predict_log_probs(network, images_NHWC, normalisation, device, tta_flip=bool(job.settings.export.tta_flip))


def _row(job: Job, member: int, log_probs_NC: np.ndarray, labels_N: np.ndarray) -> dict[str, Any]:
    row, notes = job.settings.teach.members[member], read_notes(job.run, f"teach-{member:02d}")
    return {
        "member": member,
        "network": row.network,
        "seed": row.seed,
        "parameters": notes.get("parameters"),
        "epochs": row.epochs,
        "seconds": round(notes["seconds"], 1),
        "validation_accuracy": round(accuracy(log_probs_NC, labels_N), 6),
    }

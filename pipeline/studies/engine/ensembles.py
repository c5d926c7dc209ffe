"""What more members are worth: the uniform ensembles of every size among the members of a study.

M members, N validation images, C classes.
"""

import itertools
import math
import random
import statistics
from collections.abc import Sequence

import numpy as np

from pipeline.contest.facts import load_contest
from pipeline.runtime.records import Record
from pipeline.runtime.tensor_file import load_tensors
from pipeline.studies.engine.rows import DIGITS
from pipeline.studies.engine.study import Finished, Summary
from pipeline.training.metrics import accuracy

MOST_SUBSETS = 1_000  # of one size; eight members have at most 70


class EnsembleRow(Record):
    """The ensembles of one size: validation accuracy, its spread over them, and the best, chosen on these images."""

    members: int
    ensembles: int
    mean: float
    spread: float
    best: float
    best_members: str


def ensembles_of_members(finished: Sequence[Finished]) -> Summary:
    """Ensembles of all sizes from the log_probs of every cell's one member."""
    files = [done.job.artifacts.member_log_probs(0).path for done in finished]
    log_probs_MNC = np.stack([load_tensors(path)[0]["validation"][0].float().numpy() for path in files])
    labels_N = np.array(load_contest(finished[0].job.artifacts.contest.path).labels["validation"])
    rows = ensemble_rows(log_probs_MNC, labels_N)
    lines = [f"ensembles of {row.members}: mean {row.mean:.2%}, best {row.best:.2%}" for row in rows]
    return Summary(lines, {"ensembles": rows})


def ensemble_rows(log_probs_MNC: np.ndarray, labels_N: np.ndarray) -> list[EnsembleRow]:
    """For every size the uniform ensembles: of all subsets, or of a thousand drawn at random where there are more."""
    probs_MNC, rows = np.exp(log_probs_MNC), []
    for size in range(1, len(probs_MNC) + 1):
        subsets = _subsets(len(probs_MNC), size)
        found = {subset: accuracy(probs_MNC[list(subset)].mean(0), labels_N) for subset in subsets}
        best = max(found, key=lambda subset: found[subset])
        rows.append(
            EnsembleRow(
                members=size,
                ensembles=len(subsets),
                mean=round(statistics.fmean(found.values()), DIGITS),
                spread=round(statistics.pstdev(found.values()), DIGITS),
                best=round(found[best], DIGITS),
                best_members=" ".join(map(str, best)),
            )
        )
    return rows


def _subsets(members: int, size: int) -> list[tuple[int, ...]]:
    if math.comb(members, size) <= MOST_SUBSETS:
        return list(itertools.combinations(range(members), size))
    drawn = random.Random(size)
    return sorted({tuple(sorted(drawn.sample(range(members), size))) for _ in range(MOST_SUBSETS)})

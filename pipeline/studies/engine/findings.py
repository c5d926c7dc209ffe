"""What a study finds beside what the reference found: agrees, differs, or not decided at this scale.

A difference of two cells is paired by seed. Its standard error is the larger one of that over the seeds and that of two
accuracies of as many images, taken as independent, over as many trainings: one seed decides little. Decided is what is
beyond two of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.contest.facts import load_contest
from pipeline.runtime.records import Record
from pipeline.studies.engine.study import Finished, Summary
from pipeline.studies.engine.tables import mean_and_error

DECIDED = 2.0  # standard errors
COLUMN = "validation_accuracy"
Expected = Literal["more", "less", "equal"]
Verdict = Literal["agrees", "differs", "not decided at this scale"]


@dataclass(frozen=True)
class Claim:
    """What the reference found: `cell` has more, less, or about as much accuracy as `other`.

    `margin`: in points; "more" than another by it at least, or equal within it.
    """

    says: str
    reference: str  # its own numbers
    cell: str
    other: str
    expected: Expected = "more"
    margin: float = 0.0


class Finding(Record):
    """One claim and what this study measured: a row of findings.csv."""

    claim: str
    reference: str
    difference_points: float
    standard_error_points: float
    seeds: int
    verdict: Verdict


def findings(*claims: Claim) -> Callable[[Sequence[Finished]], Summary]:
    """The summary of a study that holds these claims against its rows, but for those of cells that are missing."""

    def summary(finished: Sequence[Finished]) -> Summary:
        rows = [row for done in finished for row in done.rows]
        images = len(load_contest(finished[0].job.artifacts.contest.path).ids["validation"])
        found = [finding for claim in claims if (finding := _finding(claim, rows, images))]
        return Summary([_line(one) for one in found], {"findings": found} if found else {})

    return summary


def verdict_of(expected: Expected, margin: float, difference: float, error: float) -> Verdict:
    """Whether a difference in points, with its standard error, is what is expected."""
    if expected == "equal":
        low, high = abs(difference) - DECIDED * error, abs(difference) + DECIDED * error
        return "agrees" if high <= margin else "differs" if low > margin else "not decided at this scale"
    beyond = (difference if expected == "more" else -difference) - margin
    if abs(beyond) <= DECIDED * error:
        return "not decided at this scale"
    return "agrees" if beyond > 0 else "differs"


def _finding(claim: Claim, rows: Sequence[Any], images: int) -> Finding | None:
    by_cell = {(row.cell, row.seed): 100 * getattr(row, COLUMN) for row in rows}
    seeds = [seed for cell, seed in by_cell if cell == claim.cell and (claim.other, seed) in by_cell]
    if not seeds:
        return None
    pairs = [(by_cell[claim.cell, seed], by_cell[claim.other, seed]) for seed in seeds]
    difference, over_seeds = mean_and_error([one - other for one, other in pairs])
    variance = sum(value * (100 - value) for pair in pairs for value in pair) / images / len(pairs) ** 2
    error = max(over_seeds, variance**0.5)
    return Finding(
        claim=claim.says,
        reference=claim.reference,
        difference_points=round(difference, 2),
        standard_error_points=round(error, 2),
        seeds=len(seeds),
        verdict=verdict_of(claim.expected, claim.margin, difference, error),
    )


def _line(found: Finding) -> str:
    measured = f"{found.difference_points:+.2f} ± {found.standard_error_points:.2f} points"
    return f"{found.verdict}: {found.claim} (here {measured}; reference: {found.reference})"

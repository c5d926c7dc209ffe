"""How far each cell of a study is from the first one, seed by seed: both are measured on the same images."""

from collections.abc import Sequence

from pipeline.studies.engine.rows import StudentRow
from pipeline.studies.engine.study import Finished, Summary
from pipeline.studies.engine.tables import mean_and_error

COLUMNS = ("validation_accuracy", "testing_agreement")


def gains_over_the_first(finished: Sequence[Finished]) -> Summary:
    """A line for each other cell and each figure."""
    return Summary(gain_lines([row for done in finished for row in done.rows if isinstance(row, StudentRow)]))


def gains(rows: Sequence[StudentRow], column: str, one: str, other: str) -> list[float]:
    """How much more of a column cell `one` has than `other`, for every seed that both have."""
    by_seed = {(row.cell, row.seed): getattr(row, column) for row in rows}
    seeds = [seed for cell, seed in by_seed if cell == one and (other, seed) in by_seed]
    return [by_seed[one, seed] - by_seed[other, seed] for seed in seeds]


def gain_lines(rows: Sequence[StudentRow]) -> list[str]:
    """Mean gains in points, with standard errors where there are several seeds."""
    lines, (first, *others) = [], dict.fromkeys(row.cell for row in rows)
    for name in others:
        for column in COLUMNS:
            found = gains(rows, column, name, first)
            mean, error = mean_and_error([100 * gain for gain in found])
            gain = f"{mean:+.2f} points, one seed" if len(found) == 1 else f"{mean:+.2f} ± {error:.2f} points"
            lines.append(f"{name} against {first}, {column.replace('_', ' ')}: {gain}")
    return lines

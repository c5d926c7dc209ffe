"""The form of a study: cells that differ by settings, what is measured of each, and how the result is read."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.runtime.folder import CellFolder
from pipeline.runtime.load_settings import put, validate
from pipeline.runtime.records import Record
from pipeline.runtime.request import Job
from pipeline.runtime.settings import BUDGET_BYTES, Settings
from pipeline.stages.request import with_absolute_path


@dataclass(frozen=True)
class Cell:
    """One run of a study. `changes`: dotted setting -> value, over the settings of the study."""

    name: str
    changes: Mapping[str, Any]
    seed: int = 0
    budget_bytes: int = BUDGET_BYTES
    inductive: bool = False  # also where the study is not
    precisions: tuple[str, ...] = ()  # of the files that are of interest; empty: the one that is shipped

    def job(self, study: Job, stated: Mapping[str, Any]) -> Job:
        """The study's job with this cell's settings, every step in a folder named by what it reads.

        `stated`: what the study's preset and --set say; what nobody states is inherited anew, such as the epochs of a
        member from those of all. Raises RequestError for settings that do not exist.
        """
        values = copy.deepcopy(dict(stated))
        for key, value in self.changes.items():
            put(values, key, value)
        settings = with_absolute_path(validate(values, f"cell {self.name}"))
        changed: dict[str, Any] = {"settings": settings, "budget_bytes": self.budget_bytes}
        changed["inductive"] = study.request.inductive or self.inductive
        request = study.request.model_copy(update=changed)
        return Job(CellFolder(study.run.root, study.run.name), request, study.full_check)


@dataclass(frozen=True)
class Options:
    """What a study is asked for: size limits, seeds, and the settings that its cells change."""

    budgets: tuple[int, ...]
    seeds: int
    settings: Settings


@dataclass(frozen=True)
class Finished:
    """A cell that is done, and its rows."""

    cell: Cell
    job: Job
    rows: Sequence[Record]


@dataclass(frozen=True)
class Summary:
    """What a study says of all its cells together: lines, and further tables by name."""

    lines: Sequence[str] = ()
    tables: Mapping[str, Sequence[Record]] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study. `reading`: two sentences on how its plot and table are read."""

    cells: Callable[[Options], Sequence[Cell]]
    x: str  # a column
    y: str  # a column
    reading: str
    rows: Callable[[Cell, Job], Sequence[Record]]
    budgets: tuple[int, ...] = (BUDGET_BYTES,)  # unless others are asked for; empty: it has none
    until: str = "predict"  # the last stage of a cell
    series: Callable[[Any], str] = lambda row: row.cell  # the line of the plot that a row belongs to
    summary: Callable[[Sequence[Finished]], Summary] = lambda _: Summary()
    logarithmic: bool = False  # the axis of x
    delivers: bool = False  # also the file and the CSV of every cell of seed 0

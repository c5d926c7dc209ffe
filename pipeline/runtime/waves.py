"""Waves: steps that do not depend on each other, to be carried out in turn or side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.runtime.steps import Step


@dataclass(frozen=True)
class Wave:
    """Steps of which none reads what another one writes."""

    steps: Sequence[Step[Any]]
    at_once: int = 1  # at most so many side by side, each with its share of the cores; 1: in turn, with all of them
    shares: int | None = None  # parts that the cores are cut into; None: as many as work side by side
    many: str = ""  # what they are, where there are too many for a line each

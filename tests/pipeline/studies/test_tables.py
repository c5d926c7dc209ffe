"""Tables of studies: every value as Python writes it, and the committed ones reproduced to the byte."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.studies.tables import write_table

SUBMISSIONS = Path(__file__).resolve().parents[3] / "submissions"
COMMITTED = sorted(path for path in SUBMISSIONS.glob("*/*.csv") if "predictions" not in path.name)


def test_values_are_written_as_they_are(tmp_path: Path):
    rows = [
        {"a": 1, "b": 0.1, "c": True, "d": "x,y", "e": None},
        {"a": None, "b": 1e-07, "c": "", "d": 'q"', "e": np.float64(0.25)},
        {"a": 10**20, "b": 5.0, "c": False, "d": "NA", "e": "é\n"},
    ]
    write_table(tmp_path / "t.csv", rows)
    text = 'a,b,c,d,e\n1,0.1,True,"x,y",\n,1e-07,,"q""",0.25\n100000000000000000000,5.0,False,NA,"é\n"\n'
    assert (tmp_path / "t.csv").read_bytes() == text.encode()


def typed(text: str) -> object:
    """A cell as the study had it: a number, a boolean or a text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"True": True, "False": False}.get(text, text)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_tables_are_reproduced(path: Path, tmp_path: Path):
    with path.open(newline="") as file:
        rows = [{name: typed(cell) for name, cell in row.items()} for row in csv.DictReader(file)]
    write_table(tmp_path / "t.csv", rows)
    assert (tmp_path / "t.csv").read_bytes() == path.read_bytes()


def test_pandas_reads_a_table_with_its_types(tmp_path: Path):
    write_table(tmp_path / "t.csv", [{"cell": "a", "seed": 0, "kl": 0.5, "tta_flip": True}])
    assert pd.read_csv(tmp_path / "t.csv").to_dict("records") == [{"cell": "a", "seed": 0, "kl": 0.5, "tta_flip": True}]

"""Tables of studies: every value as Python writes it, and the committed ones reproduced to the byte."""

import math
from pathlib import Path

import pandas as pd
import pytest

from pipeline.runtime.records import Record
from pipeline.studies.engine.ensembles import EnsembleRow
from pipeline.studies.engine.rows import MemberRow, StudentRow
from pipeline.studies.engine.tables import mean_and_error, read_table, write_table

SUBMISSIONS = Path(__file__).resolve().parents[4] / "submissions"
COMMITTED = sorted(path for path in SUBMISSIONS.glob("food11-*/*.csv") if "predictions" not in path.name)
KINDS: dict[str, type[Record]] = {"members": MemberRow, "ensembles": EnsembleRow}


class Row(Record):
    a: int | None
    b: float
    c: bool
    d: str


def test_values_are_written_as_they_are(tmp_path: Path):
    rows = [
        Row(a=1, b=0.1, c=True, d="x,y"),
        Row(a=None, b=1e-07, c=False, d='q"'),
        Row(a=10**20, b=5.0, c=True, d="NA"),
    ]
    write_table(tmp_path / "t.csv", rows)
    text = 'a,b,c,d,format\n1,0.1,True,"x,y",1\n,1e-07,False,"q""",1\n100000000000000000000,5.0,True,NA,1\n'
    assert (tmp_path / "t.csv").read_bytes() == text.encode()
    assert read_table(tmp_path / "t.csv", Row) == rows
    with pytest.raises(ValueError, match="MemberRow"):
        read_table(tmp_path / "t.csv", MemberRow)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_tables_are_reproduced(path: Path, tmp_path: Path):
    rows = read_table(path, KINDS.get(path.stem, StudentRow))
    write_table(tmp_path / "t.csv", rows)
    assert (tmp_path / "t.csv").read_bytes() == path.read_bytes()


def test_pandas_reads_a_table_with_its_types(tmp_path: Path):
    write_table(tmp_path / "t.csv", [Row(a=3, b=0.5, c=True, d="x")])
    expected = [{"a": 3, "b": 0.5, "c": True, "d": "x", "format": 1}]
    assert pd.read_csv(tmp_path / "t.csv").to_dict("records") == expected


def test_mean_and_standard_error_by_hand():
    assert mean_and_error([1.0, 2.0, 3.0]) == (2.0, pytest.approx(1 / math.sqrt(3)))
    assert mean_and_error([5.0]) == (5.0, 0.0)

"""The measured bytes of the entropy coder are those of the committed files."""

import json
from pathlib import Path

import pytest

from models.packed.ledger import ledger

ROOT = Path(__file__).resolve().parent.parent
MEASURED = json.loads((ROOT / "measurements" / "entropy-coding.json").read_text())["files"]


@pytest.mark.parametrize("name", [name for name, row in MEASURED.items() if "no_longer_committed" not in row])
def test_the_files_are_the_measured_ones(name: str) -> None:
    data = (ROOT / "submissions" / name / "student.bin").read_bytes()
    assert len(data) == MEASURED[name]["packed_bytes"]
    rows = ledger(data)
    assert sum(row.size_bytes for row in rows) == len(data)
    kernels = [row for row in rows if row.shape[2:] == (3, 3) and row.weights > 10_000]
    assert kernels
    assert all(8 * row.coded_bytes < 0.97 * row.entropy_bits for row in kernels)  # below what independence allows

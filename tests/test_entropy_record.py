"""README's table of the entropy coder is that of measurements/entropy-coding.json, and that of the committed files."""

import json
from pathlib import Path

import pytest

from models.packed.ledger import ledger

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
MEASURED = json.loads((ROOT / "measurements" / "entropy-coding.json").read_text())["files"]


def smaller(size_bytes: int, before_bytes: int) -> str:
    return f"{size_bytes:,} ({size_bytes / before_bytes - 1:+.1%})"


@pytest.mark.parametrize("name", MEASURED)
def test_the_table_is_that_of_the_measurement(name: str) -> None:
    found = MEASURED[name]
    before, kl = found["former_coder_bytes"], found["short_scales"]["kl_to_the_ensemble"]
    cells = [
        f"{before:,}",
        smaller(found["packed_bytes"], before),
        smaller(found["short_scales_bytes"], before),
        f"{found['short_scales']['validation_answers_unchanged']:.2%}",
        f"{kl[1] - kl[0]:+.5f}",
    ]
    row = next(line for line in README.splitlines() if line.startswith(f"| {name} ") and line.count("|") == 7)
    assert row.split(" | ", 1)[1] == " | ".join(cells) + " |"


@pytest.mark.parametrize("name", MEASURED)
def test_the_files_are_the_measured_ones(name: str) -> None:
    data = (ROOT / "submissions" / name / "student.bin").read_bytes()
    assert len(data) == MEASURED[name]["packed_bytes"]
    rows = ledger(data)
    assert sum(row.size_bytes for row in rows) == len(data)
    kernels = [row for row in rows if row.shape[2:] == (3, 3) and row.weights > 10_000]
    assert kernels
    assert all(8 * row.coded_bytes < 0.97 * row.entropy_bits for row in kernels)  # below what independence allows

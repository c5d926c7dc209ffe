"""The ledger command: a table, JSON, files that have no ledger; and without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.packed.student_file import pack_student
from pipeline import __main__ as command_line
from tests.models.packed.made_low_bit import HEADER, folded_student, low_bit_file

REPOSITORY = Path(command_line.__file__).parents[1]


@pytest.fixture
def low_bit(tmp_path: Path) -> Path:
    path = tmp_path / "low-bit.bin"
    path.write_bytes(low_bit_file())
    return path


def test_the_table(run_cli, low_bit: Path, tmp_path: Path) -> None:
    code, out, err = run_cli(["ledger", low_bit], tmp_path)
    assert (code, err) == (0, "")
    head, *rows, note, total = out.splitlines()
    columns = ["name", "shape", "weights", "bits", "entropy", "coded", "predictor", "scales", "side", "bytes", "share"]
    assert head.split() == columns
    share = f"{17 / low_bit.stat().st_size:.2%}"
    assert rows[0].split() == ["header", "-", "0", "-", "-", "0", "0", "0", "17", "17", share]
    assert rows[2].split()[:4] == ["conv1.bias", "1", "1", "16.000"]
    assert [row.split()[0] for row in rows[1:4]] == ["conv1.weight", "conv1.bias", "conv2.weight"]
    assert rows[1].split()[1:3] == ["1x3x3x3", "27"]
    assert len({len(row) for row in (head, *rows)}) == 1
    assert note.startswith("bits and entropy are per weight; coded: ")
    assert total == f"total: {low_bit.stat().st_size} bytes"
    assert sum(int(row.split()[-2].replace(",", "")) for row in rows) == low_bit.stat().st_size


def test_json(run_cli, low_bit: Path, tmp_path: Path) -> None:
    code, out, _ = run_cli(["ledger", low_bit, "--json"], tmp_path)
    assert code == 0
    found = json.loads(out)
    assert found["total_bytes"] == low_bit.stat().st_size == sum(row["size_bytes"] for row in found["rows"])
    weight, bias = found["rows"][1:3]
    assert (weight["name"], weight["shape"], weight["levels"]) == ("conv1.weight", [1, 3, 3, 3], 16)
    assert 0 < weight["entropy_bits"] < 27 * 4
    assert (bias["codec"], bias["levels"], bias["entropy_bits"], bias["coded_bytes"]) == ("fp16", 0, None, 2)


def test_other_precisions_have_a_ledger_too(run_cli, tmp_path: Path) -> None:
    path = tmp_path / "uint8.bin"
    path.write_bytes(pack_student(folded_student(), HEADER, "uint8"))
    code, out, _ = run_cli(["ledger", path], tmp_path)
    assert code == 0
    assert out.splitlines()[2].split()[:9] == ["conv1.weight", "1x3x3x3", "27", "8.000", "-", "27", "0", "6", "2"]


def test_files_without_a_ledger(run_cli, low_bit: Path, tmp_path: Path) -> None:
    (tmp_path / "zip.bin").write_bytes(b"PK\x03\x04")
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(low_bit.read_bytes()[:-1])
    for path, message in (
        (tmp_path / "gone.bin", "no such file"),
        (tmp_path / "zip.bin", "not a packed file of this program, it has no ledger"),
        (damaged, "damaged packed file: the check-sum does not match: the file is damaged or cut short"),
    ):
        assert run_cli(["ledger", path], tmp_path) == (2, "", f"error: {path}: {message}\n")


def test_a_low_bit_file_passes_the_gate(run_cli, low_bit: Path, tmp_path: Path) -> None:
    code, out, _ = run_cli(["verify", low_bit], tmp_path)
    assert code == 0
    assert out.splitlines()[-1] == f"fits: {low_bit.stat().st_size} of 300000 bytes"


def test_the_ledger_answers_without_the_heavy_libraries(low_bit: Path) -> None:
    program = """
import sys
from pipeline.__main__ import main
from pathlib import Path
code = main(["ledger", sys.argv[1]], Path("/nowhere"))
print(code, sorted({"torch", "timm", "albumentations", "cv2", "pandas", "sklearn"} & set(sys.modules)))
"""
    found = subprocess.run(
        [sys.executable, "-c", program, low_bit], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines()[-1] == "0 []"

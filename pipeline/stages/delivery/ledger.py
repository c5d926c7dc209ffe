"""Ledger: where the bytes of a packed file go, as a table or as JSON. No torch: it answers at once."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.packed.container import PREFIX_BYTES, PackedFileError, is_packed
from models.packed.ledger import LedgerRow, ledger
from pipeline.runtime.console import table
from pipeline.runtime.errors import RequestError, check_file

COLUMNS = ("name", "shape", "weights", "bits", "entropy", "coded", "predictor", "scales", "side", "bytes", "share")
_NOTE = "bits and entropy are per weight; coded: the weights themselves; predictor: or table; side: lengths"


def read_ledger(path: Path) -> list[LedgerRow]:
    """The rows of a packed file; RequestError when there is no such file, or it is none of ours, or a damaged one."""
    check_file(path)
    with path.open("rb") as stream:
        if not is_packed(stream.read(PREFIX_BYTES)):
            raise RequestError(f"{path}: not a packed file of this program, it has no ledger")
    try:
        return ledger(path.read_bytes())
    except PackedFileError as error:
        raise RequestError(f"{path}: damaged packed file: {error}") from None


def ledger_lines(rows: list[LedgerRow]) -> list[str]:
    """The table; the last line is `total: <bytes> bytes`."""
    return [*table(COLUMNS, list(map(_cells, rows)), left=2), _NOTE, f"total: {_total(rows)} bytes"]


def ledger_json(rows: list[LedgerRow]) -> dict[str, Any]:
    """All that the rows know, and their sum."""
    return {"total_bytes": _total(rows), "rows": [asdict(row) for row in rows]}


def _total(rows: list[LedgerRow]) -> int:
    return sum(row.size_bytes for row in rows)


def _cells(row: LedgerRow) -> tuple[str, ...]:
    return (
        row.name,
        "x".join(map(str, row.shape)) or "-",
        f"{row.weights:,}",
        f"{row.bits_per_weight:.3f}" if row.weights else "-",
        "-" if row.entropy_bits is None else f"{row.entropy_bits / row.weights:.3f}",
        f"{row.coded_bytes:,}",
        f"{row.prediction_bytes:,}",
        f"{row.scale_bytes:,}",
        f"{row.side_bytes:,}",
        f"{row.size_bytes:,}",
        f"{row.share:.2%}",
    )

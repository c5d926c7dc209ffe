"""The ledger accounts for every byte of the file."""

import pytest

from models.networks import STUDENTS, Network
from models.packed.container import Header, PackedFileError
from models.packed.header import default_classes
from models.packed.ledger import LedgerRow, ledger
from models.packed.student_file import PRECISIONS, pack_student
from models.students import build_student


def packed(network: Network, precision: str, *, classes: tuple[str, ...], image_size: int) -> bytes:
    student = build_student(network, classes=len(classes), image_size=image_size)
    return pack_student(student, Header(network, image_size, classes, (1, 2, 3), (4, 5, 6)), precision)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("classes", [default_classes(11), ("bread", "dairy", "餃子")])
def test_the_rows_add_up_to_the_file(precision, classes):
    data = packed(STUDENTS["report-group-large"], precision, classes=classes, image_size=32)
    assert sum(row.size_bytes for row in ledger(data)) == len(data)


def test_rows_of_the_reports_student():
    rows = ledger(packed(STUDENTS["report-student"], "uint8", classes=default_classes(11), image_size=64))
    assert rows[0] == LedgerRow("header", (), 0, "", 17)
    assert rows[1] == LedgerRow("conv1.weight", (16, 3, 3, 3), 432, "uint8", 1 + 2 + 432 + 16 * 6)
    assert rows[2] == LedgerRow("conv1.bias", (16,), 16, "fp16", 1 + 1 + 32)
    assert rows[-1] == LedgerRow("check-sum", (), 0, "", 4)
    assert sum(row.weights for row in rows) == 120_859 - 576  # BatchNorm is folded


def test_foreign_bytes_have_no_ledger():
    with pytest.raises(PackedFileError, match="not a packed file"):
        ledger(b"PK\x03\x04")

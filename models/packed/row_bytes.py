"""The rows of an architecture as bytes, two to five a layer, and back (no torch, no numpy).

Layout: number of rows (varint), then each row. Names are not stored: reading numbers the rows. Inputs are not stored:
they are what the rows before give. The head is not stored: it is a linear layer with an output per class.
A row begins with a byte, its kind in the lowest two bits, what follows are varints:
    0 conv       bit 2 norm, bit 3 pool, bits 4-5 activation, bit 6 kernel follows (else 3), bit 7 groups follow
                 (else 1); outputs, kernel (k; 2k for k x 1, 4k for 1 x k), groups
    1 linear     bits 4-5 activation; outputs
    2 operation  bits 2-7 its kind; of a shuffle the groups, of an average_pool the side
    3 block      bits 2-3 its kind, bit 4 not rectified, bit 5 times follow (else 1); times, then its rows as above
Numbers of kinds and activations are their places in `models.students.rows`. Every other bit is 0.
"""

from collections.abc import Sequence

from models.packed.byte_reader import ByteReader, varint
from models.students import limits
from models.students.architecture import COLOURS, Architecture
from models.students.row_shapes import Output, check_nesting, output_of
from models.students.rows import (
    ACTIVATIONS,
    BLOCK_KINDS,
    OPERATION_KINDS,
    Block,
    Conv,
    KernelForm,
    Layer,
    Linear,
    Operation,
    numbered_row,
)

_CONV, _LINEAR, _OPERATION, _BLOCK = range(4)
_NORM, _POOL, _KERNEL, _GROUPS = 4, 8, 64, 128
_UNRECTIFIED, _TIMES = 16, 32
_FORM_FACTORS: dict[KernelForm, int] = {"square": 1, "tall": 2, "wide": 4}
_NAME = "row"  # until it has a number


def write_rows(architecture: Architecture) -> bytes:
    """Return the bytes of all rows but the head."""
    return _write_rows(architecture.rows[:-1])


def read_rows(reader: ByteReader, image_size: int, classes: int) -> Architecture:
    """Return the architecture at the reader's position, its rows numbered.

    Raises ValueError for bytes that `write_rows` does not make and for rows that no network can have, each before more
    is read. Both sizes have been checked.
    """
    rows, given = _RowReader(reader).rows(Output(COLOURS, image_size), nesting=0)
    head = numbered_row(Linear(_NAME, given.channels, classes), len(rows) + 1)
    return Architecture((*rows, head), image_size)


def _write_rows(rows: Sequence[Layer]) -> bytes:
    return varint(len(rows)) + b"".join(map(_write_row, rows))


def _write_row(row: Layer) -> bytes:
    match row:
        case Conv():
            return _write_conv(row)
        case Linear():
            return bytes([_LINEAR | ACTIVATIONS.index(row.activation) << 4]) + varint(row.outputs)
        case Operation():
            return bytes([_OPERATION | OPERATION_KINDS.index(row.kind) << 2]) + b"".join(map(varint, _own(row)))
        case Block():
            return _write_block(row)


def _write_conv(row: Conv) -> bytes:
    code = row.kernel * _FORM_FACTORS[row.form]
    kernel, groups = code != 3, row.groups != 1
    first = _CONV | _NORM * row.norm | _POOL * row.pool | ACTIVATIONS.index(row.activation) << 4
    numbers = [row.outputs] + [code] * kernel + [row.groups] * groups
    return bytes([first | _KERNEL * kernel | _GROUPS * groups]) + b"".join(map(varint, numbers))


def _write_block(row: Block) -> bytes:
    times = row.times != 1
    first = _BLOCK | BLOCK_KINDS.index(row.kind) << 2 | _UNRECTIFIED * (not row.rectified) | _TIMES * times
    return bytes([first]) + (varint(row.times) if times else b"") + _write_rows(row.layers)


def _own(row: Operation) -> tuple[int, ...]:
    """What follows the byte of an operation."""
    return {"shuffle": (row.groups,), "average_pool": (row.side,)}.get(row.kind, ())


class _RowReader:
    """Reads rows, each checked against what the rows before give; counts them, those inside blocks included."""

    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._count = 0

    def rows(self, entering: Output, nesting: int) -> tuple[tuple[Layer, ...], Output]:
        """A number of rows and as many rows, and what the last of them gives."""
        check_nesting(nesting)
        count = self._reader.varint("number of rows")
        self._count += count
        if self._count > limits.MAX_ROWS:
            raise ValueError(f"{self._count} rows, expected at most {limits.MAX_ROWS}")
        rows: list[Layer] = []
        for place in range(1, count + 1):
            rows.append(numbered_row(self._row(entering, nesting), place))
            entering = output_of(rows[-1], entering, nesting)
        return tuple(rows), entering

    def _row(self, entering: Output, nesting: int) -> Layer:
        first = self._reader.byte("row")
        kind = first & 3
        if kind == _CONV:
            return self._conv(first, entering)
        if kind == _LINEAR:
            _check_bits(first, _LINEAR | 0x30)
            return Linear(_NAME, entering.channels, self._reader.varint("outputs"), ACTIVATIONS[first >> 4])
        if kind == _OPERATION:
            return self._operation(first)
        return self._block(first, entering, nesting)

    def _conv(self, first: int, entering: Output) -> Conv:
        outputs = self._reader.varint("outputs")
        form, kernel = _form_and_kernel(self._unusual("kernel", first & _KERNEL, 3))
        return Conv(
            _NAME,
            entering.channels,
            outputs,
            kernel,
            self._unusual("groups", first & _GROUPS, 1),
            norm=bool(first & _NORM),
            pool=bool(first & _POOL),
            activation=ACTIVATIONS[first >> 4 & 3],
            form=form,
        )

    def _operation(self, first: int) -> Operation:
        if first >> 2 >= len(OPERATION_KINDS):
            raise ValueError(f"row {first:#04x}: an operation of kind {first >> 2}")
        kind = OPERATION_KINDS[first >> 2]
        groups = self._reader.varint("groups") if kind == "shuffle" else 1
        side = self._reader.varint("side") if kind == "average_pool" else 1
        return Operation(_NAME, kind, groups, side)

    def _block(self, first: int, entering: Output, nesting: int) -> Block:
        _check_bits(first, _BLOCK | 0x3C)
        number = first >> 2 & 3
        if number >= len(BLOCK_KINDS):
            raise ValueError(f"row {first:#04x}: a block of kind {number}")
        times = self._unusual("times", first & _TIMES, 1)
        layers, _ = self.rows(entering, nesting + 1)
        return Block(_NAME, BLOCK_KINDS[number], layers, not first & _UNRECTIFIED, times)

    def _unusual(self, what: str, follows: int, usual: int) -> int:
        """A number that is stored where it is not the usual one."""
        value = self._reader.varint(what) if follows else usual
        if follows and value == usual:
            raise ValueError(f"{what} {value} stored, expected none")
        return value


def _form_and_kernel(code: int) -> tuple[KernelForm, int]:
    """Kernels are odd, so that the factor shows; what no form gives is read as square, which refuses it."""
    for form, factor in _FORM_FACTORS.items():
        if code % factor == 0 and code // factor % 2:
            return form, code // factor
    return "square", code


def _check_bits(first: int, known: int) -> None:
    if first & ~known:
        raise ValueError(f"row {first:#04x}: unknown bits, expected none beyond {known:#04x}")

"""A packed student from its file, or the one line that says why it cannot be had."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RequestError

if TYPE_CHECKING:
    from models.packed.student_file import PackedStudent


def load_packed(path: Path) -> "PackedStudent":
    """Decode a packed file. Raises RequestError, one line, when it is missing, foreign or damaged."""
    from models.packed.container import PackedFileError
    from models.packed.student_file import unpack_student

    try:
        return unpack_student(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        raise RequestError(f"{path}: no such file") from None
    except PackedFileError as error:
        raise RequestError(f"{path}: {error}") from None

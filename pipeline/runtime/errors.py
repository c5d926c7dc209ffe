"""The errors that are not bugs, each with an exit code; a check that raises one."""

from pathlib import Path


class RequestError(Exception):
    """The request is wrong (exit 2): names the file or field, what was found and what was expected."""

    exit_code = 2


class MachineError(Exception):
    """The machine failed (exit 3): disk, memory, network, permission, non-finite loss. The run can be resumed."""

    exit_code = 3


class AnswerIsNoError(Exception):
    """The answer of a check is no (exit 1); what was found has been said."""

    exit_code = 1


def check_file(path: Path) -> None:
    """Refuse what is no file. Raises RequestError."""
    if not path.is_file():
        raise RequestError(f"{path}: {'is a folder, expected a file' if path.is_dir() else 'no such file'}")

"""The two errors that are not bugs. Each carries one line for the user and an exit code."""


class RequestError(Exception):
    """The request is wrong (exit 2): names the file or field, what was found and what was expected."""

    exit_code = 2


class MachineError(Exception):
    """The machine failed (exit 3): disk, memory, network, permission, non-finite loss. The run can be resumed."""

    exit_code = 3

"""How the program ends: from an exception to an exit code and one line for the user."""

import contextlib
import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from pipeline.runtime.console import complain
from pipeline.runtime.errors import AnswerIsNoError, MachineError, RequestError

EXIT_CODES = (
    "0 done, 1 the answer is no (over the size limit), 2 the request is wrong, 3 the machine failed and the same "
    "command resumes, 70 a bug, 129, 130 and 143 interrupted (hangup, Ctrl-C, terminated), 141 the reader of the "
    "output went away"
)
MACHINE_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EMFILE,
    errno.ENOMEM,
}
# what the standard library and joblib raise when the system killed a process; joblib's own BrokenProcessPool is a bug
KILLED_WORKER = ("concurrent.futures.process.BrokenProcessPool", "TerminatedWorkerError")
SIGNALS = {signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal went away"}
READER_GONE = 128 + signal.SIGPIPE


class SignalReceived(KeyboardInterrupt):
    """A signal that ends the program like Ctrl-C: every write is atomic, so it may end anywhere."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does, but where nohup has them ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _raise_signal)


def exit_code_of(command: Callable[[], int]) -> int:
    """Exit code of a command, or of the exception that it raised, with one line on stderr."""
    try:
        return command()
    except (RequestError, MachineError) as error:
        return _end(str(error), error.exit_code)
    except AnswerIsNoError as error:
        return error.exit_code
    except KeyboardInterrupt as interruption:
        return _end_of(interruption)
    except BrokenPipeError:  # `| head` has read enough; the flush at exit must go elsewhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except Exception as error:
        if interruption := _interruption_before(error):
            return _end_of(interruption)
        if line := machine_failure(error):
            return _end(f"{line}; the same command resumes", MachineError.exit_code)
        traceback.print_exc()
        return _end("this is a bug in the program, please report it with the lines above", 70)


def machine_failure(error: Exception) -> str:
    """One line when the machine failed (disk, permission, memory); empty for a bug."""
    text = (str(error).splitlines() or [""])[0]
    if isinstance(error, OSError) and error.errno in MACHINE_ERRNOS:
        return f"the machine failed: {text}"
    # errors of the system wrapped by libraries: safetensors, a lost GPU
    if re.search(r"\(os error \d+\)|^CUDA error", text):
        return f"the machine failed: {text}"
    kind = type(error)
    if kind.__name__ in KILLED_WORKER or f"{kind.__module__}.{kind.__name__}" in KILLED_WORKER:
        perhaps = "for want of memory perhaps; fewer at once need less (--set device.workers=1)"
        return f"the machine failed: a process was ended by the system, {perhaps}"
    out_of_memory = kind.__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return f"out of memory: {text}; try a smaller batch_size" if isinstance(error, MemoryError) or out_of_memory else ""


def _interruption_before(error: BaseException) -> KeyboardInterrupt | None:
    """The interruption behind an error: a data loader that is ended may fail because its workers have ended."""
    cause = error.__context__
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__context__
    return cause


def _end_of(interruption: KeyboardInterrupt) -> int:
    number = interruption.number if isinstance(interruption, SignalReceived) else signal.SIGINT
    how = SIGNALS.get(signal.Signals(number), "interrupted")
    return _end(f"{how}; the same command resumes", 128 + number)


def _end(line: str, code: int) -> int:
    with contextlib.suppress(OSError):  # the terminal may be gone
        complain("error: " + " ".join(line.splitlines()))  # a file's name may hold a line break
    return code


def _raise_signal(number: int, _: object) -> NoReturn:
    raise SignalReceived(number)

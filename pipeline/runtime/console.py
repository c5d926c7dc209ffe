"""Output for a person: lines, aligned tables, and a progress bar in a terminal."""

import contextlib
import io
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from rich.progress import Progress

SECONDS_BETWEEN_LINES = 15.0  # of progress where there is no terminal; logs stay short


def say(line: str) -> None:
    """Print one line now."""
    print(line, flush=True)  # noqa: T201


def complain(line: str) -> None:
    """Print one line on stderr now."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def prefixed(prefix: str) -> Iterator[None]:
    """Begin every line that is said inside with `prefix`: several processes speak at once."""
    with contextlib.redirect_stdout(_Prefixed(sys.stdout, prefix)):
        yield


class _Prefixed(io.TextIOBase):
    """A stream that begins every line with a prefix."""

    def __init__(self, stream: TextIO, prefix: str) -> None:
        self._stream, self._prefix, self._begins = stream, prefix, True

    def write(self, text: str) -> int:
        for line in text.splitlines(keepends=True):
            self._stream.write(f"{self._prefix}{line}" if self._begins else line)
            self._begins = line.endswith("\n")
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of items just finished."""
    # bars of several processes would overwrite each other
    if sys.stdout.isatty() and multiprocessing.current_process().name == "MainProcess":
        with Progress(transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.advance(task, done)
    else:
        yield _line_now_and_then(label, total)


def _line_now_and_then(label: str, total: int) -> Callable[[int], None]:
    last, count = time.monotonic(), 0

    def advance(done: int) -> None:
        nonlocal last, count
        count += done
        if count < total and time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(f"{label}: {count} of {total}")

    return advance


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Aligned lines, the header first: the first `left` columns start at the left, the others end at the right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return ["  ".join(_aligned(line, widths, left)).rstrip() for line in lines]


def _aligned(line: Sequence[str], widths: Sequence[int], left: int) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if column < left else cell.rjust(width)

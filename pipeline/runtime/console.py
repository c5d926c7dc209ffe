"""What a person reads while the program runs: lines, and a progress bar where there is a terminal."""

import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator

SECONDS_BETWEEN_LINES = 15.0  # without a terminal a bar becomes a line now and then, so logs stay short


def say(line: str) -> None:
    """Print one line now."""
    print(line, flush=True)  # noqa: T201


def complain(line: str) -> None:
    """Print one line for the user's eyes on stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


@contextlib.contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how many more items are done."""
    # several processes at once would draw over each other
    if sys.stdout.isatty() and multiprocessing.current_process().name == "MainProcess":
        from rich.progress import Progress

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

"""One function for many items: in turn, or in parallel processes that share the cores; and processes that talk.

Measured with students on two cores: two processes of one thread train 1.7 times as many images as one process of two
threads. The number of threads of a process decides the order of its sums, so it depends on the shares that the cores
are cut into and not on how many processes there are: in turn and in processes give the same bytes.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

from joblib import Parallel, delayed, parallel_config, wrap_non_picklable_objects
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import threadpool_limits

from pipeline.runtime.errors import MachineError

SECONDS_BETWEEN_CHECKS = 2.0
Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Number of cores that this process may use, at least 1; in a container often fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(setting: int) -> int:
    """Number of threads or processes for a value of `device.workers`: 0 means one per core."""
    return setting or available_cores()


def map_items(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int, shares: int | None = None
) -> Iterator[Result]:
    """Yield the results of `work`, a picklable function, for each item in order, `processes` at a time.

    1 process is this one. Each item has one of `shares` equal parts of the cores, by default one part per process. An
    exception of one item ends the others and is raised here. The processes end with this one, even when it is killed.
    """
    threads = max(1, available_cores() // (shares or processes))
    if processes == 1:
        for item in items:
            with threadpool_limits(threads if shares else None):
                result = work(item)
            yield result
    else:
        yield from _in_processes(work, items, processes, threads)


def _in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int, threads: int
) -> Iterator[Result]:
    with parallel_config("loky", n_jobs=processes, inner_max_num_threads=threads):
        one_by_one = cast(Any, 1)  # an item may take hours: no finished one waits for another
        parallel = Parallel(return_as="generator", batch_size=one_by_one)
        results = cast(Generator[Result, None, None], parallel(delayed(_in_own_process)(work, item) for item in items))
    try:
        # `yield from` would close them outside of what follows
        for result in results:  # noqa: UP028
            yield result
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that items are cancelled: what ended them is told by whoever raised it
            results.close()
        # joblib would keep the processes, and their memory, for the next call
        executor = get_reusable_executor(reuse=True, kill_workers=True)  # pyright: ignore[reportArgumentType]
        executor.shutdown(kill_workers=True)


def _in_own_process(work: Callable[[Item], Result], item: Item) -> Result:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    return work(item)


class Pipe:
    """One end of a pipe to another process; waiting at it takes no work. Raises MachineError where that one is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, value: object) -> None:
        """Send something small."""
        with _lost_process():
            self._connection.send(value)

    def receive(self) -> Any:
        """What the other process sent. Raises what that one raised."""
        with _lost_process():
            found = self._connection.recv()
        if isinstance(found, Exception):
            raise found
        return found


@contextlib.contextmanager
def beside(work: Callable[[Pipe, Item], None], items: Sequence[Item]) -> Iterator[list[Pipe]]:
    """Do `work` for each item in a process of its own while the caller works too.

    Yields a pipe to each. What `work` prints is not shown. The processes end with the block, and with this process even
    when it is killed.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
    whole = wrap_non_picklable_objects(work)  # by value, as joblib does: tensors are copied, not moved to shared memory
    connections, processes = [], []
    try:
        for item in items:
            own, other = context.Pipe()
            connections.append(own)
            process = context.Process(target=_work_beside, args=(whole, other, item), daemon=True)
            with other, _lost_process():
                process.start()
            processes.append(process)
        yield [Pipe(connection) for connection in connections]
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.kill()  # it writes nothing that could be cut
            process.join()
            process.close()


@contextlib.contextmanager
def _lost_process() -> Iterator[None]:
    try:
        yield
    except (EOFError, BrokenPipeError, ConnectionResetError):
        fewer = "one process alone needs less memory (--set device.workers=1)"
        raise MachineError(f"a process that shares a training was ended by the system; {fewer}") from None


def _work_beside(work: Callable[[Pipe, Item], None], connection: Connection, item: Item) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of them, and the first one ends the others
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        with contextlib.redirect_stdout(None):
            work(Pipe(connection), item)
    except Exception as error:
        error.add_note(traceback.format_exc())  # for the report of a bug: its lines are lost on the way
        with contextlib.suppress(OSError):  # the first process is gone: it had an error of its own, or was killed
            connection.send(error)


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, perhaps killed: it holds the lock of a step."""
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_CHECKS)
    os._exit(1)

"""Reads stored views ahead of the training: while an epoch runs, a thread fetches the next epoch's view.

However many views there are, two are in memory: the one in use and the next. On a GPU a pinned buffer lies between, and
the copy has a stream of its own. N images, uint8 [N, H, W, 3].
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


class ViewReader:
    """The views of one training. A tensor that `read` returned is valid until the second `read` after it.

    On a GPU the caller waits for the device between two reads (the train loop does, for its epoch's loss): the buffer
    that is filled next is then no longer in use.
    """

    def __init__(self, views: Sequence[Sequence[Path]], where: torch.device) -> None:
        self.views, self.where = views, where
        self._thread = ThreadPoolExecutor(1, "next-view")
        self._buffers: list[Tensor] = []
        self._pinned: Tensor | None = None
        self._stream = torch.cuda.Stream() if where.type == "cuda" else None
        self._pending: tuple[int, Future[Tensor]] | None = None  # (view, what is being read)
        self._reads = 0

    def read(self, view: int, following: int) -> Tensor:
        """The view's images on the device; `following` is then read in the background."""
        if not self._buffers:
            self._allocate(view)
        pending = self._pending
        if pending is None or pending[0] != view:
            if pending is not None:
                pending[1].result()  # one fetch at a time: they share the pinned buffer
            pending = self._start(view)
        images_NHWC = pending[1].result()
        self._pending = self._start(following)
        return images_NHWC

    def close(self) -> None:
        """Stop reading ahead."""
        self._thread.shutdown(cancel_futures=True)

    def _allocate(self, view: int) -> None:
        shape = view_shape(self.views[view])
        self._buffers = [torch.empty(shape, dtype=torch.uint8, device=self.where) for _ in range(2)]
        if self._stream is not None:
            self._pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def _start(self, view: int) -> tuple[int, Future[Tensor]]:
        self._reads += 1
        return view, self._thread.submit(self._fetch, view, self._buffers[self._reads % 2])

    def _fetch(self, view: int, buffer: Tensor) -> Tensor:
        read_view(self.views[view], buffer if self._pinned is None else self._pinned)
        if self._stream is not None and self._pinned is not None:
            with torch.cuda.stream(self._stream):
                buffer.copy_(self._pinned, non_blocking=True)
            self._stream.synchronize()
        return buffer


def view_shape(paths: Sequence[Path]) -> tuple[int, ...]:
    """Shape of a view's files concatenated."""
    shapes = [np.load(path, mmap_mode="r").shape for path in paths]
    return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def read_view(paths: Sequence[Path], out_NHWC: Tensor) -> None:
    """Read a view's files, one after the other, into a tensor in host memory, without a copy between."""
    start = 0
    for path in paths:
        with path.open("rb") as file:
            assert np.lib.format.read_magic(file) == (1, 0), f"{path} was not written by this program"
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            assert dtype == np.uint8
            part = out_NHWC[start : start + shape[0]].numpy()
            assert file.readinto(part.data.cast("B")) == part.nbytes, f"{path} is shorter than its header states"
        start += shape[0]
    assert start == len(out_NHWC)

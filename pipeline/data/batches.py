"""From stored views to batches on the device: one view is one epoch's input; cheap jitter that keeps the label is live.

Shapes: N images of the set, B of a batch, V views, C classes, H = W = image size. Images are uint8 [N, H, W, 3] until
they are normalised; because the channels come last in memory, the float [B, 3, H, W] is channels_last without a copy.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.data.augment import Batch, jitter, mix, resized
from pipeline.data.view_reader import ViewReader
from pipeline.runtime.settings import TrainingSettings


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation, in units of 1/255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, images_BHWC: Tensor) -> Tensor:
        """Turn uint8 [B, H, W, 3] into float32 [B, 3, H, W], channels_last in memory.

        Done on whole rows of W * 3 numbers: over an axis of 3 the same arithmetic takes several times as long.
        """
        mean, std = _statistics(self, images_BHWC.shape[2], images_BHWC.device)
        rows = images_BHWC.float().flatten(2).sub_(mean).div_(std)
        return rows.view(images_BHWC.shape).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=8)  # a copy to the device per batch would make the device wait
def _statistics(normalisation: Normalisation, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every number of a row of pixels."""
    with torch.inference_mode(False):  # whoever asks first, training may ask next
        mean, std = (torch.tensor(value, dtype=torch.float32) for value in (normalisation.mean, normalisation.std))
        return mean.repeat(width).to(device), std.repeat(width).to(device)


@dataclass(frozen=True)
class EndGame:
    """The last epochs of a training: clean pictures, neither moved nor mixed, many of them of some images."""

    rows_N: Tensor  # int64, those images
    part: float  # of the epochs, the last ones, above 0, at most 1
    share: float  # of an epoch's pictures that are of those images, at most 1; they are never fewer than elsewhere

    def includes(self, epoch: int, epochs: int) -> bool:
        """Whether an epoch, counted from 0, is one of them; the last one always is."""
        return epoch >= epochs - max(1, round(self.part * epochs))

    def order(self, count: int, generator: torch.Generator) -> Tensor:
        """What one of those epochs learns from, int64 [count], of a set of `count` images.

        An epoch keeps its number of steps that way, and with it the schedule.
        """
        rows_N = self.rows_N.to(generator.device)
        is_other_N = torch.ones(count, dtype=torch.bool, device=generator.device).index_fill_(0, rows_N, False)
        often = max(round(self.share * count), len(rows_N))
        others_N = shuffled_rounds(is_other_N.nonzero().flatten(), count - often, generator)
        order_N = torch.cat([shuffled_rounds(rows_N, often, generator), others_N])
        return order_N[shuffled(count, generator)]


def shuffled(count: int, generator: torch.Generator) -> Tensor:
    """Every number below `count` once, int64 [count], on the generator's device."""
    return torch.randperm(count, generator=generator, device=generator.device)


def shuffled_rounds(rows_N: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the rows: all of them before any comes again, each round in an order of its own."""
    if count == 0:
        return rows_N[:0]
    rounds = -(-count // len(rows_N))
    return rows_N[torch.cat([shuffled(len(rows_N), generator) for _ in range(rounds)])[:count]]


@dataclass(frozen=True)
class TrainingSet:
    """Everything that a network learns from.

    `views[v]` are the files of view v, one per split, in the order of the labels. `hard_labels_N` is int64 with -1
    for "no label". `soft_log_probs_VNC` is float16, or None for a member.
    """

    views: Sequence[Sequence[Path]]
    hard_labels_N: Tensor
    soft_log_probs_VNC: Tensor | None
    classes: int
    normalisation: Normalisation
    temperature: float = 1.0
    sizes: Sequence[int] = ()  # pixels, which the epochs go through; empty: as the views are
    rows_N: Tensor | None = None  # int64, the images that are learned from; None: all
    end_game: EndGame | None = None  # of a set of all images

    def __post_init__(self) -> None:
        """A set is of some images, or has some of them come more often, not both."""
        assert self.rows_N is None or self.end_game is None

    @property
    def images(self) -> int:
        """How many images are learned from."""
        return len(self.hard_labels_N if self.rows_N is None else self.rows_N)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Full batches only, so that every step has one shape; a set smaller than a batch is one batch."""
        return max(1, self.images // batch_size)


def view_of_epoch(epoch: int, views: int, seed: int) -> int:
    """Which view an epoch reads: every view once per round, each round in an order of its own."""
    order = np.random.default_rng([seed, epoch // views]).permutation(views)
    return int(order[epoch % views])


def size_at(epoch: int, *, epochs: int, sizes: Sequence[int]) -> int | None:
    """Rows and columns, in pixels, of the pictures of an epoch, counted from 0; None: as they are stored.

    The sizes share the epochs equally. Small pictures first: coarse features come at a quarter of the price
    (progressive resizing; Tan and Le 2021, arXiv 2104.00298, section 4.2).
    """
    return sizes[epoch * len(sizes) // epochs] if sizes else None


class EpochBatches:
    """Yields the batches of any epoch, a pure function of (set, settings, seed, epoch): a run can resume there."""

    def __init__(self, training_set: TrainingSet, settings: TrainingSettings, seed: int, device: torch.device) -> None:
        self.set, self.settings, self.seed, self.device = training_set, settings, seed, device
        self.steps = training_set.steps_per_epoch(settings.batch_size)
        self._hard_NC = _one_hot(training_set.hard_labels_N, training_set.classes, settings.label_smoothing).to(device)
        self._reader = ViewReader(training_set.views, device)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the epoch's batches, all of one shape, in an order and with jitter seeded by (seed, epoch)."""
        generator = torch.Generator(self.device).manual_seed(epoch_seed(self.seed, epoch))
        mixing = np.random.default_rng([self.seed, epoch, 1])
        images_NHWC, soft_NC = self._view(epoch)
        order_N = self._order(epoch, generator)
        count = min(self.settings.batch_size, self.set.images)
        size = size_at(epoch, epochs=self.settings.epochs, sizes=self.set.sizes)
        end_game = self._end_game(epoch)
        shift = 0 if end_game else self.settings.shift
        for step in range(self.steps):
            index_B = order_N[step * count : (step + 1) * count]
            images_BHWC = jitter(images_NHWC, index_B, self.settings.flip, shift, generator)
            images_BCHW = resized(self.set.normalisation.apply(images_BHWC), size)
            soft_BC = None if soft_NC is None else soft_NC[index_B]
            batch = Batch(images_BCHW, self._hard_NC[index_B], soft_BC)
            yield batch if end_game else mix(batch, self.settings, mixing, generator)

    def close(self) -> None:
        """Stop reading ahead."""
        self._reader.close()

    def _order(self, epoch: int, generator: torch.Generator) -> Tensor:
        """The images that the epoch learns from, in order, int64."""
        end_game, rows_N = self._end_game(epoch), self.set.rows_N
        if end_game:
            return end_game.order(self.set.images, generator)
        order_N = shuffled(self.set.images, generator)
        return order_N if rows_N is None else rows_N.to(self.device)[order_N]

    def _end_game(self, epoch: int) -> EndGame | None:
        """The end game, in its epochs."""
        end_game = self.set.end_game
        return end_game if end_game and end_game.includes(epoch, self.settings.epochs) else None

    def _view_number(self, epoch: int) -> int:
        """Which view the epoch reads: the clean one in the end game."""
        return 0 if self._end_game(epoch) else view_of_epoch(epoch, len(self.set.views), self.seed)

    def _view(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """The epoch's images and soft labels on the device; starts to read the next epoch's view meanwhile."""
        view, following = (self._view_number(number) for number in (epoch, epoch + 1))
        images_NHWC = self._reader.read(view, following)
        soft_VNC = self.set.soft_log_probs_VNC
        soft = None if soft_VNC is None else soften(soft_VNC[view].to(self.device), self.set.temperature)
        return images_NHWC, soft


def soften(log_probs_NC: Tensor, temperature: float) -> Tensor:
    """Probabilities at a temperature, float32; log-probabilities serve as logits, for a softmax they are the same."""
    return torch.softmax(log_probs_NC.float() / temperature, dim=1)


def _one_hot(labels_N: Tensor, classes: int, smoothing: float) -> Tensor:
    hot = F.one_hot(labels_N.clamp_min(0), classes).float()
    return (hot * (1.0 - smoothing) + smoothing / classes) * (labels_N >= 0)[:, None]


def epoch_seed(seed: int, epoch: int) -> int:
    """One 63-bit seed for everything random in an epoch."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> 1)

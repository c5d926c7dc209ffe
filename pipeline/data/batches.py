"""From stored views to batches on the device: one view is one epoch's input, in the order of that epoch.

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
from pipeline.runtime.training_settings import TrainingSettings


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
    with torch.inference_mode(False):  # cached: inference may compute them first, training needs normal tensors
        mean, std = (torch.tensor(value, dtype=torch.float32) for value in (normalisation.mean, normalisation.std))
        return mean.repeat(width).to(device), std.repeat(width).to(device)


@dataclass(frozen=True)
class FinalPhase:
    """The last epochs of a training: clean images, neither shifted nor mixed, a share of them the chosen ones."""

    rows_N: Tensor  # int64, the chosen images
    fraction: float  # of the epochs, the last ones, above 0, at most 1
    share: float  # of an epoch's images that are chosen ones, at most 1; each of them comes at least once

    def includes(self, epoch: int, epochs: int) -> bool:
        """Whether an epoch, counted from 0, belongs to the phase; the last one always does."""
        return epoch >= epochs - max(1, round(self.fraction * epochs))

    def order(self, count: int, generator: torch.Generator) -> Tensor:
        """The rows that an epoch of the phase trains on, int64 [count], of a set of `count` images.

        The number of steps of an epoch stays the same, and with it the schedule.
        """
        rows_N = self.rows_N.to(generator.device)
        is_other_N = torch.ones(count, dtype=torch.bool, device=generator.device).index_fill_(0, rows_N, False)
        chosen = max(round(self.share * count), len(rows_N))
        others_N = shuffled_rounds(is_other_N.nonzero().flatten(), count - chosen, generator)
        order_N = torch.cat([shuffled_rounds(rows_N, chosen, generator), others_N])
        return order_N[shuffled(count, generator)]


def shuffled(count: int, generator: torch.Generator) -> Tensor:
    """A random permutation of 0..count-1, int64 [count], on the generator's device."""
    return torch.randperm(count, generator=generator, device=generator.device)


def shuffled_rounds(rows_N: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the rows, in rounds: each round has every row once, in an order of its own; the last may be cut."""
    if count == 0:
        return rows_N[:0]
    rounds = -(-count // len(rows_N))
    return rows_N[torch.cat([shuffled(len(rows_N), generator) for _ in range(rounds)])[:count]]


@dataclass(frozen=True)
class TrainingSet:
    """Everything that a network is trained on.

    `views[v]` are the files of view v, one per split, in the order of the labels. `hard_labels_N` is int64, -1
    without a label. `soft_log_probs_VNC` is float16, or None for a member.
    """

    views: Sequence[Sequence[Path]]
    hard_labels_N: Tensor
    soft_log_probs_VNC: Tensor | None
    classes: int
    normalisation: Normalisation
    temperature: float = 1.0
    sizes: Sequence[int] = ()  # progressive resizing: pixels, in turn; empty: as the views are stored
    rows_N: Tensor | None = None  # int64, the images that are trained on; None: all
    mixed_views: Sequence[int] = ()  # of several images each, so that the hard labels are not theirs
    final_phase: FinalPhase | None = None  # only of a set of all images

    def __post_init__(self) -> None:
        """A set has rows_N or a final phase, not both."""
        assert self.rows_N is None or self.final_phase is None

    @property
    def images(self) -> int:
        """Number of images that are trained on."""
        return len(self.hard_labels_N if self.rows_N is None else self.rows_N)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Full batches only, so that every step has one shape; a set smaller than a batch is one batch."""
        return max(1, self.images // batch_size)


def view_of_epoch(epoch: int, views: int, seed: int) -> int:
    """The view that an epoch reads: every view once per round, each round in an order of its own."""
    order = np.random.default_rng([seed, epoch // views]).permutation(views)
    return int(order[epoch % views])


def size_at(epoch: int, *, epochs: int, sizes: Sequence[int]) -> int | None:
    """Rows and columns, in pixels, of the images of an epoch, counted from 0; None: as they are stored.

    Progressive resizing (Tan and Le 2021, arXiv 2104.00298, section 4.2): the sizes share the epochs equally, and
    the last ones have what is left over. Small images come first, so that coarse features cost a quarter of the time.
    """
    return sizes[-1 - (epochs - 1 - epoch) * len(sizes) // epochs] if sizes else None


@dataclass(frozen=True)
class Part:
    """One of equal parts of each batch; several processes that train one network have one each."""

    number: int = 0
    of: int = 1


WHOLE_BATCH = Part()


class EpochBatches:
    """Yields the batches of any epoch, a pure function of (set, settings, seed, epoch, part): a run can resume there.

    All parts have one order of images and one choice of what is mixed how; jitter and partners are a part's own.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        settings: TrainingSettings,
        seed: int,
        device: torch.device,
        part: Part = WHOLE_BATCH,
    ) -> None:
        self.part = part
        self.set, self.settings, self.seed, self.device = training_set, settings, seed, device
        self.steps = training_set.steps_per_epoch(settings.batch_size)
        self._hard_NC = _one_hot(training_set.hard_labels_N, training_set.classes, settings.label_smoothing).to(device)
        self._no_labels_NC = torch.zeros_like(self._hard_NC)
        self._reader = ViewReader(training_set.views, device)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yield the epoch's batches (this part of each), all of one shape, seeded by (seed, epoch, part)."""
        generator = torch.Generator(self.device).manual_seed(epoch_seed(self.seed, epoch))
        mixing = np.random.default_rng([self.seed, epoch, 1])
        images_NHWC, soft_NC = self._view(epoch)
        hard_NC = self._hard_NC if self._view_number(epoch) not in self.set.mixed_views else self._no_labels_NC
        order_N = self._order(epoch, generator)
        if self.part.number:
            generator.manual_seed(epoch_seed(self.seed, epoch, self.part.number))
        count = min(self.settings.batch_size, self.set.images)
        own = count // self.part.of
        final_phase = self._final_phase(epoch)
        size = None if final_phase else size_at(epoch, epochs=self.settings.epochs, sizes=self.set.sizes)
        shift = 0 if final_phase else self.settings.augment.shift
        for step in range(self.steps):
            first = step * count + self.part.number * own
            index_B = order_N[first : first + own]
            images_BHWC = jitter(images_NHWC, index_B, self.settings.augment.flip, shift, generator)
            images_BCHW = resized(self.set.normalisation.apply(images_BHWC), size)
            soft_BC = None if soft_NC is None else soft_NC[index_B]
            batch = Batch(images_BCHW, hard_NC[index_B], soft_BC)
            yield batch if final_phase else mix(batch, self.settings.augment, mixing, generator)

    def close(self) -> None:
        """Stop reading ahead."""
        self._reader.close()

    def _order(self, epoch: int, generator: torch.Generator) -> Tensor:
        """The images that the epoch trains on, in order, int64."""
        final_phase, rows_N = self._final_phase(epoch), self.set.rows_N
        if final_phase:
            return final_phase.order(self.set.images, generator)
        order_N = shuffled(self.set.images, generator)
        return order_N if rows_N is None else rows_N.to(self.device)[order_N]

    def _final_phase(self, epoch: int) -> FinalPhase | None:
        """The final phase, if the epoch belongs to it."""
        final_phase = self.set.final_phase
        return final_phase if final_phase and final_phase.includes(epoch, self.settings.epochs) else None

    def _view_number(self, epoch: int) -> int:
        """The view that the epoch reads: the clean one in the final phase."""
        return 0 if self._final_phase(epoch) else view_of_epoch(epoch, len(self.set.views), self.seed)

    def _view(self, epoch: int) -> tuple[Tensor, Tensor | None]:
        """The epoch's images and soft labels on the device; the next epoch's view is read in the background."""
        view, following = (self._view_number(number) for number in (epoch, epoch + 1))
        images_NHWC = self._reader.read(view, following)
        soft_VNC = self.set.soft_log_probs_VNC
        soft = None if soft_VNC is None else soften(soft_VNC[view].to(self.device), self.set.temperature)
        return images_NHWC, soft


def soften(log_probs_NC: Tensor, temperature: float) -> Tensor:
    """Probabilities at a temperature, float32; log-probabilities can stand for logits, the softmax is the same."""
    return torch.softmax(log_probs_NC.float() / temperature, dim=1)


def _one_hot(labels_N: Tensor, classes: int, smoothing: float) -> Tensor:
    hot = F.one_hot(labels_N.clamp_min(0), classes).float()
    return (hot * (1.0 - smoothing) + smoothing / classes) * (labels_N >= 0)[:, None]


def epoch_seed(seed: int, epoch: int, part: int = 0) -> int:
    """One 63-bit seed for everything random in an epoch, in one part of each batch."""
    entropy = [seed, epoch, part] if part else [seed, epoch]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)

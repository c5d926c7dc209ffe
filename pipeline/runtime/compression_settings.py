"""Settings of the stages that make a trained student smaller: fewer filters, thinner layers.

What they do not state of batches and augmentation comes from [distill], as in [quantise].
"""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.runtime.section import setting
from pipeline.runtime.training_settings import Fraction, NotNegative, Positive, Seed, TrainingSettings

Share = Annotated[float, Field(gt=0.0, le=1.0)]
Retraining = Literal["fine-tune", "reinitialise", "rewind-weights", "rewind-rate"]


class FineTuneSettings(TrainingSettings):
    """How a student that became smaller trains on."""

    epochs: int = setting(5, "passes after it became smaller; 0 trains nothing", "epochs", ge=0, le=100_000)
    learning_rate: Positive = setting(5e-4, "learning rate at its peak")
    weight_decay: NotNegative = setting(0.0, "weight decay of matrices and filters, not of biases and BatchNorm")
    ema_decay: float = setting(
        0.99, "decay per step of the EMA of the weights, which is what is kept; 0 keeps the weights", ge=0.0, lt=1.0
    )


class PruneSettings(FineTuneSettings):
    """Pruning of whole filters. Every layer loses the same share of its own, those with the lowest scores."""

    keep: Share = setting(1.0, "share of the filters of every layer that stays in the end; 1 is off", "fraction")
    rate: float = setting(
        0.9,
        "share of the filters that stays at each step, until `keep` is reached; `keep` or less is one shot",
        "fraction",
        gt=0.0,
        lt=1.0,
    )
    ranking: Literal["taylor", "l1", "batchnorm", "random"] = setting(
        "taylor",
        "score of a filter: expected change of the loss (arXiv 1611.06440), mean absolute weight (arXiv 1608.08710), "
        "scale of its BatchNorm (arXiv 1708.06519; see distill.norm_penalty), or a random number",
    )
    retraining: Retraining = setting(
        "fine-tune",
        "what the passes are: with the values of this section; or with those of [distill] from new weights, from its "
        "weights so many epochs before its end, or with the learning rates of its last epochs (arXiv 2003.02389)",
    )
    after: Literal["last", "each"] = setting("last", "the passes follow the last step, or every step")
    seed: Seed = setting(0, "seed of the random ranking")

    @property
    def is_on(self) -> bool:
        """Whether filters are pruned."""
        return self.keep < 1.0

    @property
    def rewound_epochs(self) -> int:
        """By how many epochs before the student's end its weights are rewound; 0: not at all."""
        return self.epochs if self.is_on and self.retraining == "rewind-weights" else 0


class FactoriseSettings(FineTuneSettings):
    """Low rank: layers as two or three thinner ones in a row, where that makes them smaller."""

    form: Literal["none", "spatial", "channel", "tucker"] = setting(
        "none",
        "of a k x k convolution: k x 1 then 1 x k (arXiv 1405.3866), k x k then 1 x 1 (arXiv 1505.06798), or 1 x 1, "
        "k x k, 1 x 1 (arXiv 1511.06530); of 1 x 1 and linear layers two of their kind; none: off",
    )
    energy: Fraction = setting(
        0.9, "share of the squared singular values of a layer that its rank keeps, where `size_bytes` is 0", "fraction"
    )
    size_bytes: int = setting(
        0,
        "size that the packed file is expected to have at most: the ranks are the largest of one common energy; 0: the "
        "ranks follow from `energy`",
        "bytes",
        ge=0,
    )

    @property
    def is_on(self) -> bool:
        """Whether layers become low-rank."""
        return self.form != "none"

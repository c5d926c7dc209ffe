"""Settings of all trainings: members of the ensemble, the student, the student with low-bit weights.

Typed, validated, frozen. Each setting carries its meaning and unit, which `./run.sh settings` prints.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.runtime.section import Section, setting

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=16, le=1024)]
Option = bool | int | float | str | tuple[int, ...]


class AugmentSettings(Section):
    """Live augmentation, batch by batch, on top of the stored views."""

    flip: bool = setting(True, "flip each image horizontally with probability 1/2")
    shift: int = setting(4, "shift each image up to this far each way, edges reflected", "pixels", ge=0, le=64)
    mixup_alpha: NotNegative = setting(0.0, "mixup with shares from Beta(alpha, alpha), arXiv 1710.09412; 0 is off")
    cutmix_alpha: NotNegative = setting(
        0.0, "CutMix with shares from Beta(alpha, alpha), arXiv 1905.04899; 0 is off; with mixup too, a batch has one"
    )
    mix_probability: Fraction = setting(1.0, "share of batches that are mixed, where mixup or CutMix is on", "fraction")


class TrainingSettings(Section):
    """Settings of one training, of a member or of the student."""

    epochs: int = setting(30, "passes over the training images", "epochs", ge=1, le=100_000)
    batch_size: int = setting(256, "images per optimizer step", "images", ge=2, le=65_536)
    optimizer: Literal["adamw", "sgd", "muon"] = setting(
        "adamw", "AdamW, SGD with Nesterov momentum 0.9, or Muon with AdamW's learning rate and weight decay"
    )
    learning_rate: Positive = setting(2e-3, "learning rate at its peak")
    weight_decay: NotNegative = setting(0.05, "weight decay of matrices and filters, not of biases and BatchNorm")
    warmup_fraction: Fraction = setting(
        0.1, "share of all steps with a linear warm-up from zero; the rest is a cosine to zero", "fraction"
    )
    label_smoothing: float = setting(0.0, "share of each hard label spread over all classes", "fraction", ge=0.0, lt=1)
    ema_decay: float = setting(
        0.0, "decay per step of the EMA of the weights, which is what is kept; 0 keeps the weights", ge=0.0, lt=1.0
    )
    validate_every: int = setting(
        5, "validation is measured after every so many epochs, and after the last", "epochs", ge=1
    )
    norm_penalty: NotNegative = setting(
        0.0, "L1 penalty on the scales of BatchNorm, for pruning by them (network slimming, arXiv 1708.06519); 0 is off"
    )
    augment: AugmentSettings = setting(AugmentSettings(), "live augmentation")
    checkpoint_seconds: NotNegative = setting(
        20.0, "an epoch is saved when the last save is at least this old", "seconds", execution=True
    )


class ProgressiveTrainingSettings(TrainingSettings):
    """Settings of a training that may go through several image sizes."""

    sizes: tuple[Pixels, ...] = setting(
        (),
        "progressive resizing: the epochs go through these image sizes in equal parts; a member predicts at the last "
        "one, a student at data.image_size; empty: as the images are stored",
        "pixels",
        max_length=64,
    )

    @classmethod
    def of(cls, section: TrainingSettings, epochs: int | None = None) -> Self:
        """What decides the training of a section, for its own number of epochs or another one."""
        shared = [name for name in cls.model_fields if name in type(section).model_fields]
        values: dict[str, Any] = {name: getattr(section, name) for name in shared}
        if epochs is not None:
            values["epochs"] = epochs
        return cls(**values)

    @model_validator(mode="after")
    def _every_size_has_an_epoch(self) -> Self:
        if len(self.sizes) > self.epochs:
            raise ValueError(f"sizes: {len(self.sizes)} sizes for {self.epochs} epochs, expected at most one each")
        return self


class MemberSettings(ProgressiveTrainingSettings):
    """One row of the ensemble. What it does not state comes from [teach]."""

    network: str = Field(description='"reference-cnn", "short-resnet" or the name of a timm network')
    seed: Seed = setting(0, "seed of the initial weights, the order of the images and the augmentation")
    pretrained: bool = setting(False, "start from timm's published weights, for contests that allow them")
    options: dict[str, Option] = setting(
        {}, "options of the network: width, dropout; for timm drop_path_rate, channels, ..."
    )
    weights: str = setting("", "a safetensors file with the member's weights: it is supplied, and is not trained")
    small_images: bool = setting(True, "remove strides, stem first, until at least 4x4 features reach the pooling")
    policy: Literal["", "teacher", "student"] = setting(
        "", "augmentation policy of the member's stored views; empty: views.teacher_policy"
    )

    @property
    def inference_size(self) -> int | None:
        """Image size at which the member predicts: the last of its sizes; None: as the images are stored.

        None also for supplied weights, whose sizes are not known.
        """
        return self.sizes[-1] if self.sizes and not self.weights else None

    @model_validator(mode="after")
    def _one_origin(self) -> "MemberSettings":
        if self.pretrained and self.weights:
            raise ValueError("a member has `pretrained` or `weights`, not both")
        return self


class TeachSettings(ProgressiveTrainingSettings):
    """The ensemble: its members, and what all of them share."""

    learning_rate: Positive = setting(2e-3, "learning rate at its peak")
    label_smoothing: float = setting(0.1, "share of each hard label spread over all classes", "fraction", ge=0.0, lt=1)
    members: tuple[MemberSettings, ...] = setting((), "one table per network of the ensemble", max_length=64)
    folds: int = setting(
        0,
        "k-fold: member i trains without fold i, and gives that fold's out-of-fold soft labels; 0 is off",
        ge=0,
        le=64,
    )

    @model_validator(mode="before")
    @classmethod
    def _rows_inherit(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values  # refused by pydantic, in its own words
        rows = values.get("members", ())
        if not isinstance(rows, (list, tuple)) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("members is a list of tables, one per network")
        own = {name: cls.model_fields[name].default for name in ProgressiveTrainingSettings.model_fields}
        shared = own | {name: value for name, value in values.items() if name in own}
        return values | {"members": tuple(inherited(shared, row) for row in rows)}

    @model_validator(mode="after")
    def _every_fold_is_predicted(self) -> "TeachSettings":
        if self.folds == 1:
            raise ValueError("folds: found 1, expected 0 (none) or at least 2")
        if self.folds > len(self.members):
            raise ValueError(f"folds: {self.folds} folds need as many members, found {len(self.members)}")
        if self.folds and any(row.weights for row in self.members):
            raise ValueError("folds: the training images of a member with `weights` are not known")
        return self


class FinalPhaseSettings(Section):
    """The last epochs on clean images, flipped but neither shifted nor mixed."""

    images: Literal["auto", "none", "testing"] = setting(
        "auto",
        '"testing": the last epochs, and all epochs with low-bit weights, train on clean images, some of them test '
        'images, for a student of these; "none": no such phase; "auto": testing, but none with --inductive',
    )
    fraction: float = setting(0.3, "share of the epochs in the phase, the last ones", "fraction", gt=0, le=1)
    test_share: float = setting(
        0.5,
        "share of test images in those epochs; a half costs nothing on other images, 1.0 is for the contest alone",
        "fraction",
        gt=0.0,
        le=1.0,
    )


class DistillSettings(ProgressiveTrainingSettings):
    """The student and how it learns from the soft labels."""

    network: str = setting(
        "auto",
        '"auto", as large as the budget permits; "auto-dense-5" for a family and depth; a name of ./run.sh models; '
        '"reference-cnn", a large CNN of 40.7 MB, or "reference-cnn-20" of another width; '
        'or a family with its integers ("residual-20-2-80")',
    )
    init_from: str = setting("", "warm start: a packed file of that network to train on from; empty: random weights")
    seed: Seed = setting(0, "seed of the initial weights, the order of the images and the augmentation")
    final_phase: FinalPhaseSettings = setting(FinalPhaseSettings(), "the last epochs on clean images")
    weight_decay: NotNegative = setting(0.01, "weight decay of matrices and filters, not of biases and BatchNorm")
    training_share: Fraction = setting(
        1.0,
        "share of the labelled images of every class that the student learns from; 0 leaves the test images alone; "
        "below 1 there is no final phase",
        "fraction",
    )
    dropout: float = setting(
        0.5, "dropout of the student's training, where its network has some", "fraction", ge=0.0, lt=1.0
    )
    alpha: Fraction = setting(
        0.8, "weight of the distillation loss on labelled images; on unlabelled images it is 1", "fraction"
    )
    class_weights: Literal["none", "balanced"] = setting(
        "none",
        '"balanced": the loss of a labelled image counts by the inverse frequency of its class; the mean is 1',
    )
    temperature: Positive = setting(
        2.0, "softmax temperature of teacher and student in the loss, with the T^2 factor of arXiv 1503.02531"
    )
    ema_decay: float = setting(
        0.998, "decay per step of the EMA of the weights, which is what is kept; 0 keeps the weights", ge=0.0, lt=1.0
    )


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


# --set quantise.bits=3 is a number to TOML
Bits = Annotated[Literal["ternary", "2", "3", "4", "5", "6", "8"], BeforeValidator(_as_text)]
# what [quantise], [prune] and [factorise] take from [distill] where they state nothing
HEIRS = ("prune", "factorise", "quantise")
INHERITED = ("batch_size", "augment", "label_smoothing", "checkpoint_seconds")


class QuantiseSettings(TrainingSettings):
    """How the student's weights become low-bit by LSQ (arXiv 1902.08153).

    The loss and the seed are those of [distill]; batch_size, augment, label_smoothing and checkpoint_seconds too,
    unless they are stated here.
    """

    epochs: int = setting(5, "passes with low-bit weights; 0 rounds them without training", "epochs", ge=0, le=100_000)
    learning_rate: Positive = setting(5e-4, "learning rate at its peak")
    weight_decay: NotNegative = setting(0.0, "weight decay of matrices and filters, not of biases and BatchNorm")
    ema_decay: float = setting(
        0.998, "decay per step of the EMA of the weights, which is what is kept; 0 keeps the weights", ge=0.0, lt=1.0
    )
    bits: Bits = setting("4", "width of a weight", "bits")
    head_bits: Bits = setting("8", "width of a weight of the classifier", "bits")
    layer_bits: dict[str, Bits] = setting({}, 'widths of single layers by name, such as { conv1 = "8" }', "bits")
    initial_clip_std: float = setting(
        3.0,
        "where the outermost code of a channel begins, before LSQ learns it",
        "standard deviations of the channel's weights",
        gt=0.0,
        le=20.0,
    )


def inherited(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`own` values laid over `shared` ones, the tables of `augment` entry by entry."""
    merged = shared | own
    tables = [_as_table(values.get("augment")) for values in (shared, own)]
    if all(isinstance(table, dict) for table in tables):
        merged["augment"] = {**(tables[0] or {}), **(tables[1] or {})}
    return merged


def _as_table(augment: Any) -> Any:
    return augment.model_dump() if isinstance(augment, AugmentSettings) else augment

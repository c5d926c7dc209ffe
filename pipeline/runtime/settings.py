"""Typed, validated, frozen settings. A preset in presets/*.toml is an experiment and states only what differs.

Sections are named after stages. Fractions are 0..1, sizes are in pixels or decimal bytes, seeds are whole numbers.
Every step digests the part of the settings that it reads, so a change redoes that step and what follows, nothing else.
"""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

BUDGET_BYTES = 300_000  # the contest's limit, decimal: 300,000 means 300,000

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen group of settings that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataSettings(Section):
    """How the contest's images are read."""

    image_size: int = Field(
        default=64, ge=16, le=1024, multiple_of=16
    )  # pixels; sixteen because the students pool four times
    validation_fraction: float = Field(
        default=0.2, gt=0.0, le=0.5
    )  # used only when the contest has no validation split
    seed: Seed = 0  # of that split, of members' folds and of the cross-validation of fitted weights


class ViewSettings(Section):
    """How many stored views, and how they are made. View 0 is the clean image and is always one of them."""

    teacher_views: int = Field(default=8, ge=1, le=512)
    student_views: int = Field(default=8, ge=1, le=512)
    teacher_policy: Literal["teacher", "student"] = "teacher"
    student_policy: Literal["student", "teacher"] = "student"
    seed: Seed = 0


class TrainingSettings(Section):
    """What one training needs, whether of a member or of the student."""

    epochs: int = Field(default=30, ge=1, le=100_000)
    batch_size: int = Field(default=256, ge=2, le=65_536)  # images per step
    # SGD is Nesterov with momentum 0.9; Muon takes AdamW's learning rate and weight decay
    optimizer: Literal["adamw", "sgd", "muon"] = "adamw"
    learning_rate: Positive = 2e-3  # at the peak
    weight_decay: NotNegative = 0.05  # not on biases or BatchNorm
    warmup_fraction: Fraction = 0.1  # of all steps, linear from zero; the rest is a cosine to zero
    label_smoothing: float = Field(default=0.0, ge=0.0, lt=1.0)
    mixup_alpha: NotNegative = 0.0  # Beta(alpha, alpha); 0 is off (arXiv 1710.09412)
    cutmix_alpha: NotNegative = 0.0  # likewise (arXiv 1905.04899); with both on, each batch draws one of them
    mix_probability: Fraction = 1.0  # share of batches that are mixed, where mixing is on
    ema_decay: float = Field(default=0.0, ge=0.0, lt=1.0)  # per step, averaged weights are what is kept; 0 is off
    flip: bool = True  # live horizontal flips
    shift: int = Field(default=4, ge=0, le=64)  # live shifts, pixels each way, edges reflected
    checkpoint_seconds: NotNegative = 20.0  # an epoch is saved when the last save is at least this old

    def shaping(self) -> dict[str, Any]:
        """The settings that shape the result, as JSON values, for digests."""
        return self.model_dump(mode="json", exclude={"checkpoint_seconds"})


class TeachingSettings(TrainingSettings):
    """What a member's training needs beside that."""

    # pixels; the epochs go through these sizes in equal parts, the pictures are made smaller live, and the member
    # answers at the last one. Empty: as they are
    sizes: tuple[Annotated[int, Field(ge=16, le=1024)], ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _every_size_has_an_epoch(self) -> Self:
        if len(self.sizes) > self.epochs:
            raise ValueError(f"sizes: {len(self.sizes)} sizes for {self.epochs} epochs, expected at most one each")
        return self


class MemberSettings(TeachingSettings):
    """One row of the ensemble. What it does not state comes from [teach]."""

    network: str  # "report-cnn", "short-resnet" or the name of a timm network
    seed: Seed = 0
    pretrained: bool = False  # timm's published weights, for contests that allow them
    options: dict[
        str, bool | int | float | str | tuple[int, ...]
    ] = {}  # of that network: width, dropout; drop_path_rate, channels, ... of timm's
    weights: str = ""  # a safetensors file: the member is supplied, and is not trained
    small_images: bool = True  # weaken the stem so that at least 4x4 features reach the pooling
    policy: Literal["", "teacher", "student"] = ""  # of the views that it learns from; empty: views.teacher_policy

    def shaping(self) -> dict[str, Any]:
        """The settings that shape the result, as JSON values, for digests; views have digests of their own."""
        return {name: value for name, value in super().shaping().items() if name != "policy"}

    @property
    def answer_size(self) -> int | None:
        """Pixels at which the member answers: the size that it learned last. None: as the pictures are.

        Where a supplied one learned is not known.
        """
        return self.sizes[-1] if self.sizes and not self.weights else None

    @model_validator(mode="after")
    def _one_origin(self) -> "MemberSettings":
        if self.pretrained and self.weights:
            raise ValueError("a member has `pretrained` or `weights`, not both")
        return self


class TeachSettings(TeachingSettings):
    """The ensemble: rows, and what all rows share."""

    learning_rate: Positive = 2e-3
    label_smoothing: float = Field(default=0.1, ge=0.0, lt=1.0)
    members: tuple[MemberSettings, ...] = Field(default=(), max_length=64)
    # member i trains without fold i of so many, and alone answers for those images; 0: everybody sees everything
    folds: int = Field(default=0, ge=0, le=64)

    @model_validator(mode="before")
    @classmethod
    def _rows_inherit(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values  # refused by pydantic, in its own words
        rows = values.get("members", ())
        if not isinstance(rows, (list, tuple)) or not all(isinstance(row, dict) for row in rows):
            raise ValueError("members is a list of tables, one per network")
        own = {name: cls.model_fields[name].default for name in TeachingSettings.model_fields}
        shared = own | {name: value for name, value in values.items() if name in own}
        return values | {"members": tuple(shared | row for row in rows)}

    @model_validator(mode="after")
    def _every_fold_has_a_stranger(self) -> "TeachSettings":
        if self.folds == 1:
            raise ValueError("folds: found 1, expected 0 (none) or at least 2")
        if self.folds > len(self.members):
            raise ValueError(f"folds: {self.folds} folds need as many members, found {len(self.members)}")
        if self.folds and any(row.weights for row in self.members):
            raise ValueError("folds: nobody knows which images a member with `weights` has seen")
        return self


class ExportSettings(Section):
    """From members to soft labels."""

    # a member's answer for a picture is the mean over the picture and its mirror image; "clean": for clean pictures
    # only, (V + 1) / 2V of the price with V views, since augmented views are mirrored at random anyway
    flip: bool | Literal["clean"] = True
    # one per member, any scale; empty is uniform; fitted on validation, and uniform where that is no better than noise
    weights: tuple[NotNegative, ...] | Literal["fitted"] = ()
    normalisation: Literal["softmax", "standardised", "minmax"] = "softmax"
    temperature: Positive = 1.0  # of that softmax; the loss has a temperature of its own

    @model_validator(mode="after")
    def _weights_mean_something(self) -> "ExportSettings":
        if self.weights and self.weights != "fitted" and not math.fsum(self.weights) > 0:
            raise ValueError("weights must not all be 0")
        return self


class DistillSettings(TrainingSettings):
    """The student and how it learns from the soft labels."""

    # a name, a family with its integers ("residual-20-2-80"), or one as wide as the budget permits ("auto", of a family
    # and a depth "auto-dense-5")
    network: str = "report-student"
    start: str = ""  # a packed file of that network: its student goes on learning; empty: random weights
    seed: Seed = 0
    # what the student is for: pictures that nobody has seen, or the contest's test images. For them the last part of
    # the epochs, and all with low-bit weights, are of pictures that are only mirrored, a share of them test images
    focus: Literal["unseen", "testing"] = "unseen"
    focus_part: float = Field(default=0.3, gt=0.0, le=1.0)
    focus_share: float = Field(default=1.0, gt=0.0, le=1.0)
    weight_decay: NotNegative = 0.01
    alpha: Fraction = 0.8  # share of the soft loss on labelled images (the report's best); 1.0 on unlabelled ones
    temperature: Positive = 2.0  # of teacher and student alike, with the T^2 factor of arXiv 1503.02531
    ema_decay: float = Field(default=0.998, ge=0.0, lt=1.0)

    def shaping(self) -> dict[str, Any]:
        """The settings that shape the result, as JSON values, for digests; of `start` the bytes count alone."""
        ignored = {"start"} if self.focus == "testing" else {"start", "focus", "focus_part", "focus_share"}
        return {name: value for name, value in super().shaping().items() if name not in ignored}

    def end_game(self) -> dict[str, Any]:
        """What of the focus shapes a training that is of the end game from the first epoch on, as JSON values."""
        return {} if self.focus == "unseen" else {"focus": self.focus, "focus_share": self.focus_share}


def _as_text(value: Any) -> Any:
    return str(value) if type(value) is int else value


# --set quantise.bits=3 is a number to TOML
Bits = Annotated[Literal["ternary", "2", "3", "4", "5", "6", "8"], BeforeValidator(_as_text)]
# what [quantise] takes from [distill] unless it says otherwise: how the student sees pictures, how often it is saved
INHERITED = (
    "batch_size",
    "flip",
    "shift",
    "label_smoothing",
    "mixup_alpha",
    "cutmix_alpha",
    "mix_probability",
    "checkpoint_seconds",
)


class QuantiseSettings(TrainingSettings):
    """How the student's weights become low-bit; loss and seed are those of [distill], and INHERITED too unless stated.

    With 0 epochs the weights are rounded only.
    """

    epochs: int = Field(default=5, ge=0, le=100_000)
    learning_rate: Positive = 5e-4
    weight_decay: NotNegative = 0.0
    ema_decay: float = Field(default=0.998, ge=0.0, lt=1.0)
    bits: Bits = "4"
    head_bits: Bits = "8"  # of the classifier
    layer_bits: dict[str, Bits] = {}  # of single layers by name, such as { conv1 = "8" }
    # where a channel's outermost code begins to learn, in standard deviations of its weights
    clip: float = Field(default=3.0, gt=0.0, le=20.0)


class PackSettings(Section):
    """How the student becomes bytes."""

    precision: Literal["auto", "fp32", "fp16", "uint8", "uint8-tensor", "int8-cast", "low-bit"] = "auto"
    rounding: Literal["nearest", "compensated"] = "nearest"  # of low-bit weights; compensated for errors before (GPTQ)
    # a file's answer is the mean over the picture and its mirror image, where the student learned from both
    # (distill.flip): twice the time and no byte
    mirror: bool = True


class DeviceSettings(Section):
    """Where the arithmetic happens; `auto` takes what really runs."""

    kind: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    graphs: bool = True  # on a GPU a training step becomes one CUDA graph, where a trial shows that it does the same
    # processes that decode and augment and, on a CPU, train members side by side; 0: one per core
    workers: int = Field(default=0, ge=0, le=1024)


class Settings(Section):
    """Everything that a preset may state."""

    data: DataSettings = DataSettings()
    views: ViewSettings = ViewSettings()
    teach: TeachSettings = TeachSettings()
    export: ExportSettings = ExportSettings()
    distill: DistillSettings = DistillSettings()
    quantise: QuantiseSettings = QuantiseSettings()
    pack: PackSettings = PackSettings()
    device: DeviceSettings = DeviceSettings()

    def mirrored(self) -> bool:
        """Whether a packed file answers for the mirror image too: where all that it learned last was mirrored."""
        return self.pack.mirror and self.distill.flip and (self.quantise.flip or not self.quantise.epochs)

    @model_validator(mode="before")
    @classmethod
    def _quantise_inherits(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values  # refused by pydantic, in its own words
        distill, quantise = values.get("distill", {}), values.get("quantise", {})
        if not (isinstance(distill, dict) and isinstance(quantise, dict)):
            return values  # likewise, or sections that are whole
        shared = {name: distill[name] for name in INHERITED if name in distill}
        return values | {"quantise": shared | quantise}

    @model_validator(mode="after")
    def _pictures_only_get_smaller(self) -> "Settings":
        largest = max((size for row in self.teach.members for size in row.sizes), default=0)
        if largest > self.data.image_size:
            raise ValueError(f"teach.sizes: found {largest}, pictures have data.image_size = {self.data.image_size}")
        return self

    @model_validator(mode="after")
    def _one_weight_per_member(self) -> "Settings":
        weights = () if self.export.weights == "fitted" else self.export.weights
        if weights and len(weights) != len(self.teach.members):
            found, expected = len(weights), len(self.teach.members)
            raise ValueError(f"export.weights has {found} entries, the ensemble has {expected} members")
        return self

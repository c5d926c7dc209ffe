"""All settings: frozen and validated. A preset in presets/*.toml is an experiment and states only what differs.

Sections are named after stages. Every step digests the settings that it is given, and sees no others: a change redoes
that step and the steps after it, nothing else.
"""

import math
from typing import Any, Literal

from pydantic import model_validator

from pipeline.runtime.compression_settings import FactoriseSettings, PruneSettings
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.records import CpuArithmetic
from pipeline.runtime.section import Section, setting
from pipeline.runtime.training_settings import (
    HEIRS,
    INHERITED,
    DistillSettings,
    NotNegative,
    Positive,
    QuantiseSettings,
    Seed,
    TeachSettings,
    inherited,
)

BUDGET_BYTES = 300_000  # the contest's limit, decimal: 300,000 means 300,000


class ViewSettings(Section):
    """Number and augmentation of the stored views. View 0, the clean image, is one of them."""

    teacher_views: int = setting(8, "stored views that the members learn from", "views", ge=1, le=512)
    student_views: int = setting(8, "stored views that the student learns from", "views", ge=1, le=512)
    teacher_policy: Literal["teacher", "student"] = setting(
        "teacher", "augmentation of the teacher views: strong (teacher) or light (student)"
    )
    student_policy: Literal["student", "teacher"] = setting(
        "student", "augmentation of the student views: light (student) or strong (teacher)"
    )
    student_mixing: Literal["auto", "none", "half"] = setting(
        "auto",
        "every second student view is mixed from two images, by mixup or CutMix, and is labelled by the ensemble alone "
        '("half"), or none is; "auto": half where the run makes its soft labels, else as the given ones were made',
    )
    seed: Seed = setting(0, "seed of the augmentation")


class ExportSettings(Section):
    """From the members' predictions to soft labels."""

    tta_flip: bool | Literal["clean"] = setting(
        True,
        'flip TTA: a member\'s prediction is the mean over the image and its mirror image; "clean": for clean images '
        "only, since augmented views are flipped at random anyway",
    )
    weights: tuple[NotNegative, ...] | Literal["fitted"] = setting(
        (),
        'ensemble weights, one per member, any scale; empty: uniform; "fitted": stacking on validation, uniform where '
        "cross-validation finds no gain beyond noise",
    )
    normalisation: Literal["softmax", "standardised", "minmax"] = setting("softmax", "normalisation of the soft labels")
    temperature: Positive = setting(1.0, "temperature of that softmax; the distillation loss has its own")

    @model_validator(mode="after")
    def _weights_mean_something(self) -> "ExportSettings":
        if self.weights and self.weights != "fitted" and not math.fsum(self.weights) > 0:
            raise ValueError("weights must not all be 0")
        return self


MetricName = Literal["accuracy", "log-loss", "auc", "macro-f1"]


class PackSettings(Section):
    """How the student becomes a packed file."""

    metric: MetricName = setting(
        "accuracy",
        "what the contest judges by: reported, and it chooses the precision; for log-loss the probabilities are "
        "calibrated on validation and their temperature stands in the file",
    )
    precision: Literal["auto", "fp32", "fp16", "uint8", "uint8-tensor", "int8-cast", "low-bit"] = setting(
        "auto", "precision of the shipped file; auto: the most accurate on validation that fits the budget"
    )
    rounding: Literal["nearest", "gptq"] = setting(
        "nearest", "rounding of low-bit weights: to the nearest code, or GPTQ (arXiv 2210.17323)"
    )
    tta_flip: bool = setting(
        True,
        "flip TTA: the file's prediction is the mean over the image and its mirror image, where the student trained "
        "with flips; twice the time, no byte",
    )


Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class DeviceSettings(Section):
    """Device, dtype and processes; auto takes what runs on this machine."""

    kind: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "device of training and of the members' predictions", execution=True
    )
    dtype: Dtype = setting(
        "auto", "dtype of training, weights are float32; auto: on a CPU what a trial of a second finds to be faster"
    )
    graphs: bool = setting(
        False, "on a GPU, one CUDA graph per training step, where a trial shows the same result", execution=True
    )
    workers: int = setting(
        0,
        "processes that augment and, on a CPU, train members or cells of a study side by side or share each batch of a "
        "student; threads that decode; 0: one per core",
        "processes",
        execution=True,
        ge=0,
        le=1024,
    )


class StepDevice(DeviceSettings):
    """From what a step builds its device: the settings, and what a trial chose where they leave the dtype open."""

    arithmetic: CpuArithmetic | None = setting(None, "measured once per run and CPU, not set", execution=True)


class Settings(Section):
    """All sections: what a preset may state."""

    data: DataSettings = DataSettings()
    views: ViewSettings = ViewSettings()
    teach: TeachSettings = TeachSettings()
    export: ExportSettings = ExportSettings()
    distill: DistillSettings = DistillSettings()
    prune: PruneSettings = PruneSettings()
    factorise: FactoriseSettings = FactoriseSettings()
    quantise: QuantiseSettings = QuantiseSettings()
    pack: PackSettings = PackSettings()
    device: DeviceSettings = DeviceSettings()

    def makes_smaller(self) -> bool:
        """Whether the student loses filters or ranks after its training."""
        return self.prune.is_on or self.factorise.is_on

    def tta_flip(self) -> bool:
        """Whether a packed file predicts with flip TTA: only where the student's last training used flips."""
        flipped_last = self.quantise.augment.flip or not self.quantise.epochs
        return self.pack.tta_flip and self.distill.augment.flip and flipped_last

    @model_validator(mode="before")
    @classmethod
    def _heirs_inherit(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values  # refused by pydantic, in its own words
        distill, own = values.get("distill", {}), {name: values.get(name, {}) for name in HEIRS}
        if not all(isinstance(section, dict) for section in (distill, *own.values())):
            return values  # likewise, or sections that are validated already
        shared = {name: distill[name] for name in INHERITED if name in distill}
        return values | {name: inherited(shared, section) for name, section in own.items()}

    @model_validator(mode="after")
    def _images_only_get_smaller(self) -> "Settings":
        of_members = [size for row in self.teach.members for size in row.sizes]
        for name, sizes in (("teach.sizes", of_members), ("distill.sizes", self.distill.sizes)):
            if (largest := max(sizes, default=0)) > self.data.image_size:
                raise ValueError(f"{name}: found {largest}, images have data.image_size = {self.data.image_size}")
        return self

    @model_validator(mode="after")
    def _rewinds_no_further_than_the_start(self) -> "Settings":
        own, epochs = self.prune, self.distill.epochs
        if own.is_on and own.retraining.startswith("rewind") and own.epochs > epochs:
            raise ValueError(f"prune.epochs: {own.retraining} by {own.epochs} epochs, the student has {epochs}")
        return self

    @model_validator(mode="after")
    def _one_weight_per_member(self) -> "Settings":
        weights = () if self.export.weights == "fitted" else self.export.weights
        if weights and len(weights) != len(self.teach.members):
            found, expected = len(weights), len(self.teach.members)
            raise ValueError(f"export.weights has {found} entries, the ensemble has {expected} members")
        return self

"""Which stage a changed setting redoes first, written by hand, one row per setting, against the program."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.describe_settings import describe_settings
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.plan import Plan, PlannedSeconds
from pipeline.runtime.request import Job, load_request
from pipeline.runtime.steps import why_not_current
from pipeline.stages.delivery.deliver import deliver
from pipeline.stages.planning.ladder import LADDER
from pipeline.stages.run import STAGES

# setting -> another value, the first stage that is done anew. A run without a final phase reads no more of it, and the
# manifest states all settings, so "deliver" means that nothing is computed again.
FIRST_REDONE: dict[str, tuple[str, str]] = {
    "data.image_size": ("32", "prepare"),
    "data.validation_fraction": ("0.3", "prepare"),
    "data.test_fraction": ("0.2", "prepare"),
    "data.seed": ("1", "prepare"),
    "data.training_folder": ('"training"', "prepare"),
    "data.validation_folder": ('"validation"', "prepare"),
    "data.test_folder": ('"testing"', "prepare"),
    "data.labels_from": ('"names"', "prepare"),
    "data.image_column": ('"a"', "prepare"),
    "data.label_column": ('"a"', "prepare"),
    "data.class_folders": ('"inner"', "prepare"),
    "data.sample": ('"none"', "prepare"),
    "data.answer": ('"class"', "prepare"),
    "data.positive": ('"a"', "prepare"),
    "data.class_order": ('["a"]', "prepare"),
    "data.broken": ('"skip"', "prepare"),
    "data.missing": ('"skip"', "prepare"),
    "data.unlisted": ('"ignore"', "prepare"),
    "data.zip_encoding": ('"gbk"', "prepare"),
    "views.teacher_views": ("1", "teach"),
    "views.student_views": ("1", "export"),
    "views.teacher_policy": ('"student"', "prepare"),
    "views.student_policy": ('"teacher"', "prepare"),
    "views.student_mixing": ('"half"', "prepare"),
    "views.seed": ("1", "prepare"),
    "teach.epochs": ("4", "teach"),
    "teach.batch_size": ("9", "teach"),
    "teach.optimizer": ('"sgd"', "teach"),
    "teach.learning_rate": ("1e-3", "teach"),
    "teach.weight_decay": ("0.1", "teach"),
    "teach.warmup_fraction": ("0.2", "teach"),
    "teach.label_smoothing": ("0.2", "teach"),
    "teach.ema_decay": ("0.5", "teach"),
    "teach.validate_every": ("2", "teach"),
    "teach.norm_penalty": ("0.1", "teach"),
    "teach.checkpoint_seconds": ("9.0", "deliver"),
    "teach.sizes": ("[16]", "teach"),
    "teach.members": ('[{network = "test_resnet"}]', "teach"),
    "teach.folds": ("2", "teach"),
    "teach.augment.flip": ("false", "teach"),
    "teach.augment.shift": ("2", "teach"),
    "teach.augment.mixup_alpha": ("0.3", "teach"),
    "teach.augment.cutmix_alpha": ("0.3", "teach"),
    "teach.augment.mix_probability": ("0.3", "teach"),
    "teach.members.I.epochs": ("4", "teach"),
    "teach.members.I.batch_size": ("9", "teach"),
    "teach.members.I.optimizer": ('"sgd"', "teach"),
    "teach.members.I.learning_rate": ("1e-3", "teach"),
    "teach.members.I.weight_decay": ("0.1", "teach"),
    "teach.members.I.warmup_fraction": ("0.2", "teach"),
    "teach.members.I.label_smoothing": ("0.2", "teach"),
    "teach.members.I.ema_decay": ("0.5", "teach"),
    "teach.members.I.validate_every": ("2", "teach"),
    "teach.members.I.norm_penalty": ("0.1", "teach"),
    "teach.members.I.checkpoint_seconds": ("9.0", "deliver"),
    "teach.members.I.sizes": ("[16]", "teach"),
    "teach.members.I.network": ('"short-resnet"', "teach"),
    "teach.members.I.seed": ("9", "teach"),
    "teach.members.I.pretrained": ("true", "teach"),
    "teach.members.I.options": ("{width = 9}", "teach"),
    "teach.members.I.weights": ("WEIGHTS", "teach"),
    "teach.members.I.small_images": ("false", "teach"),
    "teach.members.I.policy": ('"student"', "prepare"),
    "teach.members.I.augment.flip": ("false", "teach"),
    "teach.members.I.augment.shift": ("2", "teach"),
    "teach.members.I.augment.mixup_alpha": ("0.3", "teach"),
    "teach.members.I.augment.cutmix_alpha": ("0.3", "teach"),
    "teach.members.I.augment.mix_probability": ("0.3", "teach"),
    "export.tta_flip": ("false", "export"),
    "export.weights": ("[1, 2]", "export"),
    "export.normalisation": ('"minmax"', "export"),
    "export.temperature": ("2.0", "export"),
    "distill.epochs": ("4", "distill"),
    "distill.batch_size": ("9", "distill"),
    "distill.optimizer": ('"sgd"', "distill"),
    "distill.learning_rate": ("1e-3", "distill"),
    "distill.weight_decay": ("0.1", "distill"),
    "distill.warmup_fraction": ("0.2", "distill"),
    "distill.label_smoothing": ("0.2", "distill"),
    "distill.ema_decay": ("0.5", "distill"),
    "distill.validate_every": ("2", "distill"),
    "distill.norm_penalty": ("0.1", "distill"),
    "distill.checkpoint_seconds": ("9.0", "deliver"),
    "distill.sizes": ("[16]", "distill"),
    "distill.network": ('"plain-8-0"', "distill"),
    "distill.init_from": ("PACKED", "distill"),
    "distill.seed": ("9", "distill"),
    "distill.training_share": ("0.5", "distill"),
    "distill.dropout": ("0.2", "distill"),
    "distill.alpha": ("0.5", "distill"),
    "distill.class_weights": ('"balanced"', "distill"),
    "distill.temperature": ("3.0", "distill"),
    "distill.augment.flip": ("false", "distill"),
    "distill.augment.shift": ("2", "distill"),
    "distill.augment.mixup_alpha": ("0.3", "distill"),
    "distill.augment.cutmix_alpha": ("0.3", "distill"),
    "distill.augment.mix_probability": ("0.3", "distill"),
    "distill.final_phase.images": ('"testing"', "distill"),
    "distill.final_phase.fraction": ("0.4", "deliver"),
    "distill.final_phase.test_share": ("0.4", "deliver"),
    "prune.epochs": ("4", "deliver"),
    "prune.batch_size": ("9", "deliver"),
    "prune.optimizer": ('"sgd"', "deliver"),
    "prune.learning_rate": ("2e-3", "deliver"),
    "prune.weight_decay": ("0.1", "deliver"),
    "prune.warmup_fraction": ("0.2", "deliver"),
    "prune.label_smoothing": ("0.2", "deliver"),
    "prune.ema_decay": ("0.5", "deliver"),
    "prune.validate_every": ("2", "deliver"),
    "prune.norm_penalty": ("0.1", "deliver"),
    "prune.checkpoint_seconds": ("9.0", "deliver"),
    "prune.augment.flip": ("false", "deliver"),
    "prune.augment.shift": ("2", "deliver"),
    "prune.augment.mixup_alpha": ("0.3", "deliver"),
    "prune.augment.cutmix_alpha": ("0.3", "deliver"),
    "prune.augment.mix_probability": ("0.3", "deliver"),
    "prune.keep": ("0.5", "prune"),
    "prune.rate": ("0.5", "deliver"),
    "prune.ranking": ('"l1"', "deliver"),
    "prune.retraining": ('"rewind-rate"', "deliver"),
    "prune.after": ('"each"', "deliver"),
    "prune.seed": ("9", "deliver"),
    "factorise.epochs": ("4", "deliver"),
    "factorise.batch_size": ("9", "deliver"),
    "factorise.optimizer": ('"sgd"', "deliver"),
    "factorise.learning_rate": ("2e-3", "deliver"),
    "factorise.weight_decay": ("0.1", "deliver"),
    "factorise.warmup_fraction": ("0.2", "deliver"),
    "factorise.label_smoothing": ("0.2", "deliver"),
    "factorise.ema_decay": ("0.5", "deliver"),
    "factorise.validate_every": ("2", "deliver"),
    "factorise.norm_penalty": ("0.1", "deliver"),
    "factorise.checkpoint_seconds": ("9.0", "deliver"),
    "factorise.augment.flip": ("false", "deliver"),
    "factorise.augment.shift": ("2", "deliver"),
    "factorise.augment.mixup_alpha": ("0.3", "deliver"),
    "factorise.augment.cutmix_alpha": ("0.3", "deliver"),
    "factorise.augment.mix_probability": ("0.3", "deliver"),
    "factorise.form": ('"tucker"', "factorise"),
    "factorise.energy": ("0.5", "deliver"),
    "factorise.size_bytes": ("9000", "deliver"),
    "quantise.epochs": ("1", "quantise"),
    "quantise.batch_size": ("9", "quantise"),
    "quantise.optimizer": ('"sgd"', "quantise"),
    "quantise.learning_rate": ("1e-3", "quantise"),
    "quantise.weight_decay": ("0.1", "quantise"),
    "quantise.warmup_fraction": ("0.2", "quantise"),
    "quantise.label_smoothing": ("0.2", "quantise"),
    "quantise.ema_decay": ("0.5", "quantise"),
    "quantise.validate_every": ("2", "quantise"),
    "quantise.norm_penalty": ("0.1", "quantise"),
    "quantise.checkpoint_seconds": ("9.0", "deliver"),
    "quantise.bits": ("3", "quantise"),
    "quantise.head_bits": ("6", "quantise"),
    "quantise.layer_bits": ('{conv1 = "8"}', "quantise"),
    "quantise.initial_clip_std": ("2.0", "quantise"),
    "quantise.augment.flip": ("false", "quantise"),
    "quantise.augment.shift": ("2", "quantise"),
    "quantise.augment.mixup_alpha": ("0.3", "quantise"),
    "quantise.augment.cutmix_alpha": ("0.3", "quantise"),
    "quantise.augment.mix_probability": ("0.3", "quantise"),
    "pack.metric": ('"auc"', "pack"),
    "pack.precision": ('"uint8"', "pack"),
    "pack.rounding": ('"gptq"', "pack"),
    "pack.tta_flip": ("false", "pack"),
    "device.kind": ('"auto"', "deliver"),
    "device.dtype": ('"bfloat16"', "teach"),
    "device.graphs": ("true", "deliver"),
    "device.workers": ("3", "deliver"),
}
NO_SECONDS = PlannedSeconds(prepare=0, members=0, labels=0, student=0, packing=0, safety=0)
REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "budget_bytes": ({"budget_bytes": 250_000}, "pack"),
    "inductive": ({"inductive": True}, "export"),
    "has_test_images": ({"has_test_images": False}, "export"),
    "final": ({"final": True}, "prepare"),
    "soft_labels": ({"soft_labels": ("LABELS",)}, "export"),
    "given_labels_mixed": ({"given_labels_mixed": True}, "deliver"),
    "minutes": ({"minutes": 5.0}, "deliver"),
    "plan": ({"plan": Plan(rung=LADDER[0], image_size=32, seconds=NO_SECONDS)}, "deliver"),
    "preset": ({"preset": "another"}, "deliver"),
    "name": ({"name": "another"}, "deliver"),
}
NOT_REREAD = {"data", "study", "settings"}  # the contest, the kind of a run, and the table above


def first_redone(job: Job) -> str:
    """The first stage with a step whose receipt does not hold."""
    for stage in STAGES:
        if stage.has_steps and stage.needed(job):
            for wave in stage.waves(job):
                if any(why_not_current(step) is not None for step in wave.steps):
                    return stage.name
    wave = deliver(job, {})
    return "deliver" if any(why_not_current(step) is not None for step in wave.steps) else ""


@pytest.fixture(scope="module")
def changes(smoke_run) -> list[str]:
    """The changes that the smoke run was asked for."""
    return [word for word in smoke_run.argv if "=" in word]


def test_every_setting_has_a_row():
    assert set(FIRST_REDONE) == {row["name"] for row in describe_settings()}


@pytest.mark.parametrize("name", FIRST_REDONE)
def test_a_changed_setting_redoes_its_stage_first(smoke_run, changes: list[str], tmp_path: Path, name: str):
    value, expected = FIRST_REDONE[name]
    given = {"WEIGHTS": tmp_path / "w.safetensors", "PACKED": tmp_path / "p.bin"}
    given["WEIGHTS"].write_bytes(smoke_run.artifacts.member(0).path.read_bytes())
    given["PACKED"].write_bytes(smoke_run.artifacts.packed("fp16").path.read_bytes())
    change = f"{name.replace('members.I', 'members.0')}={given.get(value, value)}"
    request = load_request(smoke_run.run)
    settings = load_settings("smoke", [*changes, change])
    assert settings != request.settings
    assert first_redone(Job(smoke_run.run, request.model_copy(update={"settings": settings}))) == expected


def test_every_field_of_a_request_has_a_row(smoke_run):
    assert set(REQUESTS) | NOT_REREAD == set(type(load_request(smoke_run.run)).model_fields)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_changed_request_redoes_its_stage_first(smoke_run, name: str):
    update, expected = REQUESTS[name]
    if name == "soft_labels":
        update = {name: (str(smoke_run.run.submission / "soft_labels.safetensors"),)}
    job = Job(smoke_run.run, load_request(smoke_run.run).model_copy(update=update))
    assert first_redone(job) == expected


def test_the_same_request_redoes_nothing(smoke_run):
    assert first_redone(Job(smoke_run.run, load_request(smoke_run.run))) == ""

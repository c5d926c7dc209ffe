"""Distill: the student learns the soft labels of every stored view, and the labels where there are some.

Reads: student views, soft labels, labels, the packed file of a warm start. Writes: student/student.safetensors (EMA of
the last epoch, float32, with its architecture), one line per epoch in metrics.jsonl.
"""

from typing import Any

import torch

from models.students import architecture_json
from models.students.build import build_student, count_parameters
from models.students.short_form import name_of
from pipeline.contest.facts import load_contest
from pipeline.runtime.atomic import value_digest
from pipeline.runtime.console import say
from pipeline.runtime.device import Device
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, run_step
from pipeline.stages.student.network import choose_architecture, save_student
from pipeline.stages.student.training import StudentPhase, student_reads, train_student
from pipeline.stages.student.warm_start import check_warm_start, warm_start, warm_start_reads


def distill(job: Job, device: Device) -> None:
    """Train the student on the views and their soft labels."""
    classes = load_contest(job.run.contest).classes
    architecture = choose_architecture(job.settings, classes, job.request.budget_bytes)
    check_warm_start(job, architecture, classes)
    own = job.settings.distill
    settings = own.shaping() | {"architecture": architecture_json.to_json(architecture)}
    step = Step("distill", 2, student_reads(job) | warm_start_reads(job), settings, (job.run.student,))

    def work() -> dict[str, Any]:
        torch.manual_seed(own.seed)
        network = build_student(architecture)
        warm_start(job, architecture, network)
        say(
            f"student: {name_of(architecture)}, {count_parameters(network):,} parameters, {own.epochs} epochs "
            f"on {device.name}, {job.request.protocol}" + (f", from {own.init_from}" if own.init_from else "")
        )
        identity = value_digest([step.reads, step.settings, step.version, str(device.dtype)])
        checkpoint = job.run.checkpoint(job.run.student)
        training = StudentPhase("student", "distill", own, own.final_phase.fraction, checkpoint, identity)
        trained = train_student(job, device, network, training)
        save_student(job.run.student, trained.network, architecture)
        job.run.checkpoint(job.run.student).unlink(missing_ok=True)
        facts = {"parameters": count_parameters(network), "device": device.description}
        facts |= {"init_from": step.reads.get("init_from", "")}
        return facts | {"earlier_seconds": trained.earlier_seconds}

    run_step(job.run, step, work, full_check=job.full_check)

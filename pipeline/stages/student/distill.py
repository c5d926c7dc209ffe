"""Distill: the student learns the soft labels of every stored view, and the hard labels where there are some.

Reads: student views, soft labels, labels, the packed file to start from if there is one. Writes:
student/student.safetensors (the last epoch's moving average, float32), one line per epoch in metrics.jsonl.
"""

from typing import TYPE_CHECKING, Any

from pipeline.runtime.atomic import value_digest
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, run_step
from pipeline.stages.student.network import build_float_student, student_network
from pipeline.stages.student.training import StudentTraining, student_reads, train_student
from pipeline.stages.student.warm_start import check_start, start_from_file, start_reads

if TYPE_CHECKING:
    from pipeline.runtime.device import Device


def distill_student(job: Job, device: "Device") -> None:
    """Train the student on the views and their soft labels."""
    import torch

    from models.students.build import count_parameters
    from pipeline.runtime.tensor_file import save_tensors

    chosen = student_network(job)
    check_start(job, chosen)
    distill = job.settings.distill
    settings = distill.shaping() | {"image_size": job.settings.data.image_size, "network": chosen.name}
    step = Step("distill", 1, student_reads(job) | start_reads(job), settings, (job.run.student,))

    def work() -> dict[str, Any]:
        torch.manual_seed(distill.seed)
        network = build_float_student(job.settings, chosen)
        start_from_file(job, network)
        say(
            f"student: {chosen.name}, {count_parameters(network):,} parameters, {distill.epochs} epochs "
            f"on {device.name}, {job.request.protocol}" + (f", from {distill.start}" if distill.start else "")
        )
        identity = value_digest([step.reads, step.settings, step.version, str(device.dtype)])
        checkpoint = job.run.checkpoint(job.run.student)
        own = StudentTraining("student", "distill", distill, distill.focus_part, checkpoint, identity)
        trained = train_student(job, device, network, own)
        save_tensors(job.run.student, trained.network.state_dict(), {"network": chosen.name})
        job.run.checkpoint(job.run.student).unlink(missing_ok=True)
        facts = {"parameters": count_parameters(network), "device": device.description}
        facts |= {"started_from": step.reads.get("start", "")}
        return facts | {"earlier_seconds": trained.earlier_seconds}

    run_step(job.run, step, work, full_check=job.full_check)

"""One stage of a run that was started before; what it asks for stands in the run's own folder."""

from pipeline.runtime.console import say
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.request import Job, load_request


def run_stage(stage: str, run: RunFolder, member: int | None) -> int:
    """Do one stage; the exit code. Raises RequestError when the run, or a stage before this one, is missing."""
    job = Job(run, load_request(run))
    if stage == "prepare":
        from pipeline.stages.prepare import prepare_views

        prepare_views(job)
    elif stage == "pack":
        from pipeline.stages.delivery.verify import verify_size
        from pipeline.stages.student.pack import pack_student

        fits, lines = verify_size(run.packed(pack_student(job)), job.request.budget_bytes)
        say(lines[-1])
        return 0 if fits else 1
    else:
        _train(stage, job, member)
    return 0


def _train(stage: str, job: Job, member: int | None) -> None:
    from pipeline.runtime.device import pick_device

    device = pick_device(job.settings.device)
    if stage == "teach":
        from pipeline.stages.teacher.teach import teach_members

        teach_members(job, device, member)
    elif stage == "export":
        from pipeline.stages.teacher.export import export_soft_labels

        export_soft_labels(job, device)
    else:
        from pipeline.stages.student.distill import distill_student
        from pipeline.stages.student.quantise import quantise_student

        distill_student(job, device)
        quantise_student(job, device)

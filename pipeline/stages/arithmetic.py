"""The arithmetic of a run's CPU: measured by its first process, kept in its folder, and handed to every step.

It is not a setting and no digest has it: on another CPU a run goes on in another arithmetic, with the steps that are
done as they are.
"""

import dataclasses

from pipeline.runtime.console import say
from pipeline.runtime.device import cpu_name, needs_trial, pick_device
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.records import CpuArithmetic, write_record
from pipeline.runtime.request import Job
from pipeline.training.arithmetic import measure_arithmetic


def with_arithmetic(job: Job) -> Job:
    """The job with the arithmetic of this CPU, where its settings leave the dtype open; else the job as it is.

    Measured once per run and CPU, because the bytes of a run that is resumed must not depend on a second trial.
    """
    if not needs_trial(job.settings.device):
        return job
    cpu = cpu_name()
    chosen = _recorded(job.run)
    if chosen is None or chosen.cpu != cpu:
        chosen = measure_arithmetic(cpu)
        write_record(job.run.arithmetic, chosen)
    measured = dataclasses.replace(job, arithmetic=chosen)
    say(f"on {pick_device(measured.device).description}")
    return measured


def _recorded(run: RunFolder) -> CpuArithmetic | None:
    """What a process before this one measured; None where none did, or where its record is damaged."""
    try:
        return CpuArithmetic.model_validate_json(run.arithmetic.read_bytes())
    except (FileNotFoundError, ValueError):
        return None

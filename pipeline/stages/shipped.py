"""Which packed file a run ships, as the pack stage chose it."""

import json
from pathlib import Path

from pipeline.runtime.request import Job


def shipped_precision(job: Job) -> str:
    """The precision that the pack stage chose. Raises RequestError when it was not done yet."""
    job.artifacts.pack_record.digest()
    return json.loads(job.run.pack_record.read_text())["chosen"]


def shipped_file(job: Job) -> Path:
    """The packed file of that precision."""
    return job.run.packed(shipped_precision(job))

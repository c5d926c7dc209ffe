"""Which packed file a run ships, as the pack stage chose it."""

from pathlib import Path

from pipeline.runtime.records import PackRecord
from pipeline.runtime.request import Job


def pack_record(job: Job) -> PackRecord:
    """What the pack stage measured and chose. Raises RequestError when it was not done yet."""
    job.artifacts.pack_record.digest()
    return PackRecord.model_validate_json(job.artifacts.pack_record.path.read_bytes())


def shipped_file(job: Job) -> Path:
    """The packed file of the precision that was chosen."""
    return job.artifacts.packed(pack_record(job).chosen).path

"""Clean: delete what a run or a study made on its way (runs/NAME); what it delivered stays. No torch.

Of a study also the steps that no other study uses.
"""

import shutil
from pathlib import Path

from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import USED_BY, RunFolder, disk_bytes, readable_size, steps_used_by


def clean_run(run: RunFolder) -> list[str]:
    """Delete runs/NAME and return the lines to show.

    Raises RequestError when there is none, when it is a link, or when something of it is going on.
    """
    if run.folder.is_symlink():
        raise RequestError(f"--name {run.name}: {run.folder} is a link; delete it and what it points to yourself")
    if not run.folder.is_dir() and run.submission.is_dir():
        raise RequestError(f"--name {run.name}: has nothing in runs/; {run.submission} stays, delete it yourself")
    if not run.folder.is_dir():
        raise RequestError(f"--name {run.name}: no such run (looked for {run.folder}); ./run.sh list shows them all")
    busy = f"run {run.name} is going on in another process; end it first"
    with run.all_locked(busy):
        freed_bytes = sum(_forget(folder, run.name) for folder in steps_used_by(run.root, run.name))
        freed_bytes += disk_bytes(run.folder)
        shutil.rmtree(run.folder)
    kept = f"{run.submission} stays" if run.submission.is_dir() else "nothing of it was delivered, so nothing is left"
    return [f"deleted {run.folder}: {readable_size(freed_bytes)} freed", kept]


def _forget(step: Path, study: str) -> int:
    """Take a study's mark off a step; delete the step where it was the last one. Returns the bytes that are freed."""
    (step / USED_BY / study).unlink()
    if any((step / USED_BY).iterdir()):
        return 0
    freed_bytes = disk_bytes(step)
    shutil.rmtree(step)
    return freed_bytes

"""Clean: delete what a run made on its way (runs/NAME); what it delivered stays. No torch."""

import shutil

from pipeline.runtime.errors import RequestError
from pipeline.runtime.folder import RunFolder, disk_bytes, readable_size


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
    freed_bytes = disk_bytes(run.folder)
    with run.all_locked(f"run {run.name} is going on in another process; end it first"):
        shutil.rmtree(run.folder)
    kept = f"{run.submission} stays" if run.submission.is_dir() else "nothing of it was delivered, so nothing is left"
    return [f"deleted {run.folder}: {readable_size(freed_bytes)} freed", kept]

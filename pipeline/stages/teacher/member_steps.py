"""What the steps of members share: how many work side by side, and what of a row decides them."""

from pathlib import Path

from pipeline.runtime.device import usable_device
from pipeline.runtime.engine import worker_count
from pipeline.runtime.request import Job
from pipeline.runtime.training_settings import MemberSettings


def members_at_once(job: Job) -> int:
    """At most so many side by side: on a CPU a process each, on a GPU they take turns."""
    on_cpu = usable_device(job.settings.device).type == "cpu"
    return worker_count(job.settings.device.workers) if on_cpu else 1


def row_of_predictions(row: MemberSettings) -> MemberSettings:
    """What of a row decides how the member that it made predicts: its network, and the size of its images."""
    known = ("options", "pretrained", "small_images", "sizes")
    update = {name: getattr(row, name) for name in known} | {"weights": Path(row.weights).name}
    return MemberSettings(network=row.network).model_copy(update=update)


def row_of_steps(row: MemberSettings) -> MemberSettings:
    """A row without what its steps see as inputs: the policy of its views, and where its weights lie."""
    return row.model_copy(update={"policy": "", "weights": Path(row.weights).name})

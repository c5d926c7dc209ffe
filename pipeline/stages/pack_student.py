"""Pack: the student as bytes at every precision, measured from the decoded file, and the choice of the one to ship.

Reads: student, soft labels (for the agreement). Writes: packed/<precision>.bin, packed/pack.json.
"""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.atomic import write_bytes, write_json
from pipeline.console import say
from pipeline.data.contest_file import ContestFacts, load_contest
from pipeline.receipts import Step, output_digest, run_step
from pipeline.request import Job

if TYPE_CHECKING:
    from torch import nn

    from models.packed.container import Header


def pack_student(job: Job) -> str:
    """Write and measure the packed files; return the precision that is shipped.

    Always on the CPU and in float32: what is measured is the file, not the machine.
    """
    from models.packed.precisions import PRECISIONS

    settings = job.settings.pack.model_dump() | {"budget_bytes": job.request.budget_bytes, "final": job.request.final}
    reads = {
        "student": output_digest(job.run, "distill", job.run.student),
        "soft labels": output_digest(job.run, "export-soft-labels", job.run.soft_labels),
        "contest": output_digest(job.run, "prepare-decode", job.run.contest),
    }
    settings |= {"inductive": job.request.inductive, "network": job.settings.distill.network}
    writes = (job.run.pack_report, *(job.run.packed(precision) for precision in PRECISIONS))
    run_step(job.run, Step("pack", 1, reads, settings, writes), lambda: _pack(job), full_check=job.full_check)
    return json.loads(job.run.pack_report.read_text())["chosen"]


def choose(measured: list[dict[str, Any]], wanted: str, budget_bytes: int) -> str:
    """The precision to ship: the one that is wanted, or for `auto` the most accurate on validation that fits.

    `measured` is in order of falling fidelity; where no validation accuracy is known (--final), and between equals,
    the highest fidelity wins. The bare cast is never chosen. When nothing fits, the smallest: the
    gate will say so.
    """
    from models.packed.precisions import DEMONSTRATION

    candidates = [m for m in measured if m["precision"] != DEMONSTRATION] if wanted == "auto" else measured
    candidates = [m for m in candidates if wanted in ("auto", m["precision"])]
    fitting = [m for m in candidates if m["packed_bytes"] <= budget_bytes]
    if not fitting:
        return min(candidates, key=lambda m: m["packed_bytes"])["precision"]
    return max(fitting, key=lambda m: m.get("validation_accuracy", 0.0))["precision"]


def _pack(job: Job) -> dict[str, Any]:
    from models.packed.ledger import ledger
    from models.packed.precisions import PRECISIONS
    from models.packed.student_file import pack_student as pack_bytes

    facts = load_contest(job.run.contest)
    student, header = _load_student(job, facts), _header(job, facts)
    measured = []
    for precision in PRECISIONS:
        write_bytes(job.run.packed(precision), pack_bytes(student, header, precision))
        measured.append(_measure(job, facts, precision))
        say(_line(measured[-1]))
    chosen = choose(measured, job.settings.pack.precision, job.request.budget_bytes)
    rows = [asdict(row) for row in ledger(job.run.packed(chosen).read_bytes())]
    write_json(job.run.pack_report, {"chosen": chosen, "measured": measured, "ledger": rows})
    say(f"pack: {chosen} is shipped")
    return {}


def _load_student(job: Job, facts: ContestFacts) -> "nn.Module":
    from models.networks import STUDENTS
    from models.students import build_student
    from pipeline.data.tensor_file import load_tensors

    network, image_size = STUDENTS[job.settings.distill.network], job.settings.data.image_size
    student = build_student(network, classes=len(facts.classes), image_size=image_size)
    student.load_state_dict(load_tensors(job.run.student)[0])
    return student.eval()


def _header(job: Job, facts: ContestFacts) -> "Header":
    from models.networks import STUDENTS
    from models.packed.container import Header

    return Header(
        network=STUDENTS[job.settings.distill.network],
        image_size=job.settings.data.image_size,
        classes=facts.classes,
        mean=facts.mean,
        std=facts.std,
        inductive=job.request.inductive,
        final=job.request.final,
    )


def _measure(job: Job, facts: ContestFacts, precision: str) -> dict[str, Any]:
    """Bytes on disk, and accuracy and agreement of the file as it decodes; no validation figure under --final."""
    from models.packed.student_file import unpack_student
    from pipeline.data.soft_labels import load_soft_labels
    from pipeline.learning.inference import accuracy, agreement, predict_with_packed

    path = job.run.packed(precision)
    found: dict[str, Any] = {"precision": precision, "packed_bytes": path.stat().st_size}
    if job.request.final:
        return found
    images_NHWC = np.load(job.run.clean("validation"), mmap_mode="r")
    log_probs_NC = predict_with_packed(unpack_student(path.read_bytes()), images_NHWC)
    ensemble_NC = load_soft_labels(job.run.soft_labels).log_probs_VNC["validation"][0].float().numpy()
    found["validation_accuracy"] = accuracy(log_probs_NC, np.array(facts.labels["validation"]))
    return found | {"validation_agreement": agreement(log_probs_NC, ensemble_NC)}


def _line(measured: dict[str, Any]) -> str:
    accuracy = measured.get("validation_accuracy")
    shown = "" if accuracy is None else f", validation {accuracy:.2%} (from the decoded file)"
    return f"pack: {measured['precision']}: {measured['packed_bytes']:,} bytes{shown}"

"""Pack: the student as bytes at every precision, measured from the decoded file, and the choice of the one to ship.

Reads: student, quantised student, soft labels (for the fidelity). Writes: packed/<precision>.bin, packed/pack.json.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contest.facts import ContestFacts, load_contest
from pipeline.runtime.atomic import write_bytes, write_json
from pipeline.runtime.console import say
from pipeline.runtime.request import Job
from pipeline.runtime.steps import Step, output_digest, run_step
from pipeline.stages.calibration import clean_pictures
from pipeline.stages.student.network import StudentNetwork, bit_plan, packed_header, student_network, trained_student

if TYPE_CHECKING:
    from models.packed.container import Header


def pack_student(job: Job) -> str:
    """Write and measure the packed files; return the precision that is shipped.

    Always on the CPU and in float32: what is measured is the file, not the machine.
    """
    chosen = student_network(job)
    settings = job.settings.pack.model_dump() | {"budget_bytes": job.request.budget_bytes, "final": job.request.final}
    reads = {
        "student": output_digest(job.run, "distill", job.run.student),
        "quantised student": output_digest(job.run, "quantise", job.run.quantised_student),
        "soft labels": output_digest(job.run, "export-soft-labels", job.run.soft_labels),
        "contest": output_digest(job.run, "prepare-decode", job.run.contest),
    }
    settings |= {"inductive": job.request.inductive, "network": chosen.name}
    settings |= {"levels": bit_plan(job.settings, chosen), "mirror": job.settings.mirrored()}
    writes = (job.run.pack_report, *(job.run.packed(precision) for precision in _offered()))
    run_step(job.run, Step("pack", 5, reads, settings, writes), lambda: _pack(job, chosen), full_check=job.full_check)
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


def _offered() -> tuple[str, ...]:
    """What is packed and measured, in order of falling fidelity."""
    from models.packed.precisions import CODEC_NAMES

    return tuple(CODEC_NAMES.values())


def _pack(job: Job, chosen: StudentNetwork) -> dict[str, Any]:
    from models.packed.ledger import ledger

    facts = load_contest(job.run.contest)
    measured = []
    for precision, data, coarser in _packed_files(job, chosen, packed_header(job, chosen)):
        write_bytes(job.run.packed(precision), data)
        measured.append(_measure(job, facts, precision) | coarser)
        say(_line(measured[-1]))
    shipped = choose(measured, job.settings.pack.precision, job.request.budget_bytes)
    rows = [asdict(row) for row in ledger(job.run.packed(shipped).read_bytes())]
    write_json(job.run.pack_report, {"chosen": shipped, "measured": measured, "ledger": rows})
    say(f"pack: {shipped} is shipped")
    return {}


def _packed_files(job: Job, chosen: StudentNetwork, header: "Header") -> Iterator[tuple[str, bytes, dict[str, float]]]:
    """Name and bytes of every precision: of the float student, then of the low-bit one, made to fit the budget.

    With the latter, how many times coarser its steps are than learned. BatchNorm's statistics are those of clean
    training pictures, and for the low-bit student those of the network as it is rounded.
    """
    from models.compress.batchnorm_recalibration import renew_norm_statistics
    from models.compress.gptq import round_with_compensation, second_moments
    from models.compress.lsq import learn_steps, low_bit_weights, with_coarser_steps
    from models.packed.precisions import CODEC_NAMES, Codec
    from models.packed.rate_control import fit_limit
    from models.packed.student_file import PRECISIONS, pack_low_bit
    from models.packed.student_file import pack_student as pack_bytes
    from pipeline.data.batches import Normalisation
    from pipeline.runtime.tensor_file import load_tensors

    student, pictures = trained_student(job, chosen), clean_pictures(job, Normalisation(header.mean, header.std))
    quantised = learn_steps(student, bit_plan(job.settings, chosen), job.settings.quantise.clip)
    quantised.load_state_dict(load_tensors(job.run.quantised_student)[0])
    renew_norm_statistics(student, pictures)
    yield from ((precision, pack_bytes(student, header, precision), {}) for precision in PRECISIONS)
    compensated = job.settings.pack.rounding == "compensated"
    moments = second_moments(low_bit_weights(quantised)[0], pictures) if compensated else {}

    def pack(coarser: float) -> bytes:
        rounded = with_coarser_steps(quantised, coarser)
        renew_norm_statistics(rounded, pictures)
        folded, weights = low_bit_weights(rounded)
        if moments:
            weights = round_with_compensation(folded, weights, moments)
        return pack_low_bit(folded, header, weights)

    fitted = fit_limit(pack, job.request.budget_bytes)
    yield CODEC_NAMES[Codec.LOW_BIT], fitted.data, {"coarser": fitted.coarser}


def _measure(job: Job, facts: ContestFacts, precision: str) -> dict[str, Any]:
    """Bytes on disk, and accuracy and fidelity of the file as it decodes; no validation figure under --final."""
    from models.packed.student_file import unpack_student
    from pipeline.data.soft_labels import load_soft_labels
    from pipeline.training.inference import predict_with_packed
    from pipeline.training.metrics import accuracy, fidelity

    path = job.run.packed(precision)
    found: dict[str, Any] = {"precision": precision, "packed_bytes": path.stat().st_size}
    if job.request.final:
        return found
    images_NHWC = np.load(job.run.clean("validation"), mmap_mode="r")
    log_probs_NC = predict_with_packed(unpack_student(path.read_bytes()), images_NHWC)
    ensemble_NC = load_soft_labels(job.run.soft_labels).log_probs_VNC["validation"][0].float().numpy()
    found["validation_accuracy"] = accuracy(log_probs_NC, np.array(facts.labels["validation"]))
    return found | {f"validation_{name}": value for name, value in fidelity(log_probs_NC, ensemble_NC).items()}


def _line(measured: dict[str, Any]) -> str:
    accuracy = measured.get("validation_accuracy")
    shown = "" if accuracy is None else f", validation {accuracy:.2%} (from the decoded file)"
    if measured.get("coarser", 1.0) != 1.0:
        shown += f", steps {measured['coarser']:.3f} times as coarse as learned"
    return f"pack: {measured['precision']}: {measured['packed_bytes']:,} bytes{shown}"

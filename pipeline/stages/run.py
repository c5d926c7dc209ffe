"""The whole run: what is wrong with the request is said first, then every stage in order, then what was delivered."""

import json
from pathlib import Path

from pipeline.runtime.console import say
from pipeline.runtime.errors import RequestError
from pipeline.runtime.request import Job, save_request
from pipeline.stages.request import embedded_contest


def run_all(job: Job) -> int:
    """Carry out a request from the contest to the delivered files; the exit code."""
    from pipeline.runtime.device import pick_device
    from pipeline.stages.delivery.deliver import deliver_submission
    from pipeline.stages.delivery.predict import predict_testing
    from pipeline.stages.delivery.verify import verify_size
    from pipeline.stages.prepare import prepare_views
    from pipeline.stages.student.distill import distill_student
    from pipeline.stages.student.pack import pack_student
    from pipeline.stages.student.quantise import quantise_student
    from pipeline.stages.teacher.export import export_soft_labels
    from pipeline.stages.teacher.teach import teach_members

    request = job.request
    device = pick_device(job.settings.device)
    check_request(job)
    with job.run.locked("run", f"run {job.run.name} is going on in another process; give this one another --name"):
        save_request(job.run, request)
        say(f"run {request.name}: {request.data}, preset {request.preset}, {request.protocol}, on {device.name}")
        prepare_views(job)
        if not request.labels:
            teach_members(job, device)
        export_soft_labels(job, device)
        distill_student(job, device)
        quantise_student(job, device)
        precision = pack_student(job)
        fits, lines = verify_size(job.run.packed(precision), request.budget_bytes)
        if not fits:
            say(lines[-1])
            return 1
        predict_testing(job, precision)
        deliver_submission(job, precision)
        _say_delivered(job, lines[-1])
    return 0


def check_request(job: Job) -> None:
    """Refuse before any training what cannot end well: an unknown network, a budget that no file can meet."""
    check_members(job)
    check_budget(job, read_classes(job))


def check_members(job: Job) -> None:
    """Refuse members that do not exist, or soft labels that are none."""
    if job.request.final and job.settings.export.weights == "fitted":
        raise RequestError(
            "export.weights: fitted needs validation images that nothing learns from, --final takes them"
        )
    if job.request.labels:
        from pipeline.stages.teacher.given_soft_labels import load_labels

        if len(load_labels(job)) > 1 and job.settings.export.weights not in ((), "fitted"):
            raise RequestError('export.weights: numbers are of members; of several --labels expected "fitted" or none')
        return  # which pictures they were made for, export will see
    from models.teachers.build import UnknownNetworkError, check_teacher

    for row in job.settings.teach.members:
        try:
            check_teacher(
                row.network,
                job.settings.data.image_size,
                row.options,
                pretrained=row.pretrained,
                adapt=row.small_images,
            )
        except UnknownNetworkError as error:
            raise RequestError(f"teach.members: {error}") from None
        if row.weights and not Path(row.weights).is_file():
            raise RequestError(f"teach.members: weights: no such file {row.weights}")


def read_classes(job: Job) -> tuple[str, ...]:
    """The contest's classes, and with them everything that is wrong with it."""
    from pipeline.contest.contest import read_contest
    from pipeline.contest.source import open_source

    data = job.settings.data
    source = open_source(Path(job.request.data))
    return read_contest(source, validation_fraction=data.validation_fraction, seed=data.seed).classes


def check_budget(job: Job, classes: tuple[str, ...]) -> None:
    """What a packed file will take is known, or nearly, before its weights are: a hopeless budget is refused here.

    So is a file that the student cannot start from.
    """
    from models.packed.rate_control import COARSEST
    from pipeline.stages.student.network import bit_plan, choose_network, expected_bytes
    from pipeline.stages.student.warm_start import check_start

    precision, budget = job.settings.pack.precision, job.request.budget_bytes
    chosen = choose_network(job.settings, classes, budget)
    bit_plan(job.settings, chosen)
    check_start(job, chosen)
    best = "low-bit" if precision == "auto" else precision
    size = expected_bytes(job.settings, chosen, best, COARSEST)
    if size > budget:
        which = "smallest packed file" if precision == "auto" else "packed file"
        about = "about " if best == "low-bit" else ""  # its size depends on the weights
        raise RequestError(
            f"--budget {budget}: the {which} of {chosen.name} takes {about}{size} bytes ({best}), nothing was trained"
        )


def _say_delivered(job: Job, gate_line: str) -> None:
    manifest = json.loads((job.run.submission / "manifest.json").read_text())
    found, agreement = manifest["accuracy"], manifest["agreement"]
    size = f"{manifest['packed_bytes']:,} bytes, {manifest['parameters']:,} parameters, {manifest['precision']}"
    say(f"\ndelivered in {job.run.submission}:")
    say(f"  student.bin      {size}")
    if found:
        student = f"student {found[0]['value']:.2%} (decoded file, {found[0]['protocol']})"
        say(f"  validation       {student}, ensemble {manifest['teacher']['ensemble']:.2%}")
    say(f"  test images      student and ensemble agree on {agreement['value']:.2%}")
    say(f"  predictions.csv  {agreement['images']:,} rows, ready to upload")
    if job.request.data == str(embedded_contest(job.run).resolve()):
        say("that was scikit-learn's handwritten digits; for a real contest:")
        say("  ./run.sh --data FOLDER_OR_ZIP --budget 300000")
    say(gate_line)

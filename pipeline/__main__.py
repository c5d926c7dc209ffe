"""The command line. Heavy imports happen inside the commands: --help and verify answer without torch."""

import argparse
import errno
import json
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pipeline.runtime.atomic import write_json
from pipeline.runtime.console import complain, say
from pipeline.runtime.errors import MachineError, RequestError

ROOT = Path(__file__).resolve().parent.parent  # the folder of run.sh: runs/ and submissions/ lie there
MACHINE_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EMFILE,
    errno.ENOMEM,
}
# what the standard library and joblib raise when the system killed a process; joblib's own BrokenProcessPool is a bug
KILLED_WORKER = ("concurrent.futures.process.BrokenProcessPool", "TerminatedWorkerError")
STAGES = ("prepare", "teach", "export", "distill", "pack")


class _Terminated(KeyboardInterrupt):
    """SIGTERM, taken like Ctrl-C: files are whole at every moment, so it may end anywhere."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message} (./run.sh --help shows what there is)")


def main(argv: list[str], root: Path = ROOT) -> int:
    """Carry out one command and return its exit code.

    0 done, 1 the answer is no, 2 the request is wrong, 3 the machine failed, 70 a bug, 130 and 143 interrupted.
    """
    try:
        command = COMMANDS.get(argv[0]) if argv else None
        return command(argv[1:], root) if command else _run(argv, root)
    except (RequestError, MachineError) as error:
        return _end(str(error), error.exit_code)
    except KeyboardInterrupt as interruption:
        return _end_of(interruption)
    except BrokenPipeError:  # `| head` has read enough; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if interruption := _interruption_before(error):
            return _end_of(interruption)
        if line := machine_failure(error):
            return _end(f"{line}; the same command resumes", 3)
        traceback.print_exc()
        return _end("this is a bug in the program, please report it with the lines above", 70)


def _interruption_before(error: BaseException) -> KeyboardInterrupt | None:
    """The interruption that an error came from: a loader notices while it ends that its workers were ended too."""
    cause = error.__context__
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__context__
    return cause


def _end_of(interruption: KeyboardInterrupt) -> int:
    if isinstance(interruption, _Terminated):
        return _end("terminated; the same command resumes", 143)
    return _end("interrupted; the same command resumes", 130)


def machine_failure(error: Exception) -> str:
    """One line when the machine failed (disk, permission, memory), else nothing: then it is a bug."""
    text = (str(error).splitlines() or [""])[0]
    if isinstance(error, OSError) and error.errno in MACHINE_ERRNOS:
        return f"the machine failed: {text}"
    # libraries that wrap what the system said: safetensors, a pool whose worker was killed, a GPU that went away
    if re.search(r"\(os error \d+\)|^CUDA error", text):
        return f"the machine failed: {text}"
    kind = type(error)
    if kind.__name__ in KILLED_WORKER or f"{kind.__module__}.{kind.__name__}" in KILLED_WORKER:
        perhaps = "for want of memory perhaps; fewer at once need less (--set device.workers=1)"
        return f"the machine failed: a process was ended by the system, {perhaps}"
    out_of_memory = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return f"out of memory: {text}; try a smaller batch_size" if isinstance(error, MemoryError) or out_of_memory else ""


def _run(argv: list[str], root: Path) -> int:
    """The whole run."""
    from pipeline.runtime.folder import RunFolder
    from pipeline.runtime.request import Job
    from pipeline.stages.request import resolve
    from pipeline.stages.run import run_all

    arguments = _run_parser().parse_args(argv)
    request = resolve(arguments, root)
    return run_all(Job(RunFolder(root, request.name), request, arguments.verify))


def _run_parser() -> argparse.ArgumentParser:
    from pipeline.runtime.load_settings import preset_names
    from pipeline.runtime.settings import BUDGET_BYTES
    from pipeline.stages.request import budget

    others = [f"  {name:8} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    parser = _Parser(
        prog="./run.sh",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train a teacher ensemble, distill it into a small network, pack that into a file under a byte\n"
        "limit, prove that it fits, and write the CSV to upload. The same command again resumes.",
        epilog="\n".join(["other commands, each with --help:", *others, "  test     Run all tests."]),
    )
    add = parser.add_argument
    add(
        "--data",
        metavar="DIR_OR_ZIP",
        type=Path,
        help="the contest; default: data/ or data.zip beside run.sh, else digits",
    )
    default = "default: demo for digits, gpu with a CUDA GPU, else cpu"
    add("--preset", metavar="NAME_OR_TOML", help=f"{', '.join(preset_names())}, or a file; {default}")
    add("--name", help="name of the run; default: the contest's")
    add("--budget", metavar="BYTES", type=budget, default=BUDGET_BYTES, help=f"decimal bytes, default {BUDGET_BYTES}")
    add("--labels", metavar="FILE", type=Path, nargs="+", help="soft labels from elsewhere: nothing is taught")
    add("--inductive", action="store_true", help="test images take no part in training")
    add("--final", action="store_true", help="validation joins training, and no validation figure is claimed")
    add("--set", metavar="KEY=VALUE", action="append", nargs="+", default=[], dest="changes", help="change settings")
    parser.set_defaults(study="")
    add("--verify", action="store_true", help="on resuming, read every stored file again in full")
    return parser


def _stage(stage: str) -> Callable[[list[str], Path], int]:
    def command(argv: list[str], root: Path) -> int:
        from pipeline.runtime.folder import RunFolder, check_name
        from pipeline.stages.run_stage import run_stage

        parser = _Parser(prog=f"./run.sh {stage}", allow_abbrev=False, description=command.__doc__)
        parser.add_argument("--name", required=True, help="name of the run")
        if stage == "teach":
            parser.add_argument("--member", type=int, help="train this member alone, counted from 0")
        arguments = parser.parse_args(argv)
        return run_stage(stage, RunFolder(root, check_name(arguments.name)), getattr(arguments, "member", None))

    command.__doc__ = f"Do the stage {stage} of a run, given with --name."
    return command


def _verify(argv: list[str], _root: Path) -> int:
    """Check a file's bytes on disk against the budget."""
    from pipeline.runtime.settings import BUDGET_BYTES
    from pipeline.stages.delivery.verify import verify_size
    from pipeline.stages.request import budget

    parser = _Parser(prog="./run.sh verify", allow_abbrev=False, description=_verify.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--budget", metavar="BYTES", type=budget, default=BUDGET_BYTES)
    arguments = parser.parse_args(argv)
    fits, lines = verify_size(arguments.file, arguments.budget)
    say("\n".join(lines))
    return 0 if fits else 1


def _predict(argv: list[str], _root: Path) -> int:
    """Write predictions from a packed file alone."""
    from pipeline.runtime.cores import available_cores
    from pipeline.stages.delivery.predict import predict_folder

    parser = _Parser(prog="./run.sh predict", allow_abbrev=False, description=_predict.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", metavar="DIR_OR_ZIP", type=Path, required=True, help="may hold test images alone")
    parser.add_argument("--out", metavar="CSV", type=Path, required=True)
    arguments = parser.parse_args(argv)
    count = predict_folder(arguments.file, arguments.data, arguments.out, available_cores())
    say(f"{arguments.out}: {count} predictions")
    return 0


def _ledger(argv: list[str], _root: Path) -> int:
    """Show where the bytes of a packed file go, tensor by tensor."""
    from pipeline.stages.delivery.ledger import ledger_json, ledger_lines, read_ledger

    parser = _Parser(prog="./run.sh ledger", allow_abbrev=False, description=_ledger.__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    rows = read_ledger(arguments.file)
    say(json.dumps(ledger_json(rows), indent=1) if arguments.json else "\n".join(ledger_lines(rows)))
    return 0


def _models(argv: list[str], _root: Path) -> int:
    """List every student network: parameters, bytes at each precision."""
    from models.packed.size import describe_students

    parser = _Parser(prog="./run.sh models", allow_abbrev=False, description=_models.__doc__)
    parser.add_argument("--json", action="store_true")
    students = describe_students()
    if parser.parse_args(argv).json:
        say(json.dumps(students, indent=1))
        return 0
    say(f"{'name':24}{'parameters':>10}{'fp32':>10}{'fp16':>10}{'uint8':>10}  bytes of the file, 64x64, 11 classes")
    for student in students:
        sizes: Any = student["bytes"]
        columns = "".join(f"{sizes[precision]:>10,}" for precision in ("fp32", "fp16", "uint8"))
        say(f"{student['name']:24}{student['parameters']:>10,}{columns}")
    return 0


def _bench(argv: list[str], root: Path) -> int:
    """Measure how fast this machine trains, against a plain loop and against its own limit."""
    from pipeline.runtime.load_settings import load_settings
    from pipeline.stages.request import data_beside

    parser = _Parser(prog="./run.sh bench", allow_abbrev=False, description=_bench.__doc__)
    parser.add_argument("--data", metavar="DIR_OR_ZIP", type=Path, help="as for a run")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there too")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", nargs="+", default=[], dest="changes")
    arguments = parser.parse_args(argv)
    settings = load_settings("cpu", [change for group in arguments.changes for change in group])
    from pipeline.bench.run_bench import Effort, bench_lines, run_bench

    found = run_bench(arguments.data or data_beside(root), settings, Effort())
    say("\n".join(bench_lines(found)))
    if arguments.json:
        write_json(arguments.json, found)
    return 0


def _study(argv: list[str], root: Path) -> int:
    """Train many networks and compare them: students (frontier, networks, recipes) or the preset's members."""
    from pipeline.runtime.folder import RunFolder
    from pipeline.runtime.request import Job
    from pipeline.runtime.settings import BUDGET_BYTES
    from pipeline.stages.request import budget, contest_name, resolve
    from pipeline.studies.run_study import MEMBERS, STUDIES, run_study

    parser = _Parser(prog="./run.sh study", allow_abbrev=False, description=_study.__doc__)
    parser.add_argument("study", choices=[*STUDIES, MEMBERS])
    parser.add_argument("--data", metavar="DIR_OR_ZIP", type=Path, required=True, help="as for a run")
    parser.add_argument("--labels", metavar="FILE", type=Path, nargs="+", help="soft labels from elsewhere")
    parser.add_argument("--name", help="name of the study; default: the contest's and the study's")
    parser.add_argument("--preset", metavar="NAME_OR_TOML", default="study")
    parser.add_argument("--inductive", action="store_true", help="test images take no part in training")
    parser.add_argument("--budgets", metavar="BYTES", type=budget, nargs="+", default=[], help="limits to train for")
    parser.add_argument(
        "--seeds",
        type=int,
        choices=range(1, 11),
        metavar="N",
        default=1,
        help="networks per point or row, of recipes at least 3",
    )
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", nargs="+", default=[], dest="changes")
    arguments = parser.parse_args(argv)
    arguments.name = arguments.name or f"{contest_name(arguments.data)}-{arguments.study}"
    arguments.budget, arguments.final = max(arguments.budgets, default=BUDGET_BYTES), False
    request = resolve(arguments, root)
    run_study(arguments.study, Job(RunFolder(root, request.name), request), tuple(arguments.budgets), arguments.seeds)
    return 0


COMMANDS: dict[str, Callable[[list[str], Path], int]] = {
    **{stage: _stage(stage) for stage in STAGES},
    "verify": _verify,
    "ledger": _ledger,
    "predict": _predict,
    "models": _models,
    "bench": _bench,
    "study": _study,
}


def _end(line: str, code: int) -> int:
    complain("error: " + " ".join(line.splitlines()))  # a file's name may hold a line break
    return code


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main(sys.argv[1:]))

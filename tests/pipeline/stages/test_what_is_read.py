"""A step's work sees its inputs and its settings, nothing else: copies of these alone give the same bytes."""

import ast
import contextlib
import inspect
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.folder import RunFolder
from pipeline.runtime.records import read_manifest
from pipeline.runtime.request import Job, Request, load_request
from pipeline.runtime.section import Section, execution_settings
from pipeline.runtime.steps import Opened, Step
from pipeline.stages.delivery.deliver import deliver
from pipeline.stages.delivery.manifest import Provenance
from pipeline.stages.prepare import DecodeSettings
from pipeline.stages.run import STAGES

TIMED = {"metrics"}  # outputs that say how long it took


def steps_of(job: Job) -> list[Step[Any]]:
    """Every step of a finished run, in order."""
    stages = [stage for stage in STAGES if stage.has_steps and stage.needed(job)]
    waves = [wave for stage in stages for wave in stage.waves(job)]
    took = read_manifest(job.run.submission / "manifest.json").stage_seconds or {}
    return [step for wave in [*waves, deliver(job, took)] for step in wave.steps]


@pytest.fixture(params=["members", "given soft labels", "folds"])
def run_and_inputs(request, smoke_run, run_cli, tmp_path_factory) -> tuple[RunFolder, list[Path]]:
    """A finished run that owns its folder, and what it was given from outside: together they read all that is read."""
    if request.param == "members":
        return smoke_run.run, [smoke_run.root, smoke_run.data]
    folder = tmp_path_factory.mktemp("other")
    given = shutil.copytree(smoke_run.run.submission, folder / "given")
    start = shutil.copy(smoke_run.artifacts.packed("fp16").path, folder / "start.bin")
    warm = ("--set", f"distill.init_from={start}", "distill.final_phase.images=testing", "pack.rounding=gptq")
    more = {
        "given soft labels": ("--soft-labels", given / "soft_labels.safetensors", *warm),
        "folds": ("--set", "teach.folds=2", "export.weights=fitted"),
    }[request.param]
    code, _, err = run_cli((*smoke_run.argv, *more), folder / "root")
    assert (code, err) == (0, "")
    return RunFolder(folder / "root", "tiny"), [folder, smoke_run.data]


@contextlib.contextmanager
def out_of_reach(paths: Sequence[Path]) -> Iterator[None]:
    """The files are elsewhere for a while."""
    for path in paths:
        path.rename(path.with_name(f"{path.name}-hidden"))
    try:
        yield
    finally:
        for path in paths:
            path.with_name(f"{path.name}-hidden").rename(path)


def _copied(step: Step[Any], folder: Path) -> Opened[Any]:
    opened = step.opened()
    inputs = {}
    for number, (name, path) in enumerate(opened.inputs.items()):
        (folder / "in" / str(number)).mkdir(parents=True)
        inputs[name] = folder / "in" / str(number) / path.name
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, inputs[name])
    outputs = {name: folder / "out" / name / path.name for name, path in opened.outputs.items()}
    for path in outputs.values():
        path.parent.mkdir(parents=True)
    return Opened(inputs, opened.digests, opened.settings, outputs, opened.identity)


def test_copies_of_the_inputs_give_the_same_bytes(run_and_inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run, sources = run_and_inputs
    steps = steps_of(Job(run, load_request(run)))
    opened = [_copied(step, tmp_path / str(number)) for number, step in enumerate(steps)]
    written = [{name: output.path.read_bytes() for name, output in step.outputs.items()} for step in steps]
    monkeypatch.chdir(tmp_path)
    with out_of_reach(sources):
        for step, before, copies in zip(steps, written, opened, strict=True):
            step.work(copies)
            found = {name: path.read_bytes() for name, path in copies.outputs.items() if name not in TIMED}
            assert found == {name: before[name] for name in found}, step.name
    assert {"prepare", "export", "distill", "quantise", "pack", "predict", "deliver"} <= {
        step.name.partition("-")[0] for step in steps
    }


def test_the_work_of_every_step_is_a_function_of_a_module_given_one_thing(smoke_run):
    for step in steps_of(Job(smoke_run.run, load_request(smoke_run.run))):
        parameters = list(inspect.signature(step.work).parameters.values())
        assert [parameter.name for parameter in parameters] == ["opened"]
        assert getattr(inspect.getmodule(step.work), step.work.__name__) is step.work  # no closure
        assert step.work.__closure__ is None
        assert type(step.settings).model_config["frozen"]


def test_no_function_that_works_on_a_step_knows_the_run():
    """In a module of stages, what is given `opened` is given neither a job nor a request, but for the manifest's."""
    folder = Path(inspect.getfile(deliver)).parent.parent
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
                assert "opened" not in names or not names & {"job", "request", "run"}, (path, node.name)


def sections() -> list[type[Section]]:
    """Every kind of settings."""
    found, waiting = [], [Section]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_what_is_not_digested_decides_when_and_how_and_not_what():
    """By hand: all fields that are left out of digests."""
    settings = {"checkpoint_seconds", "kind", "graphs", "workers", "arithmetic"}
    told = {"seconds", "stage_seconds", "versions", "commit"}  # by a manifest, of whenever it was
    fields = {name for kind in sections() for name in execution_settings(kind)}
    assert fields - {"save_every"} == settings | told  # save_every: of the tests of steps
    assert execution_settings(DecodeSettings) == {"workers"}
    assert execution_settings(Provenance) == told - {"seconds"}
    assert execution_settings(Request) == set()

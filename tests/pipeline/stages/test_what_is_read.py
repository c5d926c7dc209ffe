"""A step's work sees its inputs and its settings, nothing else: copies of these alone give the same bytes."""

import ast
import inspect
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture
def alone(smoke_run, tmp_path_factory) -> Iterator[list[tuple[Step[Any], dict[str, bytes], Opened[Any]]]]:
    """Every step, the bytes that it wrote, and copies of its inputs; while the run and the contest are out of reach."""
    folder = tmp_path_factory.mktemp("alone")
    steps = steps_of(Job(smoke_run.run, load_request(smoke_run.run)))
    opened = [_copied(step, folder / str(number)) for number, step in enumerate(steps)]
    written = [{name: output.path.read_bytes() for name, output in step.outputs.items()} for step in steps]
    hidden = [(path, path.with_name(f"{path.name}-hidden")) for path in (smoke_run.root, smoke_run.data)]
    for path, elsewhere in hidden:
        path.rename(elsewhere)
    try:
        yield list(zip(steps, written, opened, strict=True))
    finally:
        for path, elsewhere in hidden:
            elsewhere.rename(path)


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


def test_copies_of_the_inputs_give_the_same_bytes(alone, tmp_path: Path):
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        for step, written, opened in alone:
            step.work(opened)
            for name, path in opened.outputs.items():
                if name not in TIMED:
                    assert path.read_bytes() == written[name], (step.name, name)
    finally:
        os.chdir(before)
    assert {step.name.partition("-")[0] for step, *_ in alone} == {
        *("prepare", "teach", "export", "distill", "quantise", "pack", "predict", "deliver")
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
    inherited = {"checkpoint_seconds", "kind", "graphs", "workers", "seconds", "stage_seconds"}
    fields = {name for kind in sections() for name in execution_settings(kind)}
    assert fields - {"save_every"} == inherited  # save_every: of the tests of steps
    assert execution_settings(DecodeSettings) == {"workers"}
    assert execution_settings(Provenance) == {"stage_seconds"}
    assert execution_settings(Request) == set()

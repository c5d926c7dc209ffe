"""The studies of the reference's experiments: their cells are settings that exist, their claims name cells."""

import json

import pytest

from pipeline.runtime.folder import RunFolder
from pipeline.runtime.load_settings import preset_values, validate
from pipeline.runtime.request import Job, Request, load_request
from pipeline.stages.study_catalogue import study_module
from pipeline.studies import methods_1mb, methods_10mb, pruning_rate, pruning_retrain, soft_share
from pipeline.studies.engine import methods
from pipeline.studies.engine.findings import Claim, findings, verdict_of
from pipeline.studies.engine.run_study import load_study
from pipeline.studies.engine.study import Cell, Finished, Options

NAMES = ("architectures", "soft-share", "pruning-rate", "pruning-tuning", "pruning-retrain")
NAMES += ("methods-10mb", "methods-1mb", "teachers", "precision")


def options(seeds: int = 1, preset: str = "quick") -> Options:
    return Options((), seeds, validate(preset_values(preset, []), preset))


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_are_settings_that_exist(name: str, tmp_path):
    values = preset_values("quick", [])
    request = Request(name="one", data="contest", preset="quick", study=name, settings=validate(values, "quick"))
    cells = load_study(name).cells(options(2))
    jobs = [cell.job(Job(RunFolder(tmp_path, "one"), request), values) for cell in cells]
    assert len({(cell.name, cell.seed) for cell in cells}) == len(cells)
    assert {cell.seed for cell in cells} == {0, 1}
    assert all(job.settings.distill.seed == cell.seed for cell, job in zip(cells, jobs, strict=True))


@pytest.mark.parametrize(("difference", "error", "verdict"), [(3.0, 1.0, "agrees"), (-3.0, 1.0, "differs")])
def test_what_is_beyond_two_standard_errors_is_decided(difference: float, error: float, verdict: str):
    assert verdict_of("more", 0.0, difference, error) == verdict
    assert verdict_of("less", 0.0, -difference, error) == verdict
    assert verdict_of("more", 0.0, difference, 2 * error) == "not decided at this scale"


def test_equal_is_within_the_margin_beyond_noise():
    assert verdict_of("equal", 2.0, 0.5, 0.5) == "agrees"
    assert verdict_of("equal", 2.0, -4.0, 0.5) == "differs"
    assert verdict_of("equal", 2.0, 1.5, 0.5) == "not decided at this scale"
    assert verdict_of("more", 10.0, 11.0, 0.4) == "agrees"  # by ten points at least
    assert verdict_of("more", 10.0, 8.0, 0.4) == "differs"


@pytest.fixture
def small(monkeypatch):
    """Fewer points of the same studies, and a smaller large network."""
    monkeypatch.setattr(pruning_rate, "RATES", (0.5, 0.99))
    monkeypatch.setattr(pruning_retrain, "KEEPS", (0.5,))
    monkeypatch.setattr(methods, "ORIGINAL", "reference-cnn-8")
    for module in (methods_10mb, methods_1mb):
        monkeypatch.setattr(module, "methods", small_methods)
    monkeypatch.setattr(soft_share, "ALPHAS", (0.0, 0.8, 1.0))


def small_methods(given: Options, **asked: object) -> object:
    del asked["size_bytes"]
    return methods.methods(given, **asked | {"size_bytes": 200_000, "distilled": "reference-plain-cnn"})


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_a_study_at_smoke_scale(name: str, small, smoke_run, smoke_arguments, run_cli, tmp_path):  # noqa: ARG001
    labels = [] if name == "teachers" else ["--soft-labels", smoke_run.artifacts.soft_labels.path]
    argv = ["study", name, "--data", smoke_run.data, "--name", "s", "--preset", "smoke", *smoke_arguments]
    changes = ["prune.epochs=1", "quantise.epochs=1", "factorise.epochs=1", "distill.validate_every=1"]
    argv += [part for change in changes for part in ("--set", change)]
    code, out, err = run_cli([*argv, *labels], tmp_path)
    assert (code, err) == (0, "")
    made = tmp_path / "submissions" / "s"
    assert {path.name for path in made.iterdir()} >= {f"{name}.csv", f"{name}.png", f"{name}.json", "findings.csv"}
    record = json.loads((made / f"{name}.json").read_text())
    assert (record["study"], record["preset"], record["seeds"]) == (name, "smoke", [0])
    assert [found["verdict"] for found in record["findings"]]
    claims = (made / "findings.csv").read_text().splitlines()[1:]
    module = __import__(f"pipeline.studies.{study_module(name)}", fromlist=["CLAIMS"])
    assert len(claims) == len(module.CLAIMS)
    assert all("(here " in line for line in out.splitlines() if line.startswith(("agrees", "differs", "not dec")))


def test_a_claim_of_missing_cells_is_left_out(smoke_run):
    job = Job(smoke_run.run, load_request(smoke_run.run))
    nothing = Finished(Cell("a", {}), job, [])
    assert findings(Claim("one", "two", "a", "b"))([nothing]).tables == {}

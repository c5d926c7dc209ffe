"""The arithmetic of a run: measured once, kept with the run, handed to its processes, and part of no digest."""

import json
from collections.abc import Callable

import pytest

from pipeline.runtime import device
from pipeline.runtime.device import cpu_name
from pipeline.runtime.folder import RunFolder
from pipeline.runtime.load_settings import load_settings
from pipeline.runtime.records import CpuArithmetic, write_record
from pipeline.runtime.request import Job, load_request
from pipeline.runtime.steps import read_notes
from pipeline.stages import arithmetic

AUTO = ("--set", "device.dtype=auto")
RATES = {"float32": 50.0, "bfloat16": 100.0, "bfloat16 with matrix products": 60.0}
STUDENT = ("distill", "quantise")


def chosen(cpu: str, dtype: str = "bfloat16", *, products: bool = False) -> CpuArithmetic:
    return CpuArithmetic.read(
        {"cpu": cpu, "dtype": dtype, "conv_as_matmul": products, "images_per_second": RATES},
    )


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The CPUs that were measured; each trial finds bfloat16 to be the fastest."""
    measured: list[str] = []

    def measure(cpu: str) -> CpuArithmetic:
        measured.append(cpu)
        return chosen(cpu)

    monkeypatch.setattr(arithmetic, "measure_arithmetic", measure)
    return measured


@pytest.fixture
def call(smoke_copy, run_cli) -> Callable[..., str]:
    """call(more) -> output of the smoke run once more, with its dtype left open."""

    def carry_out(*more: str) -> str:
        code, out, err = run_cli((*smoke_copy.argv, *AUTO, *more), smoke_copy.root)
        assert (code, err) == (0, "")
        return out

    return carry_out


def test_a_run_measures_once_and_a_resumed_one_keeps_the_choice(smoke_copy, call, trials):
    figures = "images per second in a trial: float32 50, bfloat16 100, bfloat16 with matrix products 60"
    out = call()
    assert trials == [cpu_name()]
    assert out.count(figures) == 1
    assert CpuArithmetic.read(json.loads(smoke_copy.run.arithmetic.read_text())) == chosen(cpu_name())
    described = json.loads((smoke_copy.run.submission / "manifest.json").read_text())["device"]
    assert described.endswith(f" threads, bfloat16 ({figures})")
    before = smoke_copy.receipts()
    smoke_copy.forget(STUDENT)
    assert figures in call()
    assert trials == [cpu_name()]
    assert {"distill"} <= smoke_copy.redone(before)
    assert read_notes(smoke_copy.run, "distill")["device"] == described


def test_another_cpu_is_measured_and_redoes_nothing(smoke_copy, call, trials, monkeypatch):
    call()
    before = smoke_copy.receipts()
    monkeypatch.setattr(arithmetic, "cpu_name", lambda: "Abacus")
    assert "done again" not in call()
    assert trials == [cpu_name(), "Abacus"]
    assert json.loads(smoke_copy.run.arithmetic.read_text())["cpu"] == "Abacus"
    assert smoke_copy.redone(before) == set()


def open_job(run: RunFolder, kind: str) -> Job:
    """The smoke run's job with its dtype left open."""
    settings = load_settings("smoke", [f"device.kind={kind}"])
    return Job(run, load_request(run).model_copy(update={"settings": settings}))


def test_a_damaged_record_is_measured_anew(smoke_copy, trials):
    smoke_copy.run.arithmetic.write_text('{"cpu": "Aba')
    assert arithmetic.with_arithmetic(open_job(smoke_copy.run, "cpu")).arithmetic == chosen(cpu_name())
    assert trials == [cpu_name()]


def test_a_dtype_that_is_demanded_is_not_measured(smoke_copy, run_cli, trials):
    write_record(smoke_copy.run.arithmetic, chosen(cpu_name()))
    job = Job(smoke_copy.run, load_request(smoke_copy.run))
    assert job.settings.device.dtype == "float32"
    assert arithmetic.with_arithmetic(job) is job
    code, out, _ = run_cli(smoke_copy.argv, smoke_copy.root)
    assert (code, trials) == (0, [])
    assert "trial" not in out


def test_a_gpu_is_not_measured(smoke_run, trials, monkeypatch):
    monkeypatch.setattr(device, "cuda_fault", lambda: "")
    job = open_job(smoke_run.run, "cuda")
    assert arithmetic.with_arithmetic(job) is job
    assert trials == []


def test_members_in_processes_of_their_own_have_the_choice(smoke_copy, call, monkeypatch):
    """A process that measured would find something else: no CPU has these rates."""
    monkeypatch.setattr(arithmetic, "measure_arithmetic", lambda cpu: chosen(cpu, products=True))
    call("device.workers=2")
    for step in ("teach-00", "teach-01", "distill"):
        described = read_notes(smoke_copy.run, step)["device"]
        assert ", bfloat16 with matrix products (images per second in a trial: float32 50, " in described


def test_a_single_stage_has_the_choice_of_the_run(smoke_copy, call, run_cli, trials):
    call()
    before = smoke_copy.receipts()
    smoke_copy.forget(("distill",))
    code, _, err = run_cli(["distill", "--name", "tiny"], smoke_copy.root)
    assert (code, err, trials) == (0, "", [cpu_name()])
    assert smoke_copy.redone(before) == {"distill"}
    assert ", bfloat16 (" in read_notes(smoke_copy.run, "distill")["device"]

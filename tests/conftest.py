"""What several test files share: a contest small enough to train on, the command line in this process, a smoke run."""

import contextlib
import io
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.runtime.artifacts import Artifacts
from pipeline.runtime.folder import RunFolder

# Images of 16x16 gain nothing from a second thread, and threads that wait for a busy core cost seconds an epoch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

CLASSES = 3
COLOURS = ((200, 60, 60), (60, 200, 60), (60, 60, 200))
# Two families, as small as they get; a small contest needs small batches to learn anything in three epochs.
# The first has dropout, whose random numbers must be the same after an interruption.
FIRST = '{network = "reference-cnn", seed = 1, options = {width = 8, dropout = 0.2}}'
MEMBERS = f'[{FIRST}, {{network = "test_resnet", seed = 2}}]'
BATCHES = (
    "teach.batch_size=8",
    "distill.batch_size=4",
    "distill.ema_decay=0.9",
    "quantise.ema_decay=0.9",
)
SMALL = ("--set", f"teach.members={MEMBERS}", *BATCHES)
CPU = ("--set", "device.kind=cpu", "device.dtype=float32")

CommandLine = Callable[..., tuple[int, str, str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also the tests that are marked long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@dataclass(frozen=True)
class SmokeRun:
    """A finished run of the smoke preset on the tiny contest. `argv` is what asked for it; `stdout` its output."""

    root: Path
    data: Path
    argv: tuple[str, ...]
    stdout: str

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.root, "tiny")

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.run)

    def receipts(self) -> dict[str, int]:
        """When each step was done."""
        folder = self.run.receipt("x").parent
        return {path.stem: path.stat().st_mtime_ns for path in folder.glob("*.json")}

    def redone(self, before: dict[str, int]) -> set[str]:
        """The steps that were done since these receipts."""
        return {name for name, time in self.receipts().items() if before.get(name) != time}

    def forget(self, steps: Iterable[str]) -> None:
        for step in steps:
            self.run.receipt(step).unlink()


def write_contest(
    folder: Path,
    *,
    splits: Sequence[str] = ("training", "validation", "testing"),
    classes: int = CLASSES,
    broken: int = 0,
    seed: int = 0,
) -> Path:
    """A contest in the reference's layout: 42 training, 12 validation and 12 testing images of 16x16.

    The class is the colour. `broken` of the training images are cut short.
    """
    random = np.random.default_rng(seed)
    for split, count in (("training", 42), ("validation", 12), ("testing", 12)):
        if split not in splits:
            continue
        (folder / split).mkdir(parents=True)
        for i in range(count):
            label = i % classes
            colour = np.array(COLOURS[label % len(COLOURS)]) * (1 - label // len(COLOURS) / 8)
            pixels = random.normal(colour, 30, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            name = f"{i + 1:04d}.jpg" if split == "testing" else f"{label}_{i}.jpg"
            Image.fromarray(pixels).save(folder / split / name, quality=95)
    for path in sorted((folder / "training").glob("*.jpg"))[:broken]:
        path.write_bytes(path.read_bytes()[:100])
    return folder


def call_main(argv: Sequence[str | Path], root: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command line, in this process, with its runs below `root`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in argv], root)
        except SystemExit as end:  # how argparse ends after --help
            code = -1 if end.code else 0
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def tiny_contest(tmp_path: Path) -> Callable[..., Path]:
    """Build a tiny contest at tmp_path/tiny; the options are those of write_contest."""

    def build(name: str = "tiny", **options: object) -> Path:
        return write_contest(tmp_path / name, **options)  # pyright: ignore

    return build


@pytest.fixture(scope="session")
def run_cli() -> CommandLine:
    """run_cli(argv, root) -> exit code, stdout, stderr."""
    return call_main


@pytest.fixture(scope="session")
def smoke_arguments() -> tuple[str, ...]:
    """What makes the smoke preset as small as it gets, and alike on every machine."""
    return (*SMALL, *CPU)


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> SmokeRun:
    """The smoke preset, carried out once. Read-only: a test that changes anything takes smoke_copy."""
    folder = tmp_path_factory.mktemp("smoke")
    data = write_contest(folder / "tiny")
    argv = ("--data", str(data), "--preset", "smoke", *SMALL, *CPU)
    code, out, err = call_main(argv, folder / "root")
    assert code == 0, err
    return SmokeRun(folder / "root", data, argv, out)


@pytest.fixture
def smoke_copy(smoke_run: SmokeRun, tmp_path: Path) -> SmokeRun:
    """A copy of the smoke run that a test may change; times of files are kept, the contest is shared."""
    shutil.copytree(smoke_run.root, tmp_path / "copy")
    return SmokeRun(tmp_path / "copy", smoke_run.data, smoke_run.argv, smoke_run.stdout)


@pytest.fixture
def data_file() -> Callable[[str], Path]:
    """data_file("FOOD11_DATA") -> the real contest that the variable names.

    Skips only where the variable is not set; a variable that names nothing is a failure, as in CI, which sets it.
    """

    def find(variable: str) -> Path:
        value = os.environ.get(variable)
        if not value:
            pytest.skip(f"{variable} is not set")
        path = Path(value)
        if not path.exists():
            pytest.fail(f"{variable}: {path} does not exist")
        return path

    return find

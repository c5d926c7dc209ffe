"""The sample submission of a contest: found by its name wherever it lies, or stated."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.contest.match_ids import listed, plain
from pipeline.contest.read_table import read_table
from pipeline.contest.split_names import words_of
from pipeline.contest.tree import Tree, base, depth, ending, parent
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

DEEPEST_SAMPLE = 3  # folders above it
NONE = "none"
SUBMISSION_WORDS = frozenset(
    ["submission", "submissions", "submit", "submitted", "solution", "prediction", "predictions"]
)
SAMPLE_WORDS = frozenset(["sample", "example", "format", "template", "dummy", "samples"])


@dataclass(frozen=True)
class Sample:
    """The sample submission. header: its columns without blanks around them; content: its bytes."""

    file: str
    header: tuple[str, ...]
    content: bytes


def find_sample(tree: Tree, data: DataSettings) -> Sample | None:
    """The sample submission, None without one.

    Raises RequestError where two different files could be it, and where a stated one is missing.
    """
    if data.sample == NONE:
        return None
    if data.sample:
        return read_sample(*_stated(tree, data.sample))
    found = [name for name in tree.files if is_sample(name) and depth(parent(name)) <= DEEPEST_SAMPLE]
    contents = {name: tree.source.read(name) for name in found}
    if len(set(contents.values())) > 1:
        raise RequestError(f"{tree.where}: found {listed(found)}; say which is the sample with --sample FILE, or none")
    return read_sample(found[0], contents[found[0]], tree.where) if found else None


def is_sample(name: str) -> bool:
    """Whether a file is called like a sample, such as kaggle_sample_submission.csv or submission_format.csv."""
    words = set(words_of(base(name).rpartition(".")[0]))
    joined = base(name).lower().replace("_", "").replace("-", "")
    submission = words & SUBMISSION_WORDS or "submission" in joined
    sample = words & SAMPLE_WORDS or any(word in joined for word in ("sample", "format"))
    return ending(name) in (".csv", ".tsv", ".txt") and bool(submission and sample)


def read_sample(name: str, content: bytes, where: str) -> Sample:
    """A sample with its header. Raises RequestError where it is no table."""
    cells = read_table(content, f"{where}/{name}" if where else name).cells
    return Sample(name, tuple(plain(str(column)) for column in cells), content)


def _stated(tree: Tree, name: str) -> tuple[str, bytes, str]:
    """A file in the contest, by its path or the end of it, else one beside it."""
    found = [file for file in tree.files if file == name or file.endswith(f"/{name}")]
    if len(found) == 1:
        return found[0], tree.source.read(found[0]), tree.where
    if Path(name).is_file():
        return name, Path(name).read_bytes(), ""
    raise RequestError(f"--sample {name}: no such file in {tree.where}, and none of that path")

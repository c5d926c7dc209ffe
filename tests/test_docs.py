"""The documents: generated parts are what the generator writes, sentences are short, links lead somewhere."""

import functools
import re
import subprocess
import xml.etree.ElementTree
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from measurements import prose
from measurements.doc_program import FILES
from measurements.doc_records import MEASUREMENTS, RESULTS, measurement
from measurements.write_docs import OVERVIEW, RECORDED, SETTINGS, TABLES, documents, generated
from pipeline.runtime.describe_settings import describe_settings

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [*documents(), SETTINGS]
PROGRAM_PATHS = (ROOT, ROOT / "pipeline")  # what a path in a document may be relative to

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
each_recorded = pytest.mark.parametrize("name", RECORDED)


@functools.cache
def written() -> dict[Path, str]:
    return generated()


@pytest.mark.parametrize("page", [*PAGES, OVERVIEW], ids=lambda page: page.name)
def test_the_generator_changes_nothing(page: Path) -> None:
    assert written()[page] == page.read_text(), "run: PYTHONPATH=. python measurements/write_docs.py"


def test_every_generated_file_is_tested_and_none_is_left_over() -> None:
    assert set(written()) == {*PAGES, OVERVIEW}
    assert {path for path in (ROOT / "docs").rglob("*") if path.is_file()} == set(written()) - {README}


def test_every_table_stands_in_a_document() -> None:
    texts = "".join(page.read_text() for page in PAGES)
    assert [name for name in TABLES if f"<!-- table: {name} -->" not in texts] == []


def test_the_readme_is_short_and_shows_its_plot_at_once() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 120
    assert any(line.startswith("![") and "docs/overview.svg" in line for line in lines[:20])


def test_the_results_have_five_columns_and_begin_with_the_reference() -> None:
    text = README.read_text()
    header, _, *rows = text[text.index("<!-- table: results -->") :].split("<!-- end -->")[0].splitlines()[1:]
    assert header.count("|") == 6
    assert len(rows) == len(RESULTS)
    assert "food11-reference" in rows[0]
    assert "reference's network" in rows[0]


@each_page
def test_sentences_are_short(page: Path) -> None:
    assert prose.long_sentences(page.read_text()) == []


@each_page
def test_provenance_lies_in_measurements(page: Path) -> None:
    assert prose.commit_hashes(page.read_text()) == []


@each_page
def test_words_are_those_of_the_field(page: Path) -> None:
    assert prose.private_words(page.read_text()) == []


@each_page
def test_links_lead_to_files(page: Path) -> None:
    assert prose.broken_links(page) == []


@each_page
def test_paths_in_the_text_exist(page: Path) -> None:
    text = re.sub(r"^    \./run\.sh.*$", "", page.read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"(?<![\w-])((?:[\w-]+/)+[\w-]+\.(?:py|md|json|csv|png))\b", text))
    named |= set(re.findall(r"\b((?:models|pipeline|measurements|submissions|docs|tests)/(?:\w+/)*)", text))
    own = {name for name in named if name.startswith(("submissions/my", "submissions/trial"))}
    missing = [
        name for name in named - own if not any((base / name).exists() for base in (*PROGRAM_PATHS, page.parent))
    ]
    assert [name for name in missing if Path(name).name not in FILES] == []


@each_page
def test_no_figure_begins_a_line(page: Path) -> None:
    """A line that begins with a comment is a block of its own to a Markdown reader."""
    assert re.findall(r"^<!-- value", page.read_text(), re.MULTILINE) == []


@each_page
def test_a_markdown_reader_sees_every_table(page: Path) -> None:
    text = page.read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    expected = len(re.findall(r"^\|(?: ?-+ ?\|)+$", text, re.MULTILINE))
    assert sum(token.type == "table_open" for token in tokens) == expected
    assert [token.content for token in tokens if token.type == "inline" and token.content.startswith("|")] == []


@each_page
def test_pages_are_not_long(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 300


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        linked = [(page.parent / target.partition("#")[0]).resolve() for target in prose.LINK.findall(page.read_text())]
        waiting += [path for path in linked if path in PAGES and path not in reached]
    assert reached == set(PAGES)


def test_every_setting_is_on_its_page() -> None:
    rows = [line for line in SETTINGS.read_text().splitlines() if line.startswith("| `")]
    assert sum(row["name"].count(".") > 0 for row in describe_settings()) <= len(rows)


def test_the_overview_is_an_svg_with_the_files_as_points() -> None:
    picture = xml.etree.ElementTree.fromstring(OVERVIEW.read_text())
    texts = [element.text or "" for element in picture.iter() if element.tag.endswith("text")]
    for name in RESULTS:
        assert any(text.startswith(f"{name} ") for text in texts)
    width, height = (float(picture.attrib[side]) for side in ("width", "height"))
    assert width == 800
    for element in picture.iter():
        assert 0 <= float(element.get("x", 0)) <= width
        assert 0 <= float(element.get("y", 0)) <= height


@each_recorded
def test_recorded_tables_name_their_conditions(name: str) -> None:
    found = measurement(name)
    assert set(found) == {"about", "columns", "rows", "provenance"}
    assert found["provenance"]["machine"]
    keys = {key for key, _, _ in found["columns"]}
    assert all(keys <= row.keys() for row in found["rows"])


def test_the_commits_of_the_measurements_are_commits() -> None:
    """Every hash in measurements/ names a commit of this repository."""
    text = "".join(path.read_text() for path in sorted(MEASUREMENTS.glob("*.json")))
    hashes = sorted(set(re.findall(r"(?<![\w.,-])[0-9a-f]{7}(?![\w.-])", text)))
    assert len(hashes) >= 25
    try:
        asked = ["git", "-C", str(ROOT), "cat-file", "--batch-check"]
        found = subprocess.run(asked, input="\n".join(hashes), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git repository")
    if (ROOT / ".git" / "shallow").exists():
        pytest.skip("a shallow clone")
    assert [line for line in found.stdout.splitlines() if " commit " not in line] == []

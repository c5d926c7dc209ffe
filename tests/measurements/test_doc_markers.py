"""Markers: what stands between them is replaced, a wrong one is refused, links are relative to the document."""

from pathlib import Path

import pytest

from measurements.doc_markers import MarkerError, filled, link, markdown

DOCUMENT = Path("docs/results/page.md")


def fill(text: str) -> str:
    tables = {"small": lambda _: "| a |", "empty": lambda _: ""}
    return filled(text, DOCUMENT, tables, {"files.count": "7"}.__getitem__)


def test_tables_and_values_are_written_between_their_markers() -> None:
    text = (
        "There are <!-- value: files.count -->3<!-- end --> files.\n<!-- table: small -->\nold\n<!-- end -->\nafter\n"
    )
    expected = (
        "There are <!-- value: files.count -->7<!-- end --> files.\n<!-- table: small -->\n| a |\n<!-- end -->\nafter\n"
    )
    assert fill(text) == expected
    assert fill(expected) == expected


def test_a_table_without_rows_leaves_its_place() -> None:
    assert fill("<!-- table: empty -->\nold\n<!-- end -->") == "<!-- table: empty -->\n<!-- end -->"


@pytest.mark.parametrize("text", ["<!-- table: none -->\n<!-- end -->", "<!-- table: small -->\n", "<!-- end -->"])
def test_a_wrong_marker_is_refused(text: str) -> None:
    with pytest.raises(MarkerError, match=r"page\.md"):
        fill(text)


def test_bars_inside_cells_are_escaped() -> None:
    assert markdown(["a", "b"], [["1|2", "3"]]) == "| a | b |\n| --- | --- |\n| 1\\|2 | 3 |"


def test_links_are_relative_to_the_document() -> None:
    assert link(DOCUMENT, Path("measurements/x.json"), "x") == "[x](../../measurements/x.json)"

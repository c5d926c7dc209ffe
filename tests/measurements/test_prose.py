"""The checks of the prose find what they are for, and nothing in code, tables and links."""

from pathlib import Path

import pytest

from measurements import prose

LONG = "word " * 31


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG}.",
        f"Short one. {LONG}.",
        f"- a list item\n- {LONG}\n",
        f"# A heading\n{LONG}",
        f"1. {LONG}",
        "one two three four five six seven eight nine ten\n" * 4,  # over lines
        f"| a | table |\nthen {LONG}",
        f"```\ncode\n```\n{LONG}",
        f"{'[two words](a.md) ' * 16}",
    ],
)
def test_a_long_sentence_is_found(text: str) -> None:
    assert len(prose.long_sentences(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "word " * 30,
        f"| {LONG} |",
        f"    {LONG}",
        f"```\n{LONG}\n```",
        f"<!-- {LONG} -->",
        f"![{LONG}](a.png)",
        f"`{LONG}`",
        f"- {'word ' * 20}\n- {'word ' * 20}",
        f"{'word ' * 20}.\n{'word ' * 20}.",
        f"{'word ' * 20}\n\n{'word ' * 20}",
        f"# {'word ' * 20}\n{'word ' * 20}",
        f"{'word ' * 20}! {'word ' * 20}? {'word ' * 20}",
        f"**{'word ' * 20}end.** {'word ' * 20}",
        "- | - " * 40,  # no words
    ],
)
def test_short_sentences_and_what_is_no_sentence_are_not(text: str) -> None:
    assert prose.long_sentences(text) == []


@pytest.mark.parametrize(
    "text", ["at commit 3a9f3c8.", "(2236036)", "see /commit/59a8ae576ab79934934deb3a1bdb001db95d7708"]
)
def test_commit_hashes_are_found(text: str) -> None:
    assert len(prose.commit_hashes(text)) == 1


@pytest.mark.parametrize(
    "text", ["300,000 bytes", "297718", "defaced", "0.2236036", "food11-1000000", "#0b6e8f1", "a1b2c3g"]
)
def test_other_numbers_and_words_are_no_hashes(text: str) -> None:
    assert prose.commit_hashes(text) == []


def test_private_words_are_found_and_the_fields_are_not() -> None:
    assert prose.private_words("The file answers for mirrored pictures; divergence, end game, --labels.") == [
        "answers", "mirrored", "pictures", "divergence", "end game", "--labels",
    ]  # fmt: skip
    assert prose.private_words("KL divergence, cs3darknet_focus_s, --soft-labels, points, the answer is no") == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("# Two words, `code`\n")
    page.write_text("[a](other.md) [b](none.md) [c](https://example.org) [d](other.md#two-words-code) [e](other.md#no)")
    assert prose.broken_links(page) == ["none.md", "other.md#no"]

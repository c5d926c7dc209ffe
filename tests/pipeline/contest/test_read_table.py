"""CSV files as tables of text: what stays as it is, which line is which, and what is refused."""

import re

import pytest

from pipeline.contest.read_table import read_table
from pipeline.runtime.errors import RequestError

TEXTS = ["NA", "NaN", "null", "None", "", "0001", "1e5", "1.0", "-0", "TRUE", "inf", " 7 ", "2020-01-01", "é", "a\0b"]


def lines(content: bytes) -> dict[int, list[str]]:
    return {line: cells for line, *cells in read_table(content, "t.csv").cells.itertuples(name=None)}


def test_cells_stay_text():
    table = read_table(("id,text\n" + "".join(f"{n},{text}\n" for n, text in enumerate(TEXTS))).encode(), "t.csv").cells
    assert list(table) == ["id", "text"]
    assert table["text"].tolist() == TEXTS
    assert {type(cell) for column in table for cell in table[column]} == {str}


@pytest.mark.parametrize(
    "header", [["a", "a"], ["", "b"], ["NA", "1.0"], [" a", "b "], ["a.1", "a"], ["Unnamed: 0", ""]]
)
def test_column_names_stay_as_they_are(header: list[str]):
    table = read_table(f"{','.join(header)}\n1,2\n".encode(), "t.csv").cells
    assert list(table) == header
    assert table.to_numpy().tolist() == [["1", "2"]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a,b\n1,2\n3,4", {2: ["1", "2"], 3: ["3", "4"]}),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", {2: ["1", "2"]}),
        (b"\n  \na,b\n\n1,2\n\t\n,\n ,  \n3,\n", {5: ["1", "2"], 9: ["3", ""]}),  # blank lines
        (b'a,b\n"1\n1\n1",2\n3,4\n', {4: ["1\n1\n1", "2"], 5: ["3", "4"]}),  # the last line of a cell over three
        (b'a,b\n"1,""1""",2\n1"1,2\n', {2: ['1,"1"', "2"], 3: ['1"1', "2"]}),
        (b"a\n1\n", {2: ["1"]}),
        (b"a,b\n", {}),
    ],
)
def test_rows_have_the_numbers_of_their_lines(content: bytes, expected: dict[int, list[str]]):
    assert lines(content) == expected
    assert list(read_table(content, "t.csv").cells) == ["a", "b"][: content.count(b"b") + 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.csv is empty, expected a header and one line per image"),
        (b"\n , \n", "t.csv is empty, expected a header and one line per image"),
        (b"a,b\n1,2\n3\n", "t.csv, line 3: found 1 columns, expected 2"),
        (b"a,b\n1,2\n\n3,4,5,6\n", "t.csv, line 4: found 4 columns, expected 2"),
        (b'a,b\n"1\n1",2\n3,4,\n', "t.csv, line 4: found 3 columns, expected 2"),
        (b'a,b\n"1,2\n', "t.csv is not a CSV in UTF-8 (unexpected end of data)"),
        (b'a,b\n"1"x,2\n', "t.csv is not a CSV in UTF-8 (',' expected after '\"')"),
        (b"a,b\n\xff,2\n", "t.csv is not a CSV in UTF-8 ('utf-8' codec can't decode byte 0xff"),
        (b"a,b\n" + b"x" * 131_073 + b",2\n", "t.csv is not a CSV in UTF-8 (field larger than field limit (131072))"),
    ],
)
def test_refused_tables(content: bytes, message: str):
    with pytest.raises(RequestError, match=f"^{re.escape(message)}") as caught:
        read_table(content, "t.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings(separator: str, encoding: str):
    table = read_table(f"id{separator}caf\u00e9\n1{separator}th\u00e9\n".encode(encoding), "t.csv")
    assert table.separator == separator
    assert table.cells.to_dict("list") == {"id": ["1"], "caf\u00e9": ["th\u00e9"]}


def test_a_comma_in_the_header_is_the_separator_whatever_else_is_there():
    assert list(read_table(b"a,b;c;d\n1,2\n", "t.csv").cells) == ["a", "b;c;d"]


def test_a_table_without_a_header_of_its_own():
    cells = read_table(b"1.jpg\tcat\t0\t7\n", "t.txt", ("image", "label")).cells
    assert cells.to_dict("list") == {"image": ["1.jpg"], "label": ["cat"], "column 3": ["0"], "column 4": ["7"]}

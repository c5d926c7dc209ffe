import pytest

from pipeline.contest.match_ids import listed, match_ids, number, repeated

FILES = [
    "test/0001.jpg",
    "test/1e5.jpg",
    "test/NA.png",
    "test/a/cat.jpg",
    "test/b/cat.jpg",
    "test/10.jpg",
    "test/010.jpg",
]


@pytest.mark.parametrize(
    ("id_", "row"),
    [
        ("test/0001.jpg", 0),
        ("0001.jpg", 0),
        ("0001", 0),
        ("1", 0),
        ("01", 0),
        ("1.jpg", -1),
        ("1e5", 1),
        ("100000", -1),
        ("NA", 2),
        ("na", 2),  # in other case
        ("NA.jpg", 2),  # with the ending of another kind of image
        ("../input/x/a/cat.jpg", 3),  # the path of another computer
        ("x\\b\\cat.jpg", 4),
        ("train/0001.jpg", -1),  # of another split
        ("data/0001.jpg", 0),
        ("a/cat.jpg", 3),
        ("b/cat.jpg", 4),
        ("cat.jpg", -1),
        ("cat", -1),
        ("10", 5),
        ("010", 6),
        ("0010", -1),  # 10.jpg or 010.jpg?
        ("", -1),
        ("9" * 30, -1),
    ],
)
def test_an_id_names_one_file_or_none(id_: str, row: int):
    assert match_ids([id_], FILES) == [row]


def test_an_exact_name_comes_before_a_stem_and_a_number():
    assert match_ids(["1", "1.jpg", "01"], ["1.jpg.png", "1.png", "01.png"]) == [1, 0, 2]


def test_numbers_are_plain_digits():
    texts = ["007", "0", "-1", "1.0", "1e5", " 1", "\u0661", ""]
    assert [number(text) for text in texts] == ["7", "0", None, None, None, None, None, None]


def test_lists_are_cut_at_so_many_letters():
    assert listed(["x" * 70, "y" * 70]) == f"2 ({'x' * 70}, ...)"
    assert listed(["x" * 200]) == f"1 ({'x' * 120}...)"


def test_lists_are_cut_at_ten():
    assert listed(["a", "b"]) == "2 (a, b)"
    assert listed(list("abcdefghijk")) == "11 (a, b, c, d, e, f, g, h, i, j, ...)"
    assert repeated(["b", "a", "b", "c", "a", "b"]) == ["b", "a"]

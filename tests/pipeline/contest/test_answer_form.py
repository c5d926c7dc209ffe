"""What a sample's second column asks for: by hand, one row per kind."""

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.contest.answer_form import Answer, answer_of_sample, answer_without_sample, canonical
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

CAT_DOG, NUMBERS, WORDS = ("cat", "dog"), ("0", "1"), ("ant", "bee", "cow")


def answer(values: list[str], classes: tuple[str, ...], column: str = "label", **changes: Any) -> Answer:
    return answer_of_sample(values, column, classes, DataSettings(**changes), "s.csv")


@pytest.mark.parametrize(
    ("values", "classes", "column", "changes", "expected"),
    [
        (["cat", "cat"], CAT_DOG, "label", {}, Answer(CAT_DOG)),
        (["", ""], CAT_DOG, "label", {}, Answer(CAT_DOG)),
        (["?", "?"], CAT_DOG, "label", {}, Answer(CAT_DOG)),  # a word that only holds the place
        (["0", "1"], NUMBERS, "label", {}, Answer(NUMBERS)),
        (["0", "0"], ("0", "1", "2"), "label", {}, Answer(("0", "1", "2"))),
        (["2.0", "0.0"], ("0", "1", "2"), "label", {}, Answer(("0.0", "1.0", "2.0"))),
        (["0.5", "0.5"], NUMBERS, "label", {}, Answer(NUMBERS, (1,))),
        (["0.25", "1"], NUMBERS, "label", {}, Answer(NUMBERS, (1,))),
        (["0.5"], ("True", "False"), "label", {}, Answer(("True", "False"), (0,))),
        (["0.5"], CAT_DOG, "Cat", {}, Answer(CAT_DOG, (0,))),  # the column is called like a class
        (["0.5"], CAT_DOG, "label", {"positive": "dog"}, Answer(CAT_DOG, (1,))),
        (["0"], NUMBERS, "probability", {}, Answer(NUMBERS, (1,))),
        (["0"], NUMBERS, "label", {"answer": "class"}, Answer(NUMBERS)),
        (["0"], NUMBERS, "label", {"answer": "probability"}, Answer(NUMBERS, (1,))),
        (["0.5"], WORDS, "label", {"answer": "class"}, Answer(WORDS)),
        (["0", "1"], WORDS, "label", {"class_order": ("cow", "ant", "bee")}, Answer(("1", "2", "0"))),
        (["1", "3"], WORDS, "label", {"class_order": ("ant=1", "bee=2", "cow=3")}, Answer(("1", "2", "3"))),
        (["0", "1"], WORDS, "label", {"class_order": ("names",)}, Answer(WORDS)),
        (["ant bee", "ant bee"], WORDS, "label", {"answer": "class"}, Answer(WORDS)),
    ],
)
def test_what_a_sample_asks_for(
    values: list[str], classes: tuple[str, ...], column: str, changes: Any, expected: Answer
):
    assert answer(values, classes, column, **changes) == expected


@pytest.mark.parametrize(
    ("values", "classes", "changes", "message"),
    [
        (
            ["0", "0"],
            NUMBERS,
            {},
            r"label is 0 in every line, a class or a probability\? say it with --answer class or",
        ),
        (["1"], CAT_DOG, {}, r"label is 1 in every line, a class or a probability\?"),
        (["0.5"], CAT_DOG, {}, r"the probability of which class\? say it with --positive cat or --positive dog"),
        (["0"], CAT_DOG, {"answer": "probability"}, r"the probability of which class\?"),
        (["0.5"], CAT_DOG, {"positive": "cow"}, r"--positive cow: found classes 2 \(cat, dog\)"),
        (["cat"], CAT_DOG, {"positive": "dog"}, "--positive dog, but the sample asks for a class, such as cat"),
        (["0.5"], WORDS, {}, "label holds fractions, but there are 3 classes; --answer class writes the class"),
        (["0.5"], WORDS, {"answer": "probability"}, "one column cannot hold the probabilities of 3 classes"),
        (
            ["0", "2"],
            WORDS,
            {},
            r"classes are numbers such as 0, those of training are 3 \(ant, bee, cow\); say their order",
        ),
        (["7"], ("0", "1", "2"), {}, "classes are numbers such as 7"),
        (["0"], CAT_DOG, {"answer": "class"}, r"classes are numbers such as 0, those of training are 2 \(cat, dog\)"),
        (["ant", "elk", "fox"], WORDS, {}, "has classes that training has not, such as 'elk'; --answer class writes"),
        (
            ["ant bee cow"],
            WORDS,
            {},
            "holds several classes per line, such as 'ant bee cow'; --answer class writes one",
        ),
        (["0", "1"], WORDS, {"class_order": ("ant", "bee")}, r"--class-order does not fit the classes: 1 \(cow\)"),
        (["0", "1"], WORDS, {"class_order": ("ant", "bee", "cow", "elk")}, r"does not fit the classes: 1 \(elk\)"),
    ],
)
def test_what_is_asked_about(values: list[str], classes: tuple[str, ...], changes: Any, message: str):
    with pytest.raises(RequestError, match=f"^s.csv: .*{message}") as caught:
        answer(values, classes, **changes)
    assert len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


def test_without_a_sample():
    assert answer_without_sample(WORDS, DataSettings(), "c") == Answer(WORDS)
    assert answer_without_sample(NUMBERS, DataSettings(answer="probability"), "c") == Answer(NUMBERS, (1,))
    assert answer_without_sample(CAT_DOG, DataSettings(positive="dog"), "c") == Answer(CAT_DOG, (1,))
    assert answer_without_sample(CAT_DOG, DataSettings(class_order=("dog", "cat")), "c") == Answer(("1", "0"))


@pytest.mark.parametrize(
    "changes", [{"answer": "class", "positive": "cat"}, {"answer": "probability", "class_order": ("a",)}]
)
def test_choices_that_contradict_each_other(changes: Any):
    with pytest.raises(ValidationError, match=r"positive: the answer is|class_order: the answer is"):
        DataSettings(**changes)


def test_whole_numbers_with_a_point():
    texts = ["3.0", "-2.00", "3.5", "3.", "a.0", ".0", "3"]
    assert [canonical(text) for text in texts] == ["3", "-2", "3.5", "3.", "a.0", ".0", "3"]

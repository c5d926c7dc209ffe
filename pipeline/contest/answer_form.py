"""What the second column of a contest's CSV holds: a class, its number, or the probability of one class.

The sample shows it, where it can mean one thing only; else the user is asked. C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.contest.match_ids import listed, plain
from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.errors import RequestError

SURE_PAIRS = (("0", "1"), ("false", "true"), ("no", "yes"))  # the second is the positive class
PROBABILITY_WORDS = frozenset(["probability", "prob", "proba", "p", "score", "confidence"])
NAMES = ("names",)  # in the place of an order: the classes are written by their names
ASK_ANSWER = "say it with --answer class or --answer probability"


@dataclass(frozen=True)
class Answer:
    """labels: the text that stands for each class. columns: the class whose probability is asked for, or none."""

    labels: tuple[str, ...]
    columns: tuple[int, ...] = ()


def answer_of_sample(
    values: Sequence[str], column: str, classes: Sequence[str], data: DataSettings, where: str
) -> Answer:
    """What a sample's second column asks for. values: its cells; column: its name.

    Raises RequestError where it can mean two things, and where the choice that is stated does not fit.
    """
    found = set(map(plain, values))
    kind = data.answer or _implied(found, data) or _kind(found, column, classes, where)
    if kind == "probability":
        return Answer(tuple(classes), (positive_class(column, classes, data, where),))
    if data.positive:
        raise RequestError(
            f"{where}: --positive {data.positive}, but the sample asks for a class, such as {min(found)}"
        )
    if data.class_order:
        return Answer(_ordered(classes, data.class_order, where))
    return Answer(_texts(found, classes, where, stated=bool(data.answer)))


def answer_without_sample(classes: Sequence[str], data: DataSettings, where: str) -> Answer:
    """The class, or what the settings ask for."""
    if data.answer == "probability" or data.positive:
        return Answer(tuple(classes), (positive_class("", classes, data, where),))
    return Answer(_ordered(classes, data.class_order, where) if data.class_order else tuple(classes))


def positive_class(column: str, classes: Sequence[str], data: DataSettings, where: str) -> int:
    """The class whose probability is asked for: the stated one, 1 of 0 and 1, or the one that the column is called."""
    if len(classes) != 2:
        raise RequestError(
            f"{where}: one column cannot hold the probabilities of {len(classes)} classes; --answer class writes the "
            "class"
        )
    if data.positive:
        if data.positive not in classes:
            raise RequestError(f"{where}: --positive {data.positive}: found classes {listed(list(classes))}")
        return classes.index(data.positive)
    folded = [name.casefold() for name in classes]
    for pair in SURE_PAIRS:
        if sorted(folded) == sorted(pair):
            return folded.index(pair[1])
    if column.casefold() in folded:
        return folded.index(column.casefold())
    raise RequestError(
        f"{where}: the probability of which class? say it with --positive {classes[0]} or --positive {classes[1]}"
    )


def _implied(found: set[str], data: DataSettings) -> str:
    """What another choice says of the answer, "" where none does."""
    if data.class_order:
        return "class"
    return "probability" if data.positive and all(_number(value) is not None for value in found) else ""


def _kind(found: set[str], column: str, classes: Sequence[str], where: str) -> str:
    """Whether the cells of a sample ask for a class or for a probability."""
    numbers = [value for value in map(_number, found) if value is not None]
    all_numbers = len(numbers) == len(found)
    if not found - {""}:
        return "class"
    if all_numbers and any(value != int(value) for value in numbers):
        if len(classes) == 2:
            return "probability"
        raise RequestError(
            f"{where}: {column} holds fractions, but there are {len(classes)} classes; --answer class writes the class"
        )
    if all_numbers and len(classes) == 2 and len(found) == 1:
        if column.casefold() in PROBABILITY_WORDS:
            return "probability"
        raise RequestError(f"{where}: {column} is {min(found)} in every line, a class or a probability? {ASK_ANSWER}")
    return "class"


def _texts(found: set[str], classes: Sequence[str], where: str, *, stated: bool) -> tuple[str, ...]:
    """How each class is written: as the sample does. `stated`: the user says that classes are asked for."""
    found = found - {""}
    by_form = {canonical(name): name for name in classes}
    if found and all(canonical(value) in by_form for value in found):
        with_point = all(value.endswith(".0") for value in found) and all(canonical(name).isdigit() for name in classes)
        return tuple(f"{canonical(name)}.0" for name in classes) if with_point else tuple(classes)
    strangers = sorted(value for value in found if canonical(value) not in by_form)
    if strangers and all(map(_is_whole, found)):
        names = ",".join(classes[:3]) + (",..." if len(classes) > 3 else "")
        raise RequestError(
            f"{where}: its classes are numbers such as {strangers[0]}, those of training are {listed(list(classes))}; "
            f"say their order with --class-order {names}, or --class-order names to write the names"
        )
    several = [value for value in strangers if len(value.split()) > 1 and set(value.split()) & set(classes)]
    if (len(strangers) > 1 or several) and not stated:
        what = "holds several classes per line" if several else "has classes that training has not"
        example = strangers[0] if len(strangers[0]) <= 40 else f"{strangers[0][:40]}..."
        raise RequestError(
            f"{where}: {what}, such as {example!r}; --answer class writes one class of training per line"
        )
    return tuple(classes)  # a word of no class in every line only holds the place


def _ordered(classes: Sequence[str], order: Sequence[str], where: str) -> tuple[str, ...]:
    """The number of each class, of `a, b` from 0 or of `a=1, b=2`; of `names` the name of each."""
    if tuple(order) == NAMES:
        return tuple(classes)
    pairs = [entry.rpartition("=") for entry in order]
    numbered = all(name in classes for name, _, _ in pairs)
    names = [name for name, _, _ in pairs] if numbered else list(order)
    if sorted(names) != sorted(classes):
        missing = sorted(set(classes) - set(names)) or sorted(set(names) - set(classes))
        raise RequestError(f"{where}: --class-order does not fit the classes: {listed(missing)}; expected each once")
    numbers = [number for _, _, number in pairs] if numbered else [str(place) for place in range(len(order))]
    return tuple(numbers[names.index(name)] for name in classes)


def canonical(text: str) -> str:
    """A whole number without its point: 3.0 is 3; any other text as it is."""
    whole, point, zeros = text.partition(".")
    return whole if point and zeros and not zeros.strip("0") and whole.lstrip("-").isdigit() else text


def _is_whole(text: str) -> bool:
    value = _number(text)
    return value is not None and value.is_integer()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

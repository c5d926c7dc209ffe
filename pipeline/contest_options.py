"""Options that settle how a contest is read, where it can be read in two ways: each is a setting of [data]."""

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from pipeline.runtime.data_settings import DataSettings
from pipeline.runtime.load_settings import tuples

ANSWERS = ("answer", "positive", "class_order", "sample")
COLUMNS = ("image_column", "label_column")


def contest_options(parser: ArgumentParser, *, columns: bool) -> None:
    """Options about the CSV, and about the columns of the training table."""
    group = parser.add_argument_group("where a contest can be read in two ways, a run asks for one of these")
    group.add_argument("--answer", choices=("class", "probability"), help="what the second column of the CSV holds")
    group.add_argument("--positive", metavar="CLASS", help="the class whose probability is asked for")
    meaning = "the classes in the order of their numbers in the CSV, from 0: cat,dog; or cat=1,dog=2; or names"
    group.add_argument("--class-order", metavar="CLASSES", help=meaning)
    group.add_argument("--sample", metavar="FILE", help="the sample submission; none: there is none")
    if columns:
        group.add_argument("--image-column", metavar="NAME", help="column of the training table that names the images")
        group.add_argument("--label-column", metavar="NAME", help="column of the training table that holds the class")


def contest_changes(given: Namespace) -> tuple[str, ...]:
    """The options as changes of settings, such as data.answer="class"."""
    return tuple(f"data.{name}={json.dumps(value, ensure_ascii=False)}" for name, value in _stated(given).items())


def contest_settings(given: Namespace) -> DataSettings:
    """The options as settings, for commands that have no others."""
    return DataSettings.model_validate(tuples(_stated(given)))


def _stated(given: Namespace) -> dict[str, Any]:
    values = {name: getattr(given, name, None) for name in (*ANSWERS, *COLUMNS)}
    stated: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    if "class_order" in stated:
        stated["class_order"] = [name.strip() for name in stated["class_order"].split(",")]
    return stated

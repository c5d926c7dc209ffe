"""The class of each line of a table: by a column of classes, or one-hot by one column per class.

N lines, C classes. Where two columns could be it, the user says which.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.contest.match_ids import listed
from pipeline.runtime.errors import RequestError

LABEL_COLUMNS = frozenset(
    [
        "label",
        "labels",
        "class",
        "classes",
        "target",
        "category",
        "classid",
        "class_id",
        "label_id",
        "category_id",
        "classname",
        "class_name",
        "label_name",
        "category_name",
    ]
)
ONES, ZEROS = frozenset(["1", "1.0", "true"]), frozenset(["0", "0.0", "false"])


def label_texts(
    columns: pd.DataFrame,
    id_column: str,
    others: Sequence[str],
    asked: Sequence[str],
    folders: Sequence[str | None] | None,
    stated: str,
    where: str,
) -> tuple[list[str], str]:
    """Text of the class of each line, and where it stands.

    others: the columns that name no images. asked: those of the sample beside its ids. folders: the class folder of
    each line's image. stated: the column that the user names. A line may have no class, "". Raises RequestError where
    no column or two could be it.
    """
    asked = list(dict.fromkeys(asked))
    if stated:
        if stated not in columns:
            raise RequestError(f"{where}: no column {stated}; found {listed(list(columns))}")
        return columns[stated].tolist(), stated
    if len(asked) > 1 and set(asked) <= set(others) and _are_zeros_and_ones(columns, asked):
        return _of_one_hot(columns, id_column, asked, where), f"one-hot {', '.join(asked)[:60]}"
    choices = _choices(columns, others, asked, folders)
    if len(choices) == 1:
        return columns[choices[0]].tolist(), choices[0]
    hot = [] if choices else _one_hot_columns(columns, others)
    if hot:
        return _of_one_hot(columns, id_column, hot, where), f"one-hot {', '.join(hot)[:60]}"
    found = listed(choices or [str(name) for name in others])
    raise RequestError(f"{where}: which column is the label? found {found}; say it with --label-column")


def _choices(
    columns: pd.DataFrame, others: Sequence[str], asked: Sequence[str], folders: Sequence[str | None] | None
) -> list[str]:
    """Columns that could be the label, by the first rule that finds one."""
    rules = (
        [name for name in others if [name] == asked],
        [name for name in others if len(asked) > 1 and set(columns[name]) == set(asked)],
        list(others) if len(others) == 1 else [],
        [name for name in others if folders and columns[name].tolist() == list(folders)],
        [name for name in others if name.lower() in LABEL_COLUMNS],
    )
    return next((found for found in rules if found), [])


def _one_hot_columns(columns: pd.DataFrame, others: Sequence[str]) -> list[str]:
    """Columns of zeros and ones alone, where every line has exactly one 1 among them."""
    binary = [name for name in others if _are_zeros_and_ones(columns, [name])]
    return binary if len(binary) > 1 and bool((_hot(columns, binary).sum(1) == 1).all()) else []


def _are_zeros_and_ones(columns: pd.DataFrame, names: Sequence[str]) -> bool:
    return all({cell.lower() for cell in columns[name]} <= ONES | ZEROS for name in names)


def _hot(columns: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Where the cells of these columns are ones, bool [N, C]."""
    return np.array([[cell.lower() in ONES for cell in columns[name]] for name in classes]).T


def _of_one_hot(columns: pd.DataFrame, id_column: str, classes: list[str], where: str) -> list[str]:
    hot_NC = _hot(columns, classes)
    for row in np.flatnonzero(hot_NC.sum(1) != 1):
        image, found = columns[id_column].iloc[row], [classes[index] for index in np.flatnonzero(hot_NC[row])]
        raise RequestError(f"{where}: {image} has {len(found)} classes ({', '.join(found)}), expected exactly one 1")
    return [classes[index] for index in hot_NC.argmax(1)]

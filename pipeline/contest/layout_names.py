"""Labels in file names: training/{label}_{n}.jpg as in the reference's contest, cat.0.jpg, Abyssinian_12.jpg."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from pipeline.contest.match_ids import plain
from pipeline.contest.tree import Tree
from pipeline.runtime.errors import RequestError

# the label, a separator, a number; the label is a number or has no digit: 10_left and img_1_cat hold no label
LABELLED_STEM = re.compile(r"(?P<label>.+?)[._\- (]+[0-9]+\)?")
MOST_CLASSES, FEWEST_IMAGES = 10, 3  # above so many classes of fewer images each, the numbers are rather ids


def name_labels(tree: Tree, files: Sequence[str], *, sure: bool) -> dict[str, str]:
    """{file: the label in its name}; `sure`: it is known that labels stand in names.

    Raises RequestError for a name without a label, for numbers and words side by side, and where the names are rather
    ids.
    """
    labels = {file: _label(file) for file in files}
    without = next((file for file, label in labels.items() if not label), None)
    if without:
        raise RequestError(
            f"{tree.where}/{without}: expected a name with its label first, {{label}}_{{n}}, or class folders, or a "
            "table of labels"
        )
    names = set(labels.values())
    numbers = {name for name in names if name.isdigit()}
    if numbers and numbers != names:
        word = min(names - numbers)
        raise RequestError(
            f"{tree.where}: some names begin with a number, such as {min(numbers)}, others with a word, such as {word}"
            "; expected labels of one kind"
        )
    if len(names) > MOST_CLASSES and len(labels) < FEWEST_IMAGES * len(names) and not sure:
        raise RequestError(
            f"{tree.where}: the names hold {len(names)} labels for {len(labels)} images, or these are ids; say it with "
            "--set data.labels_from=names or the path of a table"
        )
    return labels


def _label(file: str) -> str:
    """The label in a file's name; "" where there is none."""
    match = LABELLED_STEM.fullmatch(plain(PurePosixPath(file).stem))
    label = match["label"] if match else ""
    if re.fullmatch(r"[0-9]{1,9}", label):
        return str(int(label))
    return "" if any(letter.isdigit() for letter in label) or not any(map(str.isalpha, label)) else label

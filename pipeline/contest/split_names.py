"""Which split a folder or table belongs to, by the words of its name: train_images, seg_test, ISIC_Training_Input."""

import re
from dataclasses import dataclass

SPLIT_WORDS = {
    "training": ("training", "train"),
    "validation": ("validation", "valid", "val"),
    "testing": ("testing", "test", "pred", "predict"),
}
# Words that say nothing about which of two folders is meant: train and train_images are alike, train_masks is not.
NEUTRAL_WORDS = frozenset(
    [
        "set",
        "sets",
        "data",
        "dataset",
        "image",
        "images",
        "img",
        "imgs",
        "picture",
        "pictures",
        "photo",
        "photos",
        "features",
        "input",
        "inputs",
        "jpg",
        "jpeg",
        "png",
        "folder",
        "x",
        "public",
        "raw",
        "full",
    ]
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|[^\W\d_]+")
_SPLIT_OF_WORD = {word: split for split, words in SPLIT_WORDS.items() for word in words}


@dataclass(frozen=True)
class SplitName:
    """The split that a name means. rank: 0 where it says nothing else, 1 with neutral words, 2 with others."""

    split: str
    rank: int


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: trainLabels_v2 has train, labels, v, 2."""
    words = [word.lower() for word in _WORD.findall(name)]
    return [part for word in words for part in _parted(word)]


def split_name(name: str) -> SplitName | None:
    """The split of a name; None where it names none, or several."""
    words = words_of(name)
    splits = {_SPLIT_OF_WORD[word] for word in words if word in _SPLIT_OF_WORD}
    if len(splits) != 1:
        return None
    others = [word for word in words if word not in _SPLIT_OF_WORD]
    neutral = all(word in NEUTRAL_WORDS or word.isdigit() for word in others)
    return SplitName(splits.pop(), 0 if not others else 1 if neutral else 2)


def _parted(word: str) -> list[str]:
    """Trainset and testimages are two words each."""
    for start in _SPLIT_OF_WORD:
        rest = word.removeprefix(start)
        if rest != word and rest in NEUTRAL_WORDS | {"labels", "label"}:
            return [start, rest]
    return [word]

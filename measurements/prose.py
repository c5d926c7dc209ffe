"""What is checked of the documents' prose: long sentences, commit hashes, private words, broken links."""

import re
from collections.abc import Iterator
from pathlib import Path

MOST_WORDS = 30  # of a sentence
COMMIT_HASH = re.compile(r"(?<![\w.#-])(?=[0-9a-f]*[0-9])[0-9a-f]{7,40}(?![\w-])(?!\.\w)")
# Words of this project's own that stood for terms of the field; the term is in the comment where it is not plain.
PRIVATE_WORDS = (
    r"learned[_ ]steps\.py|compensated[_ ]rounding|norm[_ ]statistics|matrix[_ ]convolution|labels_elsewhere",
    r"WeightAverage|averaging|blending|fit_blend|members_at_once|student_start|clean_pictures",
    r"renew(?:s|ed|ing)?|unfolding|strangers",
    r"(?<!KL )divergence",
    r"focus|focus_part|focus_share|end game",  # final phase
    r"export\.flip|pack\.mirror|mirrored|distill\.flip|distill\.shift",  # flip TTA, augmentation
    r"coarser|quantise\.clip|distill\.start|Point",
    r"pictures|answers|says|tells|told",  # images, predictions, logits, reports
    r"from elsewhere|answer alike|recipe of now|one of two ends",
    r"the report's",  # the reference's
)
PRIVATE = re.compile(rf"(?<!\w)(?:{'|'.join(PRIVATE_WORDS)}|--labels)(?!\w)")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_LIST_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])[\"')*]*\s+")


def long_sentences(text: str) -> list[str]:
    """Sentences of more words than MOST_WORDS."""
    return [sentence for sentence in sentences(text) if len(words(sentence)) > MOST_WORDS]


def words(sentence: str) -> list[str]:
    """Its words: what stands between blanks and holds a letter or a digit."""
    return [word for word in sentence.split() if any(map(str.isalnum, word))]


def sentences(text: str) -> Iterator[str]:
    """The sentences of a Markdown document: no code blocks, tables or images; list items and headings on their own."""
    for paragraph in _paragraphs(text):
        shown = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", paragraph)
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", shown)
        shown = re.sub(r"`[^`]*`", "code", shown)
        yield from filter(None, map(str.strip, _END_OF_SENTENCE.split(shown)))


def commit_hashes(text: str) -> list[str]:
    """What could be the hash of a commit: seven or more hexadecimal digits, one of them a number."""
    return COMMIT_HASH.findall(text)


def private_words(text: str) -> list[str]:
    """Words of this project's own that have a term in the field."""
    return [match.group() for match in PRIVATE.finditer(text)]


def broken_links(document: Path) -> list[str]:
    """Links to files of the repository, or to headings in them, that do not exist."""
    broken = []
    for target in LINK.findall(document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        file = document.parent / name if name else document
        if not file.exists() or (heading and heading not in _headings(file)):
            broken.append(target)
    return broken


def _headings(document: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs, list items and headings, each as one line."""
    lines: list[str] = []
    fenced = False
    for line in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines():
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        begins = bool(_LIST_ITEM.match(line)) or line.startswith("#")
        code = fence or fenced or (line.startswith("    ") and not lines)
        if begins or code or not line.strip() or line.startswith("|"):
            yield " ".join(lines)
            lines = []
        if not (code or line.startswith("|")) and line.strip():
            lines.append(_LIST_ITEM.sub("", line).strip().lstrip("# "))
            if line.startswith("#"):
                yield lines.pop()
    yield " ".join(lines)

"""Grounded text -> its elements: label, boxes and text of each, in the order in which the model wrote them.

Two dialects, with any of their tags missing, repeated or cut off:

    <|ref|>label<|/ref|><|det|>[[x1, y1, x2, y2], …]<|/det|>text      DeepSeek-OCR
    <|det|>label [x1, y1, x2, y2]<|/det|>text                         Unlimited-OCR

and the first one as servers give it that drop special tokens: `label[[x1, y1, x2, y2]]` at the start of a line. What a
model printed is data: it is scanned once, in linear time, and never evaluated; any text has a reading. This file knows
the tags and nothing of what labels mean or of Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

GRID = 999  # coordinates are 0 to 999 of the page
LONGEST_LABEL = 60  # characters; a tag that is never closed must not swallow the text behind it
MOST_BOXES = 200  # of one element; a model that loops prints thousands

GridBox = tuple[int, int, int, int]

_TAG = re.compile(r"<\|(/?)(ref|det)\|?>")
_NUMBER = re.compile(r"[\[\]]|-?\d+(?:\.\d+)?")
_BODY = frozenset("0123456789 \t\r\n,.[]()-")
_RUN = re.compile(r"[ \t]*\[[\d \t,.\[\]()-]*")  # boxes that no tag closes
_BARE_BOX = r"\d{1,4}(?:,[ ]?\d{1,4}){3}\]"
_BARE = re.compile(
    rf"^[ \t]*([a-z]{{3,}}(?:_[a-z]+)*)[ \t]?(\[{{1,2}}{_BARE_BOX}(?:,[ ]?\[{_BARE_BOX})*\]?)", re.MULTILINE
)
# Special tokens that leak into the text. Pages follow each other as paragraphs do.
_PAGES = re.compile(r"<PAGE>|<-{1,3} ?Page Split ?-{1,3}>")
_LEAKED = re.compile(
    r"<｜[^<>｜\n]{0,40}｜>|<\|(?:grounding|(?:begin|end)[_▁]of[_▁]sentence|endoftext|im_(?:start|end|sep)|eot_id|User"
    r"|Assistant|▁pad▁)\|>|<image>"
)
_LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef]")
_CUT_WIDE = re.compile(r"<｜[^<>｜\n]{0,40}｜?$")
_SPECIAL = ("<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>", "<|endoftext|>", "<|im_end|>", "<image>",
            "<PAGE>", "<｜")  # fmt: skip


@dataclass(frozen=True)
class Grounded:
    """One element.

    Attributes:
        label: as the model printed it; empty for text in front of the first label.
        boxes: (left, top, right, bottom), 0 to 999 of the page, ordered, of some extent, none twice.
        text: what stands between this element's tags and the next one's, without blank lines around it.
        truncated: the answer ended within this element's tags.
    """

    label: str
    boxes: tuple[GridBox, ...]
    text: str
    truncated: bool = False


@dataclass(frozen=True)
class _Header:
    """The tags that begin an element: where its text starts, and the number of the next tag."""

    label: str
    boxes: tuple[GridBox, ...]
    end: int
    next_tag: int
    truncated: bool = False
    inside: bool = False  # the label stands inside the <|det|>


def read_grounding(text: str) -> tuple[Grounded, ...]:
    """The elements of a text; a text without any grounding is one element without label and boxes.

    Args:
        text: what a model generated, special tokens and all.
    """
    text = _without_leaks(text)
    if not _TAG.search(text) and _BARE.match(text.lstrip()):
        text = _BARE.sub(r"<|ref|>\1<|/ref|><|det|>\2<|/det|>", text)
    return tuple(found for found in _elements(text) if found.label or found.boxes or found.text or found.truncated)


def read_boxes(body: str, closed: bool = True) -> tuple[GridBox, ...]:
    """Boxes of a list such as `[[1, 2, 3, 4], [5, 6, 7, 8]]`, with too many, too few or no brackets.

    Args:
        closed: False if the list was cut off, so that a box without its bracket may lack digits.
    """
    groups: list[list[float]] = [[]]
    for found in _NUMBER.finditer(body):
        if found.group() in "[]":
            groups.append([])
        else:
            groups[-1].append(float(found.group()))
    if not closed:
        groups.pop()
    if all(len(group) in (0, 2) for group in groups):  # corner by corner
        groups = [[number for group in groups for number in group]]
    boxes = (_box(group[at : at + 4]) for group in groups for at in range(0, len(group) - 3, 4))
    return tuple(dict.fromkeys(box for box in boxes if box))[:MOST_BOXES]


def _box(numbers: Sequence[float]) -> GridBox | None:
    left, top, right, bottom = (round(min(float(GRID), max(0.0, number))) for number in numbers)
    left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _without_leaks(text: str) -> str:
    """The text without control characters, special tokens other than the tags, and half a token at its end."""
    text = _CONTROLS.sub("", _LINE_ENDS.sub("\n", text))
    text = _LEAKED.sub("", _PAGES.sub("\n\n", text))
    text = _CUT_WIDE.sub("", text)
    longest = max(len(token) for token in _SPECIAL)
    for size in range(longest - 1, 0, -1):
        tail = text[-size:]
        if tail.startswith("<") and any(token.startswith(tail) and token != tail for token in _SPECIAL):
            return text[:-size]
    return text


def _elements(text: str) -> Iterator[Grounded]:
    tags = list(_TAG.finditer(text))
    current, pieces, start, index = _Header("", (), 0, 0), [], 0, 0
    while index < len(tags):
        pieces.append(text[start : tags[index].start()])
        header = _read_header(text, tags, index, current.inside)
        if header is None:  # a tag that begins nothing
            start, index = tags[index].end(), index + 1
            continue
        yield _element(current, pieces)
        current, pieces, start, index = header, [], header.end, header.next_tag
    yield _element(current, [*pieces, text[start:]])


def _element(header: _Header, pieces: Sequence[str]) -> Grounded:
    lines = "".join(pieces).rstrip().split("\n")
    lines[0] = lines[0].lstrip()  # behind the tags; on later lines it may be the indentation of code
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    return Grounded(header.label, header.boxes, "\n".join(lines[first:]), header.truncated)


def _read_header(text: str, tags: Sequence[re.Match[str]], index: int, inside: bool) -> _Header | None:
    """The element that begins at a tag, if one does; `inside` says that the element before had its label inside."""
    tag = tags[index]
    if tag[1]:
        return None
    if tag[2] == "det":
        return _read_boxes_tag(text, tags, index, "")
    label_end = tags[index + 1].start() if index + 1 < len(tags) else len(text)
    label = text[tag.end() : label_end].strip()
    short = len(label) <= LONGEST_LABEL and "\n" not in label
    if label_end == len(text):
        return _Header(label, (), len(text), len(tags), truncated=True) if short else None
    behind = index + 1
    if tags[behind][1] and tags[behind][2] == "ref":
        behind += 1
        gap = text[tags[behind - 1].end() : tags[behind].start() if behind < len(tags) else len(text)]
        if gap.strip():
            return None
        if behind == len(tags):
            return None if inside else _Header(label, (), len(text), behind, truncated=True)
    elif not short:
        return None
    if tags[behind][1] or tags[behind][2] != "det":
        return None
    return _read_boxes_tag(text, tags, behind, label)


def _read_boxes_tag(text: str, tags: Sequence[re.Match[str]], index: int, label: str) -> _Header:
    """The element whose boxes begin at a tag; a label in front of the boxes counts if there was none before."""
    start = tags[index].end()
    stop = tags[index + 1].start() if index + 1 < len(tags) else len(text)
    closing = tags[index + 1] if index + 1 < len(tags) and tags[index + 1].group().startswith("<|/det") else None
    said, bracket, body = text[start:stop].partition("[")
    inside = not label
    if closing and (len(said) <= LONGEST_LABEL and "\n" not in said.strip()) and (
        _BODY.issuperset(body) or "\n" not in body.strip()
    ):  # fmt: skip
        if not bracket:
            said, body = ("", said) if _BODY.issuperset(said) else (said, "")
        return _Header(label or said.strip(), read_boxes(body), closing.end(), index + 2, inside=inside)
    said = said.strip()
    if not bracket or len(said) > LONGEST_LABEL or "\n" in said:  # no boxes: what stands here is text, or half a label
        cut = stop == len(text) and said.replace("_", "").replace(" ", "").isalpha() is (said != "")
        if cut and len(said) <= LONGEST_LABEL // 2 and " " not in said:
            return _Header(label or said, (), stop, index + 1, truncated=True, inside=inside)
        return _Header(label, (), start, index + 1, inside=inside)
    at = text.index("[", start)
    found = _RUN.match(text, at)
    run = found.group() if found else ""
    cut = at + len(run) >= len(text)
    end = len(text) if cut else at + max(1, run.rfind("]") + 1)
    return _Header(label or said, read_boxes(text[at:end], closed=False), end, index + 1, cut, inside)

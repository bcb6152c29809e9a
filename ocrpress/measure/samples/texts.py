"""Long texts -> pages of the lengths wanted: stretches of whole sentences that fill the buckets, spread over the texts.

Works on characters and looks at no more of a text than it takes, so that a text may be of any length.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ocrpress.measure.curve import BUCKET
from ocrpress.measure.samples.choice import Choice
from ocrpress.measure.samples.sample import LeftOut, Sample, natural
from ocrpress.measure.tokens import Counter
from ocrpress.typeset.blocks import Block, Paragraph, Table
from ocrpress.typeset.laying import clean
from ocrpress.typeset.markdown import parse as parse_markdown
from ocrpress.typeset.plain import parse as parse_plain

_LONGEST = 600  # characters of a sentence; a longer one may be cut between its words
# A sentence begins with something and ends behind its stop, or with its paragraph.
_SENTENCE = re.compile(
    rf"""
      \S.{{0,{_LONGEST}}}?(?: [.!?…]+[\"'”’»)\]]*(?=\s) | [。!?]+[”’」』)]* | (?=\n\n) | \Z )
    | \S.{{0,{_LONGEST}}}(?<=\S)(?=\s)
    | \S+
    """,
    re.DOTALL | re.VERBOSE,
)
_WORD_END = re.compile(r"(?<=\S)(?=\s)|(?<=[\u3040-\u30ff\u3400-\u9fff])")
_PROBE = 20_000  # characters from which the length of a token is estimated
_TRIES = 4  # ends of sentences whose tokens are counted exactly: those of the parts do not always add up
_SURELY_LONG = 100  # characters a token, of which no text has so many
_LOOSENESS = (1.0, 0.7, 0.4, 0.0)  # of the spare text: how much of it may lie between the pages


@dataclass(frozen=True)
class Text:
    """A text to cut pages from: paragraphs parted by blank lines."""

    name: str
    text: str


@dataclass(frozen=True)
class _Wanted:
    """A page to be cut: its bucket, which of the bucket's it is (from 1), and at how many tokens to aim."""

    bucket: int
    turn: int
    aim: float


@dataclass(frozen=True)
class _Piece:
    """A page that was cut: where it ends in its text, and its tokens."""

    text: str
    end: int
    tokens: int


def plain_text(text: str, markdown: bool) -> str:
    """Paragraphs as the typesetter finds them, parted by blank lines, without Markdown's marks; empty if none."""
    blocks = parse_markdown(clean(text)) if markdown else parse_plain(clean(text))
    return "".join(_block_text(block) for block in blocks).strip()


def _block_text(block: Block) -> str:
    if isinstance(block, Paragraph):
        marker = f"{block.marker} " if block.marker else ""
        return marker + "".join(span.text for span in block.spans) + block.end
    if isinstance(block, Table):
        cells = (("".join(span.text for span in cell) for cell in row) for row in block.rows)
        return "\n".join("\t".join(row) for row in cells) + "\n\n"
    return ""


def cut(texts: Sequence[Text], counter: Counter, choice: Choice) -> tuple[list[Sample], list[LeftOut]]:
    """Pages of text, fairly spread: one of each bucket, in random order, then the second of each, and so on.

    A text too short for the lowest bucket is one page as a whole. Pages do not overlap.

    Returns:
        samples, not yet fitted to a page; and which pages there was no text for.
    """
    whole: list[Sample] = []
    long: list[Text] = []
    for text in texts:
        tokens = _few_tokens(text.text, choice.buckets[0], counter)
        if tokens is None:
            long.append(text)
        else:
            whole.append(natural(text.name, text.text, tokens, "typeset"))
    wanted = list(_wanted(choice)) if long else []
    found: dict[_Wanted, Sample] = {}
    for looseness in _LOOSENESS:
        found = _place(long, wanted, counter, choice.seed, looseness)
        if len(found) == len(wanted):
            break
    lacking = len(wanted) - len(found)
    left_out = [(_names(long), f"text for {len(found)} of {len(wanted)} pages of these lengths")] if lacking else []
    return [*whole, *(found[want] for want in wanted if want in found)], left_out


def estimated_need(choice: Choice) -> int:
    """About how many characters of English the pages wanted take, with half as much again to choose from."""
    return round(1.5 * 4.7 * choice.per_bucket * sum(edge + BUCKET / 2 for edge in choice.lower_edges))


def _wanted(choice: Choice) -> Iterator[_Wanted]:
    chance = random.Random(f"{choice.seed}/wanted")  # noqa: S311, no secret
    for turn in range(1, choice.per_bucket + 1):
        edges = list(choice.lower_edges)
        chance.shuffle(edges)
        for edge in edges:
            yield _Wanted(edge, turn, edge + BUCKET * chance.random())


def _few_tokens(text: str, low: int, counter: Counter) -> int | None:
    """The tokens of a text that has fewer than so many; None for a longer one."""
    if len(text) > _SURELY_LONG * low:
        return None
    tokens = counter.count(text)
    return tokens if tokens < low else None


def _place(
    texts: Sequence[Text], wanted: Sequence[_Wanted], counter: Counter, seed: int, looseness: float
) -> dict[_Wanted, Sample]:
    """Cut the pages one after the other, with random gaps between them that use up the spare text."""
    if not wanted:
        return {}
    chance = random.Random(f"{seed}/gaps")  # noqa: S311, no secret
    whole = sum(len(text.text) for text in texts)
    probe = texts[0].text[:_PROBE]
    need = sum(want.bucket + BUCKET for want in wanted) * len(probe) / max(1, counter.count(probe))
    spare = looseness * max(0.0, whole - need)
    stops = sorted(chance.uniform(0, spare) for _ in wanted)
    gaps = [stop - before for stop, before in zip(stops, [0.0, *stops], strict=False)]
    pending, found = list(wanted), {}
    gap = gaps.pop(0)
    for text in texts:
        at = 0
        while pending:
            if at + gap >= len(text.text):
                gap -= len(text.text) - at
                break
            at = _sentence_start(text.text, at, round(gap))
            cutting = ((want, _take(text.text, at, want, counter)) for want in pending)
            want, piece = next(((want, piece) for want, piece in cutting if piece), (None, None))
            if want is None or piece is None:
                gap = 0.0
                break
            name = f"{text.name} {want.bucket}-{want.turn}"
            found[want] = natural(name, piece.text, piece.tokens, "typeset")
            pending.remove(want)
            at, gap = piece.end, gaps.pop(0) if gaps else 0.0
    return found


def _sentence_start(text: str, at: int, gap: int) -> int:
    """Where the first sentence begins that is so many characters further on."""
    if gap > 0:
        at = _behind_sentence(text, at + gap)
    begun = _SENTENCE.search(text, at)
    return begun.start() if begun else len(text)


def _take(text: str, at: int, want: _Wanted, counter: Counter) -> _Piece | None:
    """Sentences from there on whose tokens fall into the bucket, as near to the aim as may be; None if the text ends.

    Where a sentence is so long that no end of one falls into the bucket, the page ends between two words of it.
    """
    ends, sums, end, behind = [], [], at, 0
    for sentence in _SENTENCE.finditer(text, at):
        # With the space before it; of a monster of a sentence only the beginning, more would not fit anyway.
        behind += counter.count(text[end : min(sentence.end(), end + _PROBE)])
        end = sentence.end()
        ends.append(end)
        sums.append(behind)
        if behind > want.bucket + 2 * BUCKET:
            break
    if behind < want.bucket - BUCKET:
        return None
    for _, end in sorted((abs(total - want.aim), end) for end, total in zip(ends, sums, strict=True))[:_TRIES]:
        piece = _piece(text, at, end, counter)
        if want.bucket <= piece.tokens < want.bucket + BUCKET:
            return piece
    return _take_words(text, at, ends[-1], want, counter)


def _take_words(text: str, at: int, end: int, want: _Wanted, counter: Counter) -> _Piece | None:
    """The same, to the end of a word: the longest stretch below the aim, found by halving."""
    limit = min(end, at + _SURELY_LONG * (want.bucket + BUCKET))
    ends = [match.start() for match in _WORD_END.finditer(text, at, limit)]
    low, high = 0, len(ends)
    while high - low > 1:
        middle = (low + high) // 2
        if counter.count(text[at : ends[middle]]) <= max(want.aim, want.bucket + 1):
            low = middle
        else:
            high = middle
    piece = _piece(text, at, ends[low], counter) if ends else None
    if piece is None or not want.bucket <= piece.tokens < want.bucket + BUCKET:
        return None
    return _Piece(piece.text, _behind_sentence(text, piece.end), piece.tokens)


def _behind_sentence(text: str, at: int) -> int:
    """Where the sentence ends of which a part stands there; if it is of no ordinary length, where the word ends."""
    rest = _SENTENCE.search(text, at)
    if rest and len(rest[0]) <= _LONGEST:
        return rest.end()
    word = _WORD_END.search(text, at)
    return word.start() if word else len(text)


def _piece(text: str, at: int, end: int, counter: Counter) -> _Piece:
    stretch = text[at:end].strip()
    return _Piece(stretch, end, counter.count(stretch))


def _names(texts: Sequence[Text]) -> str:
    names = [text.name for text in texts[:3]]
    return ", ".join(names) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")

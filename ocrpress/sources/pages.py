"""Page ranges: "1-3,7", "5-", "-3". Knows numbers only, nothing of documents."""

from __future__ import annotations

from collections.abc import Iterable

from ocrpress.errors import UsageError

PageRange = tuple[int, int | None]  # first and last page, from 1, both included; None is the document's end

_ADVICE = "write page numbers and ranges from 1, like 1-3,7 or 5-"


def parse_ranges(text: str) -> tuple[PageRange, ...]:
    """The ranges of a page selection, as written.

    >>> parse_ranges("1-3, 7,9-")
    ((1, 3), (7, 7), (9, None))

    Raises:
        UsageError: names the part that is no range.
    """
    return tuple(_parse_part(part.strip(), text) for part in text.split(","))


def select_pages(ranges: tuple[PageRange, ...] | None, page_count: int) -> range | tuple[int, ...]:
    """The page numbers that the ranges choose of a document: sorted, each once. None chooses all.

    Numbers beyond the end are ignored, so that one selection serves documents of many lengths.

    Raises:
        UsageError: all of them are beyond the end.
    """
    if ranges is None:
        return range(1, page_count + 1)
    chosen: set[int] = set()
    for first, last in ranges:
        chosen.update(range(first, min(page_count, page_count if last is None else last) + 1))
    if not chosen:
        advice = f"choose pages from 1 to {page_count}" if page_count else "the document has no pages"
        raise UsageError(f"none of the pages {_written(ranges)} is in this document", advice)
    return tuple(sorted(chosen))


def ranges(numbers: Iterable[int]) -> str:
    """Rising page numbers, runs of them shortened.

    >>> ranges([1, 2, 3, 7])
    '1-3, 7'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _parse_part(part: str, text: str) -> PageRange:
    first_text, dash, last_text = (piece.strip() for piece in part.partition("-"))
    if not dash:
        first = last = _number(part, part, text)
        return first, last
    if not first_text and not last_text:
        raise UsageError(f"'{part}' in the pages '{text}' is no range", _ADVICE)
    first = _number(first_text, part, text) if first_text else 1
    if not last_text:
        return first, None
    last = _number(last_text, part, text)
    if last < first:
        raise UsageError(f"'{part}' in the pages '{text}' runs backwards", f"write {last}-{first}")
    return first, last


def _number(digits: str, part: str, text: str) -> int:
    # int() would take "1_0", "+1" and digits of other scripts; ten digits are more than any document has pages.
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
        raise UsageError(f"'{part}' in the pages '{text}' is no page number or range", _ADVICE)
    if int(digits) == 0:
        raise UsageError(f"'{part}' in the pages '{text}' asks for page 0", _ADVICE)
    return int(digits)


def _written(ranges: tuple[PageRange, ...]) -> str:
    return ",".join(
        str(first) if first == last else f"{first}-{'' if last is None else last}" for first, last in ranges
    )

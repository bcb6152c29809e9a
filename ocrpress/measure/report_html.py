"""Pieces of an HTML report: text that cannot act, tables, pictures, differences, and the look of it all.

Every text is data, whoever wrote it: a model, a document, a file system. It is escaped, and characters that are not
seen but change how a text is shown (controls, directions) are written out as [U+202E]. Knows nothing of curves.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    from ocrpress.measure.differences import Piece

PICTURE = (1200, 900)  # pixels wide and high, at most
GREYS = 16
DIFFERENCES = 20_000  # characters of a page's differences, at most
NONE = "–"

# Controls, marks and overrides of direction, halves of surrogate pairs, noncharacters: a page may hold none of them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufeff\ufffe\uffff\ud800-\udfff]"
)
_NUMBER = re.compile(r"[+−]?[\d.,]+(–[\d.,]+)?|–")

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --dim: #555; --paper: #fff; --line: #d5d5d5; --band: #f4f4f4;
  --lost: #a11212; --lost-paper: #fde6e6; --more: #0b5a2b; --more-paper: #e0f4e6; --link: #0b57a4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --dim: #aaa; --paper: #161616; --line: #3c3c3c;
  --band: #222; --lost: #ffb3ad; --lost-paper: #4a1a1a; --more: #9fe3b4; --more-paper: #153a22; --link: #8cc4ff } }
body { margin: 0 auto; max-width: 90rem; padding: 1rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2 } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line) }
h3 { margin-top: 2.5rem } h4 { margin-bottom: .3rem } a { color: var(--link) }
a:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.dim, dt, caption { color: var(--dim) } img { max-width: 100%; height: auto; background: #fff }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums;
  font-size: .9rem } tbody th { white-space: nowrap }
caption { text-align: left; padding: .3rem 0 } th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; font-weight: normal } thead th { font-weight: 600; background: var(--band) }
.number { text-align: right; white-space: nowrap } dl { display: grid; grid-template-columns: max-content 1fr;
  gap: .1rem 1rem; margin: .3rem 0 } dd { margin: 0; overflow-wrap: anywhere }
.page { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); gap: 1.5rem; align-items: start }
.page figure { margin: 0 } .page img { border: 1px solid var(--line) }
.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; max-width: 48rem; font-size: .95rem }
del { color: var(--lost); background: var(--lost-paper); text-decoration: line-through }
ins { color: var(--more); background: var(--more-paper); text-decoration: underline; text-underline-offset: 2px }
del::before, del::after, ins::before, ins::after { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap } del::before { content: " [not read: " } ins::before {
  content: " [read instead or besides: " } del::after, ins::after { content: "] " }
@media (max-width: 50rem) { .page { grid-template-columns: minmax(0, 1fr) } }
@media print { .page { break-inside: avoid } }
"""


def shown(value: object) -> str:
    """Anything as text that can stand in an element or in an attribute."""
    return escape(_UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(value)))


def table(rows: Sequence[Sequence[str]], caption: str) -> str:
    """A table with its head; in a frame of its own that scrolls, by keyboard too, where it is too wide."""
    numbers = [all(_NUMBER.fullmatch(row[column]) for row in rows[1:]) for column in range(len(rows[0]))]
    kinds = [' class="number"' if number else "" for number in numbers]
    head = "".join(f'<th scope="col"{kind}>{shown(name)}</th>' for name, kind in zip(rows[0], kinds, strict=True))
    lines = []
    for row in rows[1:]:
        cells = "".join(f"<td{kind}>{shown(cell)}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{shown(row[0])}</th>{cells}</tr>\n')
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{shown(caption)}"><table>\n'
        f"<caption>{shown(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{''.join(lines)}</tbody></table></div>\n"
    )


def terms(pairs: Mapping[str, Any]) -> str:
    """Names and values; values may be mappings and sequences themselves."""
    lines = "".join(f"<dt>{shown(name)}</dt><dd>{_value(value)}</dd>\n" for name, value in pairs.items())
    return f"<dl>\n{lines}</dl>\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return terms(value) if value else NONE
    if isinstance(value, str) or not isinstance(value, Sequence):
        return NONE if value is None or value == "" else shown(value)
    if any(isinstance(item, Mapping) for item in value):
        return "".join(_value(item) for item in value)
    return shown(", ".join(map(str, value))) or NONE


def picture(data: bytes, kind: str, alt: str) -> str:
    """A picture inside the page.

    Args:
        kind: "png", "svg+xml", …
    """
    return f'<img src="data:image/{kind};base64,{b64encode(data).decode("ascii")}" alt="{shown(alt)}">'


def small_png(image: Image) -> bytes:
    """A page in 16 greys and at most 900 pixels high: 40 to 90 KB for dense text, and every letter as it was."""
    found = image.convert("L")
    found.thumbnail(PICTURE)
    data = BytesIO()
    found.quantize(GREYS).save(data, "PNG")
    return data.getvalue()


def marked(pieces: Iterable[Piece]) -> str:
    """Differences: what was not read struck out, what was read in its place or besides underlined."""
    parts, length, left = [], 0, 0
    for piece in pieces:
        size = len(piece.truth) if piece.kind == "same" else len(piece.truth) + len(piece.read)
        if length + size > DIFFERENCES:
            room = max(DIFFERENCES - length, 0)
            left += size - min(room, len(piece.truth)) - min(max(room - len(piece.truth), 0), len(piece.read))
            parts.append(_piece(piece, room))
        else:
            parts.append(_piece(piece, size))
        length += size
    note = f'<p class="dim">{left:,} more characters are not shown.</p>\n' if left else ""
    return f'<div class="text" dir="auto">{"".join(parts)}</div>\n{note}'


def _piece(piece: Piece, room: int) -> str:
    truth = piece.truth[:room]
    if piece.kind == "same":
        return shown(truth)
    read = piece.read[: max(room - len(truth), 0)]
    return (f"<del>{shown(truth)}</del>" if truth else "") + (f"<ins>{shown(read)}</ins>" if read else "")


def document(title: str, body: str) -> str:
    """A whole file that loads nothing and runs nothing."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{shown(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )

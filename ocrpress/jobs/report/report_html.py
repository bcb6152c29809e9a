"""Pieces of a batch's report: text that cannot act, tables, tiles, a histogram, and the look of it all.

Every text is data, whoever wrote it: a model, a document, a file system. It is escaped, and characters that are not
seen but change how a text is shown (controls, directions) are written out as [U+202E]. Knows nothing of batches.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

# Controls, marks and overrides of direction, halves of surrogate pairs, noncharacters: a page may hold none of them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufffe\uffff\ud800-\udfff]"
)

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --dim: #555; --paper: #fff; --line: #d5d5d5; --band: #f4f4f4;
  --bar: #2f6fb2; --bad: #a11212; --good: #0b5a2b; --link: #0b57a4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --dim: #aaa; --paper: #161616; --line: #3c3c3c;
  --band: #222; --bar: #6fa8dc; --bad: #ffb3ad; --good: #9fe3b4; --link: #8cc4ff } }
body { margin: 0 auto; max-width: 70rem; padding: 1rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2; margin-bottom: .3rem; overflow-wrap: anywhere }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line) } h3 { margin-bottom: .3rem }
.dim, dt, caption, figcaption { color: var(--dim) } .bad { color: var(--bad) } .good { color: var(--good) }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; padding: 0; list-style: none }
.tiles li { background: var(--band); border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .9rem;
  flex: 1 1 11rem }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto } .wide:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem }
caption { text-align: left; padding: .3rem 0 } th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line);
  text-align: left; vertical-align: top; font-weight: normal; overflow-wrap: anywhere; min-width: 6em }
thead th { font-weight: 600; background: var(--band) }
.number { text-align: right; white-space: nowrap; min-width: 3em }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0 }
dd { margin: 0; overflow-wrap: anywhere }
svg { width: 100%; max-width: 52rem; height: auto; display: block } svg text { fill: var(--dim); font-size: 11px }
svg .bar { fill: var(--bar) } svg .axis { stroke: var(--line) }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1.2rem }
.pictures figure { margin: 0; min-width: 0 } .pictures figcaption { font-size: .85rem; overflow-wrap: anywhere }
.pictures img { max-width: 100%; max-height: 20rem; border: 1px solid var(--line); background: #fff }
.none { display: grid; place-items: center; min-height: 8rem; padding: .8rem; border: 1px dashed var(--line);
  font-size: .85rem; color: var(--dim); text-align: center; overflow-wrap: anywhere }
@media print { figure, tr { break-inside: avoid } }
"""


def shown(value: object) -> str:
    """Anything as text that can stand in an element or in an attribute."""
    return escape(_UNSEEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", str(value)))


def table(rows: Sequence[Sequence[str]], caption: str, numbers: Iterable[int] = ()) -> str:
    """A table with its head; in a frame of its own that scrolls, by keyboard too, where it is too wide.

    Args:
        numbers: columns that stand right.
    """
    kinds = [' class="number"' if column in set(numbers) else "" for column in range(len(rows[0]))]
    head = "".join(f'<th scope="col"{kind}>{shown(name)}</th>' for name, kind in zip(rows[0], kinds, strict=True))
    lines = []
    for row in rows[1:]:
        cells = "".join(f"<td{kind}>{shown(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        lines.append(f"<tr>{cells}</tr>\n")
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{shown(caption)}"><table>\n'
        f"<caption>{shown(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{''.join(lines)}</tbody></table></div>\n"
    )


def terms(pairs: Mapping[str, object]) -> str:
    """Names and values."""
    lines = "".join(f"<dt>{shown(name)}</dt><dd>{shown(value)}</dd>\n" for name, value in pairs.items())
    return f"<dl>\n{lines}</dl>\n"


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """A few figures, large: (figure, what it counts, class)."""
    items = "".join(
        f'<li><b class="{shown(kind)}">{shown(figure)}</b>{shown(what)}</li>\n' for figure, what, kind in figures
    )
    return f'<ul class="tiles">\n{items}</ul>\n'


def picture(png: bytes, alt: str, caption: str) -> str:
    """A picture inside the page, with words below it."""
    data = b64encode(png).decode("ascii")
    image = f'<img src="data:image/png;base64,{data}" alt="{shown(alt)}">'
    return f"<figure>{image}<figcaption>{shown(caption)}</figcaption></figure>\n"


def no_picture(why: str, caption: str) -> str:
    """The place of a picture that could not be made."""
    note = f'<div class="none">no picture: {shown(why)}</div>'
    return f"<figure>{note}<figcaption>{shown(caption)}</figcaption></figure>\n"


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram: its lower edge in words, what it counts, and the whole of it in words."""

    edge: str
    count: int
    title: str


_WIDTH, _HEIGHT, _TOP, _LEFT, _BOTTOM = 720, 240, 22, 8, 42  # pixels of the drawing


def bars(found: Sequence[Bar], last_edge: str, label: str, unit: str) -> str:
    """A histogram: a bar a bin, its count above it, edges below; each bar says in words what it is.

    Args:
        last_edge: upper edge of the last bar.
        label: what the picture shows, for those who do not see it.
        unit: of the edges.
    """
    high = max((bar.count for bar in found), default=0) or 1
    step = (_WIDTH - 4 * _LEFT) / max(8, len(found))
    floor = _HEIGHT - _BOTTOM
    parts = [f'<line class="axis" x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - _LEFT}" y2="{floor}"/>\n']
    for index, bar in enumerate(found):
        left = 2 * _LEFT + index * step
        height = max((floor - _TOP) * bar.count / high, 1.0 if bar.count else 0.0)
        parts.append(
            f'<g><title>{shown(bar.title)}</title><rect class="bar" x="{left + 1:.1f}" y="{floor - height:.1f}" '
            f'width="{step - 2:.1f}" height="{height:.1f}"/></g>\n'
            + _text(left + step / 2, floor - height - 5, _count(bar.count))
            + _text(left, floor + 16, bar.edge)
        )
    parts.append(_text(2 * _LEFT + len(found) * step, floor + 16, last_edge))
    parts.append(_text(2 * _LEFT + len(found) * step / 2, floor + 35, unit))
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{shown(label)}">\n{"".join(parts)}</svg>\n'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{shown(text)}</text>\n'


def _count(count: int) -> str:
    """Above a narrow bar there is room for four letters."""
    if count < 10_000:
        return str(count) if count else ""
    return f"{count / 1e3:.0f}k" if count < 999_500 else f"{count / 1e6:.1f}M"


def document(title: str, body: str) -> str:
    """A whole file that loads nothing and runs nothing."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{shown(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )

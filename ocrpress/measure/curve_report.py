"""A measured curve as one HTML file that needs nothing else: the plot, the tables, and the pages read best and worst.

    Curve, true texts, pictures, plot ──▶ render_report ──▶ report.html

For every cell its worst pages and its best by edit distance: what the engine saw beside the differences in text. The
file stays under LIMIT characters: where the cells are many, each shows fewer pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpress.measure.curve import Cell, Curve, PageScore
from ocrpress.measure.curve_table import bucket_rows, meanings, names, table_rows
from ocrpress.measure.differences import differences
from ocrpress.measure.report_html import document, marked, picture, shown, small_png, table, terms

if TYPE_CHECKING:
    from PIL.Image import Image

LIMIT = 10_000_000  # characters of the file
WORST = ("worst page", "second worst page", "third worst page")  # of a cell; and the best one
KINDS = {".png": "png", ".svg": "svg+xml"}
FAULTS = {
    "loop": "the answer repeated itself", "cut off": "the answer did not end", "empty": "nothing was read",
    "error": "the engine failed on it",
}  # fmt: skip

Pictures = Callable[[str, str, str], "Image | None"]
Choice = tuple[str, PageScore]  # "worst", "2nd worst", …, and the page


def render_report(curve: Curve, truths: Mapping[tuple[str, str], str], picture_of: Pictures, plot: Path) -> str:
    """The report as HTML.

    Args:
        truths: the true text by (variant, page).
        picture_of: what an engine saw, by (variant, page, mode); None where there is no picture.
        plot: the PNG or SVG of the curve.

    Raises:
        OSError: the plot cannot be read.
    """
    engines = dict.fromkeys(names(cell)[0] for cell in curve.cells if not cell.control)
    title = f"How much text survives: {', '.join(engines)}"
    head = "".join(_head(curve, title, plot))
    tail = "".join((_left_out(curve), _measured(curve), "</main>\n"))
    pages = _pages(curve, truths, picture_of, LIMIT - len(head) - len(tail))
    return document(title, head + pages + tail)


def choose(cell: Cell) -> list[Choice]:
    """The pages of a cell to be shown, most telling first: the worst, the best, the second worst, the third."""
    ordered = sorted(cell.pages, key=lambda page: (-page.score.edit_distance, page.page))
    if len(ordered) == 1:
        return [("the only page", ordered[0])]
    worst = list(zip(WORST, ordered[:-1], strict=False))
    return [*worst[:1], *[("best page", page) for page in ordered[-1:]], *worst[1:]]


def _head(curve: Curve, title: str, plot: Path) -> Iterator[str]:
    yield f"<header>\n<h1>{shown(title)}</h1>\n<p>{shown(curve.about)}</p>\n"
    yield f'<p class="dim">Text tokens: {shown(curve.tokens_by)}.</p>\n</header>\n'
    yield '<nav aria-label="Contents"><ul>\n<li><a href="#plot">The curve</a></li>\n'
    yield '<li><a href="#figures">The figures</a></li>\n<li><a href="#pages">The worst and the best pages</a>: '
    yield ", ".join(f'<a href="#{_anchor(i)}">{_name(cell)}</a>' for i, cell in enumerate(curve.cells))
    yield '</li>\n<li><a href="#left-out">What was left out</a></li>\n'
    yield '<li><a href="#measured">How it was measured</a></li>\n</ul></nav>\n<main>\n'
    alt = "Two plots of accuracy over compression, a line an engine, mode and variant; their figures are in the tables."
    image = picture(plot.read_bytes(), KINDS[plot.suffix.lower()], alt)
    yield f'<section id="plot"><h2>The curve</h2>\n{image}\n</section>\n'
    cells, buckets = table_rows(curve, width=None), bucket_rows(curve)
    yield f'<section id="figures"><h2>The figures</h2>\n{table(cells, "All pages of a cell")}'
    yield f"{table(buckets, 'By text tokens of the page')}<h3>What the columns are</h3>\n"
    yield f"{terms(meanings(cells) | meanings(buckets))}</section>\n"


def _pages(curve: Curve, truths: Mapping[tuple[str, str], str], picture_of: Pictures, room: int) -> str:
    """The pages of all cells, the most telling of every cell before the next of any, until the room is used up."""
    chosen = [choose(cell) for cell in curve.cells]
    articles: list[list[str]] = [[] for _ in curve.cells]
    pictures: dict[tuple[str, str, str], str] = {}
    for rank, index in ((rank, index) for rank in range(len(WORST) + 1) for index in range(len(curve.cells))):
        if rank < len(chosen[index]):
            article = _article(curve.cells[index], chosen[index][rank], truths, picture_of, pictures)
            room -= len(article)
            if room < 0:
                break
            articles[index].append(article)
    legend = (
        "<p>Each page as the engine saw it, beside its text. <del>Struck out</del>: on the page, and not read so. "
        "<ins>Underlined</ins>: read, and not on the page so. Lines and other white space are not compared.</p>\n"
    )
    sections = (_section(index, cell, articles[index], len(chosen[index])) for index, cell in enumerate(curve.cells))
    return f'<section id="pages"><h2>The worst and the best pages</h2>\n{legend}{"".join(sections)}</section>\n'


def _section(index: int, cell: Cell, articles: Sequence[str], wanted: int) -> str:
    said = f"{len(articles)} of {len(cell.pages)} pages"
    if len(articles) < wanted:
        said += ": more would make this file too large"
    # Pages come by how telling they are; readers go from the worst to the best.
    ordered = [*articles[:1], *articles[2:], *articles[1:2]]
    head = f'<section id="{_anchor(index)}"><h3>{_name(cell)}</h3>\n<p class="dim">{said}</p>\n'
    return f"{head}{''.join(ordered)}</section>\n"


def _article(
    cell: Cell, choice: Choice, truths: Mapping[tuple[str, str], str], picture_of: Pictures,
    pictures: dict[tuple[str, str, str], str],
) -> str:  # fmt: skip
    """One page. Engines that saw the same share the picture that was made of it."""
    name, page = choice
    key = (cell.variant, page.page, cell.mode)
    if key not in pictures:
        image = picture_of(*key)
        alt = f"{page.page} as the mode {cell.mode} shows it"
        pictures[key] = picture(small_png(image), "png", alt) if image else '<p class="dim">No picture.</p>'
    truth = truths.get(key[:2])
    text = '<p class="dim">Without its true text.</p>\n' if truth is None else marked(differences(page.read, truth))
    return (
        f"<article><h4>{shown(name.capitalize())}: {shown(page.page)}</h4>\n{terms(_facts(page))}"
        f'<div class="page"><figure>{pictures[key]}</figure>\n<div>{text}</div></div></article>\n'
    )


def _facts(page: PageScore) -> dict[str, str]:
    found = page.score
    facts = {
        "edit distance": f"{found.edit_distance:.3f}",
        "words": f"set precision {found.set_precision:.3f}, F1 {found.word_f1:.3f}, recall {found.word_recall:.3f}",
        "error rates": f"{found.character_error_rate:.3f} of characters, {found.word_error_rate:.3f} of words",
        "size": f"{page.text_tokens:,} text tokens, {found.characters:,} characters, {found.read_characters:,} read",
    }
    if page.vision_tokens:
        facts["tokens"] = f"{page.vision_tokens:,} vision tokens, {page.sequence_tokens:,} in the decoder's sequence"
    if page.output_tokens is not None:
        facts["answer"] = f"{page.output_tokens:,} tokens"
    if page.fault or page.status != "ok":
        facts["status"] = page.status + (f": {FAULTS.get(page.fault, page.fault)}" if page.fault else "")
    if page.error:
        facts["error"] = page.error
    return facts


def _left_out(curve: Curve) -> str:
    body = "<p>Nothing.</p>\n"
    if curve.left_out:
        rows = [["what", "why"], *([name, why] for name, why in curve.left_out)]
        body = table(rows, f"{len(curve.left_out)} of the data could not be used")
    return f'<section id="left-out"><h2>What was left out</h2>\n{body}</section>\n'


def _measured(curve: Curve) -> str:
    pages = {(cell.variant, page.page) for cell in curve.cells for page in cell.pages}
    what = {"pages": f"{len(pages):,}", "settings": curve.settings, **curve.machine}
    return f'<section id="measured"><h2>How it was measured</h2>\n{terms(what)}</section>\n'


def _name(cell: Cell) -> str:
    return shown(" · ".join(names(cell)))


def _anchor(index: int) -> str:
    return f"cell-{index + 1}"

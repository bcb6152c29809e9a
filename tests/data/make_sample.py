"""Makes sample.pdf, the document of README and tests: two pages with columns, a figure, a table, a list, a running head.

    pip install reportlab && python tests/data/make_sample.py

The text is ours and says what ocrpress does; its figures are those of the mode table.
"""

from __future__ import annotations

import math
from pathlib import Path

from reportlab.graphics.shapes import Circle, Drawing, Line, PolyLine, String
from reportlab.lib.enums import TA_CENTER, TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.platypus import (
    BaseDocTemplate,
    Frame,
    FrameBreak,
    ListFlowable,
    NextPageTemplate,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)  # fmt: skip

BODY = ParagraphStyle(
    "body", fontName="Times-Roman", fontSize=12.5, leading=17, alignment=TA_JUSTIFY, firstLineIndent=12
)
FIRST = ParagraphStyle("first", BODY, firstLineIndent=0)
TITLE = ParagraphStyle("title", fontName="Times-Bold", fontSize=24, leading=28, alignment=TA_CENTER)
AUTHOR = ParagraphStyle("author", fontName="Times-Italic", fontSize=11, leading=16, alignment=TA_CENTER)
HEADING = ParagraphStyle(
    "heading", fontName="Times-Bold", fontSize=15, leading=19, spaceBefore=10, spaceAfter=4, keepWithNext=1
)
CAPTION = ParagraphStyle("caption", fontName="Times-Roman", fontSize=8.5, leading=10.5, spaceBefore=3, spaceAfter=8)
TABLE_CAPTION = ParagraphStyle("table caption", CAPTION, spaceBefore=8, spaceAfter=3, keepWithNext=1)

ROWS = [
    ["Mode", "View", "Vision tokens"], ["tiny", "512", "64"], ["small", "640", "100"], ["base", "1024", "256"],
    ["large", "1280", "400"],
]  # fmt: skip


def curve() -> Drawing:
    """A small plot: a falling curve with its axes and marks."""
    drawing = Drawing(210, 120)
    drawing.add(Line(25, 15, 205, 15))
    drawing.add(Line(25, 15, 25, 115))
    points = [(25 + 5.5 * step, 20 + 85 / (1 + math.exp((step - 19) / 4))) for step in range(32)]
    drawing.add(PolyLine([value for point in points for value in point], strokeWidth=1.5))
    for x, y in points[::4]:
        drawing.add(Circle(x, y, 2.2))
    drawing.add(String(90, 3, "compression", fontSize=8, fontName="Helvetica"))
    drawing.add(String(30, 108, "text kept", fontSize=8, fontName="Helvetica"))
    return drawing


def furniture(canvas: object, document: BaseDocTemplate) -> None:
    """Running head and page number."""
    canvas.setFont("Times-Italic", 9)  # type: ignore[attr-defined]
    canvas.drawString(25 * mm, A4[1] - 12 * mm, "Notes on Optical Compression")  # type: ignore[attr-defined]
    canvas.setFont("Times-Roman", 9)  # type: ignore[attr-defined]
    canvas.drawCentredString(A4[0] / 2, 11 * mm, str(document.page))  # type: ignore[attr-defined]


def story() -> list[object]:
    """What the pages say."""
    table = Table(ROWS, colWidths=[62, 62, 80], rowHeights=15)
    table.setStyle(
        TableStyle(
            [
                ("LINEABOVE", (0, 0), (-1, 0), 0.8, "black"),
                ("LINEBELOW", (0, 0), (-1, 0), 0.4, "black"),
                ("LINEBELOW", (0, -1), (-1, -1), 0.8, "black"),
                ("FONT", (0, 0), (-1, -1), "Times-Roman", 9.5),
            ]
        )
    )
    steps = ListFlowable(
        [Paragraph(text, FIRST) for text in (
            "A page becomes pixels, no more of them than the mode can use.",
            "The encoder turns the pixels into vision tokens.",
            "A decoder reads the tokens back, and the result is compared with the page.",
        )], bulletType="1", bulletFormat="%s.", leftIndent=18,
    )  # fmt: skip
    return [
        Paragraph("Reading a Page from Few Tokens", TITLE), Spacer(1, 6), Paragraph("The ocrpress project", AUTHOR),
        FrameBreak(), NextPageTemplate("later"),
        Paragraph("1 A page as a picture", HEADING),
        Paragraph("A long document is costly to hand to a language model, because every word of it becomes one or two "
                  "tokens. A picture of the same page can be cheaper. An encoder looks at the whole page at once and "
                  "describes it in a fixed number of vision tokens, however many words stand on it.", FIRST),
        Paragraph("How far this carries is a matter of measurement. With ten characters to a token nearly everything "
                  "survives; with forty, words begin to be guessed rather than read. The honest way to speak about it "
                  "is a curve, drawn for the documents that one really has.", BODY),
        curve(), Paragraph("Figure 1. Text kept as the compression grows (a sketch, not a measurement).", CAPTION),
        Paragraph("2 Modes", HEADING),
        Paragraph("A mode fixes the size of the picture and so the number of tokens. The small ones squeeze the page "
                  "into a square; the larger ones keep its shape and pad what is left over.", FIRST),
        Paragraph("Table 1. Four modes and what a page costs in each.", TABLE_CAPTION), table,
        Paragraph("3 Three steps", HEADING),
        Paragraph("Whatever the mode, the way of a page is the same, and each step can be looked at by itself:", FIRST),
        Spacer(1, 4), steps, Spacer(1, 4),
        Paragraph("None of the steps may lose a page. A page that cannot be read keeps its place and says why, so that "
                  "page numbers never shift and nobody has to search for what is missing.", BODY),
        Paragraph("4 What is left out", HEADING),
        Paragraph("Running heads and page numbers are part of the paper, not of the text, and so they are dropped "
                  "unless somebody asks for them. Paragraphs that were broken over lines, columns and pages are joined "
                  "again, and hyphens that only served to break a word are taken out. Figures are cropped to files and "
                  "linked where they stood.", FIRST),
        Paragraph("A table is kept as a table where its cells line up. Where they do not, its text is kept as text: "
                  "a wrong table is worse than none.", BODY),
        Paragraph("5 What is measured", HEADING),
        Paragraph("Three ratios are reported together. Text tokens to vision tokens is what papers quote. Text tokens to "
                  "sequence tokens is what the decoder really pays. Characters to vision tokens is fair to text that "
                  "tokenizes badly. Beside them stands the edit distance, since a set of words hides what was left out, "
                  "said twice or put in the wrong place.", FIRST),
    ]  # fmt: skip


def main() -> None:
    """Write sample.pdf beside this file."""
    width, height = A4
    left, right = (25 * mm, width / 2 + 4 * mm)
    column = width / 2 - 29 * mm
    first = [
        Frame(25 * mm, height - 50 * mm, width - 50 * mm, 30 * mm, id="title"),
        Frame(left, 20 * mm, column, height - 72 * mm, id="left"),
        Frame(right, 20 * mm, column, height - 72 * mm, id="right"),
    ]
    later = [Frame(x, 20 * mm, column, height - 42 * mm) for x in (left, right)]
    document = BaseDocTemplate(str(Path(__file__).with_name("sample.pdf")), pagesize=A4, invariant=1,
                               title="Reading a Page from Few Tokens", author="The ocrpress project")  # fmt: skip
    document.addPageTemplates([PageTemplate("first", first, furniture), PageTemplate("later", later, furniture)])
    document.build(story())


if __name__ == "__main__":
    main()

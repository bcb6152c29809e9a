"""What the labels of grounded models mean.

DeepSeek-OCR prints text, title, sub_title, image, image_caption, table, table_caption, table_footnote, equation and
figure; Unlimited-OCR adds header, footer, page_number, page_footnote, aside_text, ref_text, chart, list, code and
algorithm. The others are names that models trained on the same layout data use for the same things.
"""

from __future__ import annotations

import re
from typing import Literal

Role = Literal[
    "text", "note", "heading", "figure", "table", "caption", "equation", "code", "header", "footer", "page_number"
]

_LABELS: dict[Role, str] = {
    "text": """text plain_text paragraph text_paragraph body content list list_item abstract toc contents index
        aside_text margin_note sidebar ref_text reference references reference_content bibliography quote handwriting
        formula_number author date""",
    "note": "footnote page_footnote endnote",
    "heading": """title doc_title document_title main_title sub_title subtitle section_title section_header
        paragraph_title section heading""",
    "figure": """image figure picture photo chart graph diagram flowchart graphic drawing map seal stamp logo icon
        signature barcode qr_code image_block header_image footer_image""",
    "table": "table table_body",
    "caption": """caption image_caption figure_caption picture_caption chart_caption table_caption code_caption
        formula_caption figure_title image_title chart_title table_title image_footnote figure_footnote table_footnote
        vision_footnote""",
    "equation": """equation formula display_formula isolate_formula isolated_formula interline_equation equation_block
        math inline_formula""",
    "code": "code code_block code_txt algorithm pseudocode",
    "header": "header page_header running_head running_title",
    "footer": "footer page_footer running_foot",
    "page_number": "page_number page_num pagenumber page_no number folio",
}
ROLES: dict[str, Role] = {label: role for role, labels in _LABELS.items() for label in labels.split()}
_TOP_TITLES = frozenset({"title", "doc_title", "document_title", "main_title"})


def role_of(label: str) -> Role | None:
    """What an element with that label is, however it is written ("Sub Title", "sub-title"); None if it is unknown.

    >>> role_of("Image_Caption"), role_of("page number"), role_of("some words")
    ('caption', 'page_number', None)
    """
    return ROLES.get(_plain_label(label))


def title_level(label: str) -> int:
    """Level of a title that has neither number signs nor a section number: 1 for titles, 2 for the others."""
    return 1 if _plain_label(label) in _TOP_TITLES else 2


def _plain_label(label: str) -> str:
    return re.sub(r"[\s_-]+", "_", label.strip(" \t\n#*:").casefold())

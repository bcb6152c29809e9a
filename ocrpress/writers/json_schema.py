"""A Document -> JSON, one object a document.

    {
      "version": "0.1.0",              of ocrpress
      "source": "paper.pdf",           the name that the document came under
      "engine": "rapid", "mode": "native",
      "complete": true,                false if reading was interrupted; `pages` then holds what was finished
      "page_count": 12,                pages that were to be read (0 if unknown)
      "pages": [{
        "number": 1,                   in the document, from 1
        "status": "ok",                "ok" | "blank" | "failed"
        "error": "",                   why it failed
        "text": "…",                   plain text without running heads and page numbers
        "width": 612.0, "height": 792.0,   points, of the page as it stands upright
        "rotation": 0,                 clockwise degrees by which it was turned to stand upright
        "engine": "rapid", "mode": "native",
        "plan": {                      null where no engine planned the page
          "width": 1224, "height": 1584,   pixels
          "grid": [1, 1], "vision_tokens": 256, "valid_tokens": 198, "sequence_tokens": 273},
        "seconds": {"render": 0.01},   by stage
        "attempts": [{                 every try at the page; the last is the one that was taken, unless it was rejected
          "engine": "deepseek", "mode": "base", "stop": "end" | "length" | "error", "seconds": 1.2,
          "rejected": "", "fault": null,   why it was not taken: "error" | "loop" | "cut off" | "empty"
          "temperature": 0.0, "ngram": null, "window": null, "max_tokens": null, "seed": 0,
                                       only of engines that choose tokens; null is the checkpoint's own figure
          "output_tokens": 913}],      only if the engine says
        "warnings": [],
        "blocks": [{                   in reading order
          "kind": "heading",           heading | paragraph | list | table | figure | caption | equation | code |
                                       header | footer | page_number
          "text": "…",                 of a list its items, one a line, nested ones indented; of a table its rows, one a
                                       line, cells by tabs; formulas of a model as LaTeX, in \\(…\\) or alone in an
                                       equation
          "box": [72.0, 90.1, 540.0, 120.0],   left, top, right, bottom in points, to a tenth
          "box_999": [117, 113, 881, 151],     the same in 0–999 of the page, as grounded models print it
          "level": 1,                  headings only, 1 to 6
          "rows": [["a", "b"]],        tables only
          "image": "fig.png",          figures that were written to a file only
          "continues": true}]          paragraphs that go on in the next paragraph only
      }]
    }

Numbers are finite: what is not a number becomes 0.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ocrpress import __version__
from ocrpress.document import Attempt, Block, Document, PageResult, block_rows, block_text, box_to_grid

if TYPE_CHECKING:
    from ocrpress.modes import Plan


def write(document: Document) -> str:
    """The document as JSON text, indented by one space, with a newline at the end."""
    return json.dumps(as_object(document), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def as_object(document: Document) -> dict[str, Any]:
    """The document as dictionaries, lists, strings and finite numbers."""
    return {
        "version": __version__,
        "source": document.source,
        "engine": document.engine,
        "mode": document.mode,
        "complete": document.complete,
        "page_count": document.page_count,
        "pages": [page_object(page) for page in document.pages],
    }


def page_object(page: PageResult) -> dict[str, Any]:
    """One page of the schema."""
    return {
        "number": page.number,
        "status": page.status,
        "error": page.error,
        "text": page.text,
        "width": _number(page.width, 2),
        "height": _number(page.height, 2),
        "rotation": page.rotation,
        "engine": page.engine,
        "mode": page.mode,
        "plan": _plan(page.plan) if page.plan else None,
        "seconds": {stage: _number(seconds, 4) for stage, seconds in page.seconds.items()},
        "attempts": [_attempt(attempt) for attempt in page.attempts],
        "warnings": list(page.warnings),
        "blocks": [_block(block, page) for block in page.blocks],
    }


def _block(block: Block, page: PageResult) -> dict[str, Any]:
    left, top, right, bottom = (_number(value, 1) for value in block.box)
    found: dict[str, Any] = {
        "kind": block.kind,
        "text": block_text(block),
        "box": [left, top, right, bottom],
        "box_999": list(box_to_grid((left, top, right, bottom), _number(page.width, 2), _number(page.height, 2))),
    }
    if block.kind == "heading":
        found["level"] = block.level
    if block.rows:
        found["rows"] = [list(row) for row in block_rows(block)]
    if block.image:
        found["image"] = block.image
    if block.continues:
        found["continues"] = True
    return found


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "width": plan.width,
        "height": plan.height,
        "grid": list(plan.grid),
        "vision_tokens": plan.vision_tokens,
        "valid_tokens": plan.valid_tokens,
        "sequence_tokens": plan.sequence_tokens,
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    found: dict[str, Any] = {
        "engine": attempt.engine,
        "mode": attempt.mode,
        "stop": attempt.stop,
        "seconds": _number(attempt.seconds, 4),
        "rejected": attempt.rejected,
        "fault": attempt.fault,
    }
    if attempt.decoding is not None:
        decoding = attempt.decoding
        found |= {
            "temperature": _number(decoding.temperature, 4),
            "ngram": decoding.ngram,
            "window": decoding.window,
            "max_tokens": decoding.max_tokens,
            "seed": decoding.seed,
        }
    if attempt.output_tokens is not None:
        found["output_tokens"] = attempt.output_tokens
    return found


def _number(value: float, digits: int) -> float:
    value = float(value)  # numpy's numbers are no JSON
    return round(value, digits) if math.isfinite(value) else 0.0

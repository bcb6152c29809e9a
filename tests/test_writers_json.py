from __future__ import annotations

import json
from dataclasses import replace

from test_writers_markdown import block, document, page

import ocrpress
from ocrpress.document import Attempt
from ocrpress.modes import plan
from ocrpress.writers import render

PAGE_KEYS = {
    "number", "status", "error", "text", "width", "height", "rotation", "engine", "mode", "plan", "seconds", "attempts",
    "warnings", "blocks",
}  # fmt: skip


def load(*pages, **more):
    def no_constants(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(render(document(*pages, **more), "json"), parse_constant=no_constants)


def test_the_whole_schema():
    read = page(
        1, block("heading", "Title", level=1), block("table", rows=(("a", "b"),)), block("figure", image="f.png"),
        block("page_number", "7", box=(300, 760, 312, 770)), rotation=90, engine="fake", mode="base",
        plan=plan(768, 1024, "base"), attempts=(Attempt("fake", "base", "end", 1.5),), seconds={"render": 0.012345},
        warnings=("scaled down",),
    )  # fmt: skip
    found = load(read, page_count=1)
    assert {key: found[key] for key in found if key != "pages"} == {
        "version": ocrpress.__version__, "source": "paper.pdf", "engine": "fake", "mode": "native", "complete": True,
        "page_count": 1,
    }  # fmt: skip
    (only,) = found["pages"]
    assert set(only) == PAGE_KEYS
    assert only["text"] == "Title\n\na\tb"
    assert only["plan"] == {
        "width": 768, "height": 1024, "grid": [1, 1], "vision_tokens": 256, "valid_tokens": 192, "sequence_tokens": 273,
    }  # fmt: skip
    assert only["seconds"] == {"render": 0.0123}
    assert only["attempts"] == [
        {"engine": "fake", "mode": "base", "stop": "end", "seconds": 1.5, "rejected": "", "fault": None}
    ]
    heading, table, figure, number = only["blocks"]
    assert heading == {
        "kind": "heading", "text": "Title", "box": [72.0, 300.0, 540.0, 320.0], "box_999": [118, 378, 881, 404],
        "level": 1,
    }  # fmt: skip
    assert (table["rows"], figure["image"], number["kind"]) == ([["a", "b"]], "f.png", "page_number")


def test_a_failed_page_is_in_its_place_with_its_reason():
    found = load(page(1), replace(page(2, status="failed", error="no such object"), width=0.0, height=0.0))
    assert [(each["number"], each["status"]) for each in found["pages"]] == [(1, "ok"), (2, "failed")]
    assert (found["pages"][1]["error"], found["pages"][1]["plan"]) == ("no such object", None)


def test_what_is_no_number_becomes_a_number():
    bad = replace(page(1, block("paragraph", "x", box=(float("nan"), float("inf"), 1, 2))), seconds={"a": float("nan")})
    (only,) = load(bad)["pages"]
    assert only["blocks"][0]["box"] == [0.0, 0.0, 1.0, 2.0]
    assert only["seconds"] == {"a": 0.0}


def test_text_is_written_as_it_is_and_lone_surrogates_are_replaced():
    text = render(document(page(1, block("paragraph", "Zürich 文 \udcff"))), "json")
    assert "Zürich 文 \ufffd" in text
    assert json.loads(text.encode())


def test_running_heads_found_across_pages_carry_their_kind():
    pages = [
        page(n, block("paragraph", "THE HISTORY OF ROME", box=(72, 30, 400, 42)), block("paragraph", f"Body {n}"))
        for n in range(1, 7)
    ]
    assert all([b["kind"] for b in each["blocks"]] == ["header", "paragraph"] for each in load(*pages)["pages"])


def test_marked_text_is_plain_with_its_formulas_as_latex():
    blocks = (
        block("paragraph", "**a** `b` \\(x_1\\) 2\\*3", markup=True), block("equation", "E = *c*", markup=True),
        block("table", rows=(("*a*", "\\(y\\)"),), markup=True), block("code", "**c**"),
    )  # fmt: skip
    (only,) = load(page(1, *blocks))["pages"]
    assert [each["text"] for each in only["blocks"]] == ["a b \\(x_1\\) 2*3", "E = *c*", "a\t\\(y\\)", "**c**"]
    assert only["blocks"][2]["rows"] == [["a", "\\(y\\)"]]
    assert only["text"] == "a b \\(x_1\\) 2*3\n\nE = *c*\n\na\t\\(y\\)\n\n**c**"

"""A curve as rows, as CSV and as JSON: every figure in its place, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from statistics import fmean

import pytest
from curvemaker import MACHINE, SETTINGS, make_cell, make_curve, make_page, make_score

from ocrpress.cli.table import table
from ocrpress.measure.curve import Cell
from ocrpress.measure.curve_table import (
    EXPENDABLE,
    MEANINGS,
    bucket_rows,
    csv_text,
    curve_object,
    losses,
    meanings,
    published,
    table_rows,
    table_width,
)  # fmt: skip


def page(name: str, edit: float, mode: str = "tiny", **more: object):
    return make_page(name, 600, mode, make_score(edit, 0.9), 640, **more)


def by_head(rows: list[list[str]], index: int = 1) -> dict[str, str]:
    return dict(zip(rows[0], rows[index], strict=True))


PAGES = (page("a", 0.1), page("b", 0.3, fault="loop", status="failed"), page("c", 0.5, fault="cut off"), page("d", 0.1))
CELL = Cell("deepseek", "tiny", "natural", PAGES)
CONTROL = Cell("rapid", "tiny", "natural", (page("a", 0.04), page("b", 0.06), page("other", 0.9)), control=True)


def test_a_row_has_the_means_over_its_pages():
    row = by_head(table_rows(make_curve(CELL), width=None))
    assert row == {
        "engine": "deepseek", "mode": "tiny", "variant": "natural", "pages": "4", "vision": "64", "text/v": "10.0",
        "text/s": "8.8", "char/v": "62.5", "edit": "0.250", "median": "0.200", "set-P": "0.900", "F1": "0.750",
        "CER": "0.275", "loop%": "25", "cut%": "25", "fail%": "25",
    }  # fmt: skip


def test_the_loss_is_split_over_the_pages_that_both_have_read():
    curve = make_curve(CELL, CONTROL)
    pixels, tokens = losses(curve, CELL)
    assert pixels == pytest.approx(0.05)
    assert pixels + tokens == pytest.approx(fmean((0.1, 0.3)))
    rows = table_rows(curve, width=None)
    assert (by_head(rows)["pixels"], by_head(rows)["tokens"]) == ("0.050", "+0.150")
    assert (by_head(rows, 2)["engine"], by_head(rows, 2)["pixels"], by_head(rows, 2)["tokens"]) == (
        "rapid (pixels)", "–", "–",
    )  # fmt: skip
    better = replace(CELL, pages=(page("a", 0.01),))
    assert by_head(table_rows(make_curve(better, CONTROL), None))["tokens"] == "−0.030"
    for other in (replace(CONTROL, mode="base"), replace(CONTROL, variant="random"), replace(CONTROL, pages=())):
        assert losses(make_curve(CELL, other), CELL) is None


def test_the_table_fits_a_terminal_and_keeps_the_three_compressions():
    cells = [make_cell(engine, mode, variant, control=engine == "rapid") for engine in ("deepseek", "rapid")
             for mode in ("tiny", "gundam-m") for variant in ("natural", "shuffled")]  # fmt: skip
    rows = table_rows(make_curve(*cells))
    assert table_width(rows) <= 120
    assert max(map(len, table(rows).splitlines())) <= 120
    assert {"text/v", "text/s", "char/v", "edit", "set-P", "fail%", "pixels", "tokens"} <= set(rows[0])
    whole = table_rows(make_curve(*cells), width=None)
    assert set(whole[0]) - set(rows[0]) <= set(EXPENDABLE)
    assert len(whole[0]) == 18
    assert [name for name in table_rows(make_curve(*cells), width=1)[0] if name in EXPENDABLE] == []
    assert max(map(len, table(bucket_rows(make_curve(*cells))).splitlines())) <= 120


def test_every_head_that_is_no_word_is_explained():
    curve = make_curve(CELL, CONTROL)
    heads = {*table_rows(curve, None)[0], *bucket_rows(curve)[0]}
    assert heads - {"engine", "mode", "variant", "pages", "text tokens"} == MEANINGS.keys()
    assert list(meanings([["engine", "CER", "edit"]])) == ["CER", "edit"]


def test_a_cell_without_pages_or_tokens_has_dashes():
    empty = Cell("server", "tiny", "natural", ())
    native = Cell("rapid", "native", "natural", (page("a", 0.1, "native"),))
    rows = table_rows(make_curve(empty, native), width=None)
    assert by_head(rows)["pages"] == "0"
    assert set(rows[1][4:]) == {"–"}
    assert [by_head(rows, 2)[name] for name in ("vision", "text/v", "text/s", "char/v", "edit")] == ["–"] * 4 + [
        "0.100"
    ]
    assert len(bucket_rows(make_curve(empty))) == 1
    assert json.loads(json.dumps(curve_object(make_curve(empty)), allow_nan=False))["cells"][0]["all"] is None
    assert table(table_rows(make_curve())).count("\n") == 2


def test_buckets_stand_beside_what_was_published_of_them():
    rows = bucket_rows(make_curve(CELL, replace(CELL, variant="random"), make_cell(mode="small", buckets=(1200, 1300))))
    found = [(row[1], row[2], row[3], row[-1]) for row in rows[1:]]
    assert found == [
        ("tiny", "natural", "600–700", "0.965"), ("tiny", "random", "600–700", "–"),
        ("small", "natural", "1200–1300", "0.871"), ("small", "natural", "1300–1400", "–"),
    ]  # fmt: skip
    assert by_head(rows)["10–90 %"] == "0.100–0.440"
    gundam = Cell("deepseek", "gundam", "natural", (page("a", 0.1, "gundam"),))
    assert published(gundam, 600) is None


def test_csv_has_a_row_a_page_with_every_figure():
    rows = list(csv.DictReader(StringIO(csv_text(make_curve(CELL, CONTROL)))))
    assert [row["page"] for row in rows] == ["a", "b", "c", "d", "a", "b", "other"]
    assert [row["control"] for row in rows] == ["0"] * 4 + ["1"] * 3
    first = rows[1]
    assert (first["fault"], first["status"], first["bucket"], first["vision_tokens"]) == ("loop", "failed", "600", "64")
    assert float(first["edit_distance"]) == 0.3
    assert float(first["text_tokens_per_vision_token"]) == 10
    assert {"set_precision", "word_error_rate", "ordered_f1", "characters", "output_tokens", "error"} <= first.keys()


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@sum", "\t=1", "\r\n=cmd|' /C calc'!A0", "\x00=1", " =1", '=HYPERLINK("http://x","y")'],
)
def test_csv_holds_no_formulas(name):
    cell = Cell(name, "tiny", name, (page(name, 0.1, error=name), page("after", 0.1)))
    text = csv_text(make_curve(cell))
    row, after = csv.DictReader(StringIO(text))
    for column in ("engine", "variant", "page", "error"):
        assert row[column].startswith("'")
    assert after["page"] == "after"
    assert not set(text) & {"\x00", "\r", "\t"}


def test_names_with_commas_quotes_and_broken_letters_stay_one_field():
    cell = Cell("server (a, b)", "tiny", "natural", (page('x "y", \n z\ud800', 0.1),))
    text = csv_text(make_curve(cell))
    text.encode()
    (row,) = csv.DictReader(StringIO(text))
    assert (row["engine"], row["page"]) == ("server (a, b)", 'x "y", z\ufffd')


def test_json_has_everything_but_what_was_read():
    curve = make_curve(CELL, CONTROL, left_out=(("a.pdf", "no text layer"),))
    found = curve_object(curve)
    text = json.dumps(found, allow_nan=False)
    assert json.dumps(curve_object(make_curve(CELL, CONTROL, left_out=(("a.pdf", "no text layer"),)))) == text
    assert (found["settings"], found["commit"], found["machine"]) == (SETTINGS, "abc1234", MACHINE["machine"])
    assert found["left_out"] == [{"name": "a.pdf", "why": "no text layer"}]
    assert "what was read" not in text
    cell = found["cells"][0]
    assert cell["all"]["scores"]["edit_distance"] == {"mean": 0.25, "median": 0.2, "low": 0.1, "high": 0.44}
    assert [bucket["bucket"] for bucket in cell["buckets"]] == [600]
    assert cell["buckets"][0]["published_set_precision"] == 0.965
    assert cell["edit_distance_of_pixels"] == 0.05
    assert cell["pages"][1]["fault"] == "loop"
    assert cell["pages"][1]["score"]["edit_distance"] == 0.3
    assert "date" not in text
    assert "seconds" not in text

from __future__ import annotations

import pytest

from ocrpress.layout.html_tables import MOST_CELLS, MOST_COLUMNS, even_rows, read_html_table


def rows(html):
    return read_html_table(html).rows


def test_a_table_with_head_body_and_header_cells():
    head = "<thead><tr><th>A</th><th>B</th></tr></thead>"
    html = f"<table border=1>{head}\n<tbody><tr><td>1</td><td>2</td></tr></tbody></table> x"
    table = read_html_table(html)
    assert (table.rows, html[table.end :]) == ((("A", "B"), ("1", "2")), " x")


def test_spans_leave_every_cell_in_its_place():
    assert rows(
        "<table><tr><td rowspan=3>a</td><td colspan='2'>b</td><td rowspan=2>c</td></tr>"
        "<tr><td>d</td><td>e</td></tr><tr><td colspan=\\\"2\\\">f</td><td>g</td></tr></table>"
    ) == (("a", "b", "", "c"), ("", "d", "e", ""), ("", "f", "", "g"))  # fmt: skip


def test_groups_of_spanning_cells_do_not_run_into_each_other():
    group = '<tr><td rowspan="2">{0}</td><td>x</td><td rowspan="2">{0}!</td></tr><tr><td>y</td></tr>'
    assert rows(f"<table>{group.format('a')}{group.format('b')}</table>") == (
        ("a", "x", "a!"), ("", "y", ""), ("b", "x", "b!"), ("", "y", ""),
    )  # fmt: skip


def test_rows_are_made_equally_long():
    assert rows("<table><tr><td>a<tr><td>b<td>c</table>") == (("a", ""), ("b", "c"))


def test_what_stands_in_a_cell():
    cells = (
        "x<br>y|<b>z</b>|\\(a_i &lt; b\\)|&amp;lt;|<p>p</p><p>q</p>|<img src=x>|line\nend|[t](http://u)|<func>|2*3*4"
    )
    (row,) = rows(f"<table><tr>{''.join(f'<td>{cell}</td>' for cell in cells.split('|'))}</tr></table>")
    assert row == (
        "x\ny", "**z**", "\\(a_i < b\\)", "<", "p\nq", "", "line end", "t", "<func>", "2\\*3\\*4",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<table><tr><td>a</td><td>b", (("a", "b"),)),
        ("<table><tr><td>a</td><td", (("a", ""),)),
        ('<table><tr><td>a</td><td colspan="', (("a", ""),)),
        ("<table><tr><td>a</td></", (("a",),)),
        ("<table><tr><td>a</td><td>b</tr><tr>c</td>", (("a", "b"), ("c", ""))),
        ("<tr><td>a</td></tr></table>", (("a",),)),
        ("<td>a</td><td>b</td>", (("a", "b"),)),
        ("<table><tr><td>a</td>b</tr></table>", (("a b",),)),
        ("<table><tr><td colspan=x rowspan='-1' foo>a</td></tr></table>", (("a",),)),
        ("<table><tr><td a</td><td>b</td></tr></table>", (("a", "b"),)),
        ("<table><tr><td>a</td></tr>,<tr><td>b</td></tr></table>", (("a ,",), ("b",))),
        ("<TABLE><TR><TD>a</TD></TR></TABLE>", (("a",),)),
        (
            "<table><tr><td>a<table><tr><td>b</td><td>c</td></tr></table></td><td>d</td></tr></table>",
            (("a\nb c", "d"),),
        ),
        ("<table></table>", ()),
        ("<table><tr><td> </td></tr></table>", ()),
        ("<table>", ()),
    ],
)
def test_tables_with_tags_missing_or_misplaced(html, expected):
    assert rows(html) == expected


def test_a_table_that_nothing_closes_ends_before_the_text_behind_it():
    for html in ("<table><tr><td>a</td></tr>\n\nNext", "<table><tr><td>a\n\nNext", "<table><tr><td>a</td></tr> Next"):
        table = read_html_table(html)
        assert (table.rows, html[table.end :].strip()) == ((("a",),), "Next")


def test_a_second_table_begins_where_the_first_was_left_open():
    html = "<table><tr><td>a</td></tr><table><tr><td>b</td></tr></table>"
    first = read_html_table(html)
    assert (first.rows, rows(html[first.end :])) == ((("a",),), (("b",),))


def test_the_caption_of_a_table():
    assert read_html_table("<table><caption>Table <i>1</i></caption><tr><td>a</td></tr></table>").caption == "Table *1*"
    assert read_html_table("<table>Table 2<tr><td>a</td></tr></table>").caption == "Table 2"


def test_tables_are_bounded_whatever_their_spans_say():
    (row,) = rows("<table><tr>" + "<td>x</td>" * 2000 + "</tr></table>")
    assert (len(row), row[-1].count("x")) == (MOST_COLUMNS, 2000 - MOST_COLUMNS + 1)
    assert rows("<table><tr><td colspan=99999 rowspan=99999>a</td></tr></table>") == (("a",),)
    wide = "<tr>" + "<td rowspan=9999>x</td>" * 400 + "</tr>"
    grid = rows(f"<table>{wide}{'<tr><td>y</td></tr>' * 5000}</table>")
    assert len(grid) * len(grid[0]) <= MOST_CELLS
    assert even_rows([["a"], ["b", "c"]]) == (("a", ""), ("b", "c"))

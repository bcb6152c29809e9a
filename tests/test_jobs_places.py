"""Where outputs go: the tree of the inputs, no two alike, nothing outside."""

from __future__ import annotations

import os
import random
import time
import unicodedata

import pytest

from ocrpress.jobs.finding.places import place, shortened
from ocrpress.jobs.finding.search import Choice, Found, find


def free(path: str) -> bool:
    return False


def folded(path: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


class Taken:
    """Outputs so far, as the ledger keeps them."""

    def __init__(self, *paths: str) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()
        for path in paths:
            self.add(path)

    def add(self, path: str) -> None:
        path = folded(path)
        self.files.add(path)
        self.folders.update(path[:at] for at, sign in enumerate(path) if sign == "/")

    def __call__(self, path: str) -> bool:
        path = folded(path)
        above = [path[:at] for at, sign in enumerate(path) if sign == "/"]
        return path in self.files or path in self.folders or any(folder in self.files for folder in above)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x.pdf", "x.md"),
        ("sub/deep/x.PDF", "sub/deep/x.md"),
        ("x.v1.2.pdf", "x.v1.2.md"),
        ("README", "README.md"),
        (".pdf", ".pdf.md"),
        ("a\nb c.pdf", "a\nb c.md"),
        ("caf\udce9/\udcff.pdf", "caf\udce9/\udcff.md"),
    ],
)
def test_an_output_mirrors_its_input(name, expected):
    assert place(name, "md", False, free) == expected


def test_an_ending_is_given_with_or_without_its_dot():
    assert place("x.pdf", ".json", False, free) == place("x.pdf", "json", False, free) == "x.json"


def test_a_crowded_document_keeps_its_ending():
    assert place("sub/x.pdf", "md", True, free) == "sub/x.pdf.md"


def test_what_is_taken_gets_the_ending_then_a_number():
    taken = Taken("sub/X.md")
    assert place("sub/x.pdf", "md", False, taken) == "sub/x.pdf.md"
    taken.add("sub/x.PDF.md")
    assert place("sub/x.pdf", "md", False, taken) == "sub/x.pdf-2.md"
    taken.add("sub/x.pdf-2.md")
    assert place("sub/x.pdf", "md", True, taken) == "sub/x.pdf-3.md"


def test_a_folder_that_ends_like_an_output_is_in_no_outputs_way():
    inside = place("x.md/y.pdf", "md", False, free)
    assert inside == "x.md_/y.md"
    assert place("x.pdf", "md", False, Taken(inside)) == "x.md"
    assert place("X.MD/y.pdf", "md", False, free) == "X.MD_/y.md"


def test_an_output_of_another_format_in_a_folders_way_costs_the_folder_its_name():
    found = place("x.txt/sub/y.pdf", "md", False, Taken("x.txt"))
    assert found == "x.txt-2/sub/y.md"
    assert place("x.txt/y.pdf", "md", False, Taken("x.txt", "x.txt-2")) == "x.txt-3/y.md"


def test_many_documents_of_one_name_all_get_a_place():
    taken = Taken()
    for _ in range(250):
        taken.add(place("sub/x.pdf", "md", False, taken))
        taken.add(place("x.pdf", "md", True, taken))
    assert len(taken.files) == 500


@pytest.mark.parametrize("name", ["../../etc/x.pdf", "/etc/x.pdf", "a/../../x.pdf", "..", "", "/", "./.", "a/.."])
def test_no_name_leads_outside(name):
    parts = place(name, "md", False, free).split("/")
    assert not {"", ".", ".."} & set(parts)


def test_the_files_of_the_batch_itself_are_not_written_over():
    assert place("report.pdf", "html", False, free) == "report.pdf.html"
    assert place("Report.png", "HTML", False, free) == "Report.png.HTML"
    assert place(".ocrpress/ledger.sqlite", "sqlite", False, free) == ".ocrpress_/ledger.sqlite"
    assert place(".OcrPress/x.pdf", "md", False, free) == ".OcrPress_/x.md"
    assert place("REPORT.html/x.pdf", "md", False, free) == "REPORT.html_/x.md"
    assert place("sub/report.pdf", "html", False, free) == "sub/report.html"


@pytest.mark.parametrize("stem", ["x" * 251, "é" * 125, "\udce9" * 251, "漢" * 83])
def test_a_name_of_255_bytes_gives_an_output_that_a_disk_takes(tmp_path, stem):
    name = f"{stem}.pdf"
    (tmp_path / name).write_bytes(b"")
    for crowded in (False, True):
        output = place(name, "json", crowded, free)
        assert len(os.fsencode(output)) <= 200
        (tmp_path / output).write_text("{}")
        if "\udce9" not in stem:
            output.encode()  # no character is cut in two


def test_long_names_that_begin_alike_stay_apart():
    long = "x" * 240
    taken = Taken()
    for name in (f"{long}1.pdf", f"{long}2.pdf", f"{long}2.png", f"{long}2.pdf", f"{long}2.pdf"):
        output = place(name, "md", False, taken)
        assert not taken(output)
        taken.add(output)


def test_a_folder_name_of_255_bytes_is_kept_and_a_longer_one_is_cut():
    assert place(f"{'x' * 255}/y.pdf", "md", False, free) == f"{'x' * 255}/y.md"
    for length in (256, 5000):
        cut = place(f"{'x' * length}/y.pdf", "md", False, free)
        assert len(cut.split("/")[0]) == 255
        assert cut != place(f"{'x' * length}z/y.pdf", "md", False, free)
    marked = place(f"{'x' * 252}.md/y.pdf", "md", False, free).split("/")[0]
    assert len(marked) <= 255
    assert marked.endswith("_")


def test_a_very_deep_path_is_cut_to_what_a_disk_takes():
    deep = "/".join(["folder"] * 500)
    first, second = (place(f"{deep}/{last}/x.pdf", "md", False, free) for last in "ab")
    assert len(first) < 2300
    assert first != second
    assert first.endswith("/x.md")


def test_a_shortened_text_depends_on_all_of_it():
    assert shortened("short", 200) == "short"
    assert shortened("a" * 300, 100) != shortened("a" * 301, 100)
    assert len(shortened("é" * 300, 100).encode()) <= 100


PIECES = ["a", "A", "b", "x.md", "X.MD", "é", "e\u0301", "\udce9", "a\nb", "report.html", ".ocrpress", "ß", "ss"]
PIECES += ["y" * 255, "é" * 127]
ENDINGS = [".pdf", ".PDF", ".png", "", ".md", ".txt", ".md.pdf", ".html.png"]


@pytest.mark.parametrize("seed", range(40))
def test_random_trees_give_outputs_that_no_file_system_confuses(seed):
    rng = random.Random(seed)
    names = {
        "/".join(
            [*rng.choices(PIECES, k=rng.choice((0, 0, 1, 2))), rng.choice(PIECES)[:240] + rng.choice(ENDINGS)]
        ) for _ in range(150)
    }  # fmt: skip
    taken = Taken()
    for name in rng.sample(sorted(names), len(names)):
        output = place(name, rng.choice(["md", "md", "md", "txt", "html"]), rng.random() < 0.3, taken)
        assert not taken(output)
        assert folded(output) not in {"report.html", "report.html/"}
        assert not folded(output).startswith((".ocrpress/", "report.html/"))
        for part in output.split("/"):
            assert part not in {"", ".", ".."}
            assert len(os.fsencode(part)) <= 255
        taken.add(output)
    assert len(taken.files) == len(names)
    assert not taken.files & taken.folders


@pytest.mark.parametrize("seed", range(5))
def test_the_places_of_one_format_do_not_depend_on_the_order_unless_names_clash(seed):
    rng = random.Random(seed)
    names = [
        f"{folder}{stem}.pdf" for folder in ("", "a/", "x.md/", "report.html/") for stem in ("x", "y", "a", "x.md")
    ]
    first: dict[str, str] = {}
    for _ in range(2):
        taken = Taken()
        for name in rng.sample(names, len(names)):
            output = place(name, "md", False, taken)
            assert first.setdefault(name, output) == output
            taken.add(output)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_found_in_random_inputs_is_written_without_two_files_meeting(tmp_path, seed):
    rng = random.Random(seed)
    roots = [tmp_path / "1/in", tmp_path / "2/in", tmp_path / "2/IN"]
    for root in roots:
        for _ in range(40):
            parts = rng.choices(["a", "A", "b.md", "report.html", "caf\udce9", "x\ny"], k=rng.randrange(4))
            folder = root.joinpath(*parts)
            folder.mkdir(parents=True, exist_ok=True)
            name = rng.choice("aAbß") + rng.choice([".pdf", ".PDF", ".png", ".md.pdf"])
            (folder / name).write_bytes(b"")
    inputs = rng.sample([*map(str, roots), f"{tmp_path}/1/**/*.pdf"], rng.randrange(1, 5))
    listed = [str(path) for path in tmp_path.rglob("*.*") if rng.random() < 0.2]
    taken, out, count = Taken(), tmp_path / "out", 0
    for found in find(inputs, Choice(), listed):
        if isinstance(found, Found):
            output = place(found.name, "md", found.crowded, taken)
            assert not taken(output)
            taken.add(output)
            (out / output).parent.mkdir(parents=True, exist_ok=True)
            (out / output).write_text("x")
            count += 1
    assert len([path for path in out.rglob("*") if path.is_file()]) == count > 0


def test_a_place_is_found_fast_enough_for_many_documents():
    start = time.process_time()
    for number in range(5_000):
        place(f"folder/{number}/scan of a page {number}.pdf", "md", False, free)
    assert time.process_time() - start < 0.5

"""The user's data -> samples: lists of images, PDFs with their text layers, folders; and all that can be wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from pdfmaker import Page, make_pdf, text
from PIL import Image

from ocrpress.errors import InputError, PasswordError, UsageError
from ocrpress.measure.samples import Choice, Samples, load_samples
from ocrpress.measure.tokens import Counter

COUNTER = Counter("quarters of characters", lambda found: len(found) // 4)
PROSE = "The order of the words on this page is that in which a reader takes them, from the first to the last one."
SOUP = "Sgd nqcdq ne sgd vnqcr nm sghr ozfd hr sgzs hm vghbg z qdzcdq szjdr sgdl, eqnl sgd ehqrs sn sgd kzrs nmd."


def load(*data: object, **choice: Any) -> Samples:
    return load_samples([str(name) for name in data], COUNTER, Choice(**choice))


def lines(*found: str) -> Page:
    return Page(text(*found, size=9))


def listed(folder: Path, entries: Any, name: str = "pages.json") -> Path:
    """A folder with a list; the images that its good entries name are there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(entries if isinstance(entries, str) else json.dumps(entries))
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("image"), str) and "gone" not in entry["image"]:
            path = folder / entry["image"]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 30), "white").save(path, "PNG")
    return folder


def pdf(path: Path, *pages: Page, **options: Any) -> Path:
    path.write_bytes(make_pdf(pages, **options))
    return path


# Lists of images


def test_a_list_gives_its_images_in_order_with_the_tokens_that_it_knows(tmp_path: Path) -> None:
    entries = [
        {"image": "b/2.png", "text": "x" * 4000, "text_tokens": 1234, "source": "a key of the user's own"},
        {"image": "1.png", "text": "y" * 400},
    ]
    found = load(listed(tmp_path / "set", entries))
    assert [(page.name, page.text_tokens, page.bucket) for page in found.items] == [
        ("b/2.png", 1234, 1200), ("1.png", 100, 100)
    ]  # fmt: skip
    assert all(page.variant == "natural" and page.origin == "image" for page in found.items)
    assert found.items[0].file == str(tmp_path / "set" / "b" / "2.png")
    assert found.about == "2 pages: the images of set/pages.json"
    assert found.tokens_by == "given by the data where it says, else quarters of characters"


def test_a_list_that_gives_all_tokens_needs_no_counter(tmp_path: Path) -> None:
    folder = listed(tmp_path, [{"image": "1.png", "text": "y", "text_tokens": 7}])
    assert load(folder).tokens_by == "given by the data"


def test_the_list_of_a_folder_is_its_pages_json_or_its_only_list(tmp_path: Path) -> None:
    folder = listed(tmp_path, [{"image": "a.png", "text": "a"}], "any.json")
    (folder / "settings.json").write_text('{"no": "list"}')
    assert [page.name for page in load(folder).items] == ["a.png"]
    listed(tmp_path, [{"image": "b.png", "text": "b"}], "other.json")
    with pytest.raises(InputError, match=r"several JSON lists \(any\.json, other\.json\): name the one to take"):
        load(folder)
    assert [page.name for page in load(folder / "other.json").items] == ["b.png"]
    listed(tmp_path, [{"image": "c.png", "text": "c"}])
    assert [page.name for page in load(folder).items] == ["c.png"]


def test_images_may_lie_anywhere_and_a_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    folder = listed(tmp_path / "set", [{"image": "../1.png", "text": "a"}])
    (folder / "pages.json").write_bytes(b"\xef\xbb\xbf" + (folder / "pages.json").read_bytes())
    assert len(load(folder).items) == 1


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("[{", "is not JSON"),
        ('{"image": "1.png"}', "is no list"),
        ("[]", "lists no images"),
        ("[" * 100_000, "is not JSON"),
        ('["1.png"]', "entry 1 is no object"),
        ('[{"text": "a"}]', "entry 1 names no image"),
        ('[{"image": 1, "text": "a"}]', "entry 1 names no image"),
        ('[{"image": "a\\u0000.png", "text": "a"}]', "entry 1 names no image"),
        ([{"image": "1.png", "text": "a"}, {"image": "2.png"}], r"entry 2 \(2.png\) has no text"),
        ([{"image": "1.png", "text": " \n"}], r"entry 1 \(1.png\) has no text"),
        ([{"image": "1.png", "text": ["a"]}], r"entry 1 \(1.png\) has no text"),
        ([{"image": "1.png", "text": "a", "text_tokens": 0}], r"entry 1 \(1.png\) has 0 for text_tokens"),
        ([{"image": "1.png", "text": "a", "text_tokens": True}], r"has True for text_tokens"),
        ([{"image": "1.png", "text": "a", "text_tokens": None}], r"has None for text_tokens"),
        ([{"image": "1.png", "text": "a"}, {"image": "1.png", "text": "b"}], "entries 1 and 2 are the same image"),
        ([{"image": "gone.png", "text": "a"}], r"lists an image that is not there \(gone\.png\)"),
        (
            [{"image": f"gone{n}.png", "text": "a"} for n in range(3)] + [{"image": "1.png", "text": "a"}],
            r"lists 3 images that are not there \(gone0\.png, …\): put them there",
        ),
    ],
)
def test_a_list_that_is_wrong_is_refused_in_one_line_that_says_where(
    tmp_path: Path, entries: Any, message: str
) -> None:
    file = listed(tmp_path, entries) / "pages.json"
    with pytest.raises(InputError, match=message) as error:
        load(file)
    assert "pages.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_limit_takes_the_first_of_a_list_and_still_looks_at_all_of_it(tmp_path: Path) -> None:
    entries = [{"image": f"{n}.png", "text": "a"} for n in range(5)]
    folder = listed(tmp_path, entries)
    assert [page.name for page in load(folder, limit=2).items] == ["0.png", "1.png"]
    listed(tmp_path, [*entries, {"image": "gone.png", "text": "a"}])
    with pytest.raises(InputError, match="not there"):
        load(folder, limit=2)


def test_images_without_a_list_are_refused_with_the_way_out(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1\.png is an image, and nothing tells its text: name the JSON file"):
        load(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"has images, and nothing tells their texts: add pages\.json"):
        load(tmp_path)


# Variants of pages that came with their pixels


def test_variants_need_pages_that_are_set_here(tmp_path: Path) -> None:
    folder = listed(tmp_path, [{"image": "1.png", "text": PROSE, "text_tokens": 33}])
    with pytest.raises(UsageError, match="shuffled words need pages that are set here: add --typeset"):
        load(folder, variants=("natural", "shuffled"))
    assert {page.variant for page in load(folder).items} == {"natural"}
    found = load(folder, typeset=True)
    assert [(page.variant, page.origin, page.bucket) for page in found.items] == [
        ("natural", "typeset", 0), ("shuffled", "typeset", 0), ("random", "typeset", 0)
    ]  # fmt: skip
    assert [page.text_tokens for page in found.items] == [33, len(PROSE) // 4, len(PROSE) // 4]
    assert found.about == f"1 page: the texts of {tmp_path.name}/pages.json, set in serif, 9 pt, a4"


def test_variants_of_a_pdf_are_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="random words need"):
        load(pdf(tmp_path / "a.pdf", lines(PROSE)), variants=("random",))


# PDFs


def test_a_text_layer_is_the_truth_with_its_broken_words_made_whole(tmp_path: Path) -> None:
    page = lines("Between the first line and the second a word is bro-", "ken, as in well-", "known books of old.")
    (found,) = load(pdf(tmp_path / "a.pdf", page)).items
    assert " ".join(found.text.split()) == (
        "Between the first line and the second a word is broken, as in well-known books of old."
    )
    assert (found.name, found.page, found.origin, found.bucket) == ("a.pdf:1", 1, "pdf", 0)


def test_pages_without_a_layer_that_can_be_trusted_are_left_out_with_the_reason(tmp_path: Path) -> None:
    soup, hidden = lines(SOUP, SOUP, SOUP), Page(text(PROSE).replace(b"BT ", b"BT 3 Tr "))
    pages = (lines(PROSE), Page(), Page(), soup, lines(PROSE), hidden, Page(), Page(broken=True), lines("7"))
    found = load(pdf(tmp_path / "a.pdf", *pages))
    assert [page.page for page in found.items] == [1, 5]
    assert found.left_out == (
        ("a.pdf pages 2-3, 7", "no text layer"),
        ("a.pdf page 4", "its text layer's letters do not form words"),
        ("a.pdf page 6", "its text layer holds text that cannot be seen"),
        ("a.pdf page 8", found.left_out[3][1]),
        ("a.pdf page 9", "its text layer has fewer than 20 letters"),
    )
    assert "cannot be read" in found.left_out[3][1]
    assert found.about == "2 pages: a.pdf by its text layer"


def test_a_few_words_over_a_page_full_of_strokes_are_not_its_text(tmp_path: Path) -> None:
    strokes = b"".join(
        b"%d %d 1.5 7 re f\n" % (60 + 4 * x, 60 + 14 * y) for x in range(120) for y in range(45)
    )  # as a scan's letters would stand there
    found = load(
        pdf(tmp_path / "a.pdf", Page(text("Received at the office on Monday") + b"\n" + strokes), lines(PROSE))
    )
    assert [page.page for page in found.items] == [2]
    assert found.left_out == (("a.pdf page 1", "its text layer has a small part of what stands there"),)


def test_a_pdf_of_which_nothing_can_be_used_says_why_in_one_line(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", Page(), lines(SOUP, SOUP, SOUP), Page())
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value) == (
        f"no page of {path} can be measured (a.pdf pages 1, 3: no text layer; a.pdf page 2: its text layer's letters "
        "do not form words): give text, PDFs with a text layer, or images with a JSON list of their texts"
    )


def test_a_limit_stops_reading_a_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    monkeypatch.setattr("ocrpress.measure.samples.layers.distrust", lambda found: judged.append(found) or "")
    found = load(pdf(tmp_path / "a.pdf", *(lines(PROSE, f"Page {n}") for n in range(9))), limit=3)
    assert [page.page for page in found.items] == [1, 2, 3]
    assert len(judged) == 3


def test_an_encrypted_pdf_needs_its_password_and_keeps_it_to_itself(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", lines(PROSE), user="open")
    with pytest.raises(PasswordError, match="needs a password: give the right one with --password"):
        load(path)
    found = load(path, password="open")
    assert len(found.items) == 1
    assert "open" not in repr(found)


def test_a_damaged_pdf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    with pytest.raises(InputError, match=r"a\.pdf"):
        load(tmp_path / "a.pdf")


# Files, folders and mixtures


def test_a_folder_without_a_list_gives_its_texts_and_pdfs_and_passes_over_the_rest(tmp_path: Path) -> None:
    (tmp_path / "page10.txt").write_text("Ten. " + PROSE)
    (tmp_path / "page2.md").write_text("Two. " + PROSE)
    (tmp_path / ".hidden.txt").write_text(PROSE)
    (tmp_path / "program").write_bytes(bytes(range(256)))
    (tmp_path / "empty.txt").write_text("")
    pdf(tmp_path / "a.pdf", lines(PROSE))
    found = load(tmp_path)
    assert [page.name for page in found.items] == ["a.pdf:1", "page2.md", "page10.txt"]
    assert [name for name, _ in found.left_out] == ["empty.txt", "program"]


def test_data_of_several_kinds_is_put_together_with_its_own_pixels_first(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text(PROSE)
    images = listed(tmp_path / "set", [{"image": "1.png", "text": "a"}, {"image": "2.png", "text": "b"}])
    found = load(notes, images, pdf(tmp_path / "a.pdf", lines(PROSE)))
    assert [page.name for page in found.items] == ["1.png", "2.png", "a.pdf:1", "notes.txt"]
    assert found.about == (
        "4 pages: notes.txt, the images of set/pages.json, a.pdf by its text layer, set in serif, 9 pt, a4"
    )
    assert [page.name for page in load(notes, images, limit=2).items] == ["1.png", "2.png"]


def test_pages_of_the_same_name_get_names_of_their_own(tmp_path: Path) -> None:
    one = listed(tmp_path / "one", [{"image": "1.png", "text": "a"}])
    other = listed(tmp_path / "other", [{"image": "1.png", "text": "b"}])
    assert [page.name for page in load(one, other, one).items] == ["1.png", "1.png (2)", "1.png (3)"]


def test_text_comes_from_stdin_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(PROSE.encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert [(page.name, page.text) for page in load("-", variants=("natural",)).items] == [("stdin", PROSE)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "x does not exist: check the spelling"),
        (b"", "x is empty"),
        (b"\x00\x01\x02\x03" * 99, "x is of no format that ocrpress reads"),
        ("Müller, Größe".encode("latin-1") * 9, "UTF-8"),
        (b"PK\x03\x04 and so on", "Office, e-book or ZIP"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("x").write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        load("x")
    assert "\n" not in str(error.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no files"):
        load(tmp_path)


def test_a_sample_is_another_once_its_text_or_its_image_changes(tmp_path: Path) -> None:
    def identity(**entry: Any) -> str:
        return load(listed(tmp_path, [{"image": "1.png", "text": "a", **entry}])).items[0].identity

    folder = listed(tmp_path, [{"image": "1.png", "text": "a"}])
    first = load(folder).items[0].identity
    assert load(folder).items[0].identity == first
    assert identity(text="b") != first
    assert identity() != first  # its image was written again
    first = identity()
    Image.new("RGB", (99, 99)).save(tmp_path / "1.png")
    assert load(folder).items[0].identity != first

"""What `convert` refuses on the command line (test_bad_input.py) and what only a network brings, over HTTP.

Every refusal is one problem that names the thing, the cause and the remedy; nothing stays on the disk, and the service
goes on.
"""

from __future__ import annotations

import io
import os
import random
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from conftest import ROOT
from pdfmaker import Page, endless_page, make_pdf, make_text_pdf, text
from PIL import Image
from service_tools import png, running, upload, wait_until

from ocrpress.pipeline import Options

HARD = Path(os.environ.get("OCRPRESS_HARD_PDFS", ROOT.parent / "shared" / "data" / "hard_pdfs"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    options = Options(page_seconds=3.0)
    with running(tmp_path_factory.mktemp("service"), options=options, max_pages=50, max_bytes=20 << 20) as found:
        yield found


@pytest.fixture
def sent(server):
    """Send a file with these fields; whatever comes of it, nothing stays and no path is told."""

    def send(data: bytes, name: str = "a.pdf", kind: str = "application/octet-stream", **fields: str):
        answer = server.client.post("/v1/convert", files=upload(data, name, kind), data=fields)
        assert answer.status_code < 500, answer.text
        assert str(server.folder) not in answer.text
        assert ".part" not in answer.text
        wait_until(lambda: not server.uploads)
        return answer

    return send


@pytest.fixture
def refused(sent):
    """As `sent`; it must be refused with this status, and all these words."""

    def check(status, words, data, name="a.pdf", **fields):
        answer = sent(data, name, **fields)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        found = answer.json()
        assert {"type", "title", "status", "detail", "instance"} <= set(found)
        assert found["status"] == status
        assert found["type"].startswith("urn:ocrpress:")
        for word in words:
            assert word in f"{found['detail']}: {found.get('remedy')}"
        return found

    return check


# As in test_bad_input.py.


def test_an_empty_file(refused):
    refused(422, ["empty.pdf", "is empty", "give"], b"", "empty.pdf")


def test_an_empty_body(server):
    for content_type in ("multipart/form-data; boundary=abc", "application/pdf", ""):
        answer = server.client.post("/v1/convert", content=b"", headers={"content-type": content_type})
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:ocrpress:bad-request")


def test_a_file_that_is_no_pdf(refused):
    refused(422, ["letter.pdf", "no format", "ZIP", "send"], b"PK\x03\x04 a letter", "letter.pdf")


def test_a_pdf_in_name_only(refused):
    refused(422, ["hollow.pdf"], b"%PDF-1.7\n" + b"nothing of the kind\n" * 20, "hollow.pdf")


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9, 0.97])
def test_a_truncated_pdf_is_refused_or_its_lost_pages_are_marked(sent, part):
    whole = make_text_pdf(8)
    answer = sent(whole[: int(part * len(whole))], "cut.pdf")
    if answer.status_code == 422:
        assert "cut.pdf" in answer.json()["detail"]
    else:
        assert answer.status_code == 200
        assert answer.text.count("failed: ") == int(answer.headers["ocrpress-failed-pages"])


def test_an_encrypted_pdf(refused, sent):
    locked = make_text_pdf(2, user="secret")
    found = refused(422, ["locked.pdf", "encrypted", "the field password"], locked, "locked.pdf")
    assert found["type"] == "urn:ocrpress:password"
    found = refused(422, ["locked.pdf", "password"], locked, "locked.pdf", password="wrong-guess")
    assert "wrong-guess" not in str(found)
    answer = sent(locked, "locked.pdf", password="secret")
    assert (answer.status_code, answer.text.count("<!-- page ")) == (200, 2)


def test_a_page_that_is_not_there(sent):
    answer = sent(make_pdf([Page(text("one")), Page(text("two"), broken=True), Page(text("three"))]))
    assert answer.status_code == 200
    assert [f"<!-- page {n} -->" in answer.text for n in (1, 2, 3)] == [True] * 3
    assert "<!-- page 2 failed: " in answer.text


@pytest.mark.parametrize("size", [(0, 0), (1e-6, 1e-6), (14400, 14400), (1e7, 10), (1e9, 1e9)])
def test_a_page_of_zero_or_enormous_size(sent, size):
    answer = sent(make_pdf([Page(text("one")), Page(text("two"), size=size)]))
    assert answer.status_code == 200
    assert "<!-- page 2 -->" in answer.text
    assert ("<!-- page 2 failed: " in answer.text) == (answer.headers["ocrpress-failed-pages"] == "1")


def test_an_unreadable_image(refused):
    refused(422, ["bad.png", "damaged"], b"\x89PNG\r\n\x1a\n" + bytes(100), "bad.png")


def test_an_image_cut_short(sent):
    stream = io.BytesIO()
    Image.effect_noise((300, 300), 90).save(stream, "PNG")
    answer = sent(stream.getvalue()[:20000], "cut.png")
    assert (answer.status_code, answer.headers["ocrpress-failed-pages"]) == (200, "1")
    assert "<!-- page 1 failed: cut.png cannot be decoded: " in answer.text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mode": "larg"}, ["unknown mode 'larg'", "did you mean 'large'"]),
        ({"format": "mdd"}, ["unknown format 'mdd'", "did you mean 'md'"]),
        ({"page_breaks": "non"}, ["'non'", "did you mean 'none'"]),
        ({"pages": "3-1"}, ["3-1", "backwards", "1-3"]),
        ({"pages": "one"}, ["'one'", "1-3,7"]),
        ({"pages": "7"}, ["none of the pages 7", "1 to 3"]),
        ({"dpi": "1000000"}, ["dpi", "choose from"]),
        ({"max_tiles": "1"}, ["max_tiles", "2 or more"]),
        ({"renderer": "poppler"}, ["unknown field 'renderer'", "Known: mode"]),
        ({"workers": "-1"}, ["unknown field 'workers'"]),
        ({"engine": "rapd"}, ["unknown field 'engine'"]),
        ({"output": "/etc/passwd"}, ["unknown field 'output'"]),
        ({"stream": "perhaps"}, ["stream is 'perhaps'", "true or false"]),
        ({"retries": "3"}, ["the engine fake has no use", "retries", "leave it out"]),
        ({"task": "locate=x"}, ["unknown task", "'locate'"]),
    ],
)
def test_an_option_that_cannot_be(refused, fields, words):
    refused(400, words, make_text_pdf(3), **fields)


@pytest.mark.skipif(not HARD.is_dir(), reason="no folder of hard PDFs")
def test_all_hard_pdfs_convert_without_a_lost_page(sent):
    import pypdfium2

    for file in sorted(HARD.glob("*.pdf")):
        pages = min(3, len(pypdfium2.PdfDocument(file)))
        answer = sent(file.read_bytes(), file.name, mode="tiny", pages=f"1-{pages}")
        assert answer.status_code == 200, answer.text
        for number in range(1, pages + 1):
            assert f"<!-- page {number} -->" in answer.text


# What only a network brings.


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd", "/etc/passwd", "C:\\windows\\system32\\a.png", "a\x01\x1b[2Jb.png", "\u202egnp.exe", "-",
     "--password", "a" * 3000 + ".png", "con", "<img src=x onerror=alert(1)>.png", "a;rm -rf ~.png", "%2e%2e%2fa.png",
     "$(reboot).png", "a\r\nX-Evil: 1.png"],
)  # fmt: skip
def test_a_name_is_only_ever_shown(server, sent, name):
    before = sorted(path for path in server.folder.rglob("*") if path.is_file())
    answer = sent(png(), name, format="json")
    assert answer.status_code == 200
    shown = answer.json()["source"]
    assert shown.isprintable()
    assert 0 < len(shown) <= 200
    assert not set(shown) & {"/", "\\"}
    assert "x-evil" not in answer.headers
    assert sorted(path for path in server.folder.rglob("*") if path.is_file()) == before


def test_a_name_beyond_all_measure_is_refused(refused):
    refused(400, ["header"], png(), "a" * 10_000 + ".png")


@pytest.mark.parametrize(
    "kind", ["application/pdf", "text/html", "image/jpeg; charset=nonsense", "x", "a/" + "b" * 500]
)
def test_a_content_type_that_lies_changes_nothing(sent, kind):
    answer = sent(png(), "page.png", kind)
    assert (answer.status_code, answer.headers["ocrpress-failed-pages"]) == (200, "0")


def test_a_zip_bomb_is_no_document(refused):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10 << 20))
    refused(422, ["bomb.zip", "no format", "ZIP"], stream.getvalue(), "bomb.zip")


def test_a_body_that_is_packed_is_not_unpacked(server):
    answer = server.client.post(
        "/v1/convert", content=zlib.compress(bytes(10 << 20)),
        headers={"content-type": "multipart/form-data; boundary=abc", "content-encoding": "deflate"},
    )  # fmt: skip
    assert (answer.status_code, "compressed" in answer.json()["detail"]) == (400, True)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_pixel_bomb_is_refused_by_its_header(refused):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(7501 * 1000)))
    bomb = b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")
    refused(422, ["bomb.png", "60000 × 60000 pixels", "scale it down"], bomb, "bomb.png")


def test_a_tiff_with_a_million_frames_is_refused(refused):
    first = struct.pack("<H", 2) + struct.pack("<HHII", 256, 4, 1, 10) + struct.pack("<HHII", 257, 4, 1, 10)
    start = 8 + len(first) + 4
    chain = b"".join(struct.pack("<HI", 0, start + 6 * (index + 1)) for index in range(1_000_000))
    bomb = b"II*\0" + struct.pack("<I", 8) + first + struct.pack("<I", start) + chain + bytes(6)
    refused(422, ["bomb.tiff", "frames"], bomb, "bomb.tiff")


def test_too_many_pages_are_refused_and_some_of_them_taken(refused, sent):
    refused(422, ["gives 60 pages, the limit is 50", "the field pages"], make_text_pdf(60), "long.pdf")
    assert sent(make_text_pdf(60), "long.pdf", pages="59-").headers["ocrpress-pages"] == "2"
    refused(422, ["long.txt gives more than 50 pages", "pages"], b"word\n" * 10_000, "long.txt")


def test_a_file_that_is_too_large(server, refused):
    refused(413, ["larger than 20,971,520 bytes", "smaller"], bytes(21 << 20))


def test_a_page_that_takes_ages_to_draw_is_marked(sent):
    answer = sent(make_pdf([endless_page()]), "endless.pdf")
    assert answer.status_code == 200
    assert "<!-- page 1 failed: rendering took longer than 3 s" in answer.text


def test_mutated_documents_are_answered_and_nothing_stays(server, sent):
    dice, outcomes = random.Random(8), []
    stream = io.BytesIO()
    Image.new("RGB", (50, 50), "red").save(stream, "JPEG")
    kinds = [png((40, 40)), stream.getvalue(), make_text_pdf(2), b"# Text\n\nof some length\n" * 9]
    for number in range(120):
        data = bytearray(kinds[number % len(kinds)])
        for _ in range(dice.randint(1, 5)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        outcomes.append(sent(bytes(data), f"{number}", mode="tiny").status_code)
    assert set(outcomes) <= {200, 422}
    assert outcomes.count(200) > 20
    assert server.client.get("/healthz").status_code == 200

"""Forms as they come, whole, broken, too large, too slow; what is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import time
import zlib
from types import SimpleNamespace

import pytest
from PIL import Image
from service_tools import png, running, upload, wait_until
from starlette.requests import ClientDisconnect, Request

from ocrpress.errors import OcrpressError
from ocrpress.server.errors import BadRequest, TooLarge, TooSlow
from ocrpress.server.intake import uploads
from ocrpress.server.intake.forms import MOST_BESIDE, MOST_FIELDS, MOST_HEAD, MOST_VALUE, Form, boundary_of, clean_name

TYPE = "multipart/form-data; boundary=abc"


def part(value: bytes = b"", name: str = "file", file_name: str | None = None, head: str = "") -> bytes:
    shown = "" if file_name is None else f'; filename="{file_name}"'
    return f'Content-Disposition: form-data; name="{name}"{shown}\r\n{head}\r\n'.encode() + value


FILE = part(b"DATA\r\n--ab\r\n--abx", file_name="a.png", head="Content-Type: image/png\r\n")


def body(*parts: bytes, end: bytes = b"\r\n--abc--\r\n") -> bytes:
    return b"--abc\r\n" + b"\r\n--abc\r\n".join(parts) + end


def read(data: bytes, content_type: str = TYPE, max_bytes: int = 1000, step: int = 0) -> tuple[Form, bytes]:
    form = Form(content_type, max_bytes)
    for start in range(0, len(data), step or len(data) or 1):
        form.feed(data[start : start + (step or len(data))])
    form.finish()
    return form, b"".join(form.take())


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7, 50])
def test_a_form_is_the_same_however_it_is_cut(step):
    form, data = read(body(part(b"tiny", "mode"), FILE, part("ü".encode(), "password")), step=step)
    assert form.fields == {"mode": "tiny", "password": "ü"}
    assert (form.name, data, form.size) == ("a.png", b"DATA\r\n--ab\r\n--abx", 17)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (b"", "cut short"),
        (body(FILE, end=b""), "cut short"),
        (body(FILE, end=b"\r\n--abc"), "cut short"),
        (body(FILE, end=b"\r\n--abc-"), "cut short"),
        (b"--abd\r\n" + FILE + b"\r\n--abd--\r\n", "broken"),
        (b"no form at all", "broken"),
        (b"--abc--\r\n", "no field 'file'"),
        (body(part(b"tiny", "mode")), "no field 'file'"),
        (body(part(b"DATA", "file")), "no file name"),
        (body(part(b"", "file", "")), "no file name"),
        (body(part(b"DATA", "document", "a.png")), "there is a file in the field 'document'"),
        (body(FILE, FILE), "more than one file"),
        (body(part(b"1", "mode"), part(b"2", "mode"), FILE), "'mode' is there twice"),
        (body(*(part(b"", f"f{n}") for n in range(MOST_FIELDS + 1)), FILE), "more than 32 fields"),
        (body(part(b"x" * (MOST_VALUE + 1), "mode"), FILE), "'mode' has more than"),
        (body(part(b"\xff", "mode"), FILE), "not in UTF-8"),
        (body(part(b"x", "file", "n" * 10_000 + ".png")), "bytes of headers|Maximum header size"),
        (body(part(b"x", "file", "a", "".join(f"X-{n}: {'y' * 500}\r\n" for n in range(9)))), "headers|header count"),
        (body(b"Content-Type: text/plain\r\n\r\nx"), "no Content-Disposition"),
        (body(b"Content-Disposition: attachment; name=file; filename=a\r\n\r\nx"), "no name"),
        (body(b"Content-Disposition: form-data; filename=a\r\n\r\nx"), "no name"),
        (body(part(b"x", "a b")), "no name"),
        (body(part(b"x", "n" * 65)), "no name"),
        (body(b"Content Disposition: form-data\r\n\r\nx"), "broken"),
        (body(b": form-data\r\n\r\nx"), "broken"),
        (body(FILE) + b"x" * MOST_BESIDE, "too much"),
        (b"\r\n" + b"x" * MOST_BESIDE + body(FILE), "too much"),
    ],
)  # fmt: skip
def test_a_broken_form_is_refused(given, words):
    with pytest.raises(BadRequest, match=words) as caught:
        read(given)
    assert caught.value.advice


@pytest.mark.parametrize("step", [1, 100, 1001])
def test_a_file_is_refused_at_the_byte_that_is_too_much(step):
    assert read(body(part(b"x" * 1000, file_name="a")), step=step)[0].size == 1000
    form = Form(TYPE, 1000)
    data = body(part(b"x" * 100_000, file_name="a"))
    with pytest.raises(TooLarge, match="larger than 1,000 bytes"):
        for start in range(0, len(data), step):
            form.feed(data[start : start + step])
    assert start < 1000 + MOST_HEAD + step


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=abc",
     'multipart/form-data; boundary="a\x01"', f"multipart/form-data; boundary={'x' * 71}",
     "multipart/form-data; boundary=ü", "text/plain; boundary=abc", "\x00"],
)  # fmt: skip
def test_a_content_type_that_is_no_forms_is_refused(content_type):
    with pytest.raises(BadRequest):
        boundary_of(content_type)


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", "abc"),
        ('Multipart/Form-Data;charset=utf-8 ; Boundary="a b=c"', "a b=c"),
        ("multipart/form-data; boundary=first; boundary=second", "first"),
        ('multipart/form-data; other="; boundary=x"; boundary=abc', "abc"),
    ],
)
def test_the_boundary_of_a_form(content_type, boundary):
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("paper.pdf", "paper.pdf"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\me\\scan.tiff", "scan.tiff"),
        ("a/b\\c/", "c"),
        ("..", "upload"),
        ("", "upload"),
        ("-", "upload"),
        ("\x00\x1b[31mred\n\r\t.pdf", "[31mred .pdf"),
        ("abc\u202efdp.exe", "abcfdp.exe"),
        ("\ufeff\u200b", "upload"),
        ("日本語 été.pdf", "日本語 été.pdf"),
        ("x" * 10_000 + ".md", "x" * 196 + "….md"),
        ("." * 10_000, "upload"),
        ("--password", "--password"),
        ("<script>.png", "<script>.png"),
    ],
)
def test_a_clients_file_name_is_only_shown(given, shown):
    assert clean_name(given) == shown
    assert len(clean_name(given)) <= 200


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('form-data; name="file"; filename="a \\"b\\" \\\\c.png"', "c.png"),
        ("form-data; name=file; filename=a.png", "a.png"),
        ("form-data; name=\"file\"; filename*=utf-8''%C3%A9t%C3%A9.png", "été.png"),
        ('form-data; name="file"; filename="a.png"; filename*=UTF-8\'en\'..%2F..%2Fb.png', "b.png"),
        ('form-data; name="file"; filename="a.png"; filename*=utf-7\'\'+AGE-', "a.png"),
        ("form-data; name=\"file\"; filename*=utf-8''%FF%00%0A", "\ufffd"),
        ('FORM-DATA; NAME="file"; FILENAME="a.png"', "a.png"),
        ('form-data; name="file"; filename="é.png"', "é.png"),
    ],
)
def test_names_of_files_in_all_their_spellings(disposition, name):
    form, data = read(body(f"Content-Disposition: {disposition}\r\n\r\nx".encode()))
    assert (form.name, data) == (name, b"x")


def test_mutated_forms_are_read_or_refused_and_nothing_else():
    dice, whole, refused = random.Random(6), body(part(b"tiny", "mode"), FILE), 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 6)):
            at, kind = dice.randrange(len(data)), dice.randrange(4)
            if kind == 0:
                data[at] = dice.randrange(256)
            elif kind == 1:
                del data[at : at + dice.randint(1, 30)]
            elif kind == 2:
                data[at:at] = dice.choice([b"\r\n", b"--abc", b"\x00", b'"', b";", b"=", b"--", data[at : at + 20]])
            else:
                del data[at:]
            data = data or bytearray(b"x")
        try:
            read(bytes(data), step=dice.choice([0, 1, 5]))
        except OcrpressError as error:
            assert error.http_status == 400
            refused += 1
    assert 1000 < refused < 3000


# What follows has a folder.


def request(chunks: list[bytes], wait: float = 0.0, **headers: str) -> Request:
    """A request whose body comes in these chunks; if they do not end it, nothing more comes."""
    given = {"content-type": TYPE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    left = list(chunks)

    async def receive():
        if not left:
            await asyncio.sleep(1e6)
        await asyncio.sleep(wait)
        chunk = left.pop(0)
        if chunk == b"gone":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": not (chunk.endswith(b"--abc--\r\n") or not chunk)}

    raw = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
    return Request({"type": "http", "method": "POST", "headers": raw, "path": "/"}, receive)


def service(folder, **settings: object) -> SimpleNamespace:
    given = {"folder": folder, "max_bytes": 10 << 20, "upload_seconds": 20.0, **settings}
    return SimpleNamespace(settings=SimpleNamespace(**given))


def received(folder, chunks, wait=0.0, look=lambda upload: None, headers=None, **settings):
    async def go():
        async with uploads.receive(request(chunks, wait, **(headers or {})), service(folder, **settings)) as found:
            return found, found.path.read_bytes(), look(found)

    return asyncio.run(go())


def left(folder) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def test_a_small_upload_is_a_file_while_it_is_used(tmp_path):
    found, data, mode = received(tmp_path, [body(FILE)], look=lambda upload: upload.path.stat().st_mode & 0o777)
    assert data == b"DATA\r\n--ab\r\n--abx"
    assert (found.name, found.size, mode) == ("a.png", 17, 0o600)
    assert found.path.parent == tmp_path / "uploads"
    assert found.path.is_absolute()
    assert "a" not in found.path.name.removesuffix(".part").strip("0123456789abcdef")
    assert left(tmp_path) == []


def test_a_large_upload_is_written_as_it_comes(tmp_path):
    data = random.Random(1).randbytes(3_000_000)
    whole = body(part(data, file_name="a.pdf"))
    for step in (65536, 1_000_000, len(whole)):
        chunks = [whole[start : start + step] for start in range(0, len(whole), step)]
        assert received(tmp_path, chunks)[1] == data
    until = time.monotonic() + 10
    while left(tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    assert left(tmp_path) == []


def test_nothing_of_the_clients_name_shows_in_the_name_of_the_file(tmp_path):
    for name in ("a.MD", "b.pdf", "c.sh", "d.md/../e"):
        found, _, _ = received(tmp_path, [body(part(b"x", file_name=name))])
        assert re.fullmatch("[0-9a-f]+[.]part", found.path.name)


def test_an_upload_that_is_kept_stays_where_it_was_moved(tmp_path):
    kept = tmp_path / "kept"
    found, _, _ = received(tmp_path, [body(FILE)], look=lambda upload: upload.keep(kept))
    assert found.path == kept
    assert left(tmp_path) == [str(kept)]
    assert kept.read_bytes() == b"DATA\r\n--ab\r\n--abx"


def test_an_empty_file_is_an_upload(tmp_path):
    found, data, _ = received(tmp_path, [body(part(b"", file_name="a.pdf"))])
    assert (found.size, data) == (0, b"")


def test_uploads_of_one_name_do_not_meet(tmp_path):
    async def go():
        async with uploads.receive(request([body(FILE)]), service(tmp_path)) as one:
            other = body(part(b"other", file_name="a.png"))
            async with uploads.receive(request([other]), service(tmp_path)) as two:
                return one.path.read_bytes(), two.path.read_bytes()

    assert asyncio.run(go()) == (b"DATA\r\n--ab\r\n--abx", b"other")


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        ([body(FILE, end=b""), b""], BadRequest),
        ([body(part(b"x" * 400_000, file_name="a"), end=b""), b""], BadRequest),
        ([body(part(b"x" * 400_000, file_name="a"), end=b""), b"gone"], ClientDisconnect),
        ([body(part(b"x" * 11_000_000, file_name="a"))], TooLarge),
        ([b"gone"], ClientDisconnect),
    ],
)  # fmt: skip
def test_an_upload_that_ends_early_leaves_nothing(tmp_path, chunks, error):
    with pytest.raises(error):
        received(tmp_path, chunks)
    wait_until(lambda: left(tmp_path) == [])


def test_an_upload_that_stops_coming_is_given_up(tmp_path):
    with pytest.raises(TooSlow):
        received(tmp_path, [body(part(b"x" * 400_000, file_name="a"), end=b"")], upload_seconds=0.05)
    wait_until(lambda: left(tmp_path) == [])


def test_an_upload_that_drips_is_given_up(tmp_path):
    chunks = [bytes([byte]) for byte in body(FILE)]
    started = time.monotonic()
    with pytest.raises(TooSlow):
        received(tmp_path, chunks, wait=0.02, upload_seconds=0.1)
    assert time.monotonic() - started < 5
    assert left(tmp_path) == []


def test_what_the_head_says_is_enough_to_refuse(tmp_path):
    with pytest.raises(TooLarge):
        received(tmp_path, [], headers={"content_length": str(11 << 20)})
    with pytest.raises(BadRequest, match="compressed"):
        received(tmp_path, [], headers={"content_encoding": "gzip"})
    assert left(tmp_path) == []


def test_a_request_that_is_cancelled_leaves_nothing(tmp_path):
    async def go():
        start = body(part(b"x" * 400_000, file_name="a"), end=b"")
        context = uploads.receive(request([start]), service(tmp_path))
        task = asyncio.create_task(context.__aenter__())
        while not left(tmp_path):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    wait_until(lambda: left(tmp_path) == [])


# And over HTTP.


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("service"), max_bytes=1 << 20, upload_seconds=1.0) as found:
        yield found


def ask(server, head: str, data: bytes, close: bool = False) -> bytes:
    """The answer to a request of these bytes."""
    with server.connect() as connection:
        lines = f"POST /v1/convert HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\n{head}\r\n"
        connection.sendall(lines.encode("latin-1") + data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"\r\n\r\n" not in answer or b"}" not in answer:
            got = connection.recv(65536)
            if not got:
                break
            answer += got
        return answer


def test_a_body_shorter_than_its_length_is_given_up(server):
    whole = body(part(png(), file_name="a.png"))
    answer = ask(server, f"Content-Length: {len(whole) + 100}\r\n", whole[:-20])
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:ocrpress:too-slow" in answer
    wait_until(lambda: not server.uploads)


def test_a_body_longer_than_its_length_is_cut(server):
    whole = body(part(png(), file_name="a.png"))
    answer = ask(server, f"Content-Length: {len(whole) - 100}\r\n", whole)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"urn:ocrpress:bad-request" in answer
    wait_until(lambda: not server.uploads)


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "0x10", "99999999999999999999999", "", "12, 13", "\xb2"])
def test_a_length_that_is_none_is_refused(server, length):
    answer = ask(server, f"Content-Length: {length}\r\n", body(FILE))
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ")) or answer == b""
    wait_until(lambda: not server.uploads)


def test_too_large_is_said_before_the_body_comes(server):
    answer = ask(server, "Content-Length: 1000000000\r\n", b"")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"urn:ocrpress:too-large" in answer


def test_too_large_is_said_to_one_who_names_no_length(server):
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    start = body(part(b"", file_name="a.png"), end=b"")
    data = b"%x\r\n%s\r\n" % (len(start), start) + piece * 20
    answer = ask(server, "Transfer-Encoding: chunked\r\n", data)
    assert answer.startswith(b"HTTP/1.1 413 ")
    wait_until(lambda: not server.uploads)


def test_a_client_that_leaves_in_the_middle_leaves_nothing(server):
    with server.connect() as connection:
        head = f"POST /v1/convert HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\nContent-Length: 900000\r\n\r\n"
        connection.sendall(head.encode() + body(part(b"x" * 600_000, file_name="a"), end=b""))
        wait_until(lambda: server.uploads)
    wait_until(lambda: not server.uploads)
    wait_until(lambda: server.service.under_way == 0)


def test_a_full_disk_is_told_as_one(server, monkeypatch):
    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "write_all", full)
    answer = server.client.post("/v1/convert", files=upload(png()))
    assert answer.status_code == 507
    assert "no room" in answer.json()["detail"]
    assert str(server.folder) not in answer.text
    wait_until(lambda: not server.uploads)


def test_a_large_picture_comes_through_whole(server):
    image = Image.effect_noise((700, 700), 90).convert("RGB")
    image.save(server.folder / "noise.png", compress_level=1)
    data = (server.folder / "noise.png").read_bytes()
    assert len(data) > 300_000
    answer = server.client.post("/v1/convert", files=upload(data, "../../noise.png"))
    assert f"{zlib.crc32(image.tobytes()):08x}." in answer.text
    wait_until(lambda: not server.uploads)


def test_others_are_served_while_uploads_drip(server):
    held = [server.connect() for _ in range(20)]
    try:
        head = f"POST /v1/convert HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\nContent-Length: 90000\r\n\r\n"
        for connection in held:
            connection.sendall(head.encode() + body(part(b"x" * 1000, file_name="a"), end=b""))
        assert server.client.post("/v1/convert", files=upload(png())).status_code == 200
        for connection in held:
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: not server.uploads)

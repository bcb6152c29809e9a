"""What is found out about an upload before it is queued: its kind, its pages, its bombs. All of it bounded."""

from __future__ import annotations

import asyncio
import io
import random
import struct
import sys
import threading
import time
import zlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pdfmaker import make_text_pdf
from PIL import Image
from service_tools import wait_until

from ocrpress.errors import InputError, OcrpressError, PasswordError, UsageError
from ocrpress.pipeline import Options
from ocrpress.server.errors import TimeLimit
from ocrpress.server.intake.glance import is_excessive, size_at_once
from ocrpress.server.intake.look import MOST_FRAMES, MOST_TEXT, SIDE_BY_SIDE, Sheet, aside, look
from ocrpress.sources.bench import Bench
from ocrpress.sources.pool import Worker
from ocrpress.sources.sniff import sniff

OPTIONS = Options(max_pages=2000)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged files


@pytest.fixture(scope="module")
def bench():
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def see(tmp_path, bench):
    """Look at these bytes."""

    def run(data: bytes, name: str = "a.bin", bench: Bench = bench, seconds: float = 60.0, **options: object) -> Sheet:
        path = tmp_path / "upload.part"
        path.write_bytes(data)
        service = SimpleNamespace(settings=SimpleNamespace(request_seconds=seconds), bench=bench)
        return asyncio.run(look(path, name, replace(OPTIONS, **options), service))

    return run


def picture(kind: str, frames: int = 1, **options: object) -> bytes:
    images = [Image.new("RGB", (60 + index, 40), (80 * index % 256, 90, 200)) for index in range(frames)]
    if kind in {"GIF", "WEBP", "PNG"}:
        images = [image.resize((60, 40)) for image in images]
    stream = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(stream, kind, **more, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(width: int, height: int, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", zlib.compress(bytes(9999)))


def tiff_of_nothing(frames: int) -> bytes:
    """A chain of directories without entries, the first one like that of an image."""
    first = struct.pack("<H", 2) + struct.pack("<HHII", 256, 4, 1, 10) + struct.pack("<HHII", 257, 4, 1, 10)
    start = 8 + len(first) + 4
    chain = b"".join(struct.pack("<HI", 0, start + 6 * (index + 1)) for index in range(frames - 2))
    return b"II*\0" + struct.pack("<I", 8) + first + struct.pack("<I", start) + chain + bytes(6)


def gif_of_nothing(frames: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + frame * frames + b";"


@pytest.mark.parametrize(
    ("kind", "frames", "found"),
    [
        ("PNG", 1, "png"), ("PNG", 3, "png"), ("JPEG", 1, "jpeg"), ("BMP", 1, "bmp"), ("GIF", 1, "gif"),
        ("GIF", 4, "gif"), ("TIFF", 1, "tiff"), ("TIFF", 5, "tiff"), ("WEBP", 1, "webp"), ("WEBP", 3, "webp"),
    ],
)  # fmt: skip
def test_an_image_is_what_its_bytes_say(see, kind, frames, found):
    assert see(picture(kind, frames), "lies.pdf") == Sheet(tuple(range(1, frames + 1)), found)


def test_pictures_with_long_headers(see):
    assert see(picture("JPEG", icc_profile=bytes(200_000))).numbers == (1,)
    assert see(picture("PNG", icc_profile=random.Random(1).randbytes(100_000))).numbers == (1,)
    assert see(picture("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + bytes(60_000), progressive=True)).numbers == (1,)


def test_a_pdf_and_its_pages(see):
    assert see(make_text_pdf(4), "a.png") == Sheet((1, 2, 3, 4), "pdf")
    assert see(make_text_pdf(9), pages="7-,1-2,2-3,99").numbers == (1, 2, 3, 7, 8, 9)


def test_texts_are_looked_at_but_not_set(see):
    for name, data in (("a.md", b"<p>Markdown may hold HTML</p>"), ("a.txt", "Übung".encode()), ("a", b"plain")):
        assert see(data, name) == Sheet(None, "text")


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "a.pdf", "a.pdf is empty"),
        (b"PK\x03\x04" + bytes(50), "a.docx", "a.docx is of no format .*ZIP"),
        (b"\xd0\xcf\x11\xe0" + bytes(50), "a.doc", "old Office"),
        (b"<!DOCTYPE html><html></html>", "a.html", "web page"),
        (b"only text", "a.pdf", "it is text, not what its name, .pdf, says"),
        ("Übung".encode("latin-1") * 9, "a.txt", "not in UTF-8"),
        (bytes(range(256)) * 9, "a.bin", "no format"),
        (b"text \0 with" + b" NUL" * 999, "a.txt", "no format|NUL"),
        (b"x" * (MOST_TEXT + 1), "a.txt", "more than 4 MiB of text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "bad.png", "bad.png is a damaged image"),
        (b"\xff\xd8\xff" + bytes(100), "a.jpg", "a.jpg is a damaged image"),
        (b"GIF89a", "a.gif", "a.gif is a damaged image"),
        (b"II*\0" + bytes(100), "a.tif", "a.tif is a damaged image"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "a.webp", "a.webp is a damaged image"),
        (b"BM" + bytes(12) + b"(" + bytes(60), "a.bmp", "a.bmp is a damaged image"),
        (b"%PDF-1.7\n" + b"nothing of the kind\n" * 20, "hollow.pdf", "hollow.pdf"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_under_its_clients_name(see, data, name, words):
    with pytest.raises(InputError, match=words) as caught:
        see(data, name)
    assert "upload.part" not in str(caught.value)


def test_pages_that_are_not_there_or_too_many(see):
    with pytest.raises(UsageError, match=r"none of the pages 7,9- is in this document: choose pages from 1 to 3"):
        see(make_text_pdf(3), pages="7,9-")
    with pytest.raises(InputError, match="gives 6 pages, the limit is 5"):
        see(make_text_pdf(6), "a.pdf", max_pages=5)
    with pytest.raises(InputError, match="gives 6 pages, the limit is 5"):
        see(picture("TIFF", 6), max_pages=5)
    assert see(make_text_pdf(6), max_pages=5, pages="1-3,5-").numbers == (1, 2, 3, 5, 6)


def test_an_encrypted_pdf_wants_its_password(see):
    locked = make_text_pdf(2, user="secret")
    with pytest.raises(PasswordError, match="encrypted"):
        see(locked)
    with pytest.raises(PasswordError, match="password"):
        see(locked, password="wrong")
    assert see(locked, password="secret").numbers == (1, 2)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (huge_png(60_000, 60_000), "60000 × 60000 pixels, the limit is 178,000,000"),
        (huge_png(60_000, 60_000, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000)))), "60000 × 60000 pixels"),
        (huge_png(9, 9, chunk(b"acTL", struct.pack(">II", 1 << 31, 0))), "more than 10,000 frames"),
        (huge_png(9, 9, chunk(b"teSt", b"") * 300_000), "endless header"),
        (b"\xff\xd8\xff" + b"\xff" * 3_000_000, "endless header"),
        (b"\xff\xd8" + b"\xff\xe1\0\x02" * 300_000, "endless header"),
        (picture("JPEG")[:-2].partition(b"\xff\xda")[0] + b"\xff\xe1\0\x02" * 300_000, "endless header"),
        (tiff_of_nothing(1_000_000), "more than 10,000 frames"),
        (gif_of_nothing(1_000_000), "more than 10,000 frames"),
        (b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"!\xfe" + b"\1x" * 3_000_000, "endless header"),
        (b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + gif_of_nothing(1)[19:], "65535 × 65535 pixels"),
        (b"RIFF\xff\xff\xff\x0fWEBP" + b"ANMF\x10\0\0\0" + (bytes(16) + b"ANMF\x10\0\0\0") * 20_000, "frames"),
        (b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, 60000, -60000, 1, 24, 0, 0, 0, 0, 0, 0), "60000 × 60000"),
    ],
)  # fmt: skip
def test_a_bomb_is_refused_before_it_is_opened(see, data, words):
    started = time.process_time()
    with pytest.raises(InputError, match=words):
        see(data, "bomb")
    assert time.process_time() - started < 10


def test_a_tiff_with_many_frames_that_are_still_taken(see):
    assert is_excessive(tiff_of_nothing(MOST_FRAMES + 1), "tiff", MOST_FRAMES)
    assert not is_excessive(tiff_of_nothing(MOST_FRAMES), "tiff", MOST_FRAMES)
    assert not is_excessive(gif_of_nothing(MOST_FRAMES), "gif", MOST_FRAMES)
    loop = b"II*\0\x08\0\0\0\0\0\x08\0\0\0"
    assert not is_excessive(loop, "tiff", MOST_FRAMES)
    wide = b"MM\0+\0\x08\0\0" + struct.pack(">QQQ", 16, 0, 0)
    assert not is_excessive(wide, "tiff", MOST_FRAMES)


def test_sizes_are_those_of_the_decoder():
    for kind, options in (("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("BMP", {})):
        stream = io.BytesIO()
        Image.new("RGB", (123, 77)).save(stream, kind, **options)
        head = stream.getvalue()[:8192]
        assert size_at_once(head, sniff(head)) == (123, 77)
    assert size_at_once(picture("GIF"), "gif") is None
    assert size_at_once(picture("PNG", 2), "png") is None


def test_a_list_of_ranges_costs_no_more_than_its_pages(see):
    assert see(make_text_pdf(3), pages=",".join(["1-"] * 300)).numbers == (1, 2, 3)


class Hanging(Bench):
    """Its workers never answer."""

    def __init__(self) -> None:
        super().__init__()
        self.workers: list[Worker] = []

    def take(self) -> Worker:
        self.workers.append(Worker((sys.executable, "-c", "import time; time.sleep(100)")))
        return self.workers[-1]


def test_a_pdf_that_hangs_its_worker_is_given_up_and_the_worker_killed(see):
    bench = Hanging()
    with pytest.raises(InputError, match=r"took longer than 0\.2 s"):
        see(make_text_pdf(1), bench=bench, page_seconds=0.2)
    assert not any(worker.alive for worker in bench.workers)


def test_a_request_that_ends_sooner_than_the_worker_may_take(see):
    bench = Hanging()
    with pytest.raises(InputError, match="took longer"):
        see(make_text_pdf(1), bench=bench, seconds=0.6)
    assert not any(worker.alive for worker in bench.workers)


def test_a_pdf_that_kills_its_worker_is_refused(see):
    class Dying(Bench):
        def take(self) -> Worker:
            return Worker((sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"))

    with pytest.raises(OcrpressError, match="cannot be opened"):
        see(make_text_pdf(1), bench=Dying())


def test_few_look_at_a_time_and_who_is_late_keeps_his_place():
    doors, inside, most = threading.Event(), [], []

    def hang():
        inside.append(1)
        most.append(len(inside))
        doors.wait(30)
        inside.pop()
        return "seen"

    async def go():
        late = await asyncio.gather(*(aside(hang, 0.05) for _ in range(5)), return_exceptions=True)
        assert [type(error) for error in late] == [TimeLimit] * 5
        assert len(inside) == SIDE_BY_SIDE  # threads cannot be stopped
        waiting = asyncio.create_task(aside(lambda: "next", 30))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        doors.set()
        assert await waiting == "next"
        assert await asyncio.gather(*(aside(hang, 30) for _ in range(5))) == ["seen"] * 5

    asyncio.run(go())
    assert max(most) <= SIDE_BY_SIDE


def test_who_gives_up_waiting_frees_his_place():
    async def go():
        doors = threading.Event()
        tasks = [asyncio.create_task(aside(doors.wait, 30)) for _ in range(4)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        doors.set()
        assert await aside(lambda: 7, 30) == 7

    asyncio.run(go())
    wait_until(lambda: not [thread for thread in threading.enumerate() if thread.name == "ocrpress-look"])


def test_what_is_raised_aside_is_raised_here():
    async def go():
        with pytest.raises(InputError, match="bad"):
            await aside(lambda: (_ for _ in ()).throw(InputError("bad")), 30)

    asyncio.run(go())


def test_mutated_documents_are_seen_or_refused_and_nothing_else(see):
    dice, outcomes = random.Random(7), []
    kinds = [picture("PNG"), picture("JPEG"), picture("GIF", 3), picture("TIFF", 3), picture("WEBP"), picture("BMP"),
             picture("PNG", 3), picture("WEBP", 2), b"# Text\n\nof some length\n" * 9]  # fmt: skip
    for number in range(360):
        data = bytearray(kinds[number % len(kinds)])
        for _ in range(dice.randint(1, 8)):
            if dice.random() < 0.8:
                data[dice.randrange(min(len(data), 200))] = dice.choice([0, 1, 0x7F, 0xFF, dice.randrange(256)])
            else:
                del data[dice.randint(1, len(data)) :]
        try:
            outcomes.append(see(bytes(data)).kind)
        except OcrpressError as error:
            assert isinstance(error, InputError)
    assert 50 < len(outcomes) < 360

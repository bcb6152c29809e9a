"""/v1/jobs over HTTP: what comes in, how it is followed, what comes out, and what goes."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from contextlib import aclosing
from dataclasses import replace

import batch_tools
import httpx
import pytest
from ledger_tools import page as a_page
from pdfmaker import Page, make_pdf, make_text_pdf
from PIL import Image
from service_tools import pdf, png, running, upload, wait_until

from ocrpress.errors import InputError
from ocrpress.measure.mode_costs import count
from ocrpress.modes import plan
from ocrpress.pipeline import Options, convert
from ocrpress.server.answers.compression import compression
from ocrpress.server.desk.work import Over
from ocrpress.server.errors import Full, TimeLimit
from ocrpress.server.jobs import drawing, followers, pictures, store, studio
from ocrpress.server.jobs.followers import Followers
from ocrpress.server.jobs.job import Progress
from ocrpress.server.jobs.record import Record, new_id
from ocrpress.server.jobs.studio import Studio
from ocrpress.writers import render

SECONDS = 0.1  # that a slow engine takes for a page


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def slow(tmp_path):
    """Makes services whose engine takes its time, all over the same folder."""

    def make(**settings: object):
        command = batch_tools.worker_command(tmp_path / "begun", SECONDS)
        return running(tmp_path, command=command, **settings)

    return make


def post(server, data: bytes | None = None, name: str = "paper.pdf", **fields: object) -> dict:
    answer = server.client.post("/v1/jobs", files=upload(pdf(3) if data is None else data, name), data=fields)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["links"]["self"]
    return answer.json()


def get(server, job: dict, more: str = "", **params: object) -> httpx.Response:
    return server.client.get(job["links"]["self"] + more, params=params)


def finished(server, job: dict) -> dict:
    wait_until(lambda: get(server, job).json()["state"] in ("done", "failed"))
    return get(server, job).json()


def events_of(text: str) -> list[tuple[str, int | None, dict]]:
    """Name, id and data of each event; comments are left out."""
    found = []
    for event in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], int(fields["id"]) if "id" in fields else None, json.loads(fields["data"])))
    return found


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("urn:ocrpress:")


# A job's way


def test_a_document_becomes_a_job_and_the_job_a_result(server, tmp_path):
    job = post(server, name="C:\\papers\\../my paper.pdf", mode="base", pages="1-2")
    assert (job["name"], job["state"], job["engine"], job["mode"]) == ("my paper.pdf", "waiting", "fake", "base")
    assert (job["pages"], job["page_count"], job["pages_done"], job["failed_pages"]) == ([1, 2], 2, 0, 0)
    assert (job["finished"], job["expires"], job["error"], job["compression"]) == (None, None, None, None)
    done = finished(server, job)
    assert (done["state"], done["pages_done"], done["id"]) == ("done", 2, job["id"])
    assert done["created"] < done["finished"] < done["expires"]
    assert done["compression"] == {
        "pages": 2, "text_tokens": done["compression"]["text_tokens"], "characters": 78, "vision_tokens": 512,
        "valid_tokens": 396, "sequence_tokens": 546, "characters_per_vision_token": 0.1523,
        "tokens_per_vision_token": round(done["compression"]["text_tokens"] / 512, 4),
        "tokens_per_sequence_token": round(done["compression"]["text_tokens"] / 546, 4),
        "counter": done["compression"]["counter"],
    }  # fmt: skip
    (tmp_path / "my paper.pdf").write_bytes(pdf(3))
    expected = replace(
        convert(tmp_path / "my paper.pdf", engine="fake", mode="base", pages="1-2"), source="my paper.pdf"
    )
    for form, kind in (("md", "text/markdown"), ("txt", "text/plain"), ("json", "application/json")):
        result = get(server, job, "/result", format=form)
        assert result.headers["content-type"].partition(";")[0] == kind
        assert (result.headers["ocrpress-pages"], result.headers["ocrpress-vision-tokens"]) == ("2", "512")
        if form != "json":
            assert result.text == render(expected, form)
    assert [page["number"] for page in result.json()["pages"]] == [1, 2]


def test_the_way_a_result_is_written_is_the_jobs_or_the_requests(server):
    job = post(server, format="txt", page_breaks="none")
    finished(server, job)
    assert get(server, job, "/result").headers["content-type"].startswith("text/plain")
    assert "\f" not in get(server, job, "/result").text
    assert "\f" in get(server, job, "/result", page_breaks="comment").text
    assert "<!-- page" not in get(server, job, "/result", format="md").text
    for wrong in ({"format": "docx"}, {"page_breaks": "some"}, {"keep_furniture": "perhaps"}, {"fromat": "md"}):
        assert problem(get(server, job, "/result", **wrong)) == (400, "usage")


def test_of_a_text_the_pages_are_known_when_it_is_read(server):
    text = "\n\n".join(f"Paragraph {number} of a *text*." for number in range(150)).encode()
    job = post(server, text, "notes.md")
    assert (job["pages"], job["page_count"]) == (None, None)
    done = finished(server, job)
    assert done["pages"] == list(range(1, done["page_count"] + 1))
    assert done["page_count"] > 1
    assert get(server, job, "/pages/2/image", width=240).status_code == 200


def test_the_jobs_of_a_client_are_listed_newest_first(server):
    made = [post(server, png(f"{number}"), f"{number}.png")["id"] for number in range(3)]
    listed = [job["id"] for job in server.client.get("/v1/jobs").json()["jobs"]]
    assert listed[:3] == made[::-1]
    assert [job["id"] for job in server.client.get("/v1/jobs?limit=1").json()["jobs"]] == made[-1:]
    for wrong in ("0", "101", "x"):
        assert problem(server.client.get(f"/v1/jobs?limit={wrong}"))[0] == 400


@pytest.mark.parametrize(
    ("data", "name", "fields", "expected"),
    [
        (b"%PDF-1.7 nothing", "a.pdf", {}, (422, "document")),
        (b"", "a.pdf", {}, (422, "document")),
        (b"\x00\x01\x02" * 100, "a.bin", {}, (422, "document")),
        (make_text_pdf(1, user="secret"), "a.pdf", {"password": "wrong"}, (422, "password")),
        (make_text_pdf(2), "a.pdf", {"pages": "7"}, (400, "usage")),
        (make_text_pdf(1), "a.pdf", {"mode": "enormous"}, (400, "usage")),
        (make_text_pdf(1), "a.pdf", {"stream": "true"}, (400, "usage")),
        (make_text_pdf(1), "a.pdf", {"format": "docx"}, (400, "usage")),
        (make_text_pdf(1), "a.pdf", {"fromat": "md"}, (400, "usage")),
    ],
)
def test_what_cannot_be_read_is_refused_before_there_is_a_job(server, data, name, fields, expected):
    folders = set((server.folder / "jobs").iterdir())
    answer = server.client.post("/v1/jobs", files=upload(data, name), data=fields)
    assert problem(answer) == expected
    assert set((server.folder / "jobs").iterdir()) == folders
    wait_until(lambda: not server.uploads)
    assert server.service.jobs._reserved == 0


def test_an_encrypted_document_is_read_drawn_and_counted_with_its_password(server):
    job = post(server, make_text_pdf(1, user="secret"), password="secret")
    assert finished(server, job)["state"] == "done"
    assert get(server, job, "/pages/1/image").status_code == 200
    assert get(server, job, "/modes").json()["pages"] == 1
    assert "secret" not in get(server, job).text


def test_before_the_end_there_is_no_result_and_of_a_failed_job_its_problem(slow):
    with slow() as server:
        job, text = post(server), post(server, b"a text", "a.txt")
        assert problem(get(server, job, "/result")) == (409, "not-yet")
        jobs = server.service.jobs

        def refuse() -> None:
            work = jobs._courses[text["id"]].work
            server.service.desk.cancel(work)
            work.tell(Over(InputError(f"{work.name} is odd", "mend it"), "cannot be opened"))

        server.service.desk.call(refuse).result()
        failed = finished(server, text)
        assert failed["state"] == "failed"
        assert failed["error"] == {
            "type": "urn:ocrpress:document", "title": "The document cannot be read", "status": 422,
            "detail": "a.txt is odd", "remedy": "mend it",
        }  # fmt: skip
        assert problem(get(server, text, "/result")) == (422, "document")
        assert [name for name, *_ in events_of(get(server, text, "/events").text)] == ["job", "done"]


def test_there_is_an_end_to_the_jobs_that_are_taken(slow):
    with slow(max_jobs=1) as server:
        job = post(server)
        answer = server.client.post("/v1/jobs", files=upload(png()))
        assert problem(answer) == (429, "full")
        assert int(answer.headers["retry-after"]) >= 1
        finished(server, job)
        assert post(server, png())


def test_with_tokens_clients_see_their_own_jobs_only(tmp_path):
    with running(tmp_path, tokens={"one": "ann", "two": "bob"}) as server:
        ann, bob = ({"Authorization": f"Bearer {token}"} for token in ("one", "two"))
        job = server.client.post("/v1/jobs", files=upload(pdf(1)), headers=ann).json()
        links = [*job["links"].values(), f"{job['links']['self']}/pages/1/image"]
        for link in links:
            assert problem(server.client.get(link)) == (401, "unauthorized")
            assert problem(server.client.get(link, headers=bob)) == (404, "not-found")
        assert problem(server.client.delete(links[0], headers=bob)) == (404, "not-found")
        assert server.client.get("/v1/jobs", headers=bob).json() == {"jobs": []}
        wait_until(lambda: server.client.get(links[0], headers=ann).json()["state"] == "done")
        assert {server.client.get(link, headers=ann).status_code for link in links} == {200}


@pytest.mark.parametrize("job", ["x", "A" * 22, "..%2f..%2fetc", "%00", "A" * 500, "é"])
def test_an_id_that_is_none_is_not_found(server, job):
    for more in ("", "/result", "/events", "/modes", "/pages/1/image"):
        assert problem(server.client.get(f"/v1/jobs/{job}{more}"))[0] == 404


# Events


def test_the_events_of_a_finished_job_are_all_there_and_can_be_resumed(server):
    job = post(server)
    finished(server, job)
    events = events_of(get(server, job, "/events").text)
    assert [(name, number) for name, number, _ in events] == [
        ("job", None), ("page", 1), ("page", 2), ("page", 3), ("done", None),
    ]  # fmt: skip
    assert [data["page"]["number"] for name, _, data in events if name == "page"] == [1, 2, 3]
    assert events[1][2]["markdown"].startswith("<!-- page 1 -->\n\nPage 1 is")
    assert events[-1][2]["job"] == get(server, job).json()

    def resumed(last: str) -> httpx.Response:
        return server.client.get(job["links"]["events"], headers={"Last-Event-ID": last})

    assert [number for _, number, _ in events_of(resumed("2").text)] == [None, 3, None]
    assert [number for _, number, _ in events_of(resumed("99").text)] == [None, None]
    assert problem(resumed("-1")) == problem(resumed("x")) == problem(resumed("9" * 30)) == (400, "bad-request")


def test_pages_are_told_as_they_come_and_after_a_break_from_where_it_was(slow):
    with slow() as server:
        job = post(server, pdf(8))
        told: list[int] = []
        with server.client.stream("GET", job["links"]["events"]) as stream:
            for line in stream.iter_lines():
                if line.startswith("id: "):
                    told.append(int(line[4:]))
                if len(told) == 3:
                    break
        assert told == [1, 2, 3]
        assert get(server, job).json()["state"] == "reading"
        rest = server.client.get(job["links"]["events"], headers={"Last-Event-ID": "3"}).text
        pages = [(number, data["page"]["number"]) for name, number, data in events_of(rest) if name == "page"]
        assert [number for number, _ in pages] == [4, 5, 6, 7, 8]
        assert len({page for _, page in pages}) == 5
        assert events_of(rest)[-1][0] == "done"


def test_many_followers_of_a_job_cost_no_more_than_one(slow, monkeypatch):
    with slow() as server:
        asked = []
        archive = server.service.jobs.archive
        plain = archive._ask
        monkeypatch.setattr(archive, "_ask", lambda question: (asked.append(1), plain(question))[1])
        job = post(server, pdf(6))

        async def all_follow(count: int) -> list[str]:
            limits = httpx.Limits(max_connections=count)
            async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits, trust_env=False) as client:
                answers = await asyncio.gather(*(client.get(job["links"]["events"]) for _ in range(count)))
            return [answer.text for answer in answers]

        told = {json.dumps(events_of(text)[1:]) for text in asyncio.run(all_follow(150))}
        assert len({text[text.index('"page"') :] for text in told}) == 1
        assert len(asked) < 50  # commits come every tenth of a second, and each is asked for twice
        wait_until(lambda: server.service.jobs.followers._count == 0)
        assert server.service.jobs.followers._wires == {}


def test_a_service_that_is_stopped_ends_streams_and_its_successor_goes_on(slow):
    with slow() as server:
        job = post(server, pdf(8))
        text = ""
        with server.client.stream("GET", job["links"]["events"]) as stream:
            for piece in stream.iter_text():
                text += piece
                if "id: 2\n" in text:
                    server.begin_to_stop()
        server.stop()
    first = events_of(text)
    assert "done" not in [name for name, *_ in first]
    seen = {number: data["page"]["number"] for name, number, data in first if name == "page"}
    with slow() as server:
        rest = server.client.get(job["links"]["events"], headers={"Last-Event-ID": str(max(seen))}).text
        pages = {number: data["page"]["number"] for name, number, data in events_of(rest) if name == "page"}
        assert sorted({**seen, **pages}) == list(range(1, 9))
        assert sorted({**seen, **pages}.values()) == list(range(1, 9))
        assert seen.keys().isdisjoint(pages)


class Shelf:
    """An archive of one job that is reading, whose pages are there already."""

    def __init__(self, pages: int) -> None:
        self.found = Progress(1, "reading", tuple(range(1, pages + 1)), tuple(range(1, pages + 1)))
        self.record = Record(new_id(), "a.pdf", "ann", 1.0, "fake", Options())
        self.fetched: list[int] = []

    async def progress(self, job):
        return {"state": self.found.state}, self.found

    async def pages(self, job, document, numbers, made):
        self.fetched += numbers
        return {number: made(a_page(number), self.record) for number in numbers}


def test_a_follower_that_is_slow_or_gone_costs_nothing(monkeypatch):
    async def scene() -> None:
        shelf = Shelf(2000)
        followed = Followers(shelf)
        async with aclosing(followed.follow("x", 0, lambda: False)) as slow:
            for _ in range(4):
                await anext(slow)
            await asyncio.sleep(0.05)
            assert len(shelf.fetched) == followers.AT_ONCE
            async with aclosing(followed.follow("x", 1990, lambda: False)) as other:
                for _ in range(11):
                    await anext(other)
            (wire,) = followed._wires.values()
            assert wire.followers == 1
            assert wire._bytes == sum(map(len, wire._recent.values()))
        assert followed._wires == {}

    asyncio.run(scene())


def test_what_followers_share_is_bounded(monkeypatch):
    monkeypatch.setattr(followers, "RECENT_BYTES", 20_000)

    async def scene() -> None:
        shelf = Shelf(300)
        shelf.found = replace(shelf.found, state="done")
        followed = Followers(shelf)
        told = []
        async with aclosing(followed.follow("x", 0, lambda: False)) as events:
            async for event in events:
                told.append(event)
                if followed._wires:
                    assert followed._wires["x"]._bytes <= 20_000 + 10_000
        assert len(told) == 302
        assert len(shelf.fetched) == 300

    asyncio.run(scene())


def test_there_is_an_end_to_followers(monkeypatch):
    monkeypatch.setattr(followers, "MOST", 1)

    async def scene() -> None:
        followed = Followers(Shelf(3))
        async with aclosing(followed.follow("x", 0, lambda: False)) as events:
            await anext(events)
            with pytest.raises(Full):
                followed.follow("x", 0, lambda: False)
        async with aclosing(followed.follow("x", 0, lambda: False)) as events:
            await anext(events)

    asyncio.run(scene())


def test_where_nothing_happens_a_follower_hears_that_the_service_lives(monkeypatch):
    monkeypatch.setattr(followers, "LOOK", 0.01)
    monkeypatch.setattr(followers, "BEAT_SECONDS", 0.05)

    async def scene() -> None:
        async with aclosing(Followers(Shelf(1)).follow("x", 0, lambda: False)) as events:
            told = [await anext(events) for _ in range(4)]
        assert told[2:] == [followers.HEARTBEAT] * 2

    asyncio.run(scene())


# Jobs that go


def test_a_job_is_deleted_while_it_is_read_and_its_stream_ends(slow):
    with slow() as server:
        job = post(server, pdf(60))
        deleted = []
        with server.client.stream("GET", job["links"]["events"]) as stream:
            text = ""
            for piece in stream.iter_text():
                text += piece
                if "event: page" in text and not deleted:
                    deleted.append(server.client.delete(job["links"]["self"]).status_code)
        assert deleted == [204]
        assert "event: done" not in text
        for more in ("", "/result", "/events", "/modes", "/pages/1/image"):
            assert problem(get(server, job, more)) == (410, "gone")
        wait_until(lambda: not list((server.folder / "jobs").iterdir()))
        assert server.service.desk.load().jobs == 0
        started = time.monotonic()
        finished(server, post(server, png()))
        assert time.monotonic() - started < 50 * SECONDS  # the rest is not read


def test_a_damaged_page_is_read_again(slow, monkeypatch):
    monkeypatch.setattr(store, "MENDED", 0.0)
    with slow() as server:
        job = post(server)
        finished(server, job)
        before = get(server, job, "/result").content
        jobs = server.service.jobs

        def spoil() -> None:
            jobs._ledger.execute("UPDATE pages SET result = ? WHERE number = 2", (b"spoilt",))
            jobs._ledger.commit()

        server.service.desk.call(spoil).result()
        assert problem(get(server, job, "/result")) == (503, "unavailable")
        wait_until(lambda: get(server, job, "/result").status_code == 200)
        assert get(server, job, "/result").content == before


# Pictures and modes


def opened(answer: httpx.Response) -> Image.Image:
    assert answer.headers["content-type"] == "image/webp"
    return Image.open(io.BytesIO(answer.content))


def test_a_page_is_drawn_once_and_kept(server):
    job = post(server)
    finished(server, job)
    answer = get(server, job, "/pages/2/image", width=700)
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    image = opened(answer)
    assert image.size == (720, 932)
    assert image.convert("L").getextrema()[0] < 100  # there is ink on it
    folder = server.folder / "jobs" / job["id"] / "pictures"
    assert [path.name for path in folder.iterdir()] == ["2-720-0.webp"]
    assert (folder / "2-720-0.webp").stat().st_mode & 0o777 == 0o600
    again = get(server, job, "/pages/2/image", width=600)
    assert (again.content, again.headers["etag"]) == (answer.content, answer.headers["etag"])
    known = {"If-None-Match": answer.headers["etag"]}
    same = server.client.get(f"{job['links']['self']}/pages/2/image?width=700", headers=known)
    assert (same.status_code, same.content) == (304, b"")
    assert opened(get(server, job, "/pages/2/image", width=2000)).width == 2000
    for wrong in ("0", "2001", "x"):
        assert problem(get(server, job, "/pages/2/image", width=wrong))[0] == 400
    assert problem(get(server, job, "/pages/4/image"))[0] == 404
    assert problem(get(server, job, "/pages/0/image"))[0] == 400


def test_a_page_that_is_not_read_yet_is_drawn_but_not_kept(slow):
    with slow() as server:
        job = post(server, pdf(40))
        answer = get(server, job, "/pages/40/image", width=240)
        assert answer.headers["cache-control"] == "no-store"
        assert opened(answer).width == 240
        assert not (server.folder / "jobs" / job["id"] / "pictures").exists()


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
def test_a_page_is_turned_so_that_the_boxes_of_its_blocks_fit(tmp_path, rotation, corner):
    width, height = 300, 200
    image = Image.new("RGB", (width, height), "white")
    image.paste((0, 0, 0), (0, 0, 60, 40))  # in the top left corner
    image.save(tmp_path / "a.png")
    request = {"path": str(tmp_path / "a.png"), "name": "a", "page": 1, "password": None, "width": 150, "points": 0.0}
    reply = drawing.answer({**request, "rotation": rotation, "seconds": 5})
    assert not reply.failure
    drawn = Image.open(io.BytesIO(bytes(reply.pixels))).convert("L")
    assert drawn.size == ((150, 100) if rotation % 180 == 0 else (150, 225))
    places = {(x, y): drawn.getpixel((x * (drawn.width - 1), y * (drawn.height - 1))) for x in (0, 1) for y in (0, 1)}
    assert [place for place, grey in places.items() if grey < 128] == [corner]


def test_a_picture_that_cannot_be_drawn_is_a_problem_of_the_document(server):
    job = post(server, make_pdf([Page(b"BT ET"), Page(broken=True)]), "torn.pdf")
    finished(server, job)
    answer = get(server, job, "/pages/2/image")
    assert problem(answer) == (422, "page")
    assert str(server.folder) not in answer.text
    assert get(server, job, "/pages/1/image").status_code == 200


def test_only_so_many_pictures_are_kept(server, monkeypatch):
    job = post(server, pdf(6))
    finished(server, job)
    size = len(get(server, job, "/pages/1/image", width=480).content)
    monkeypatch.setattr(pictures, "MOST_BYTES", 3 * size + size // 2)
    for number in range(2, 7):
        assert get(server, job, f"/pages/{number}/image", width=480).status_code == 200
    kept = {path.name for path in (server.folder / "jobs" / job["id"] / "pictures").iterdir()}
    assert "6-480-0.webp" in kept
    assert 2 <= len(kept) <= 4


def test_a_drawing_process_that_hangs_or_dies_costs_one_picture(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(png())
    script = tmp_path / "odd.py"
    script.write_text(
        "import os, sys, time\n"
        "from ocrpress.server.jobs import drawing\n"
        "plain = drawing.answer\n"
        "def answer(request):\n"
        "    if request['page'] == 7: time.sleep(60)\n"
        "    if request['page'] == 8: os._exit(3)\n"
        "    return plain(request)\n"
        "drawing.answer = answer\n"
        "drawing.main()\n"
    )
    monkeypatch.setattr(studio, "PAGE_SECONDS", 10.0)
    made = Studio((sys.executable, "-P", str(script)))

    async def scene() -> None:
        path = str(tmp_path / "a.png")
        assert await made.draw(path, "a.png", 1, 100)
        monkeypatch.setattr(studio, "PAGE_SECONDS", 0.2)
        with pytest.raises(TimeLimit):
            await made.draw(path, "a.png", 7, 100)
        monkeypatch.setattr(studio, "PAGE_SECONDS", 10.0)
        with pytest.raises(InputError, match="exit code 3"):
            await made.draw(path, "a.png", 8, 100)
        assert await made.draw(path, "a.png", 1, 100)
        assert len(made._idle) == 1
        monkeypatch.setattr(studio, "IDLE_SECONDS", 0.0)
        made.rest()
        assert made._idle == []

    try:
        asyncio.run(scene())
    finally:
        made.close()


def test_the_modes_tell_what_each_would_cost_the_pages_of_the_job(server, tmp_path):
    job = post(server, pages="1,3")
    costs = get(server, job, "/modes").json()
    path = tmp_path / "paper.pdf"
    path.write_bytes(pdf(3))
    assert costs == {**count(str(path), 9, "1,3").as_object(), "file": "paper.pdf"}
    assert get(server, job, "/modes").json() == costs
    assert (server.folder / "jobs" / job["id"] / "modes.json").exists()


# Compression


def test_compression_counts_the_pages_that_went_through_vision_tokens():
    pages = [a_page(1), a_page(2, "failed"), a_page(3, "blank", plan=None), a_page(4, plan=plan(100, 100, "native"))]
    found = compression(pages)
    assert (found["pages"], found["vision_tokens"], found["sequence_tokens"]) == (2, 512, 546)
    assert found["characters"] == len(pages[0].text)
    assert found["characters_per_vision_token"] == round(len(pages[0].text) / 512, 4)
    native = compression(pages[2:])
    assert (native["pages"], native["vision_tokens"], native["characters"]) == (2, 0, len(pages[3].text))
    assert native["tokens_per_vision_token"] is native["characters_per_vision_token"] is None
    assert compression([])["pages"] == 0


def test_where_nothing_counts_tokens_the_rest_is_told(monkeypatch):
    monkeypatch.setattr("ocrpress.server.answers.compression.token_counter", lambda: None)
    found = compression([a_page(1)])
    assert (found["text_tokens"], found["counter"], found["tokens_per_vision_token"]) == (None, None, None)
    assert found["characters_per_vision_token"] > 0


def test_a_job_is_listed_in_the_description_of_the_api(server):
    paths = server.client.get("/openapi.json").json()["paths"]
    found = {path: sorted(item) for path, item in paths.items() if path.startswith("/v1/jobs")}
    assert found == {
        "/v1/jobs": ["get", "post"], "/v1/jobs/{id}": ["delete", "get"], "/v1/jobs/{id}/result": ["get"],
        "/v1/jobs/{id}/events": ["get"], "/v1/jobs/{id}/modes": ["get"],
        "/v1/jobs/{id}/pages/{number}/image": ["get"],
    }  # fmt: skip

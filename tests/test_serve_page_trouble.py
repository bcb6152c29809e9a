"""What goes wrong around the page: refusals, a full queue, tokens, lost connections, hostile documents."""

from __future__ import annotations

import re

from page_service import result
from page_tools import DOCUMENT, NAME, choose, pick, read, state, text_pages
from playwright.sync_api import expect
from service_tools import wait_until

from ocrpress.document import Block

HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(2)>", "[click](javascript:alert(3))",
    "![](https://elsewhere.invalid/pixel.png)", "<svg/onload=alert(4)>", "</pre><iframe src=//elsewhere.invalid>",
    '"><b style=position:fixed>', "&lt;script&gt; {{7*7}} ${alert(5)} \u202egnp.exe",
)  # fmt: skip

pytest_plugins = ["page_fixtures"]


def test_a_document_that_is_refused_leaves_one_clear_line_with_the_remedy(service, visit):
    said = {
        "type": "urn:ocrpress:document", "title": "The document cannot be read", "status": 422,
        "detail": "broken.pdf is no document that can be read", "remedy": "check that it opens elsewhere",
    }  # fmt: skip
    script = service(text_pages(2), refuse=(422, said))
    page = visit(script.url, "422")
    choose(page, {**DOCUMENT, "name": "broken.pdf"})
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("broken.pdf is no document that can be read. Check that it opens elsewhere.")
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_empty()
    script.refuse = None
    read(page)


def test_a_job_that_fails_says_why(service, visit):
    said = {"title": "The document cannot be read", "status": 422, "detail": "it is a bomb", "remedy": "send less"}
    page = visit(service(text_pages(2), failed=said).url)
    choose(page)
    expect(page.get_by_role("alert")).to_contain_text("It is a bomb. Send less.")
    expect(state(page)).to_have_text("Not read")


def test_a_full_queue_is_waited_for(service, visit):
    script = service(text_pages(2), full=2)
    page = visit(script.url, "429")
    choose(page)
    expect(state(page)).to_have_text(re.compile(r"The queue is full. It is tried again in \d s."))
    page.get_by_role("button", name="Try now").click()
    expect(state(page)).to_have_text("2 pages read in base")
    assert len(script.uploads) == 3
    expect(page.get_by_role("alert")).to_be_empty()


def test_a_token_is_asked_for_and_kept_for_the_session(service, visit):
    script = service(text_pages(2), token="sesame")
    page = visit(script.url, "401", ready="#token-form")
    field = page.get_by_label("Token of this service")
    expect(field).to_be_focused()
    field.fill("abracadabra")
    page.keyboard.press("Enter")
    expect(page.locator("#token-note")).to_contain_text("This token is not known to the service.")
    field.fill("sesame")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#costs li").first).to_be_visible()
    read(page)
    expect(page.locator("#pictures img").first).to_be_visible()
    page.reload()
    expect(state(page)).to_have_text("2 pages read in base")
    assert "sesame" not in page.url
    script.token = "changed"  # noqa: S105
    page.get_by_role("button", name="Copy").click()
    expect(field).to_be_visible()
    field.fill("changed")
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("The Markdown is in the clipboard")


def test_an_encrypted_document_asks_for_its_password(service, visit):
    script = service(text_pages(2), password="secret")
    page = visit(script.url, "422")
    choose(page)
    for word in ("wrong", "secret"):
        field = page.get_by_label(f"Password of “{NAME}”")
        field.fill(word)
        page.get_by_role("button", name="Read it").click()
    expect(state(page)).to_have_text("2 pages read in base")
    assert "secret" not in page.evaluate("JSON.stringify(sessionStorage)")


def test_a_lost_connection_goes_on_where_it_was(service, visit):
    script = service(text_pages(5), cut=2)
    page = visit(script.url)
    read(page)
    assert script.events_from == ["", "2"]
    expect(page.locator("#text .block")).to_have_count(15)


def test_a_reload_takes_the_document_up_again(service, visit):
    script = service(text_pages(4), hold=2)
    page = visit(script.url)
    choose(page)
    expect(state(page)).to_have_text("2 of 4 pages")
    page.reload()
    expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    expect(state(page)).to_have_text("2 of 4 pages")
    script.release()
    expect(state(page)).to_have_text("4 pages read in base")
    assert len(script.uploads) == 1


def test_cancelling_deletes_the_job_and_starts_over(service, visit):
    script = service(text_pages(4), hold=2)
    page = visit(script.url)
    choose(page)
    expect(state(page)).to_have_text("2 of 4 pages")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Choose a file")).to_be_focused()
    expect(page.get_by_role("button", name="1 document")).to_be_hidden()
    page.wait_for_function("location.hash === ''")
    wait_until(lambda: script.deleted == ["job-1"])


def test_a_job_that_is_no_more_says_so(service, visit):
    script = service(text_pages(1))
    page = visit(f"{script.url}/#job=nonsense", "404")
    expect(page.get_by_role("alert")).to_contain_text("No such job.")


def test_a_hostile_document_stays_text(service, visit):
    bait = [Block("paragraph", text, (72, 60 + 40 * i, 540, 90 + 40 * i)) for i, text in enumerate(HOSTILE)]
    more = [
        Block("heading", HOSTILE[0], (72, 400, 540, 420), level=1),
        Block("table", "", (72, 430, 540, 480), rows=((HOSTILE[1], HOSTILE[2]), (HOSTILE[3], HOSTILE[5]))),
        Block("list", "\n".join(f"- {text}" for text in HOSTILE), (72, 490, 540, 600)),
        Block("code", HOSTILE[5], (72, 610, 540, 640)),
        Block("figure", HOSTILE[6], (72, 650, 540, 700)),
        Block("kind<script>", HOSTILE[4], (72, 710, 540, 740)),  # type: ignore[arg-type]
    ]

    def pages(mode: str):
        failed = result(2, status="failed", error=HOSTILE[1])
        words = bait if mode == "base" else bait[1:]
        return [result(1, *words, *more), failed]

    page = visit(service(pages).url)
    name = "<img src=x onerror=alert(6)>\"'>.pdf"
    read(page, {**DOCUMENT, "name": name})
    expect(page.locator("#name")).to_have_text(name)
    for text in HOSTILE:
        expect(page.locator("#text p", has_text=text).first).to_be_attached()
    page.get_by_role("tab", name="Markdown").click()
    pick(page, "tiny")
    expect(state(page)).to_contain_text("read in tiny")
    expect(page.locator("#changes del").first).to_contain_text("<script>alert(1)</script>")
    page.get_by_role("button", name="1 document").click()
    expect(page.locator("#documents .row-name")).to_have_text(name)
    made = page.evaluate(
        """() => {
            const places = ["#viewer", "#problem", "nav", "#summary"];
            const count = (what) => document.querySelectorAll(places.map((place) => `${place} ${what}`)).length;
            const marks = ["a", "script", "iframe", "svg", "b", "[style*=fixed]", 'img:not([src^="blob:"])'];
            const attributes = [...document.querySelectorAll("*")].flatMap((one) => one.getAttributeNames());
            return [...marks.map(count), attributes.filter((name) => name.startsWith("on")).length];
        }"""
    )
    assert made == [0] * 8

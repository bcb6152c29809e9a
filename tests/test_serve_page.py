"""The page in a real browser, in front of a stand-in that does what the test wants, and of the service itself."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import httpx
from page_service import lines, result
from page_tools import DOCUMENT, LIT, NAME, choose, drop, in_view, pick, read, state, text_pages
from playwright.sync_api import expect
from service_tools import pdf, png, running, wait_until

from ocrpress.document import Block
from ocrpress.server import page as served

FOLDER = Path(served.__file__).parent

pytest_plugins = ["page_fixtures"]

# What is served


def test_the_files_in_the_folder_are_those_that_are_served():
    found = {path.name for path in FOLDER.iterdir() if path.suffix in {".js", ".css", ".svg"}}
    assert found == set(served.ASSETS)


def test_no_script_makes_markup_of_text_and_nothing_is_fetched_from_elsewhere():
    sources = {path.name: path.read_text() for path in FOLDER.iterdir() if path.suffix in {".js", ".css", ".html"}}
    forbidden = re.compile(
        r"(?<!sets )innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://|@import|//cdn"
    )
    assert {name: forbidden.findall(text) for name, text in sources.items() if forbidden.search(text)} == {}
    page = sources["index.html"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", page)
    assert "style" not in re.findall(r'setAttribute\("(\w+)"', "".join(sources.values()))


def test_the_page_comes_with_its_policy_and_is_not_sent_twice(service):

    url = service(text_pages()).url
    with httpx.Client(base_url=url, trust_env=False) as client:
        first = client.get("/")
        policy = first.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert client.get("/", headers={"If-None-Match": first.headers["etag"]}).status_code == 304
        for name, kind in served.ASSETS.items():
            found = client.get(f"/page/{name}")
            assert (found.status_code, found.headers["content-type"]) == (200, kind)
            assert found.headers["x-content-type-options"] == "nosniff"
            assert client.get(f"/page/{name}", headers={"If-None-Match": found.headers["etag"]}).status_code == 304
        for name in ("nothing.js", "__init__.py", "..%2f__init__.py", "index.html"):
            assert client.get(f"/page/{name}").status_code == 404


# From a file to its pages


def test_a_chosen_file_is_read_page_by_page_and_its_compression_told(service, visit):
    script = service(text_pages(), hold=3)
    page = visit(script.url)
    choose(page)
    expect(state(page)).to_have_text("3 of 6 pages")
    assert page.locator("#progress").evaluate("(bar) => bar.value") == 0.5
    expect(page.get_by_role("heading", name=NAME)).to_be_visible()
    expect(page.locator("#text .page")).to_have_count(6)
    expect(page.locator("#text .page").nth(2)).to_contain_text("Then comes what page 3 has to say.")
    expect(page.locator("#text .page").nth(3)).to_contain_text("Page 4 is waiting to be read.")
    expect(page.get_by_role("button", name="Copy")).to_be_disabled()
    script.release()
    expect(state(page)).to_have_text("6 pages read in base")
    expect(page.locator("#live")).to_have_text("6 pages read in base")
    expect(page.locator("#compression")).to_have_text(
        "3,840 text : 1,536 vision tokens = 2.50× · 1,638 in sequence = 2.34× · 9.77 characters a vision token"
    )
    expect(page.locator("#text .page").nth(5)).to_contain_text("Then comes what page 6 has to say.")
    expect(page.locator("#pictures img").first).to_be_visible()
    page.get_by_role("tab", name="Markdown").click()
    expect(page.locator("#markdown .page").first).to_contain_text("# Heading of page 1")


def test_a_file_is_taken_by_dropping_or_pasting_it(service, visit):
    script = service(text_pages(2))
    page = visit(script.url)
    drop(page, "dropped.pdf")
    expect(page.get_by_role("heading", name="dropped.pdf")).to_be_visible()
    expect(state(page)).to_have_text("2 pages read in base")
    page.evaluate(
        """() => {
            const brought = new DataTransfer();
            brought.items.add(new File(["PNG"], "pasted.png", { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData: brought, bubbles: true, cancelable: true }));
        }"""
    )
    expect(page.get_by_role("heading", name="pasted.png")).to_be_visible()
    expect(state(page)).to_have_text("2 pages read in base")
    assert [sent["file"] for sent in script.uploads] == ["dropped.pdf", "pasted.png"]


def test_several_documents_stand_in_a_list_and_can_be_deleted(service, visit):
    script = service(text_pages(2))
    page = visit(script.url)
    read(page, {**DOCUMENT, "name": "one.pdf"}, {**DOCUMENT, "name": "two.pdf"})
    expect(page.get_by_role("heading", name="one.pdf")).to_be_visible()
    page.get_by_role("button", name="2 documents").click()
    page.get_by_role("button", name=re.compile(r"^two\.pdf")).click()
    expect(page.get_by_role("heading", name="two.pdf")).to_be_visible()
    expect(state(page)).to_contain_text("read in")
    page.go_back()
    expect(page.get_by_role("heading", name="one.pdf")).to_be_visible()
    page.get_by_role("button", name="2 documents").click()
    page.get_by_role("button", name="Delete one.pdf").click()
    expect(page.get_by_role("button", name="Choose a file")).to_be_visible()
    expect(page.get_by_role("button", name="1 document")).to_be_visible()
    wait_until(lambda: script.deleted == ["job-1"])


def test_the_fields_of_a_request_go_with_the_file(service, visit):
    script = service(text_pages(2))
    page = visit(script.url)
    page.get_by_text("Options").click()
    page.get_by_label("Pages", exact=True).fill("1-2")
    page.get_by_role("slider", name="Mode").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#cost")).to_contain_text("small 100 vision tokens an A4 page")
    read(page)
    assert script.uploads == [{"mode": "small", "pages": "1-2", "file": NAME}]


def test_pages_that_failed_or_are_blank_stand_in_their_places_with_the_reason(service, visit):
    pages = [
        lines(1, "One."), result(2, status="failed", error="the engine's answer was a loop"), result(3, status="blank"),
    ]  # fmt: skip
    page = visit(service(lambda mode: pages).url)
    read(page)
    expect(state(page)).to_have_text("3 pages read in base · 1 failed · 1 blank")
    places = page.locator("#text .page")
    expect(places.nth(1)).to_contain_text("Page 2 could not be read: the engine's answer was a loop")
    expect(places.nth(2)).to_contain_text("Page 3 is blank.")


def test_every_kind_of_block_has_its_form(service, visit):
    blocks = [
        Block("heading", "A heading", (10, 10, 90, 20), level=2),
        Block("list", "- one\n  1. nested\n  2. twice\n- two", (10, 30, 90, 60)),
        Block("table", "", (10, 70, 90, 90), rows=(("Mode", "Tokens"), ("tiny", "64"))),
        Block("code", "for x in y:\n    pass", (10, 100, 90, 110)),
        Block("equation", r"\frac{a}{b}", (10, 120, 90, 130), markup=True),
        Block("figure", "", (10, 140, 300, 300)),
        Block("caption", "Figure 1", (10, 310, 90, 320)),
        Block("page_number", "17", (10, 780, 90, 790)),
    ]
    page = visit(service(lambda mode: [result(1, *blocks)]).url)
    read(page)
    text = page.get_by_role("tabpanel", name="Text")
    expect(text.get_by_role("heading", name="A heading", level=4)).to_be_visible()
    expect(text.locator("ul > li > ol > li")).to_have_text(["nested", "twice"])
    expect(text.get_by_role("columnheader")).to_have_text(["Mode", "Tokens"])
    expect(text.get_by_role("cell")).to_have_text(["tiny", "64"])
    assert text.locator("pre.code").inner_text() == "for x in y:\n    pass"
    expect(text.locator("pre.formula code")).to_have_text(r"\frac{a}{b}")
    expect(text.locator(".figure.cropped")).to_be_visible()
    expect(text.locator(".block.dim")).to_have_text("17")


# The two sides


def test_pointing_at_a_box_lights_its_text_and_the_other_way_round(service, visit):
    pages = [lines(1, *(f"Paragraph {n}. " + "Words fill it up to the brim. " * 12 for n in range(11)))]
    page = visit(service(lambda mode: pages).url)
    read(page)
    last = page.locator('.box[data-key="1:11"]')
    page.locator("#pictures").evaluate("(side) => (side.scrollTop = side.scrollHeight)")
    last.hover()
    expect(page.locator('.block[data-key="1:11"]')).to_have_class(LIT)
    page.wait_for_function(in_view('.block[data-key="1:11"]'))
    page.locator("#text").evaluate("(side) => (side.scrollTop = 0)")
    first = page.locator('.block[data-key="1:0"]')
    first.hover()
    expect(page.locator('.box[data-key="1:0"]')).to_have_class(LIT)
    expect(last).not_to_have_class(LIT)
    page.wait_for_function(in_view('.box[data-key="1:0"]'))
    page.get_by_role("tab", name="Text").hover()
    expect(page.locator(".lit")).to_have_count(0)


def test_scrolling_one_side_takes_the_other_to_the_same_page(service, visit):
    page = visit(service(text_pages(30)).url)
    read(page)
    page.locator("#pictures").hover()
    for _ in range(12):
        page.mouse.wheel(0, 700)
    page.wait_for_function(
        """() => {
            const top = (id) => [...document.querySelectorAll(`#${id} > section`)].find(
                (one) => one.offsetTop + one.offsetHeight > document.getElementById(id).scrollTop + 2).dataset.number;
            return Number(top("pictures")) > 5 && top("pictures") === top("text");
        }"""
    )


def test_five_hundred_pages_stay_usable(service, visit):
    script = service(text_pages(500))
    page = visit(script.url)
    read(page)
    expect(page.locator("#text .page")).to_have_count(500)
    page.locator("#text .block").first.focus()
    page.keyboard.press("End")
    expect(page.locator('.box[data-key="500:2"]')).to_have_class(LIT)
    page.wait_for_function(in_view('.box[data-key="500:2"]'))
    expect(page.locator('.frame[data-number="500"] img')).to_be_visible()
    for number in range(40, 480, 55):
        picture = page.locator(f'.frame[data-number="{number}"] img')
        for _ in range(10):  # on a busy machine the page may still be settling from the last leap, and go back there
            page.evaluate(f"document.querySelector('#pictures [data-number=\"{number}\"]').scrollIntoView()")
            with contextlib.suppress(AssertionError):
                expect(picture).to_be_attached(timeout=3_000)
                break
        expect(picture).to_be_attached()
    page.wait_for_function("document.querySelectorAll('#pictures img').length <= 14")
    assert 16 < len(script.pictures) < 80  # of those that stood near the way, and not all the others


# Taking it along


def test_the_result_is_copied_and_downloaded(service, visit):
    page = visit(service(text_pages(2)).url)
    read(page)
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#live")).to_have_text("The Markdown is in the clipboard")
    assert page.evaluate("navigator.clipboard.readText()").startswith("<!-- page 1 -->\n\n# Heading of page 1")
    for kind, ending, begins in (("JSON", "json", '{"version"'), ("Text", "txt", "Heading of page 1")):
        page.get_by_label("Format").select_option(kind)
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == f"annual report.{ending}"
        assert Path(download.value.path()).read_text().startswith(begins)
        expect(page.get_by_role("button", name="Download")).to_be_enabled()


# The service itself


def test_the_service_reads_what_is_dropped_on_its_page(tmp_path, visit):
    with running(tmp_path, tokens={"open sesame": "us"}, max_bytes=1 << 20) as server:
        page = visit(server.url, "401|413|422", ready="#token-form")
        page.get_by_label("Token of this service").fill("open sesame")
        page.keyboard.press("Enter")
        expect(page.locator("#engine")).to_have_text("engine fake")
        read(page, {**DOCUMENT, "name": "three.pdf", "buffer": pdf(3)})
        expect(state(page)).to_contain_text("3 pages read in")
        expect(page.locator("#text .block").first).to_contain_text("Page 1 is")
        expect(page.locator("#pictures img").first).to_be_visible()
        pick(page, "tiny")
        expect(state(page)).to_have_text("3 pages read in tiny")
        expect(page.locator("#compression")).to_contain_text("192 vision tokens")
        expect(page.locator("#changes")).to_contain_text("on 3 of 3 pages")
        page.reload()
        expect(state(page)).to_have_text("3 pages read in tiny")
        page.get_by_role("button", name="New document").click()
        choose(page, {**DOCUMENT, "name": "broken.pdf", "buffer": b"%PDF-1.7 and nothing more"})
        expect(page.get_by_role("alert")).to_contain_text("broken.pdf")
        choose(page, {**DOCUMENT, "name": "large.pdf", "buffer": b"%PDF-1.7" + bytes(5 << 20)})
        expect(page.get_by_role("alert")).to_contain_text("large.pdf: The file is larger than 1,048,576 bytes.")
        choose(page, {**DOCUMENT, "name": "picture.png", "buffer": png("a page")})
        expect(state(page)).to_contain_text("1 page read in")
        page.close()  # an open page asks on when its service goes

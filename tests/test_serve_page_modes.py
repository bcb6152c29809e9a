"""The slider of modes on the page, and what it shows of changes in the text."""

from __future__ import annotations

import re

from page_tools import DOCUMENT, pick, read, state, text_pages
from playwright.sync_api import expect

pytest_plugins = ["page_fixtures"]


def test_the_slider_tells_what_modes_cost_and_shows_what_another_one_changes(service, visit):
    script = service(text_pages())
    page = visit(script.url)
    expect(page.locator("#costs li")).to_contain_text(["tiny", "small", "base", "large", "gundam", "native"])
    read(page)
    slider = page.get_by_role("slider", name="Mode")
    expect(slider).to_have_attribute(
        "aria-valuetext", "base: 1,536 vision tokens for 6 pages, 1,638 in the decoder's sequence, read"
    )
    slider.focus()
    page.keyboard.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("tiny: 384 vision tokens"))
    expect(state(page)).to_have_text("6 pages read in tiny")
    expect(page.get_by_role("tab", name="Changes")).to_have_attribute("aria-selected", "true")
    changes = page.locator("#changes")
    expect(changes).to_contain_text("6 of 120 words (5.0 %) are gone and 6 are new, on 6 of 6 pages.")
    expect(changes).to_contain_text("1,536 → 384 vision tokens (−75 %)")
    expect(changes.locator("del")).to_have_text(["letters"] * 6)
    expect(changes.locator("ins")).to_have_text(["lettars"] * 6)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(state(page)).to_have_text("6 pages read in base")  # it was read before, and is not read again
    expect(changes.locator("ins")).to_have_text(["letters"] * 6)
    assert [sent["mode"] for sent in script.uploads] == ["base", "tiny"]


def test_a_slider_that_is_put_back_in_time_reads_nothing(service, visit):
    script = service(text_pages(2))
    page = visit(script.url)
    read(page)
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    page.keyboard.press("Escape")
    expect(page.locator("#cost")).to_contain_text("base")
    page.wait_for_timeout(1000)
    assert len(script.uploads) == 1


def test_the_comparison_of_texts_is_right_and_bounded_in_time(service, visit):
    page = visit(service(text_pages()).url)
    said = page.evaluate(
        """async () => {
            const { compare, tally } = await import(new URL("page/diff.js", document.baseURI).href);
            let seed = 7;
            const random = (top) => (seed = (seed * 48271) % 2147483647) % top;
            const made = (length, words) => Array.from({ length }, () => `w${random(words)}`);
            const apart = (parts, kind) =>
                parts.filter((part) => part.kind !== kind).flatMap((part) => part.words).join(" ");
            let wrong = 0;
            let long = 0;
            for (let round = 0; round < 600; round += 1) {
                const old = made(random(30), 2 + random(25));
                const now = random(2) ? made(random(30), 2 + random(25)) : old.filter(() => random(5));
                const parts = compare(old.join(" "), now.join(" "));
                if (apart(parts, "new") !== old.join(" ") || apart(parts, "gone") !== now.join(" ")) wrong += 1;
                if (now.length < old.length && tally(parts).gone > 2 * old.length) long += 1;
            }
            const begun = performance.now();
            compare(made(30000, 40).join(" "), made(30000, 40).join(" "));
            compare(made(30000, 90000).join(" "), made(30000, 90000).join(" "));
            const one = compare("a b c d", "a x c d");
            return { wrong, long, one, seconds: (performance.now() - begun) / 1000 };
        }"""
    )
    assert (said["wrong"], said["long"]) == (0, 0)
    assert [part["kind"] for part in said["one"]] == ["same", "gone", "new", "same"]
    assert said["seconds"] < 10  # without bounds, minutes


def test_a_mode_can_be_chosen_after_a_reload_by_choosing_the_file_again(service, visit):
    script = service(text_pages(2))
    page = visit(script.url)
    read(page)
    page.reload()
    expect(state(page)).to_have_text("2 pages read in base")
    pick(page, "tiny")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose it").click()
    chooser.value.set_files([DOCUMENT])
    expect(state(page)).to_have_text("2 pages read in tiny")
    expect(page.locator("#changes del")).to_have_text(["letters"] * 2)

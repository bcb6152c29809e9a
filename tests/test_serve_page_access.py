"""The page for everybody: by keyboard, by screen reader, in both themes, in narrow windows."""

from __future__ import annotations

import re

import pytest
from page_tools import DOCUMENT, LIT, pick, read, state, text_pages
from playwright.sync_api import expect

pytest_plugins = ["page_fixtures"]


def test_the_whole_way_goes_by_keyboard(service, visit):
    page = visit(service(text_pages(3)).url)
    keys = page.keyboard

    def tab_to(condition: str) -> None:
        for _ in range(30):
            keys.press("Tab")
            if page.evaluate(f"(() => {{ const here = document.activeElement; return {condition}; }})()"):
                ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert ring != "none", f"no focus is to be seen on {condition}"
                return
        pytest.fail(f"the Tab key does not lead to {condition}")

    tab_to("here.id === 'choose'")
    with page.expect_file_chooser() as chooser:
        keys.press("Enter")
    chooser.value.set_files([DOCUMENT])
    expect(state(page)).to_contain_text("read in base")
    tab_to("here.id === 'mode'")
    tab_to("here.id === 'pictures'")
    tab_to("here.matches('.box')")
    tab_to("here.id === 'tab-text'")
    keys.press("ArrowRight")
    expect(page.get_by_role("tab", name="Markdown")).to_be_focused()
    keys.press("ArrowLeft")
    tab_to("here.id === 'copy'")
    tab_to("here.matches('.block')")
    here = page.locator(":focus")
    expect(here).to_have_attribute("data-key", "1:0")
    for key, place in (("ArrowDown", "1:1"), ("PageDown", "2:0"), ("End", "3:2"), ("ArrowUp", "3:1"), ("Home", "1:0")):
        keys.press(key)
        expect(here).to_have_attribute("data-key", place)
        expect(page.locator(f'.box[data-key="{place}"]')).to_have_class(LIT)
    keys.press("Enter")
    expect(page.locator('.box[data-key="1:0"]')).to_be_focused()
    keys.press("Escape")
    expect(page.locator("#pictures")).to_be_focused()
    expect(page.locator(".lit")).to_have_count(0)
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    tab_to("here.id === 'skip'")
    keys.press("Enter")
    expect(page.locator("#text")).to_be_focused()
    assert page.url.endswith("#job=job-1")


CONTROLS = {
    "button", "link", "slider", "textbox", "combobox", "tab", "tabpanel", "tablist", "progressbar", "ProgressIndicator",
    "checkbox", "region", "group", "menuitem", "spinbutton", "listbox", "searchbox", "navigation",
}  # fmt: skip


def test_everything_that_can_be_used_has_a_name_and_a_place(service, visit):
    page = visit(service(text_pages(2)).url)
    for step in ("start", "document", "list"):
        if step == "document":
            read(page)
            pick(page, "tiny")
            expect(state(page)).to_contain_text("read in tiny")
            page.get_by_role("tab", name="Text").click()
        if step == "list":
            page.get_by_role("button", name="1 document").click()
        tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
        shown = [node for node in tree if not node.get("ignored")]
        nameless = [
            node["role"]["value"] for node in shown
            if node["role"]["value"] in CONTROLS and not node.get("name", {}).get("value")
        ]  # fmt: skip
        assert nameless == []
        roles = {node["role"]["value"] for node in shown}
        assert {"main", "banner", "heading", "status", "alert"} <= roles
        wrong = page.evaluate(
            """() => {
                const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
                const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
                const lost = ["for", "aria-controls", "aria-labelledby", "aria-describedby"].flatMap((name) =>
                    [...document.querySelectorAll(`[${name}]`)].flatMap((one) =>
                        one.getAttribute(name).split(" ").filter((id) => !document.getElementById(id))));
                const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")]
                    .filter((one) => one.checkVisibility()).map((one) => Number(one.tagName[1]));
                const jumps = levels.filter((level, place) => place && level > levels[place - 1] + 1);
                return { twice, lost, jumps, first: levels[0] };
            }"""
        )
        assert wrong == {"twice": [], "lost": [], "jumps": [], "first": 1}


def luminance(colour: str) -> float:
    channels = [int(colour.strip().lstrip("#")[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXT_ON = {
    "paper": ("ink", "quiet", "bad"),
    "surface": ("ink", "quiet", "accent", "bad"),
    "raised": ("ink", "quiet"),
    "accent": ("on-accent",),
    "accent-wash": ("ink", "quiet"),
    "lit": ("ink", "quiet"),
    "bad-wash": ("ink",),
    "new-wash": ("new",),
    "gone-wash": ("gone",),
}
EDGES_ON = {"surface": ("control", "accent", "lit-edge"), "paper": ("control", "accent"), "raised": ("accent",)}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast_is_enough_in_both_themes(service, visit, theme):
    page = visit(service(text_pages(2)).url, color_scheme=theme)

    def colour(name: str) -> str:
        return page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--{name}')")

    for pairs, least in ((TEXT_ON, 4.5), (EDGES_ON, 3.0)):
        found = {(ink, on): contrast(colour(ink), colour(on)) for on, inks in pairs.items() for ink in inks}
        assert {pair: round(value, 2) for pair, value in found.items() if value < least} == {}
    assert (luminance(colour("paper")) > 0.5) == (theme == "light")
    read(page)
    body = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", body)[:3])) > 384) == (theme == "light")


@pytest.mark.parametrize(("width", "height"), [(360, 740), (640, 400)])
def test_narrow_and_zoomed_windows_need_no_sideways_scrolling(service, visit, width, height):
    page = visit(service(text_pages(3)).url)
    page.set_viewport_size({"width": width, "height": height})
    for step in ("start", "document"):
        if step == "document":
            read(page)
            page.locator('.block[data-key="1:1"]').click()
            expect(page.locator('.box[data-key="1:1"]')).to_have_class(LIT)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        outside = page.evaluate(
            """() => [...document.querySelectorAll("button, select, input, #costs li")].filter((one) => {
                const { left, right, width } = one.getBoundingClientRect();
                const shown = one.checkVisibility() && width > 1 && !one.closest(".scroller");
                return shown && (left < 0 || right > innerWidth);
            }).map((one) => one.id || one.textContent)"""
        )
        assert outside == []

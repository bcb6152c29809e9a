"""Fixtures of the page's tests, in a real browser: a plugin, because it is more than one file that needs them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

import pytest
from page_service import Script, standing_in
from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
TELL_VIOLATIONS = """addEventListener("securitypolicyviolation", (event) =>
    console.error("policy", event.violatedDirective, event.blockedURI))"""
expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser():
    if not Path(CHROMIUM).exists() and not os.environ.get("CI"):
        pytest.skip("there is no chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser):
    """Open the page of a service. At the end the browser must not have complained of anything but what is `expected`:
    no error on the console, no dialog, no window, nothing that the policy forbids, no request to elsewhere."""
    opened: list[tuple[Page, list[str], re.Pattern[str]]] = []

    def go(start: str, expected: str = r"(?!)", ready: str = "#costs li", **settings: object) -> Page:
        own = start.split("/#")[0]
        context = browser.new_context(viewport={"width": 1280, "height": 800}, **settings)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=own)
        context.add_init_script(TELL_VIOLATIONS)
        page = context.new_page()
        trouble: list[str] = []
        page.on("console", lambda said: said.type in {"error", "warning"} and trouble.append(said.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("filechooser", lambda chooser: None)  # caught from the beginning, however soon it comes
        page.on("popup", lambda popup: trouble.append(f"popup {popup.url}"))
        page.on("request", lambda asked: _is_foreign(asked.url, own) and trouble.append(f"asks {asked.url}"))
        opened.append((page, trouble, re.compile(expected)))
        page.goto(start)
        expect(page.locator(ready).first).to_be_attached()
        return page

    yield go
    for page, trouble, expected in opened:
        page.context.close()
        assert [text for text in trouble if not expected.search(text)] == []


@pytest.fixture
def service():
    """Stand-ins for the service: `service(pages, ...)`, with what `Script` takes."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **settings: stack.enter_context(standing_in(Script(*args, **settings)))


def _is_foreign(asked: str, own: str) -> bool:
    return not asked.startswith((own + "/", f"blob:{own}/"))

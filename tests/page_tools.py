"""What a reader does on the page, for its tests."""

from __future__ import annotations

import re

from page_service import lines
from playwright.sync_api import Locator, Page, expect

NAME = "annual report.pdf"
DOCUMENT = {"name": NAME, "mimeType": "application/pdf", "buffer": b"%PDF-1.7 a stand-in reads anything"}
LIT = re.compile(r"\blit\b")


def text_pages(count: int = 6):
    """Pages of a heading and two paragraphs; in the mode tiny one word of each page is another."""

    def read(mode: str):
        word = "lettars" if mode == "tiny" else "letters"
        return [
            lines(n, f"Page {n} begins with {word} of its own.", f"Then comes what page {n} has to say.", mode=mode)
            for n in range(1, count + 1)
        ]

    return read


def choose(page: Page, *files: dict[str, object]) -> None:
    """Choose files by the button."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a file").click()
    chooser.value.set_files(list(files or (DOCUMENT,)))


def state(page: Page) -> Locator:
    """Where the page says how its document stands."""
    return page.locator("#state")


def read(page: Page, *files: dict[str, object]) -> None:
    """Have a document read to its end."""
    choose(page, *files)
    expect(state(page)).to_contain_text("read in")


def pick(page: Page, mode: str) -> None:
    """Put the slider at a mode by the pointer."""
    page.locator(f'#costs [data-mode="{mode}"]').click()


def drop(page: Page, name: str, kind: str = "application/pdf") -> None:
    """Drop a file on the page."""
    page.evaluate(
        """([name, type]) => {
            const brought = new DataTransfer();
            brought.items.add(new File(["%PDF"], name, { type }));
            for (const event of ["dragenter", "dragover", "drop"]) {
                document.body.dispatchEvent(
                    new DragEvent(event, { dataTransfer: brought, bubbles: true, cancelable: true }));
            }
        }""",
        [name, kind],
    )


def in_view(selector: str) -> str:
    """For `wait_for_function`: is it wholly inside its scroller?"""
    return f"""() => {{
        const element = document.querySelector({selector!r});
        const [a, b] = [element.getBoundingClientRect(), element.closest(".scroller").getBoundingClientRect()];
        return a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
    }}"""

"""The reading process under supervision: whatever a page does to it, that page is the only one lost."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from crewshop import BATCHED, WIDTHS, Given, Outcome, Shop, shop
from pdfmaker import make_text_pdf
from PIL import Image

from ocrpress.document import PageImage
from ocrpress.errors import EngineError, OutputError, UsageError
from ocrpress.jobs.reading.crew import Crew
from ocrpress.jobs.reading.order import Done, Order, Refused
from ocrpress.jobs.reading.settings import Settings
from ocrpress.output import write_bytes
from ocrpress.pipeline import Options

__all__ = ["shop"]

LOST = "the reading process"
HARM = {
    "crash": ("crash", f"{LOST} crashed (SIGSEGV) while reading this page, 2 times"),
    "be_killed": ("crash", f"{LOST} was killed (SIGKILL) while reading this page, 2 times"),
    "leave": ("crash", f"{LOST} ended with exit code 7 while reading this page, 2 times"),
    "eat_memory": ("out of memory", "MemoryError while reading this page, 2 times"),
    "raise_anything": ("crash", "ValueError: no such thing while reading this page, 2 times"),
    "hang": ("time limit", "it took longer than 0.7 s while reading this page, 2 times"),
    "hang_with_the_interpreter": ("time limit", "it took longer than 0.7 s while reading this page, 2 times"),
    "give_up": ("engine error", "the accelerator is gone: reboot while reading this page, 2 times"),
}


@pytest.mark.parametrize(("what", "engine"), [*((what, BATCHED) for what in HARM), ("crash", {})])
def test_a_page_that_takes_its_process_with_it_costs_itself_only(
    shop: Shop, what: str, engine: dict[str, object]
) -> None:
    shop.spec["engine"] = engine
    documents = [shop.add(pages) for pages in (3, 1, 7, 4)]
    shop.harm(documents[2], 4, what)
    outcome = shop.run(page_limit=0.7 if "hang" in what else 20.0)
    cause, words = HARM[what]
    assert outcome.failed == {(documents[2], 4): cause}
    assert not outcome.refused
    page = outcome.results[documents[2]][4]
    assert (page.error, page.engine, page.mode, len(page.attempts)) == (words, "fake", "tiny", 2)
    assert shop.read[f"{documents[2]} 4"] == 2
    assert shop.read["engine 0"] == 3


@pytest.mark.parametrize("what", ["crash", "give_up"])
def test_a_page_that_does_harm_once_is_read_in_the_end(shop: Shop, what: str) -> None:
    shop.spec["engine"] = BATCHED
    documents = [shop.add(3) for _ in range(4)]
    shop.harm(documents[1], 2, what, times=1)
    outcome = shop.run()
    assert (outcome.failed, outcome.refused) == ({}, {})
    assert shop.read["engine 0"] == 2


def test_innocent_pages_of_a_batched_engine_are_never_blamed(shop: Shop) -> None:
    """With one try only, a page that was merely beside the guilty one would be failed at once."""
    shop.spec["engine"] = BATCHED
    documents = [shop.add(4) for _ in range(3)]
    guilty = {(documents[0], 3), (documents[2], 1)}
    for document, page in guilty:
        shop.harm(document, page, "crash")
    assert set(shop.run(tries=1).failed) == guilty


def test_an_engine_that_crashes_on_every_page_ends_the_batch(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocrpress.jobs.reading.losses.MANY", 3)
    documents = [shop.add() for _ in range(20)]
    for document in documents:
        shop.harm(document, 1, "leave")
    outcome = Outcome()
    with pytest.raises(EngineError, match=r"the engine fake does not run: .* exit code 7: .*worker\.log has what it"):
        for event in shop.events(tries=1):
            outcome.take(event)
    assert len(outcome.failed) < 3  # the others are as they were


def test_a_document_that_crashes_while_it_is_opened_is_refused(shop: Shop) -> None:
    shop.spec["engine"] = BATCHED
    documents = [shop.add(2) for _ in range(5)]
    shop.harm(documents[1], 0, "crash")
    outcome = shop.run()
    assert outcome.refused[documents[1]] == Refused(
        documents[1], "the reading process crashed (SIGSEGV) while opening the document, 2 times", "crash"
    )
    assert (list(outcome.refused), outcome.failed) == ([documents[1]], {})
    assert len(outcome.opened) == 4


def test_a_document_whose_opening_never_ends_is_refused(shop: Shop) -> None:
    documents = [shop.add(2) for _ in range(3)]
    shop.harm(documents[1], 0, "hang")
    outcome = shop.run(page_limit=0.5, options=Options(mode="tiny", page_seconds=0.25))
    assert {document: refused.cause for document, refused in outcome.refused.items()} == {documents[1]: "time limit"}


def test_parts_of_documents_are_read_and_lose_nothing(shop: Shop) -> None:
    document = shop.add(9, pages="3-5,9")
    shop.harm(document, 4, "leave")
    outcome = shop.run()
    assert outcome.opened == {document: (3, 4, 5, 9)}
    assert outcome.failed == {(document, 4): "crash"}


def test_a_file_that_is_shorter_when_a_part_of_it_is_read_again_is_refused(shop: Shop) -> None:
    document, other = shop.add(9), shop.add(1)
    shop.harm(document, 5, "leave")
    outcome, short = Outcome(), (shop.folder / f"{other}.tiff").read_bytes()
    for event in shop.events():
        outcome.take(event)
        if isinstance(event, Done) and event.result.number == 4:
            write_bytes(shop.folder / f"{document}.tiff", short)
    assert sorted(outcome.results[document]) == [1, 2, 3, 4]
    assert "none of the pages" in outcome.refused[document].error


def test_a_file_that_lacks_some_pages_when_it_is_read_again_is_refused(shop: Shop) -> None:
    document, other = shop.add(9), shop.add(6)
    shop.harm(document, 5, "leave")
    outcome, short = Outcome(), (shop.folder / f"{other}.tiff").read_bytes()
    for event in shop.events():
        outcome.take(event)
        if isinstance(event, Done) and event.result.number == 4:
            write_bytes(shop.folder / f"{document}.tiff", short)
    assert sorted(outcome.results[document]) == [1, 2, 3, 4, 5, 6]
    assert outcome.refused[document].cause == "changed"


def test_pages_may_come_as_pixels(shop: Shop) -> None:
    shop.spec["engine"] = BATCHED
    path = shop.folder / "gone.pdf"
    for number in range(1, 20):
        document = next(WIDTHS)
        image = Image.new("RGB", (document, 2000), "white")  # more than a pipe holds
        image.paste((0, 0, 0), (10, 10, 30, 30))
        shop.order(path, document, page=PageImage(number, image, document, 2000, {"render": 0.25}, ("note",)))
    shop.harm(shop.documents[3].document, 4, "hang_with_the_interpreter")  # it takes no more pixels then
    outcome = shop.run(page_limit=1.0)
    assert outcome.failed == {(shop.documents[3].document, 4): "time limit"}
    for order in shop.documents:
        assert order.page
        result = outcome.results[order.document][order.page.number]
        if result.status != "failed":
            assert (result.warnings, result.seconds["render"], result.height) == (("note",), 0.25, 2000)
            assert result.text.startswith(f"Page {order.page.number} is {order.document} by 2000 pixels")


def test_orders_are_read_by_options_of_their_own(shop: Shop) -> None:
    """Also what is read again after a loss, and what fails."""
    shop.spec["engine"] = BATCHED
    base = shop.add(3, options=Options(mode="base"))
    shop.harm(base, 2, "leave")
    coarse = shop.add_file("coarse.pdf", make_text_pdf(2), options=Options(mode="native", dpi=36.0))
    locked = shop.add_file("locked.pdf", make_text_pdf(1, user="x"), options=Options(mode="native", password="x"))
    plain, odd = shop.add(1), shop.add(1, options=Options(mode="tiny", dpi=1.0))
    outcome = shop.run()
    assert {page.mode for page in outcome.results[base].values()} == {"base"}
    assert outcome.failed == {(base, 2): "crash"}
    assert [page.text.split(",")[0] for _, page in sorted(outcome.results[coarse].items())] == [
        f"Page {number} is 306 by 396 pixels" for number in (1, 2)
    ]
    assert outcome.results[locked][1].status == "ok"
    assert outcome.results[plain][1].mode == "tiny"
    assert list(outcome.refused) == [odd]
    assert "1 dpi is out of range" in outcome.refused[odd].error


@pytest.mark.parametrize("seed", range(20))
def test_an_order_comes_out_of_its_message_as_it_went_in(seed: int) -> None:
    draw = random.Random(seed)
    given = {
        "mode": draw.choice([None, "tiny", "gundam"]), "task": draw.choice(["markdown", "locate=ein Hünd\n=1"]),
        "max_tokens": draw.choice([None, 7]), "retries": draw.randint(0, 9),
        "temperatures": draw.choice([(), (0.1,), (0.2, 0.5, 1.9)]), "fallback": draw.choice(["none", "rapid"]),
        "dpi": draw.choice([None, 72.5, 300]), "pages": draw.choice([None, "1-3,7-"]),
        "password": draw.choice([None, "", "pä\x00ß\U0001f511"]), "renderer": draw.choice(["auto", "poppler"]),
        "max_pixels": draw.randint(1, 10**9), "max_pages": draw.randint(1, 10**6), "max_tiles": draw.randint(2, 9),
        "workers": draw.randint(0, 9), "page_seconds": draw.choice([0.25, 120.0, 1e9]),
    }  # fmt: skip
    assert {*given, "figures", "figures_base", "figures_prefix"} == {item.name for item in fields(Options)}
    image = Image.frombytes("RGB", (3, 2), draw.randbytes(18))
    page = PageImage(7, image, 2.5, 1.5, {"render": 0.25}, ("note",))
    order = Order(
        draw.randint(0, 10**12), "/a b/ü\n.pdf", "ü", draw.choice([None, "1-3, 7"]),
        draw.choice([None, ("/figures", "f")]), draw.choice([None, page]), draw.choice([None, Options(**given)]),
    )  # fmt: skip
    message, pixels = order.as_message()
    back = Order.of_message(json.loads(json.dumps(message)), pixels)
    assert replace(back, page=None) == replace(order, page=None)
    assert (back.page is None) == (order.page is None)
    if order.page and back.page:
        assert replace(back.page, image=image) == order.page
        assert back.page.image.tobytes() == image.tobytes()


def test_options_that_only_a_process_of_its_own_can_have_are_left_out(tmp_path: Path) -> None:
    order = Order(1, "/a", "a", options=Options(mode="tiny", figures=tmp_path, figures_prefix="f"))
    back = Order.of_message(json.loads(json.dumps(order.as_message()[0])), b"")
    assert back.options == Options(mode="tiny")


def test_an_engine_that_cannot_be_opened_is_an_error_at_once(shop: Shop) -> None:
    shop.add()
    shop.harm("engine", 0, "give_up")
    with pytest.raises(EngineError, match="the accelerator is gone: reboot"):
        shop.run()
    assert shop.read["engine 0"] == 1
    with pytest.raises(EngineError, match="the accelerator is gone"):
        shop.open().open()


def test_an_engine_that_crashes_when_it_is_opened_is_tried_a_few_times(shop: Shop) -> None:
    shop.add()
    shop.harm("engine", 0, "crash")
    with pytest.raises(EngineError, match=r"does not run: the reading process crashed \(SIGSEGV\)"):
        shop.run()
    assert shop.read["engine 0"] == 3


def test_an_engine_that_crashes_once_when_it_is_opened_again_costs_nothing(shop: Shop) -> None:
    document = shop.add(3)
    shop.harm(document, 2, "leave")
    shop.spec["faults"] += [["engine", 0, "", 1], ["engine", 0, "leave", 2]]  # type: ignore[operator]
    assert shop.run().failed == {(document, 2): "crash"}


def test_settings_that_make_no_sense_are_an_error_at_once(tmp_path: Path) -> None:
    for wrong, match in (
        (Settings("fake", options=Options(mode="bass")), "did you mean 'base'"),
        (Settings("fake", options=Options(dpi=5.0)), "5 dpi is out of range"),
        (Settings("fakir"), "did you mean 'fake'"),
    ):
        crew = Crew(wrong)
        with pytest.raises(UsageError, match=match):
            crew.open()
        assert crew._link is None


def test_an_engine_that_gives_up_on_every_page_ends_the_batch_and_fails_none(shop: Shop) -> None:
    shop.spec["engine"] = BATCHED
    for _ in range(8):
        shop.harm(shop.add(), 1, "give_up")
    outcome = Outcome()
    with pytest.raises(EngineError, match="the accelerator is gone: reboot"):
        for event in shop.events():
            outcome.take(event)
    assert not outcome.failed
    assert shop.read["engine 0"] == 3


def test_an_engine_that_gives_up_on_the_only_page_is_not_the_fault_of_the_page(shop: Shop) -> None:
    shop.harm(shop.add(), 1, "give_up")
    with pytest.raises(EngineError, match="does not run: the accelerator is gone"):
        shop.run()
    assert shop.read["engine 0"] == 2


def test_an_engine_that_gives_up_on_the_last_page_costs_that_page(shop: Shop) -> None:
    document = shop.add(3)
    shop.harm(document, 3, "give_up")
    outcome = shop.run()
    assert outcome.failed == {(document, 3): "engine error"}


def test_an_answer_for_another_page_is_no_answer(shop: Shop) -> None:
    documents = [shop.add(2) for _ in range(3)]
    shop.harm(documents[1], 1, "answer_another")
    outcome = shop.run()
    assert outcome.failed == {(documents[1], 1): "engine error"}
    assert "which it does not hold" in outcome.results[documents[1]][1].error


def test_figures_that_cannot_be_written_end_the_batch(shop: Shop) -> None:
    (shop.folder / "in the way").write_text("")
    harmless = shop.add()
    shop.documents[0] = replace(shop.documents[0], figures=(str(shop.folder / "in the way" / "x"), "x"))
    program = shop.folder / "figures.py"
    program.write_text(
        "from ocrpress.document import Completion, Region\n"
        "from ocrpress.engines.fake import FakeEngine\n"
        "from ocrpress.jobs.reading import worker\n"
        "class Seeing(FakeEngine):\n"
        "    def _answer(self, request):\n"
        "        return Completion(request.key, regions=(Region('figure', (0, 0, 20, 20)),))\n"
        "worker.open_engine = lambda name, options: Seeing()\n"
        "worker.main()\n"
    )
    crew = Crew(Settings("fake"), (sys.executable, str(program)))
    with pytest.raises(OutputError, match=r"cannot write .*in the way"):
        list(crew.read(Given(shop.documents)))
    assert harmless
    crew.close()


def test_what_the_process_prints_and_raises_is_in_the_log(shop: Shop) -> None:
    document = shop.add(2)
    shop.harm(document, 1, "raise_anything")
    shop.run()
    log = shop.log.read_text()
    assert log.count("a line that a library printed") == log.count("Traceback") == 2
    assert "ValueError: no such\nthing" in log


def test_a_log_that_cannot_be_written_is_an_output_error(shop: Shop) -> None:
    shop.add()
    shop.log = shop.folder / "no such folder" / "log"
    with pytest.raises(OutputError, match=r"cannot write .*log"):
        shop.run()

"""What becomes of documents when processes are lost, with processes that are played: hundreds of batches in no time."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import asdict, dataclass, field
from types import SimpleNamespace

import pytest

from ocrpress.document import Attempt, PageResult
from ocrpress.engines.base import Capabilities
from ocrpress.errors import EngineError
from ocrpress.jobs.ledger import codec
from ocrpress.jobs.reading import crew
from ocrpress.jobs.reading.crew import Crew
from ocrpress.jobs.reading.held import OPENING, Held
from ocrpress.jobs.reading.losses import BROKEN, CRASH, MANY, Losses
from ocrpress.jobs.reading.order import Done, Opened, Order, Refused, Tick
from ocrpress.jobs.reading.settings import Settings
from ocrpress.sources.pages import parse_ranges, select_pages

ALWAYS = 10**9


@dataclass
class World:
    """Documents, how many pages they have, and the pages (0: the opening) that do harm, how and how many times.

    A process does what comes next at random: opens a document, draws a page, gives it to the engine, answers.
    """

    draw: random.Random
    documents: dict[int, int]
    harm: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    in_flight: int = 4
    side_by_side: int = 2
    now: float = 0.0
    processes: int = 0
    tried: Counter[tuple[int, int]] = field(default_factory=Counter)
    refusing: dict[int, int] = field(default_factory=dict)  # documents that end after so many pages
    dropped: set[int] = field(default_factory=set)


class Played:
    """A process; the interface is that of `Link`."""

    tied, ended, pid = False, False, 0

    def __init__(self, world: World) -> None:
        self.world = world
        world.processes += 1
        self.said: list[tuple[dict[str, object], bytes]] = []
        self.waiting: list[Order] = []
        self.open: dict[int, list[int]] = {}  # documents being drawn, their pages to come
        self.unsettled: Counter[int] = Counter()
        self.drawn: list[tuple[int, int]] = []
        self.engine: list[tuple[int, int]] = []
        self.hangs = False

    def say(self, message: dict[str, object], data: bytes = b"") -> None:
        self.said.append((message, data))

    def send(self, message, data=b"") -> None:
        if "settings" in message:
            ready = asdict(Capabilities(("base",), in_flight=self.world.in_flight))
            self.say({"ready": ready, "engine": "fake", "mode": "base"})
        elif "order" in message:
            self.waiting.append(Order.of_message(message["order"], data))
        elif "drop" in message:
            self.drop(message["drop"])

    def hear(self, seconds: float, bell: object = None):
        self.world.now += 0.001
        for _ in range(self.world.draw.randint(1, 6)):
            if not (self.ended or self.hangs):
                self.step()
        if self.hangs or not self.said:
            self.world.now += seconds
        said, self.said = self.said, []
        return said

    def step(self) -> None:
        can = []
        if self.waiting and len(self.open) < self.world.side_by_side:
            can.append(self.open_one)
        if any(self.open.values()) and len(self.drawn) < self.world.side_by_side:
            can.append(self.draw_one)
        if self.drawn and len(self.engine) < self.world.in_flight:
            can.append(self.begin_one)
        if self.engine:
            can.append(self.answer_one)
        if can:
            self.world.draw.choice(can)()

    def open_one(self) -> None:
        order = self.waiting.pop(0)
        document = order.document
        self.say({"drawing": [document, OPENING]})
        if self.harmed(document, OPENING):
            return
        numbers = list(select_pages(order.pages and parse_ranges(order.pages), self.world.documents[document]))
        self.say({"opened": document, "numbers": numbers})
        self.open[document] = [*numbers]
        self.unsettled[document] = 1

    def drop(self, document: int) -> None:
        """Of a document that is not open nothing is said but that it is closed."""
        if document in self.open:
            self.open[document] = []
            del self.open[document]
            self.settle(document)
        for order in [order for order in self.waiting if order.document == document]:
            self.waiting.remove(order)
            self.say({"closed": document})

    def draw_one(self) -> None:
        document = self.world.draw.choice([document for document, pages in self.open.items() if pages])
        page = self.open[document].pop(0)
        if page > self.world.refusing.get(document, ALWAYS):
            self.say({"refused": document, "error": "it ends", "cause": "cannot be opened"})
            self.open[document] = []
        else:
            self.say({"drawing": [document, page]})
            self.say({"drawn": [document, page]})
            self.unsettled[document] += 1
            self.drawn.append((document, page))
        if not self.open[document]:
            del self.open[document]
            self.settle(document)

    def begin_one(self) -> None:
        self.engine.append(self.drawn.pop(0))
        self.say({"begun": list(self.engine[-1])})

    def answer_one(self) -> None:
        document, page = self.engine.pop(self.world.draw.randrange(len(self.engine)))
        if self.harmed(document, page):
            return
        result = PageResult(page, "ok", attempts=(Attempt("fake", "base", "end", 0.1),))
        self.say({"done": document}, codec.encode(result))
        self.settle(document)

    def settle(self, document: int) -> None:
        self.unsettled[document] -= 1
        if not self.unsettled[document]:
            self.say({"closed": document})

    def harmed(self, document: int, page: int) -> bool:
        what, times = self.world.harm.get((document, page), ("", 0))
        self.world.tried[document, page] += 1
        if self.world.tried[document, page] > times:
            return False
        self.hangs = what == "hang"
        self.ended = not self.hangs
        if what == "give up":
            self.say({"broken": "engine", "message": "the accelerator is gone", "advice": "reboot"})
        return True

    def rest(self):
        return []

    def how_it_ended(self) -> str:
        return "it crashed"

    def out_of_memory(self) -> bool:
        return False

    def stop(self) -> None:
        pass


class Supply:
    """`Orders`, some of which are not there yet when they are asked for; endless ones say never that they are."""

    def __init__(self, world: World, endless: bool = False) -> None:
        self.draw, self.orders = world.draw, [Order(document, "", "") for document in world.documents]
        self.endless = endless

    def take(self):
        return self.orders.pop(0) if self.orders and self.draw.random() < 0.7 else None

    @property
    def exhausted(self):
        return not self.orders and not self.endless


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch):
    def play(world: World, tries: int = 2, drops: float = 0.0, endless: bool = False):
        """Read; every page comes once, and every document is settled.

        Args:
            drops: how likely a document is dropped at a tick.
            endless: orders may always be to come, as in a service, which is then not read to its end.
        """

        def sleep(seconds: float) -> None:
            world.now += seconds

        monkeypatch.setattr(crew, "Link", lambda command, log: Played(world))
        monkeypatch.setattr(crew, "time", SimpleNamespace(monotonic=lambda: world.now))
        monkeypatch.setattr(crew, "Bell", lambda: SimpleNamespace(wait=sleep, heard=lambda: False))
        patience = 1.0 if endless else math.inf
        reader = Crew(Settings("fake", page_limit=5.0, tries=tries), patience=patience)
        opened: dict[int, set[int]] = {}
        results: dict[tuple[int, int], str] = {}
        refused: dict[int, str] = {}
        supply = Supply(world, endless)
        for count, event in enumerate(reader.read(supply)):
            assert count < 100_000
            if isinstance(event, Tick):
                if endless and not supply.orders and not reader._stock:
                    break
                if world.draw.random() < drops:
                    world.dropped.add(world.draw.choice(list(world.documents)))
                    reader.drop(list(world.dropped)[-1])
            elif isinstance(event, Opened):
                assert event.document not in opened
                opened[event.document] = set(event.numbers)
            elif isinstance(event, Done):
                place = (event.document, event.result.number)
                assert place not in results
                assert place[1] in opened[place[0]]
                assert place[0] not in refused
                results[place] = event.result.status
            elif isinstance(event, Refused):
                assert event.document not in refused
                refused[event.document] = event.cause
        for document in world.documents:
            came = {page for place, page in results if place == document}
            assert document in refused or came == opened[document]
        assert not reader._stock
        assert not reader._losses._times
        assert not reader._losses._shared
        return results, refused

    return play


@pytest.mark.parametrize("seed", range(150))
def test_whatever_is_lost_every_page_comes_once_and_only_the_guilty_are_failed(play, seed: int) -> None:
    draw = random.Random(seed)
    world = World(
        draw, {document: draw.randint(1, 9) for document in range(1, draw.randint(2, 10))},
        in_flight=draw.randint(1, 6), side_by_side=draw.randint(1, 3),
    )  # fmt: skip
    world.documents[99] = 3  # something can be read
    times = draw.choice([1, ALWAYS])
    # A page that does harm once, just after another did it beside that page, may have done so twice, for all one knows.
    tries = draw.randint(1, 3) if times > 1 else 3
    for document, pages in world.documents.items():
        for page in range(pages + 1):
            if document != 99 and draw.random() < draw.choice([0.02, 0.2]):
                world.harm[document, page] = (draw.choice(["crash", "hang"]), times)
    if times > 1 and draw.random() < 0.3:
        world.harm[1, 1] = ("give up", times)
    results, refused = play(world, tries)
    unopened = {document for document, page in world.harm if page == 0 and times > 1}
    guilty = {place for place in world.harm if times > 1 and place[1] and place[0] not in unopened}
    assert set(refused) == unopened
    assert {place for place, status in results.items() if status == "failed"} == guilty
    assert all(world.tried[place] <= tries + 1 for place in guilty)


@pytest.mark.parametrize("seed", range(100))
def test_in_a_service_documents_may_be_dropped_and_none_waits_for_a_page_of_another(play, seed: int) -> None:
    """Whatever is dropped when, the others lose nothing; and doubtful pages are judged though nothing more comes."""
    draw = random.Random(seed)
    world = World(
        draw, {document: draw.randint(1, 9) for document in range(1, draw.randint(2, 14))},
        in_flight=draw.randint(1, 6), side_by_side=draw.randint(1, 3),
    )  # fmt: skip
    world.documents[99] = 3
    for document, pages in world.documents.items():
        for page in range(pages + 1):
            if document != 99 and draw.random() < draw.choice([0.02, 0.15]):
                world.harm[document, page] = (draw.choice(["crash", "hang"]), ALWAYS)
    if draw.random() < 0.3:
        world.harm[1, 1] = ("give up", ALWAYS)
    results, refused = play(world, 2, drops=0.3, endless=True)
    kept = set(world.documents) - world.dropped
    unopened = {document for document, page in world.harm if page == 0}
    guilty = {place for place in world.harm if place[1] and place[0] not in unopened}
    assert set(refused) & kept == unopened & kept
    failed = {place for place, status in results.items() if status == "failed"}
    assert {place for place in failed if place[0] in kept} == {place for place in guilty if place[0] in kept}
    assert failed <= guilty
    assert all(world.tried[place] <= 3 for place in guilty)


def test_a_page_that_made_the_engine_give_up_is_judged_soon_where_orders_never_end(play) -> None:
    world = World(random.Random(1), {1: 1, 2: 2}, harm={(2, 1): ("give up", ALWAYS)}, in_flight=1, side_by_side=1)
    results, _ = play(world, endless=True)
    assert results == {(1, 1): "ok", (2, 1): "failed", (2, 2): "ok"}
    alone = World(random.Random(1), {1: 1}, harm={(1, 1): ("give up", ALWAYS)})
    with pytest.raises(EngineError, match="does not run: the accelerator is gone"):
        play(alone, endless=True)
    assert alone.now < 10


@pytest.mark.parametrize("seed", range(40))
def test_a_document_that_ends_in_the_middle_keeps_the_pages_that_came(play, seed: int) -> None:
    draw = random.Random(seed)
    world = World(draw, {1: 8, 2: 8, 3: 8}, in_flight=draw.randint(1, 5), refusing={2: 4})
    if draw.random() < 0.5:
        world.harm[draw.choice([1, 2]), draw.randint(1, 4)] = ("crash", ALWAYS)
    results, refused = play(world)
    assert set(refused) == {2}
    assert {page for document, page in results if document == 2} == {1, 2, 3, 4}
    assert {place for place, status in results.items() if status == "failed"} == set(world.harm)


def test_a_loss_costs_as_many_processes_as_there_are_tries(play) -> None:
    world = World(random.Random(1), {1: 50, 2: 50}, harm={(1, 20): ("crash", ALWAYS)}, in_flight=5)
    play(world, tries=3)
    assert world.processes == 4
    assert world.tried[1, 20] == 3


def test_engines_that_always_crash_end_the_batch_and_few_pages_are_failed(play) -> None:
    world = World(random.Random(1), dict.fromkeys(range(1, 50), 1))
    world.harm = {(document, 1): ("crash", ALWAYS) for document in world.documents}
    with pytest.raises(EngineError, match="the engine fake does not run: it crashed"):
        play(world)
    assert world.processes <= 3 * MANY


def test_an_engine_that_stops_running_in_the_middle_ends_the_batch_soon(play) -> None:
    """Also behind a long document: after a few of its pages others are tried."""
    world = World(random.Random(1), {1: 5, 2: 1000} | dict.fromkeys(range(3, 50), 1), in_flight=1, side_by_side=1)
    world.harm = {(document, page): ("crash", ALWAYS) for document in range(2, 50) for page in range(1, 1001)}
    with pytest.raises(EngineError, match="does not run"):
        play(world)
    assert world.processes <= 3 * MANY


def test_a_long_document_that_always_crashes_does_not_end_the_batch(play) -> None:
    world = World(random.Random(1), {1: 60, 2: 1, 3: 20}, in_flight=1, side_by_side=1)
    world.harm = {(1, page): ("crash", ALWAYS) for page in range(1, 61)}
    results, _ = play(world)
    assert {place for place, status in results.items() if status == "failed"} == set(world.harm)


def test_blame_needs_proof() -> None:
    losses = Losses(tries=1)
    assert losses.lost({(1, 1), (1, 2)}, CRASH) is None
    assert losses.lost({(1, 1)}, CRASH) == (1, 1)
    assert losses.times((1, 1)) == 2
    assert losses.lost({(1, 2)}, CRASH) == (1, 2)
    assert losses.times((1, 2)) == 1  # the other one is explained
    losses.clear((1, 1))
    assert losses.times((1, 1)) == 0


def test_what_happens_once_beside_another_crash_is_not_held_against_a_page() -> None:
    losses = Losses(tries=2)
    losses.lost({(1, 1), (1, 2)}, CRASH)
    assert losses.lost({(1, 1)}, CRASH) == (1, 1)
    assert losses.lost({(1, 2)}, CRASH) is None
    losses.lost({(1, 2), (1, 3)}, CRASH)
    losses.forget(1)
    assert losses.lost({(1, 3)}, CRASH) is None


def test_what_was_read_in_between_counts_for_the_engine() -> None:
    losses = Losses(tries=9)
    for _ in range(20):
        losses.lost({(1, 1)}, BROKEN)
        losses.lost((), CRASH)
        assert not losses.hopeless
        losses.read()
    for _ in range(3):
        losses.lost((), CRASH)
    assert losses.hopeless


def test_a_document_was_open_if_an_earlier_process_opened_it_and_this_one_has_not_yet():
    order = Order(1, "a.pdf", "a")
    assert not Held(order).was_open
    assert not Held(order, left={7}, given={7}).was_open
    again = Held(order, left={7}, given={7})
    again.forget()
    assert again.was_open

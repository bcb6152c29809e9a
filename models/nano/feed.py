"""Batches of pages, made by processes of their own while the model trains. No torch here."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from figures import END, PAD
from pages import Fonts, set_page
from texts import Texts

# How often each kind of text comes: half of it can only be read, not guessed; words alone make no sense either.
MIX = {"letters": 0.14, "jumbled": 0.12, "words": 0.44, "numbers": 0.05, "prose": 0.2, "code": 0.05}


@dataclass(frozen=True)
class Order:
    """A batch to be made.

    Attributes:
        side: of the views in pixels.
        length: characters a page, about.
        fill: least share of the page that the text takes; the most is 1.
        kind: of the text; "" mixes them.
        variety: 0 to 1: of fonts, and of wear.
        read: how many tokens of each page the decoder is to read, from the first.
    """

    seed: int
    pages: int
    side: int
    length: int
    fill: float = 0.3
    kind: str = ""
    variety: float = 1.0
    read: int = 100_000


@dataclass(frozen=True)
class Batch:
    """Pages of one size.

    Attributes:
        pixels: uint8 (n, q, q).
        tokens: int64 (n, t): the text and the end token, then padding.
        places: float32 (n, t, 2): x and y of each token in pixels.
    """

    order: Order
    pixels: np.ndarray
    tokens: np.ndarray
    places: np.ndarray
    texts: tuple[str, ...]


def make_batch(order: Order, texts: Texts, fonts: Fonts) -> Batch:
    """The batch of an order; the same order gives the same batch."""
    rng = random.Random(order.seed)  # noqa: S311
    pages = []
    while len(pages) < order.pages:
        kind = order.kind or rng.choices(list(MIX), list(MIX.values()))[0]
        text = texts.make(kind, rng, max(1, round(order.length * rng.uniform(0.75, 1.0))))
        fill = rng.uniform(order.fill, 1.0)
        page = set_page(text, fonts.choose(rng, text, order.variety), order.side, fill, rng, order.variety)
        if page.text:
            pages.append(page)
    longest = max(len(page.tokens) for page in pages) + 1
    tokens = np.full((len(pages), longest), PAD, np.int64)
    places = np.zeros((len(pages), longest, 2), np.float32)
    for index, page in enumerate(pages):
        count = len(page.tokens)
        tokens[index, :count], tokens[index, count] = page.tokens, END
        places[index, :count], places[index, count] = page.places, page.places[-1]
    return Batch(order, np.stack([page.pixels for page in pages]), tokens, places, tuple(page.text for page in pages))


class Feed:
    """Makes batches ahead.

    Args:
        workers: processes; they are forked, so that fonts and texts are in memory once. Start it before any thread.
        ahead: batches kept ready or in the making.
    """

    def __init__(self, texts: Texts, fonts: Fonts, workers: int, ahead: int) -> None:
        context = multiprocessing.get_context("fork")
        self._orders: Any = context.Queue()
        self._batches: Any = context.Queue()
        self._ahead = ahead
        self._processes = [
            context.Process(target=_work, args=(self._orders, self._batches, texts, fonts, os.getpid()), daemon=True)
            for _ in range(workers)
        ]
        for process in self._processes:
            process.start()

    def batches(self, order: Callable[[], Order]) -> Iterator[Batch]:
        """Batches without end, about in the order in which they were asked for."""
        for _ in range(self._ahead):
            self._orders.put(order())
        while True:
            batch = self._batches.get()
            self._orders.put(order())
            yield batch

    def stop(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            process.terminate()


def _work(orders: Any, batches: Any, texts: Texts, fonts: Fonts, parent: int) -> None:
    while os.getppid() == parent:  # a parent that was killed cannot say so
        with contextlib.suppress(queue.Empty):
            batches.put(make_batch(orders.get(timeout=5), texts, fonts))

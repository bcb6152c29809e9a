"""What the tests of the server engine share, besides the fixtures: pages, requests, a sleep that does not."""

from __future__ import annotations

import asyncio
import socket
import time
import zlib

import numpy as np
from PIL import Image

from ocrpress.document import Decoding, PageImage, Request

KEY = "sk-very-secret-0123456789"


def page(number, size=(61, 79)):
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return PageImage(number, Image.fromarray(pixels), *size)


def request(number=1, mode="native", task="markdown", size=(61, 79), **decoding):
    return Request(number, page(number, size), mode, task, decoding=Decoding(**decoding))


def requests(count):
    return [request(number) for number in range(1, count + 1)]


def reading(asked_for):
    return f"page {zlib.crc32(asked_for.page.image.tobytes()):08x}"


class Waits:
    """Stands in for sleep: notes how long, and does not wait."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def read(engine, asked):
    """Completions by key."""
    found = list(engine.read(asked))
    assert len({completion.key for completion in found}) == len(found)
    return {completion.key: completion for completion in found}


def read_one(engine, **more):
    [completion] = engine.read([request(**more)])
    return completion


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def wait_until(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "in vain"
        time.sleep(0.01)

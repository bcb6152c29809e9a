"""A worker process: reads requests on stdin, answers on stdout, and ends when stdin does. Run by `pool`, not by people.

It imports the renderer and little else, so that it starts in a tenth of a second.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading

from ocrpress.sources.child import limit_memory
from ocrpress.sources.clerk import Clerk
from ocrpress.sources.protocol import HEADER, MAX_JSON, Message, Pixels, encode

MEMORY_LIMIT = 4 << 30  # bytes of address space: a hostile page ends in an error, not in a machine that swaps


def main() -> None:
    """Answer requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.disable(logging.CRITICAL)
    limit_memory(MEMORY_LIMIT)
    answers = os.dup(1)
    # Whatever a library prints must not end up among the pixels.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
    # A thread of its own, for the end of stdin must be seen in the middle of a page that never ends.
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    clerk = Clerk()
    while True:
        reply = clerk.answer(requests.get())
        _write(answers, encode(reply.message, memoryview(reply.pixels).nbytes))
        _write(answers, reply.pixels)


def _listen(requests: queue.SimpleQueue[Message]) -> None:
    import json

    with os.fdopen(os.dup(0), "rb") as stream:
        while header := stream.read(HEADER.size):
            if len(header) < HEADER.size:
                break
            length, _ = HEADER.unpack(header)
            if length > MAX_JSON:
                break
            text = stream.read(length)
            if len(text) < length:
                break
            requests.put(json.loads(text))
    _end()


def _end() -> None:
    """Leave at once, with the programs that this process has started, whatever the main thread is doing."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _write(descriptor: int, data: Pixels) -> None:
    view = memoryview(data)
    while view.nbytes:
        try:
            view = view[os.write(descriptor, view) :]
        except BrokenPipeError:
            _end()


if __name__ == "__main__":
    main()

"""What processes that open documents of doubtful honesty have in common: bounds on memory and time, and a plain loop.

A worker of `pool` listens in a thread of its own while it draws; processes that draw now and then, for a report or for
the page of a service, need no more than `answer_requests`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable

from ocrpress.sources.protocol import HEADER, Message, Reply, encode


def answer_requests(answer: Callable[[Message], Reply], memory: int) -> None:
    """Answer requests on stdin, on stdout, until stdin ends.

    Args:
        answer: gives the reply; a request's "seconds" are all that it may take, or the process ends.
        memory: bytes of address space.
    """
    from ocrpress.sources.pool import write_all

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.disable(logging.CRITICAL)
    limit_memory(memory)
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a library prints must not end up among the pixels
    with contextlib.suppress(BrokenPipeError, EOFError):
        while True:
            request = _hear()
            # A parent that dies while a page hangs cannot stop us.
            signal.alarm(request["seconds"] + 1)
            reply = answer(request)
            signal.alarm(0)
            write_all(answers, encode(reply.message, len(reply.pixels)))
            write_all(answers, reply.pixels)


def limit_memory(most: int) -> None:
    """Bytes of address space of this process from now on; beyond them allocations fail. No core is dumped."""
    try:
        import resource
    except ImportError:
        return  # not a POSIX system
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _hear() -> Message:
    """The next request. Raises EOFError."""
    header = sys.stdin.buffer.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    message: Message = json.loads(sys.stdin.buffer.read(HEADER.unpack(header)[0]))
    return message

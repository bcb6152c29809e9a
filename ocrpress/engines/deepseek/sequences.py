"""What the scheduler moves about: jobs, what runs in a slot, answers, and the count of it all. Data, no steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from ocrpress.engines.deepseek import endless
from ocrpress.engines.deepseek.clock import Share, Timing
from ocrpress.engines.deepseek.slots import Rule


@dataclass(frozen=True, eq=False)
class Job:
    """One sequence to be continued.

    Attributes:
        key: names it among all that are under way.
        prompt: embeddings (tokens, hidden), on the decoder's device.
        max_tokens: longest answer; prompt and answer together fit the limit of the scheduler.
        ignore_end: go on past the end token.
    """

    key: int
    prompt: Tensor
    rule: Rule
    max_tokens: int
    ignore_end: bool = False


@dataclass(frozen=True)
class Answer:
    """What was generated for a job: tokens without the end token, why it stopped, and its share of the time.

    Attributes:
        stop: "length" also if it went round in circles and was stopped before its time.
    """

    key: int
    tokens: tuple[int, ...]
    stop: Literal["end", "length", "error"]
    error: str = ""
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


@dataclass(eq=False)
class Running:
    """A job in a slot.

    Attributes:
        since: what the scheduler's clock of shares showed when it began, in seconds.
        capacity: tokens of its extent of the KV cache.
        chosen: tokens chosen on the device, the first of them by the prefill; those in `tokens` have been read.
        over: it has been answered; what is chosen for it after that is nobody's.
    """

    job: Job
    prefill: Share
    since: float
    capacity: int
    tokens: list[int] = field(default_factory=list)
    chosen: int = 1
    over: bool = False

    @property
    def endless(self) -> bool:
        """Whether it goes round in circles."""
        return not self.job.ignore_end and endless.is_endless(self.tokens, endless.RUN)


@dataclass(frozen=True, eq=False)
class Launch:
    """Steps that were handed to the device, and what comes back of them.

    Attributes:
        found: the last tokens of each row, newest last, on the host or on its way there until `timing` is over.
        new: row -> who was in it, and how many of its tokens are new.
    """

    timing: Timing
    found: Tensor
    new: dict[int, tuple[Running, int]]


@dataclass
class Tally:
    """What the scheduler did; occupancy is active_steps / slot_steps."""

    steps: int = 0
    slot_steps: int = 0
    active_steps: int = 0
    tokens: int = 0
    prefilled: int = 0
    restarts: int = 0


def in_batches(placed: Sequence[tuple[int, Job]], tokens: int) -> list[list[tuple[int, Job]]]:
    """Rows and jobs in batches of like length, none above so many tokens once padded, unless it is a single job."""
    batches: list[list[tuple[int, Job]]] = []
    for row, job in sorted(placed, key=lambda each: len(each[1].prompt)):
        if not batches or (len(batches[-1]) + 1) * len(job.prompt) > tokens:
            batches.append([])
        batches[-1].append((row, job))
    return batches

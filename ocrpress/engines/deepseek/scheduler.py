"""Which sequence sits in which slot: a slot is refilled as soon as its sequence ends, and none waits for the slowest.

    admit ──▶ prefill into free slots        launch ──▶ a few steps for all slots        collect ──▶ answers

Works on token ids and embeddings alone; pages, views and text are the engine's business. A sequence takes as much of
the KV cache as it is long. Where there is no more, the sequences that have come least far are handed back, to be done
again. On a GPU tokens are read one launch late, so that the device never waits for the host.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from ocrpress.engines.deepseek import endless
from ocrpress.engines.deepseek.cache import GRANULE, rounded
from ocrpress.engines.deepseek.clock import Share, Stopwatch
from ocrpress.engines.deepseek.memory import is_out_of_memory
from ocrpress.engines.deepseek.sequences import Answer, Job, Launch, Running, Tally, in_batches
from ocrpress.engines.deepseek.slots import BROKEN, Slots
from ocrpress.errors import EngineError

SPARE = 1.25  # times what is needed, when a sequence is given a longer extent
TYPICAL_ANSWER = 1024  # tokens, before any answer has been seen
MEMORY = 0.9  # of the typical length, what stays when another answer comes in
MOST_PREFILLED = 2**14  # tokens prefilled at once, padding included: some 2 GB of activations at full size
STRIDE_ON_GPU = 8  # steps a launch
NOT_FINITE = "the model's scores were not finite (NaN or infinite)"
NO_MEMORY = "not enough memory to decode this page, even alone"


class Scheduler:
    """Decodes jobs side by side.

    Args:
        slots: where they sit.
        end: the end token.
    """

    def __init__(self, slots: Slots, end: int) -> None:
        self._slots, self._end = slots, end
        self.stopwatch = Stopwatch(slots.decoder.device)
        self.limit = slots.limit or slots.decoder.sizes.context  # of a sequence, prompt and answer, in tokens
        self._window = slots.decoder.sizes.window
        self._running: dict[int, Running] = {}  # by row
        self._launches: deque[Launch] = deque()
        self._returned: list[Job] = []
        self._failed: list[Answer] = []
        self._on_gpu = slots.decoder.device.type == "cuda"
        self._stride = STRIDE_ON_GPU if self._on_gpu else 1
        self._late = int(self._on_gpu)  # launches that may be under way when tokens are read
        self._typical = float(TYPICAL_ANSWER)
        self._shares = 0.0  # seconds of decoding that one sequence would have been charged since the start
        self.tally = Tally()

    @property
    def free(self) -> int:
        """How many jobs can be admitted now, if they are as long as those under way."""
        if not self._running:
            return self._slots.count
        promised = self._promised()
        unpromised = (self._slots.tokens - promised) * len(self._running) // promised
        return max(0, min(self._slots.count - len(self._running), unpromised))

    @property
    def active(self) -> int:
        """How many sequences are under way."""
        return len(self._running)

    def take_returned(self) -> list[Job]:
        """Jobs that lost their slot and must be admitted again, before others."""
        returned, self._returned = self._returned, []
        return returned

    def clear(self) -> None:
        """Give up whatever is under way."""
        for row in list(self._running):
            self._drop(row)
        for row in range(self._slots.count):
            if self._slots.extents.get(row)[1]:  # of a prefill that failed
                self._slots.release(row)
        self._launches.clear()
        self._returned.clear()
        self._failed.clear()

    def admit(self, jobs: Sequence[Job]) -> None:
        """Prefill jobs into free slots, in their order, as far as there is room; the others come back."""
        placed: list[tuple[int, Job]] = []
        fits = self._fits(partial(self._place, jobs, placed))
        self._returned += jobs[len(placed) :]
        batches = in_batches(placed, MOST_PREFILLED)
        while fits and batches:
            fits = self._prefill(batches.pop(0))
        if not fits:
            self._give_up_half([job for row, job in placed if row not in self._running])

    def _fits(self, work: Callable[[], None]) -> bool:
        """Do the work; False if it found no memory. Then what it held is free, as nobody holds its frames."""
        try:
            work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True

    def _place(self, jobs: Sequence[Job], placed: list[tuple[int, Job]]) -> None:
        """Give jobs rows and extents, until one finds none."""
        promised, empty = self._promised(), (row for row in range(self._slots.count) if row not in self._running)
        for job in jobs:
            promised += self._length(job, self._typical)
            alone = not placed and not self._running
            row = next(empty, None) if promised <= self._slots.tokens or alone else None
            room = rounded(self._length(job, self._late * self._stride + self._stride + GRANULE))
            if row is None or not self._allocate(row, room):
                return
            placed.append((row, job))

    def _prefill(self, batch: list[tuple[int, Job]]) -> bool:
        """Prefill a batch, in halves if there is no memory for the whole; False if there is none for a single job."""
        if self._fits(partial(self._prefill_together, batch)):
            return True
        half = len(batch) // 2
        return half > 0 and self._prefill(batch[:half]) and self._prefill(batch[half:])

    def _prefill_together(self, batch: list[tuple[int, Job]]) -> None:
        rows, jobs = [row for row, _ in batch], [job for _, job in batch]
        with self.stopwatch.measure("prefill") as timing:
            self._slots.prefill(rows, [job.prompt for job in jobs], [job.rule for job in jobs])
        self.tally.prefilled += len(jobs)
        for row, job in batch:
            room = self._slots.extents.get(row)[1]
            self._running[row] = Running(job, Share(timing, len(jobs)), self._shares, room)

    def advance(self) -> list[Answer]:
        """`launch`, then `collect`."""
        self.launch()
        return self.collect()

    def launch(self) -> None:
        """Hand the device a few steps for every sequence; on a CPU they are done when this returns."""
        if not self._fits(self._launch):
            self._give_up_half([])

    def _launch(self) -> None:
        self._grow_extents()
        if not self._running:
            return
        self._compact_rows()
        rows = self._rows_for(max(self._running) + 1)
        new = {row: (each, self._stride + (each.chosen == 1)) for row, each in self._running.items()}
        with self.stopwatch.measure("decode") as timing:
            for _ in range(self._stride):
                self._slots.step(rows)
            found = self._fetch(max(new) + 1, max(count for _, count in new.values()))
        for running in self._running.values():
            running.chosen += self._stride
        self.tally.steps += self._stride
        self.tally.slot_steps += rows * self._stride
        self.tally.active_steps += len(self._running) * self._stride
        self._launches.append(Launch(timing, found, new))

    def _fetch(self, rows: int, count: int) -> Tensor:
        """The newest tokens of the first rows, on their way to the host."""
        found = self._slots.newest(rows, count)
        if not found.is_cuda:
            return found
        return torch.empty(found.shape, dtype=found.dtype, pin_memory=True).copy_(found, non_blocking=True)

    def collect(self) -> list[Answer]:
        """Read tokens that were chosen, one launch late on a GPU; returns the sequences that are done."""
        done, self._failed = self._failed, []
        while len(self._launches) > (self._late if self._running else 0):
            launch = self._launches.popleft()
            seconds = launch.timing.seconds  # waits for the device
            under_way = [row for row, (running, _) in launch.new.items() if not running.over]
            self._shares += seconds / max(1, len(under_way))
            found = launch.found.tolist() if under_way else []
            answers = (self._read(*launch.new[row], found[row]) for row in under_way)
            done += [answer for answer in answers if answer]
        return done

    def _read(self, running: Running, count: int, found: list[int]) -> Answer | None:
        """Take a sequence's new tokens; its answer if it is done."""
        new, before = found[len(found) - count :], len(running.tokens)
        stop: Literal["end", "length", "error"] | None = None
        if self._end in new and not running.job.ignore_end:
            new, stop = new[: new.index(self._end)], "end"
        if BROKEN in new:
            new, stop = new[: new.index(BROKEN)], "error"
        if before + len(new) >= running.job.max_tokens:
            new, stop = new[: running.job.max_tokens - before], "length"
        running.tokens += new
        looked, every = len(running.tokens), endless.LOOK_EVERY
        if stop is None and looked // every > before // every and running.endless:
            stop = "length"
        if stop is None:
            return None
        here = next(row for row, other in self._running.items() if other is running)  # it may have moved since
        if stop == "error":
            self._slots.wipe(here)
        self._drop(here)
        self.tally.tokens += len(running.tokens)
        self._typical = MEMORY * self._typical + (1 - MEMORY) * len(running.tokens)
        error = NOT_FINITE if stop == "error" else ""
        seconds = running.prefill.seconds, self._shares - running.since
        return Answer(running.job.key, tuple(running.tokens), stop, error, *seconds)

    def _drop(self, row: int) -> Job:
        """Empty a slot."""
        self._slots.release(row)
        running = self._running.pop(row)
        running.over = True
        return running.job

    def _rows_for(self, needed: int) -> int:
        """How many of the first slots to step: on a GPU all, or three quarters, a half, … of them: graphs stay few."""
        if not self._on_gpu:
            return needed
        count = self._slots.count
        sizes = (count * quarters // 4 >> halved for halved in range(count.bit_length()) for quarters in (4, 3))
        return min(size for size in sizes if size >= needed)

    def _compact_rows(self) -> None:
        """With slots to spare, move the last sequences down into free ones: fewer rows need stepping."""
        while self._rows_for(len(self._running)) < self._rows_for((last := max(self._running)) + 1):
            gap = next(row for row in range(last) if row not in self._running)
            self._slots.move(last, gap)
            self._running[gap] = self._running.pop(last)

    def _length(self, job: Job, answer: float) -> int:
        """Tokens that a job holds in the KV cache with an answer of so many tokens."""
        answer = min(answer, job.max_tokens, self._window or answer)
        return min(len(job.prompt) + int(answer), self.limit)

    def _promised(self) -> int:
        """Tokens that the sequences under way will hold together, if their answers are of the usual length."""
        return sum(
            max(running.capacity, self._length(running.job, self._typical)) for running in self._running.values()
        )

    def _grow_extents(self) -> None:
        """See to it that every sequence has room for the next launch, or the limit; if need be, fewer sequences."""
        # Those that have come farthest first: they are the last to be handed back.
        for row, running in sorted(self._running.items(), key=lambda item: -item[1].chosen):
            needed = self._length(running.job, running.chosen + self._stride)
            if needed <= running.capacity or running.over:
                continue
            roomy = rounded(self._length(running.job, SPARE * (running.chosen + self._stride) + GRANULE))
            while not (self._allocate(row, roomy) or self._allocate(row, rounded(needed))):
                last = min(self._running, key=lambda other: self._running[other].chosen)
                self._hand_back([last])
                if last == row:
                    break
            running.capacity = self._slots.extents.get(row)[1]

    def _allocate(self, row: int, size: int) -> bool:
        """An extent of so many tokens for a row; closes the gaps of the pool if they make one together."""
        if self._slots.allocate(row, size):
            return True
        if self._slots.extents.free < size:
            return False
        self._slots.compact()
        return self._slots.allocate(row, size)

    def _hand_back(self, rows: Sequence[int]) -> None:
        self._returned = [*(self._drop(row) for row in rows), *self._returned]
        self.tally.restarts += len(rows)

    def _give_up_half(self, jobs: Sequence[Job]) -> None:
        """Out of memory: half as many slots and half the KV cache from now on, and all sequences begin again.

        With one slot left, whatever was to go into it fails.
        """
        if self._slots.count == 1:
            unlucky = [*(self._drop(row) for row in list(self._running)), *jobs]
            self._failed += [Answer(job.key, (), "error", NO_MEMORY) for job in unlucky]
        else:
            self._hand_back(list(self._running))
            self._returned += jobs
        self._rebuild(-(-self._slots.count // 2), max(self._slots.tokens // 2, rounded(self.limit)))

    def _rebuild(self, count: int, tokens: int) -> None:
        """Empty slots, as many of them as memory allows."""
        self._launches.clear()
        while True:
            try:
                self._slots.reset(count, tokens)
                return
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                least = rounded(self.limit)
                if (count, tokens) == (1, least):
                    raise EngineError(
                        f"there is no memory for one page of {self.limit:,} tokens",
                        "free some, or run with --device cpu",
                    ) from error
                count, tokens = -(-count // 2), max(tokens // 2, least)

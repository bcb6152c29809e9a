"""Which sequence sits in which slot: a slot is refilled as soon as its sequence ends, and none waits for the slowest.

Works on token ids and embeddings alone; pages, views and text are the engine's business. When memory runs out, or a
sequence outgrows its slot, slots are given up: the sequences that had come least far are handed back to be done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch

from ocrpress.engines.deepseek.clock import Share, Stopwatch
from ocrpress.engines.deepseek.sequences import Answer, Job, Running, Tally, in_batches
from ocrpress.engines.deepseek.slots import BROKEN, Slots
from ocrpress.errors import EngineError

FIRST_CAPACITY = 2048  # tokens of a slot at first; more when a sequence needs it
SPARE = 1.25  # times what is needed, when slots are made larger
GRANULE = 256  # tokens to which it is rounded up
WORTH_IT = 1.5  # times as many slots must fit again before smaller ones are made
MOST_PREFILLED = 2**14  # tokens prefilled at once, padding included: some 2 GB of activations at full size
STRIDE_ON_GPU = 8  # steps between two looks at what was generated: a look waits for the device
NOT_FINITE = "the model's scores were not finite (NaN or infinite)"
NO_MEMORY = "not enough memory to decode this page, even alone"


class Scheduler:
    """Decodes jobs side by side.

    Args:
        slots: where they sit; its count is the most that is ever used.
        end: the end token.
        budget: tokens that all slots' caches may hold together; slots are given up rather than go beyond.
        limit: longest sequence, prompt and answer, in tokens.
    """

    def __init__(self, slots: Slots, end: int, budget: int, limit: int) -> None:
        self._slots, self._end = slots, end
        self.stopwatch = Stopwatch(slots.decoder.device)
        self._budget, self.limit = budget, limit
        self._most = slots.count
        self._running: dict[int, Running] = {}  # by row
        self._returned: list[Job] = []
        self._failed: list[Answer] = []
        self._on_gpu = slots.decoder.device.type == "cuda"
        self._stride = STRIDE_ON_GPU if self._on_gpu else 1
        self._shares = 0.0  # seconds of decoding that one sequence would have been charged since the start
        self.tally = Tally()

    @property
    def free(self) -> int:
        """How many jobs can be admitted now."""
        return self._slots.count - len(self._running)

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
        self._returned.clear()
        self._failed.clear()

    def admit(self, jobs: Sequence[Job]) -> None:
        """Prefill jobs into free slots; at most `free` of them. Those that find no memory come back."""
        batches = in_batches(jobs, MOST_PREFILLED)
        while batches and not self._returned:
            self._admit_together(batches.pop(0))
        self._returned += [job for batch in batches for job in batch]

    def _admit_together(self, jobs: Sequence[Job]) -> None:
        try:
            self._make_room(max(len(job.prompt) for job in jobs))
            rows = [row for row in range(self._slots.count) if row not in self._running][: len(jobs)]
            jobs, later = jobs[: len(rows)], jobs[len(rows) :]
            self._returned += later
            if not jobs:
                return
            with self.stopwatch.measure("prefill") as timing:
                self._slots.prefill(rows, [job.prompt for job in jobs], [job.rule for job in jobs])
        except torch.OutOfMemoryError:
            self._give_up_half(jobs)
            return
        self.tally.prefilled += len(jobs)
        for row, job in zip(rows, jobs, strict=True):
            self._running[row] = Running(job, Share(timing, len(jobs)), self._shares)

    def advance(self) -> list[Answer]:
        """A few more tokens for every sequence; returns those that are done."""
        done, self._failed = self._failed, []
        if not self._running:
            return done
        try:
            self._make_room(0)
            if not self._running:  # all of them lost their slots
                return done
            self._close_ranks()
            rows = self._rows_to_step()
            with self.stopwatch.measure("decode") as timing:
                for _ in range(self._stride):
                    self._step(rows)
        except torch.OutOfMemoryError:
            self._give_up_half([])
            return done
        newest = self._look()
        self._shares += timing.seconds / len(self._running)
        answers = (self._collect(row, newest[row]) for row in list(self._running))
        return [*done, *(answer for answer in answers if answer)]

    def _step(self, rows: int) -> None:
        self._slots.step(rows, self._longest())
        for running in self._running.values():
            running.unread += 1
        self.tally.steps += 1
        self.tally.slot_steps += rows
        self.tally.active_steps += len(self._running)

    def _look(self) -> list[list[int]]:
        """Fetch what was chosen on the device since the last look, and perhaps before, by row; waits for the device."""
        most = max(running.unread for running in self._running.values())
        return cast("list[list[int]]", self._slots.newest(max(self._running) + 1, most).tolist())

    def _collect(self, row: int, newest: list[int]) -> Answer | None:
        """Take a row's new tokens; its answer if it is done."""
        running = self._running[row]
        new, running.unread = newest[len(newest) - running.unread :], 0
        for token in new:
            if token == BROKEN:
                self._slots.wipe(row)
                return self._finish(row, "error", NOT_FINITE)
            if token == self._end and not running.job.ignore_end:
                return self._finish(row, "end")
            running.tokens.append(token)
            if len(running.tokens) >= running.job.max_tokens or running.endless:
                return self._finish(row, "length")
        return None

    def _finish(self, row: int, stop: Literal["end", "length", "error"], error: str = "") -> Answer:
        running = self._drop(row)
        self.tally.tokens += len(running.tokens)
        return Answer(
            running.job.key, tuple(running.tokens), stop, error, running.prefill.seconds, self._shares - running.since
        )

    def _drop(self, row: int) -> Running:
        self._slots.release(row)
        return self._running.pop(row)

    def _rows_to_step(self) -> int:
        """The first so many slots are stepped: on a GPU a half, a quarter, … of all, so that graphs stay few."""
        needed = max(self._running) + 1
        if not self._on_gpu:
            return needed
        rows = self._slots.count
        while rows // 2 >= needed:
            rows //= 2
        return rows

    def _close_ranks(self) -> None:
        """With slots to spare, move the last sequences down into free ones: fewer rows need stepping."""
        while self._running:
            last = max(self._running)
            gap = next((row for row in range(last) if row not in self._running), None)
            if gap is None or (self._on_gpu and self._rows_to_step() // 2 < len(self._running)):
                return
            self._slots.move(last, gap)
            self._running[gap] = self._running.pop(last)

    def _longest(self) -> int:
        return max((running.held for running in self._running.values()), default=0)

    def _make_room(self, prompt: int) -> None:
        """See to it that every slot holds what comes next, or the limit: larger slots, if need be fewer of them.

        Args:
            prompt: tokens of the longest prompt about to come in.
        """
        count = self._slots.count
        length = min(max(prompt, self._longest()) + self._stride + 1, self.limit)
        if length > self._slots.capacity:
            capacity = self._roomy(length)
            self._resize(min(count, self._fitting(capacity)), capacity)
        elif count < self._most:  # are the long ones gone?
            capacity = self._roomy(length)
            if self._fitting(capacity) >= WORTH_IT * count:
                self._resize(min(self._most, self._fitting(capacity)), capacity)

    def _roomy(self, length: int) -> int:
        """Capacity for a length with some to spare: a larger cache means copying it, and capturing all steps again."""
        return min(self.limit, -(-int(SPARE * length) // GRANULE) * GRANULE)

    def _fitting(self, capacity: int) -> int:
        """Slots of that capacity within the budget; one at least."""
        return max(1, self._budget // capacity)

    def _give_up_half(self, jobs: Sequence[Job]) -> None:
        """Out of memory: half as many slots from now on; with one slot left, whatever was to go into it fails."""
        if self._on_gpu:
            torch.cuda.empty_cache()
        if self._slots.count == 1:
            unlucky = [*(running.job for running in self._running.values()), *jobs]
            for row in list(self._running):
                self._drop(row)
            self._failed += [Answer(job.key, (), "error", NO_MEMORY) for job in unlucky]
            return
        self._most = -(-self._slots.count // 2)
        self._returned += jobs
        self._resize(self._most, self._slots.capacity)

    def _resize(self, count: int, capacity: int) -> None:
        """Another number and size of slots; the sequences that have come farthest keep theirs."""
        order = sorted(self._running, key=lambda row: len(self._running[row].tokens), reverse=True)
        kept = order[:count]
        self._hand_back(order[count:])
        try:
            self._slots.resize(kept, count, capacity)
            self._running = {index: self._running[row] for index, row in enumerate(kept)}
        except torch.OutOfMemoryError:  # midway: nothing in the slots can be trusted any more
            self._hand_back(kept)
            self._rebuild(count, capacity)

    def _hand_back(self, rows: Sequence[int]) -> None:
        self._returned = [*(self._running.pop(row).job for row in rows), *self._returned]
        self.tally.restarts += len(rows)

    def _rebuild(self, count: int, capacity: int) -> None:
        """Empty slots, as many of them as memory allows."""
        while True:
            try:
                self._slots.reset(count, capacity)
                return
            except torch.OutOfMemoryError as error:
                if count == 1:
                    raise EngineError(
                        f"there is no memory for one slot of {capacity:,} tokens",
                        "free some, take a smaller --max-tokens, or run with --device cpu",
                    ) from error
                count = self._most = -(-count // 2)

"""Pages a second to be expected of named GPUs: counted operations of the published model at the devices' rates.

    Encoder, Slots on a fake GPU ──▶ Counts ──▶ Prediction, beside the roofline

What the operations are is counted; how fast a device does them is taken from data sheets and published measurements.
What the scheduler's own Python takes is measured; the rest of the host (views, text, judging) works in other threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import torch

from ocrpress.engines.deepseek import experts
from ocrpress.engines.deepseek.architecture import PUBLISHED
from ocrpress.engines.deepseek.attention import RowAttention
from ocrpress.engines.deepseek.cache import Extents, rounded
from ocrpress.engines.deepseek.checkpoint import empty_model
from ocrpress.engines.deepseek.config import transformers_config
from ocrpress.engines.deepseek.decoder import Decoder
from ocrpress.engines.deepseek.scheduler import STRIDE_ON_GPU, Scheduler
from ocrpress.engines.deepseek.sequences import Job
from ocrpress.engines.deepseek.slots import Rule, Slots
from ocrpress.engines.deepseek.vision import Encoder, PixelViews
from ocrpress.measure.counts import Counting, Counts, Device, attention_flops, count, fake_cuda, size
from ocrpress.measure.roofline import PROMPT_TEXT, Rates, bound
from ocrpress.modes import get_mode

if TYPE_CHECKING:
    from ocrpress.modes import Plan

# Bandwidth and matmuls as reached; attention as FlashAttention 2 is published to reach (forward, not measured by us).
DEVICES = (
    Device("A100-40G", 1.4e12, 250e12, 180e12, (8, 0)),
    Device("A100-80G", 1.8e12, 250e12, 180e12, (8, 0)),
    Device("H100", 3.0e12, 790e12, 400e12, (9, 0)),
)
UNCOUNTED = RowAttention("none", lambda q, *_: torch.empty_like(q))  # of a step, where none is counted
TOGETHER = 8  # pages encoded, and prompts prefilled, in one go


@dataclass(frozen=True)
class Prediction:
    """What is to be expected of one device, in one mode.

    Attributes:
        encode, prefill, step: seconds; of a page, a page, and all rows.
        share: of the roofline's pages a second.
    """

    device: str
    mode: str
    rows: int
    pages_per_second: float
    share: float
    encode: float
    prefill: float
    step: float


def predict(plans: Sequence[Plan], rows: Sequence[int], tokens: int) -> Iterator[Prediction]:
    """By device, plan, rows and way of attending; answers of so many tokens. Raises EngineError."""
    for device in DEVICES:
        rates = Rates(device.bandwidth, device.matmul)
        for plan in plans:
            encode = count_encode(plan).seconds(device, captured=False) / TOGETHER
            prompt = plan.sequence_tokens + PROMPT_TEXT
            prefill = count_prefill(prompt, device.capability).seconds(device, captured=False) / TOGETHER
            for slots in rows:
                limit = bound(rates, PUBLISHED, plan, slots, [tokens]).pages_per_second
                step = count_step(slots, prompt, tokens, device.capability).seconds(device, captured=True)
                speed = 1 / (tokens * step / slots + encode + prefill)
                yield Prediction(device.name, plan.mode, slots, speed, speed / limit, encode, prefill, step)


@cache
def count_encode(plan: Plan, pages: int = TOGETHER) -> Counts:
    """Encoding so many pages of one plan together."""
    mode = get_mode(plan.mode)

    def run(model: Any, device: torch.device) -> Counts:
        def views(*shape: int) -> torch.Tensor:
            return torch.empty(*shape, 3, dtype=torch.uint8, device=device)

        tiles = [views(plan.tiles, mode.tile, mode.tile) if plan.tiles else None for _ in range(pages)]
        made = [PixelViews(plan, views(mode.view, mode.view), each) for each in tiles]
        encoder = Encoder(model.model)
        encoder.encode(made)  # makes the tables of this size
        return count(lambda: encoder.encode(made))

    return _on_fake_gpu(run)


@cache
def count_prefill(prompt: int, capability: tuple[int, int] = (9, 0), prompts: int = TOGETHER) -> Counts:
    """Prefilling so many prompts of one length together."""
    counting = Counting()

    def product(x: torch.Tensor, weights: torch.Tensor, offs: list[int]) -> torch.Tensor:
        """`looped_product`, every expert with its share of the rows: where they fall is not known here."""
        count_of, inputs, outputs = weights.shape
        out = x.new_empty(len(x), outputs)
        for _ in range(count_of):
            moved = (size(x) + size(weights) + size(out)) // count_of
            counting.charge("mm", "matmul", moved, 2 * len(x) * inputs * outputs // count_of)
        return out

    def run(model: Any, device: torch.device) -> Counts:
        slots = Slots(Decoder(model), prompts, prompts * rounded(prompt + 1), capture=False, attention=UNCOUNTED)
        for row in range(prompts):
            slots.allocate(row, rounded(prompt + 1))
        states = torch.empty(prompts, prompt, PUBLISHED.decoder.width, dtype=torch.bfloat16, device=device)
        with patch.multiple(experts, looped_product=product, ask_host=lambda _: []):
            return count(lambda: slots.prefill(range(prompts), list(states), [Rule()] * prompts), counting)

    return _on_fake_gpu(run, capability)


@cache
def count_step(rows: int, prompt: int, tokens: int, capability: tuple[int, int] = (9, 0)) -> Counts:
    """One decoding step in the steady state: rows anywhere in answers of so many tokens."""
    counting = Counting()

    def kernel(q: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *_: Any) -> torch.Tensor:
        seen = prompt + tokens / 2
        moved = 2 * size(q) + int((size(keys) + size(values)) * rows * seen / len(keys))
        counting.charge("attention with a length a row", "attention", moved, attention_flops(q[:, :, None], seen))
        return torch.empty_like(q)

    def run(model: Any, device: torch.device) -> Counts:
        attention = RowAttention("counted", kernel)
        slots = Slots(Decoder(model), rows, rows * rounded(prompt + tokens), capture=False, attention=attention)
        return count(lambda: slots.step(rows), counting)

    return _on_fake_gpu(run, capability)


class _IdleSlots:
    """What a scheduler asks of Slots, with no model behind it: room is given and taken, tokens come from nowhere."""

    def __init__(self, rows: int, tokens: int, limit: int) -> None:
        self.count, self.tokens, self.limit, self.extents = rows, tokens, limit, Extents(tokens)
        self.decoder = SimpleNamespace(device=torch.device("cpu"), sizes=SimpleNamespace(window=0))
        self._tokens = torch.arange(2, 2 + rows)[:, None]

    def allocate(self, row: int, size: int) -> bool:
        return self.extents.take(row, size)

    def compact(self) -> None:
        self.extents.compact()

    def release(self, row: int) -> None:
        self.extents.release(row)

    def move(self, source: int, target: int) -> None:
        self.extents.rename(source, target)

    def prefill(self, *_: Any) -> None: ...

    def step(self, rows: int) -> None: ...

    def newest(self, rows: int, count: int) -> torch.Tensor:
        return self._tokens[:rows].expand(-1, count)


def scheduling_seconds(rows: int, prompt: int, tokens: int) -> float:
    """Processor seconds that the scheduler's own Python takes for a step, on this machine: rows full, as on a GPU.

    Three answers of so many tokens for every row, admitted as rows come free; models, views and text cost nothing here.
    """
    scheduler = Scheduler(cast("Slots", _IdleSlots(rows, rows * 2 * rounded(prompt + tokens), 8192)), end=1)
    scheduler._stride, scheduler._late = STRIDE_ON_GPU, 1
    jobs = [Job(key, torch.empty(prompt, 1), Rule(), tokens - key % (tokens // 2), True) for key in range(3 * rows)]
    began, done = time.process_time(), 0
    while done < 3 * rows:
        admitted = jobs[: min(scheduler.free, TOGETHER)]
        del jobs[: len(admitted)]
        scheduler.admit(admitted)
        done += len(scheduler.advance())
        jobs = scheduler.take_returned() + jobs
    return (time.process_time() - began) / scheduler.tally.steps


def _on_fake_gpu(run: Callable[[Any, torch.device], Counts], capability: tuple[int, int] = (9, 0)) -> Counts:
    """Count with a model of the published size, in bfloat16."""
    with fake_cuda(capability) as device:
        return run(empty_model(transformers_config(PUBLISHED), device, torch.bfloat16), device)

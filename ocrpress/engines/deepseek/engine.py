"""DeepSeek-OCR in process: pages in, Completions out as they end, every mode mixed in one batch.

    requests ──feeder──▶ views ──encoder──▶ vision sequences ──scheduler──▶ tokens ──tokenizer──▶ Completions
               threads           side stream                   slots               caller's thread

On CUDA encoder and scheduler run in a thread of their own, so that what the caller does with an answer holds up
nothing, and the encoder works on a second stream, beside the decoder and behind it: encoding is bound by arithmetic,
decoding by memory.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ocrpress.document import Completion, Request
from ocrpress.engines.base import Capabilities
from ocrpress.engines.cards import PAGES, Card
from ocrpress.engines.deepseek.cache import rounded
from ocrpress.engines.deepseek.checkpoint import room_on
from ocrpress.engines.deepseek.clock import Share
from ocrpress.engines.deepseek.decoder import Decoder
from ocrpress.engines.deepseek.device import describe_device, kernel_advice, use_device
from ocrpress.engines.deepseek.feeder import PATIENCE, Feeder, Prepared
from ocrpress.engines.deepseek.graphs import FIRST
from ocrpress.engines.deepseek.memory import fit_slots, is_out_of_memory, token_budget
from ocrpress.engines.deepseek.plan import DecodePlan
from ocrpress.engines.deepseek.scheduler import TYPICAL_ANSWER, Scheduler
from ocrpress.engines.deepseek.sequences import Answer, Job
from ocrpress.engines.deepseek.slots import Slots, settle
from ocrpress.engines.deepseek.tokenizer import TextCodec
from ocrpress.engines.deepseek.vision import Encoder
from ocrpress.errors import OcrpressError

CHUNK_ON_GPU = 16  # pages encoded together
CHUNK_ON_CPU = 4
MOST_QUESTIONS = 256  # whose embeddings are kept
NAME = "deepseek"
PAGES_MODE, PAGE_MARK = "base", "<PAGE>"  # Unlimited-OCR's pass over many pages


@dataclass(frozen=True)
class _Page:
    """A page under way in the decoder, its views, encoded, let go; or several pages in one pass, which keep theirs."""

    prepared: list[Prepared]
    job: Job
    encode: Share


@dataclass(frozen=True, eq=False)
class _Reading:
    """One call of `read`: its feeder, what is on its way to the caller, and whether he still wants it."""

    feeder: Feeder
    found: queue.SimpleQueue[tuple[_Page, Answer] | Completion | BaseException | None]
    stopped: threading.Event


class DeepseekEngine:
    """The engine over a loaded model.

    Args:
        model: UnlimitedOcrForConditionalGeneration, in the dtype and on the device where it is to run; the engine takes
            it over.
        tokenizer: of the same checkpoint.
        card: prompts, modes and generation defaults.
        slots: pages decoded side by side, 1 or more; None fits them to the device's memory.

    Raises:
        EngineError: there is no memory for a single slot.
    """

    def __init__(self, model: Any, tokenizer: TextCodec, card: Card, slots: int | None = None) -> None:
        self.name, self.checkpoint = NAME, card.name
        self._card, self._tokenizer = card, tokenizer
        model.requires_grad_(False)
        self._encoder, decoder = Encoder(model.model), Decoder(model)
        self._decoder, self._device = decoder, decoder.device
        self._on_gpu = decoder.device.type == "cuda"
        self._stream = torch.cuda.Stream(decoder.device) if self._on_gpu else None
        self._decoding = torch.cuda.Stream(decoder.device, priority=FIRST) if self._on_gpu else None
        self._chunk = CHUNK_ON_GPU if self._on_gpu else CHUNK_ON_CPU
        limit, budget = decoder.sizes.context, token_budget(decoder)
        count = slots or fit_slots(decoder, budget)
        tokens = max(min(budget, count * rounded(limit)), rounded(limit))
        with room_on(decoder.device, f"{count} slots"):
            self._slots = Slots(decoder, count, tokens, exempt=card.generation.exempt)
        self.scheduler = Scheduler(self._slots, tokenizer.end)
        self._embedded: dict[str, Tensor] = {}
        self._opening = tokenizer.encode(card.before_image) if card.before_image else [tokenizer.bos]
        # On a CPU both threads want the same cores, and torch's own threads serve a second one at half the speed.
        self._threaded = self._on_gpu
        self._thread: threading.Thread | None = None
        self.views_seconds = 0.0
        if self._on_gpu:  # the encoder's stream does not wait by itself for weights that another one is still making
            torch.cuda.synchronize(decoder.device)
        self.capabilities = Capabilities(
            modes=card.modes,
            tasks=card.tasks,
            decoding=True,
            in_flight=count + 3 * self._chunk,
            max_tiles=card.max_tiles,
        )

    def close(self) -> None:
        """Give back memory; within a long step that is left to the end of the process. Safe to call twice."""
        if self._thread and self._thread.is_alive():
            return
        if self._on_gpu:
            torch.cuda.synchronize(self._device)
        self.__dict__.pop("_encoder", None)
        self.__dict__.pop("_decoder", None)
        self.__dict__.pop("scheduler", None)
        self.__dict__.pop("_slots", None)
        self._embedded.clear()
        if self._on_gpu:
            torch.cuda.empty_cache()

    @property
    def plan(self) -> DecodePlan:
        """What it decodes with."""
        decoder, slots = self._decoder, self._slots
        graphs = "captured"
        if not slots.captured:
            graphs = "none on a CPU" if not self._on_gpu else f"none, for attention {slots.kernel.name}"
        refused = "; ".join(f"not used: {reason}" for reason in slots.kernel.refused)
        return DecodePlan(
            describe_device(decoder.device), str(decoder.dtype).removeprefix("torch."), slots.kernel.name,
            decoder.expert_path, graphs, slots.count, slots.tokens,
            slots.tokens * decoder.sizes.cache_bytes(decoder.dtype),
            refused or kernel_advice(decoder.device),
        )  # fmt: skip

    def seconds(self) -> dict[str, float]:
        """By stage since the start: views (of all threads), encode, prefill, decode."""
        return {"views": self.views_seconds, **self.scheduler.stopwatch.totals()}

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer every request as it ends. Requests are pulled in another thread, at most `in_flight` ahead."""
        device = self._decoder.device
        if self._thread:  # of a reading that was given up within a long step
            self._thread.join()
        feeder = Feeder(requests, self.capabilities.in_flight, self._on_gpu, device)
        reading = _Reading(feeder, queue.SimpleQueue(), threading.Event())
        try:
            for found in self._read_in_thread(reading) if self._threaded else self._read(reading):
                for completion in self._completions(*found) if isinstance(found, tuple) else [found]:
                    feeder.release()
                    yield completion
        finally:
            reading.stopped.set()
            feeder.close()
            if self._threaded and self._thread:
                self._thread.join(PATIENCE)
            else:
                self.scheduler.clear()

    def _read_in_thread(self, reading: _Reading) -> Iterator[tuple[_Page, Answer] | Completion]:
        """What `_read` finds, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, args=(reading,), name="ocrpress-decoder", daemon=True)
        self._thread.start()
        while (found := reading.found.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found

    def _run(self, reading: _Reading) -> None:
        """The thread that encodes and decodes; what goes wrong is raised where the answers are taken."""
        error: BaseException | None = None
        try:
            use_device(self._decoder.device)
            with torch.cuda.stream(self._decoding) if self._decoding else nullcontext():
                try:
                    for found in self._read(reading):
                        reading.found.put(found)
                finally:
                    self.scheduler.clear()
        except BaseException as raised:
            error = raised
        finally:
            reading.found.put(error)

    def _read(self, reading: _Reading) -> Iterator[tuple[_Page, Answer] | Completion]:
        feeder = reading.feeder
        waiting: deque[_Page] = deque()
        running: dict[int, _Page] = {}
        again: list[Prepared] = []  # of passes over several pages that cannot be told apart
        broken: Exception | None = None
        while not reading.stopped.is_set():
            admitted = self._admissible(waiting)
            running |= {page.job.key: page for page in admitted}
            self.scheduler.admit([page.job for page in admitted])
            self.scheduler.launch()  # before encoding: the device has this to do while more is handed to it
            if self._wanted(len(waiting)) and (again or not feeder.exhausted):
                try:
                    idle = not (running or waiting)
                    taken, again = again or list(feeder.take(self._wanted(len(waiting)), wait=idle)), []
                except Exception as error:  # of the source: what is under way is finished first
                    broken, taken = error, []
                encoded, refused = self._encode(taken)
                waiting += encoded
                yield from refused
            for answer in self.scheduler.collect():
                page = running.pop(answer.key)
                if len(page.prepared) > 1 and (answer.stop != "end" or len(self._parts(answer)) != len(page.prepared)):
                    again += [replace(each, request=replace(each.request, attempt=2)) for each in page.prepared]
                else:
                    yield page, answer
            waiting.extendleft(running.pop(job.key) for job in reversed(self.scheduler.take_returned()))
            if feeder.exhausted and not (waiting or running or again):
                break
        if broken:
            raise broken

    def _wanted(self, waiting: int) -> int:
        """How many pages to encode now. A GPU encodes in full chunks, one or two of them ahead of the free slots."""
        if not self._on_gpu:
            return max(0, min(self._chunk, self.scheduler.free - waiting))
        ahead = self.scheduler.free + 2 * self._chunk - waiting
        return self._chunk if ahead >= self._chunk else 0

    def _admissible(self, waiting: deque[_Page]) -> list[_Page]:
        """Take from the queue what fits into free slots and is encoded; if nothing is running, wait for the encoder."""
        admitted: list[_Page] = []
        free, awaited = self.scheduler.free, None
        while waiting and len(admitted) < free:
            timing = waiting[0].encode.timing
            if self._stream and timing is not awaited and not timing.over:
                if admitted or self.scheduler.active:
                    break
                torch.cuda.current_stream(self._decoder.device).wait_stream(self._stream)
                awaited = timing
            admitted.append(waiting.popleft())
        return admitted

    def _encode(self, taken: list[Prepared]) -> tuple[list[_Page], list[Completion]]:
        """Encode pages together; beside them Completions of those that cannot be."""
        self.views_seconds += sum(page.seconds for page in taken)
        errors = {page.request.key: page.error or self._objection(page) for page in taken}
        refused = [_refusal(page, errors[page.request.key]) for page in taken if errors[page.request.key]]
        ready = [page for page in taken if not errors[page.request.key]]
        if not ready:
            return [], refused
        try:
            return self._encode_together(ready), refused
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(ready) == 1:
                return [], [*refused, _refusal(ready[0], "not enough memory to encode this page, even alone")]
        self._chunk = -(-len(ready) // 2)
        first, second = self._encode(ready[: self._chunk]), self._encode(ready[self._chunk :])
        return first[0] + second[0], [*refused, *first[1], *second[1]]

    @torch.inference_mode()
    def _encode_together(self, ready: list[Prepared]) -> list[_Page]:
        beside: AbstractContextManager[Any] = torch.cuda.stream(self._stream) if self._stream else nullcontext()
        with beside, self.scheduler.stopwatch.measure("encode") as timing:
            visions = self._encoder.encode([page.views for page in ready if page.views])
            passes = self._passes(ready)
            taken = iter(visions)
            prompts = [self._prompt(pages, [next(taken) for _ in pages]) for pages in passes]
        for prompt in prompts:
            if self._on_gpu:  # it is read on the decoder's stream: its memory must not be reused before
                prompt.record_stream(torch.cuda.current_stream(self._decoder.device))
        seen = [pages if len(pages) > 1 else [replace(pages[0], views=None)] for pages in passes]
        jobs = (self._job(pages, prompt) for pages, prompt in zip(seen, prompts, strict=True))
        return [_Page(pages, job, Share(timing, len(ready))) for pages, job in zip(seen, jobs, strict=True)]

    def _passes(self, ready: list[Prepared]) -> list[list[Prepared]]:
        """Each page for itself; with the task "pages", those that follow one another and fit the context together.

        A page that is asked for again is read alone: by whoever wants it, or since its pass could not be told apart.
        """
        passes: list[list[Prepared]] = []
        for page in ready:
            last = passes[-1] if passes else []
            one, other = page.request, last[-1].request if last else None
            follows = other and one.document is other.document and one.page.number == other.page.number + 1
            wanted = all(each.request.task == PAGES and each.request.attempt == 1 for each in [page, *last])
            tokens = sum(each.plan.sequence_tokens + TYPICAL_ANSWER for each in [page, *last] if each.plan)
            if follows and wanted and tokens < self.scheduler.limit:
                last.append(page)
            else:
                passes.append([page])
        return passes

    def _prompt(self, pages: list[Prepared], visions: list[Tensor]) -> Tensor:
        """Embeddings of the whole prompt: its opening, mostly the start token alone, vision sequences, text."""
        start, question = self._embed("", self._opening), self._question(pages[0])
        return torch.cat((start, *(vision.to(start.dtype) for vision in visions),
                          self._embed(pages[0].request.task, question)))  # fmt: skip

    def _embed(self, name: str, tokens: list[int]) -> Tensor:
        """Embeddings of what is asked again and again, looked up once: a copy from the host waits for the device."""
        if name not in self._embedded:
            if len(self._embedded) >= MOST_QUESTIONS:
                self._embedded.clear()
            ids = torch.tensor(tokens, dtype=torch.long, device=self._decoder.device)
            self._embedded[name] = self._decoder.embed(ids)
        return self._embedded[name]

    def _question(self, page: Prepared) -> list[int]:
        """Token ids of what stands behind the image."""
        return self._tokenizer.encode(self._card.prompt(page.request.task) + self._card.after_prompt)

    def _job(self, pages: list[Prepared], prompt: Tensor) -> Job:
        request, generation = pages[0].request, self._card.generation
        window = (request.task == PAGES and generation.pages_window) or generation.window
        rule = settle(request.decoding, generation.ngram, window)
        wanted = (request.decoding.max_tokens or generation.max_tokens) * len(pages)
        most = min(wanted, self.scheduler.limit - len(prompt))
        return Job(request.key, prompt, rule, most, request.decoding.ignore_end)

    def _objection(self, page: Prepared) -> str:
        """Why the page cannot be asked for: an unknown task, or too long for the context; empty if it can."""
        if page.plan is None:
            return "the page has no views"
        try:
            question = self._question(page)
        except OcrpressError as error:
            return str(error)
        if page.request.task == PAGES and page.plan.mode != PAGES_MODE:
            return f"the task {PAGES} reads in mode {PAGES_MODE}, not in {page.plan.mode}: take --mode {PAGES_MODE}"
        tokens = len(self._opening) + page.plan.sequence_tokens + len(question)
        most = self.scheduler.limit
        if tokens < most:
            return ""
        return f"the page takes {tokens:,} tokens in mode {page.plan.mode}, the model's context holds {most:,}"

    def _parts(self, answer: Answer) -> list[str]:
        """What an answer says of each page of its pass."""
        return self._tokenizer.decode(answer.tokens).removeprefix(PAGE_MARK).split(PAGE_MARK)

    def _completions(self, page: _Page, answer: Answer) -> list[Completion]:
        """What was read, page by page; the time of a pass is shared."""
        count = len(page.prepared)
        parts = self._parts(answer) if count > 1 else [self._tokenizer.decode(answer.tokens).removeprefix(PAGE_MARK)]
        return [
            Completion(
                each.request.key, part, "markup", stop=answer.stop, error=answer.error, plan=each.plan,
                output_tokens=len(answer.tokens) // count,
                seconds={"views": each.seconds, "encode": page.encode.seconds,
                         "prefill": answer.prefill_seconds / count, "decode": answer.decode_seconds / count},
            )
            for each, part in zip(page.prepared, parts, strict=True)
        ]  # fmt: skip


def _refusal(page: Prepared, error: str) -> Completion:
    return Completion(page.request.key, stop="error", error=error, plan=page.plan, seconds={"views": page.seconds})

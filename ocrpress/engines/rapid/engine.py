"""The embedded engine: PP-OCRv6 and a layout model on the CPU, offline. Not a VLM: it reads pixels, not vision tokens.

With a mode it sees exactly the pixels that the mode would give the VLM, enlarged back to the page's own shape where
the mode had squeezed it; `native` reads the page as it is. Pages are read side by side, lines too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from PIL import Image

from ocrpress.document import Completion, Region, Request
from ocrpress.engines.base import Capabilities
from ocrpress.engines.rapid.areas import find_areas
from ocrpress.engines.rapid.detect import LineBox, find_lines
from ocrpress.engines.rapid.models import Networks
from ocrpress.engines.rapid.recognise import Reading, cut_line, read_line
from ocrpress.engines.rapid.rotation import find_rotation
from ocrpress.engines.rapid.seen import seen_pixels
from ocrpress.engines.side_by_side import SideBySide
from ocrpress.modes import MODES, NATIVE, Plan, plan
from ocrpress.views import turn

CONFIDENCE_ABOVE = 0.5  # lines read with less are noise, not text


class RapidEngine:
    """PP-OCRv6 (small) with CDLA layout areas, on OpenVINO.

    Args:
        threads: processor cores to use; None takes all that this process may use.
        precision: "auto" (bfloat16 where the processor has it) or "f32".
    """

    name = "rapid"

    def __init__(self, threads: int | None = None, precision: str = "auto") -> None:
        self.threads = threads or available_cores()
        self.capabilities = Capabilities(modes=(NATIVE.name, *MODES), in_flight=self.threads + 1)
        self._networks = Networks(self.threads, precision)
        self._pages = ThreadPoolExecutor(self.capabilities.in_flight, "page")
        self._lines = ThreadPoolExecutor(self.threads, "line")

    def read(self, requests: Iterable[Request]) -> Iterator[Completion]:
        """Answer every request, `capabilities.in_flight` at a time, as they finish."""
        self._networks.load()
        with SideBySide(requests, self._start, self.capabilities.in_flight) as pages:
            for future in pages:
                yield future.result()

    def close(self) -> None:
        """Stop the threads; pages in flight are finished first."""
        self._pages.shutdown(cancel_futures=True)
        self._lines.shutdown(cancel_futures=True)

    def _start(self, request: Request) -> Future[Completion]:
        return self._pages.submit(self._answer, request)

    def _answer(self, request: Request) -> Completion:
        try:
            return self._read_page(request)
        except Exception as error:  # one page must not end the document, whatever the runtime raises
            return Completion(request.key, stop="error", error=f"{type(error).__name__}: {error}")

    def _read_page(self, request: Request) -> Completion:
        clock = Clock()
        page = request.page.image
        costs = plan(page.width, page.height, request.mode, request.max_tiles)
        image = seen_pixels(page, costs)
        clock.lap("views")
        boxes = find_lines(image, self._networks.detect)
        rotation = find_rotation(image, boxes, self._read_boxes)
        if rotation:
            page, image = turn(page, rotation), turn(image, rotation)
            boxes = find_lines(image, self._networks.detect)
        clock.lap("detect")
        lines = self._read_boxes(image, boxes)
        clock.lap("recognise")
        areas = find_areas(image, self._networks.areas) if boxes else []
        clock.lap("areas")
        scale = (page.width / image.width, page.height / image.height)
        regions = [
            *(_line_region(box, line) for box, line in zip(boxes, lines, strict=True) if _is_text(line)), *areas,
        ]  # fmt: skip
        return _completion(request, costs, rotation, [_scaled(region, *scale) for region in regions], clock)

    def _read_boxes(self, image: Image.Image, boxes: list[LineBox]) -> list[Reading]:
        networks = self._networks
        jobs = [self._lines.submit(_read_box, image, box, networks) for box in boxes]
        return [job.result() for job in jobs]


def available_cores() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Book the time since the last lap on a stage."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _read_box(image: Image.Image, box: LineBox, networks: Networks) -> Reading:
    return read_line(cut_line(image, box), networks.recognise, networks.alphabet)


def _is_text(line: Reading) -> bool:
    return line.confidence >= CONFIDENCE_ABOVE and bool(line.text.strip())


def _line_region(box: LineBox, line: Reading) -> Region:
    left, top, right, bottom = box.bounds
    return Region("line", (left, top, right, bottom), line.text, line.confidence, box.degrees, box.thickness)


def _scaled(region: Region, x_scale: float, y_scale: float) -> Region:
    left, top, right, bottom = region.box
    box = (left * x_scale, top * y_scale, right * x_scale, bottom * y_scale)
    return replace(region, box=box, height=region.height * y_scale)


def _completion(request: Request, costs: Plan, rotation: int, regions: list[Region], clock: Clock) -> Completion:
    text = "\n".join(region.text for region in regions if region.kind == "line")
    warnings = (f"page turned by {rotation}° to stand upright",) if rotation else ()
    return Completion(
        request.key, text, regions=tuple(regions), rotation=rotation, plan=costs, seconds=clock.seconds,
        warnings=warnings,
    )  # fmt: skip

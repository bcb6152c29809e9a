"""Seconds and memory of our vision encoder beside transformers' `get_image_features`, on the same views, in turn.

    python benchmarks/encoding.py [--modes tiny base gundam] [--pages N] [--repeats N] [--dtype bfloat16] [--device cpu]
                                  [--full-size] [--out FILE.json]

Weights are random: a small encoder, or with --full-size DeepSeek-OCR's (the decoder cut to one layer, since neither
side runs it). Both start from the same bytes on the host, cross to the device, normalise, and end with one vision
sequence a page. Memory is the peak over what was held before, in a call of its own: of the device on CUDA, resident
memory (sampled every 2 ms) on the CPU. Prints a table, then a JSON line.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np
import psutil
import torch
from PIL import Image
from torch import Tensor

from ocrpress.engines.deepseek.architecture import PUBLISHED, ClipConfig, SamConfig
from ocrpress.engines.deepseek.config import transformers_config
from ocrpress.engines.deepseek.vision import Encoder, PixelViews, pixel_views
from ocrpress.measure.machine import describe_machine
from ocrpress.measure.random_weights import random_model
from ocrpress.modes import MODES, plan
from ocrpress.views import make_views

PAGE = (1240, 1754)  # A4 at 150 dpi: 2 × 3 tiles
SMALL_SAM = SamConfig(layers=4, width=192, heads=3, mlp=768, global_layers=(1, 3), channels=(512, 1024))
SMALL_CLIP = ClipConfig(layers=4, width=1024, heads=16, mlp=1024)
Encode = Callable[[list[PixelViews]], list[Tensor]]


class Peak(AbstractContextManager["Peak"]):
    """Peak bytes held while it is open, over those held when it was opened."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes = device, 0
        self._process, self._done = psutil.Process(), threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Self:
        """Start to watch."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
            if trim:  # else what was freed before still counts as held, and hides what is taken now
                trim(0)
            self._before = self._process.memory_info().rss
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            self._done.set()
            self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.002):
            self.bytes = max(self.bytes, self._process.memory_info().rss - self._before)


@dataclass(frozen=True)
class Settings:
    """What is measured, and on what."""

    modes: tuple[str, ...]
    pages: int
    repeats: int
    device: torch.device
    dtype: torch.dtype
    full_size: bool


def make_model(settings: Settings) -> Any:
    """An UnlimitedOcrModel of random weights with a decoder of one small layer."""
    decoder = replace(PUBLISHED.decoder, layers=1, vocabulary=1024)
    sam, clip = (PUBLISHED.sam, PUBLISHED.encoder) if settings.full_size else (SMALL_SAM, SMALL_CLIP)
    config = transformers_config(replace(PUBLISHED, sam=sam, encoder=clip, decoder=decoder))
    return random_model(settings.device, settings.dtype, config).model


def make_pages(settings: Settings, mode: str) -> list[PixelViews]:
    """Pages of noise; what they show changes no time."""
    pin = settings.device.type == "cuda"
    pages = []
    for seed in range(settings.pages):
        pixels = np.random.default_rng(seed).integers(0, 256, (PAGE[1], PAGE[0], 3), np.uint8)
        pages.append(pixel_views(make_views(Image.fromarray(pixels), plan(*PAGE, mode)), pin))
    return pages


def transformers_encode(model: Any) -> Encode:
    """The same work by transformers' own forward, pages batched as it allows: all of one mode in one call."""
    device, dtype = model.image_newline.device, model.image_newline.dtype

    def pixels(views: Tensor) -> Tensor:
        floats = views.to(device, non_blocking=True).permute(0, 3, 1, 2).float()
        return floats.div(255).sub(0.5).div(0.5).to(dtype).contiguous()

    @torch.no_grad()
    def encode(pages: list[PixelViews]) -> list[Tensor]:
        tiles = [page.tiles for page in pages if page.tiles is not None]
        local = {"pixel_values_local": pixels(torch.cat(tiles)), "num_local_patches": [len(each) for each in tiles],
                 "patches_grid": [list(page.plan.grid) for page in pages]} if tiles else {}  # fmt: skip
        overviews = pixels(torch.stack([page.overview for page in pages]))
        return list(model.get_image_features(overviews, **local).pooler_output)

    return encode


def timed(encode: Encode, pages: list[PixelViews], device: torch.device) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    encode(pages)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def measure(settings: Settings, mode: str, sides: dict[str, Encode]) -> dict[str, Any]:
    """Both sides in turn over one mode's pages, after two calls of each: one to warm up, one for the memory."""
    pages = make_pages(settings, mode)
    made = {name: torch.cat(encode(pages)).float() for name, encode in sides.items()}
    ours, theirs = made["ocrpress"], made["transformers"]
    peaks = {}
    for name, encode in sides.items():
        with Peak(settings.device) as peak:
            encode(pages)
        peaks[name] = peak.bytes
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(settings.repeats):
        for name, encode in sides.items():
            seconds[name].append(timed(encode, pages, settings.device))
    ratios = [b / a for a, b in zip(seconds["ocrpress"], seconds["transformers"], strict=True)]
    return {
        "mode": mode, "seconds": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
        "pages_per_second": {name: round(len(pages) / median(values), 3) for name, values in seconds.items()},
        "peak_bytes": peaks, "memory_ratio": round(peaks["transformers"] / max(1, peaks["ocrpress"]), 2),
        "ratio": round(median(ratios), 2), "ratio_spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "relative_difference": float((ours - theirs).norm() / theirs.norm()),
    }  # fmt: skip


def parse() -> tuple[Settings, Path | None]:
    """The command line."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description="our vision encoder beside transformers'")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), default=["tiny", "small", "base", "gundam"])
    parser.add_argument("--pages", type=int, default=16 if cuda else 1)
    parser.add_argument("--repeats", type=int, default=5 if cuda else 3)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda" if cuda else "cpu"))
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--full-size", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    dtype: torch.dtype = getattr(torch, args.dtype)
    return Settings(tuple(args.modes), args.pages, args.repeats, args.device, dtype, args.full_size), args.out


def main() -> None:
    """Parse, measure, print."""
    settings, out = parse()
    model = make_model(settings)
    sides: dict[str, Encode] = {"ocrpress": Encoder(model).encode, "transformers": transformers_encode(model)}
    cuda = settings.device.type == "cuda"
    print(f"{'':<10}{'pages/s':>10}{'transformers':>14}{'ratio':>8}{'spread':>14}{'MiB':>8}{'transformers':>14}")
    results = []
    for mode in settings.modes:
        found = measure(settings, mode, sides)
        results.append(found)
        rates, peaks, (low, high) = found["pages_per_second"], found["peak_bytes"], found["ratio_spread"]
        print(f"{mode:<10}{rates['ocrpress']:>10}{rates['transformers']:>14}{found['ratio']:>8}{f'{low}-{high}':>14}"
              f"{peaks['ocrpress'] / 2**20:>8.0f}{peaks['transformers'] / 2**20:>14.0f}", flush=True)  # fmt: skip
    result = {
        "benchmark": "encoding", "full_size": settings.full_size, "pages": settings.pages, "repeats": settings.repeats,
        "device": torch.cuda.get_device_name(settings.device) if cuda else "cpu", "threads": torch.get_num_threads(),
        "dtype": str(settings.dtype).removeprefix("torch."), "page": list(PAGE), "modes": results, **describe_machine(),
    }  # fmt: skip
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

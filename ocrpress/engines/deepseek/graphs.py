"""Steps captured in CUDA graphs, one a variant, and replayed; on other devices a step simply runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch

FIRST = -1  # priority of a stream that goes before others


class Graphs:
    """Runs steps. A step must read and write the same tensors every time, and ask the host nothing.

    The first run of a variant is the warm-up that capturing wants (kernels are chosen, workspaces taken), the second
    captures, all later ones replay. Capturing does not execute, so every call of `run` is exactly one step.

    Args:
        device: where the steps run.
        capture: False runs every step kernel by kernel.
    """

    def __init__(self, device: torch.device, capture: bool = True) -> None:
        # Steps go before what other streams do meanwhile: a graph keeps the priority that it was captured with.
        self._stream = torch.cuda.Stream(device, priority=FIRST) if device.type == "cuda" and capture else None
        self.clear()

    def clear(self) -> None:
        """Forget all graphs, as when the tensors that they use are about to be replaced."""
        self._warm: set[Hashable] = set()
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None

    def run(self, variant: Hashable, step: Callable[[], None]) -> None:
        """Do the step once."""
        if self._stream is None:
            step()
        elif variant in self._graphs:
            self._graphs[variant].replay()
        elif variant in self._warm:
            self._graphs[variant] = self._capture(step)
            self._graphs[variant].replay()
        else:
            self._warm.add(variant)
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
            with torch.cuda.stream(self._stream):
                step()
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)

    def _capture(self, step: Callable[[], None]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            step()
        self._pool = self._pool or graph.pool()
        return graph

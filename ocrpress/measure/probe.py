"""The two rates of a device, measured on the spot: how fast its memory gives bytes, how fast it multiplies matrices."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from ocrpress.measure.roofline import Rates

COPIED = {"cuda": 2**31, "cpu": 2**28}  # bytes of the largest buffer: far more than any cache holds
SIDE = {"cuda": 8192, "cpu": 1024}  # of the matrices
TRIES = 3
CALLS = {"cuda": 10, "cpu": 2}


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """The best of a few tries: a large copy (bytes read and written) or a large sum (bytes read), whichever is faster;
    and a product of two square matrices of random numbers in this type.

    Takes about a second, and 4 GiB of a GPU's memory or half a GiB of the machine's.
    """
    return Rates(max(copy_rate(device), read_rate(device)), matmul_rate(device, dtype))


def copy_rate(device: torch.device) -> float:
    """Bytes read and written per second by a copy."""
    source = torch.ones(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _seconds(lambda: target.copy_(source), device)


def read_rate(device: torch.device) -> float:
    """Bytes read per second by a sum."""
    source = torch.ones(COPIED[device.type] // 4, dtype=torch.float32, device=device)
    return source.nbytes / _seconds(source.sum, device)


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of a matrix product."""
    side = SIDE[device.type]
    # Random numbers: a GPU multiplies zeros at a clock that it cannot hold for anything else.
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = torch.empty_like(left)
    return 2 * side**3 / _seconds(lambda: torch.mm(left, right, out=product), device)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the best of a few tries of several calls each, after a warm-up."""
    calls, best = CALLS[device.type], float("inf")
    work()
    for _ in range(TRIES):
        _wait(device)
        started = time.perf_counter()
        for _ in range(calls):
            work()
        _wait(device)
        best = min(best, (time.perf_counter() - started) / calls)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""What a load test found: figures for JSON, a table for people, and the targets that were missed. No traffic here."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass
class Found:
    """What came of it. `latencies` are seconds, of pages that were read after the warm-up."""

    latencies: list[float] = field(default_factory=list)
    told_to_wait: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    scrapes: list[tuple[float, dict[str, float]]] = field(default_factory=list)


def figures(text: str) -> dict[str, float]:
    """The figures without labels of a page of metrics."""
    return {name: float(value) for name, value in re.findall(r"^(ocrpress_\w+) (\S+)$", text, re.MULTILINE)}


def quantile(ranked: Sequence[float], share: float) -> float:
    """The least of rising values that such a share of them does not pass; 0 of none.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5), quantile([1.0, 2.0, 3.0, 4.0], 0.99)
    (2.0, 4.0)
    """
    return ranked[max(0, -int(-share * len(ranked) // 1) - 1)] if ranked else 0.0


def summary(found: Found, clients: int, warmup: float, seconds: float) -> dict[str, Any]:
    """All figures, ready for JSON; seconds and bytes."""
    ranked, shares = sorted(found.latencies), {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    latency = {name: round(quantile(ranked, share), 4) for name, share in shares.items()}
    return {
        "clients": clients, "seconds": seconds, "warmup": warmup, "pages": len(ranked),
        "pages_per_second": round(len(ranked) / seconds, 2), "latency": latency,
        "p99_to_p50": round(latency["p99"] / latency["p50"], 3) if latency["p50"] else None,
        "told_to_wait": found.told_to_wait, "errors": {name: count for name, count in found.errors.items() if count},
        "memory": memory_of(found.scrapes), "cpu_ms_a_page": cpu_of(found.scrapes, len(ranked) / seconds),
    }  # fmt: skip


def memory_of(scrapes: Sequence[tuple[float, Mapping[str, float]]]) -> dict[str, Any]:
    """Bytes of the serving process and those below it, and how they grew from the first to the last quarter."""
    names = [f"ocrpress_{who}_resident_memory_bytes" for who in ("process", "workers")]
    sizes = [(at, int(sum(said.get(name, 0.0) for name in names))) for at, said in scrapes]
    told, quarter = [size for _, size in sizes if size], max(1, len(sizes) // 4)
    growth = round(median(told[-quarter:]) / median(told[:quarter]), 4) if told else None
    return {"growth": growth, "most": max(told, default=None), "over_time": [[round(at, 1), b] for at, b in sizes]}


def cpu_of(scrapes: Sequence[tuple[float, Mapping[str, float]]], rate: float) -> dict[str, float]:
    """Milliseconds of processor a page: of the serving process, and of those below it."""
    if len(scrapes) < 2 or not rate:
        return {}
    (since, first), (until, last) = scrapes[0], scrapes[-1]
    names = {who: f"ocrpress_{who}_cpu_seconds_total" for who in ("process", "workers")}
    there = {who: last[name] - first[name] for who, name in names.items() if name in first and name in last}
    return {who: round(1000 * seconds / (until - since) / rate, 3) for who, seconds in there.items()}


def missed(result: Mapping[str, Any], args: argparse.Namespace) -> list[str]:
    """The targets that were missed, each in a line."""
    rate, ratio, growth = result["pages_per_second"], result["p99_to_p50"], result["memory"]["growth"]
    errors, told = sum(result["errors"].values()), []
    if errors > args.most_errors:
        told.append(f"{errors} errors, at most {args.most_errors} were allowed")
    if not result["pages"]:
        told.append("no page was read")
    if args.least_rate is not None and rate < args.least_rate:
        told.append(f"{rate:g} pages/s, at least {args.least_rate:g} were wanted")
    if args.most_p99_ratio is not None and (ratio is None or ratio > args.most_p99_ratio):
        told.append(f"p99 is {ratio} times p50, at most {args.most_p99_ratio:g} was wanted")
    if args.most_growth is not None and (growth is None or growth > args.most_growth):
        told.append(f"memory came to {growth} times what it was, at most {args.most_growth:g} was wanted")
    return told


def table(result: Mapping[str, Any]) -> str:
    """For people."""
    memory = result["memory"]
    rows = {
        "clients": f"{result['clients']}, for {result['seconds']:g} s after {result['warmup']:g} s of warm-up",
        "pages": f"{result['pages']}, {result['pages_per_second']:g}/s",
        "latency": ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in result["latency"].items()),
        "p99 to p50": str(result["p99_to_p50"]),
        "told to wait": f"{result['told_to_wait']} times (429)",
        "errors": ", ".join(f"{count} × {name}" for name, count in result["errors"].items()) or "none",
        "memory": f"at most {memory['most'] / 2**20:.0f} MiB, growth {memory['growth']}" if memory["most"] else "?",
        "CPU a page": ", ".join(f"{who} {ms:.2f} ms" for who, ms in result["cpu_ms_a_page"].items()),
    }
    return "\n".join(f"{name:<14}{told}" for name, told in rows.items())

"""Figures in words for people: numbers, durations, rates, moments. Knows nothing of batches."""

from __future__ import annotations

from datetime import datetime

NONE = "–"
SECONDS_A_DAY = 86_400
_HOUR, _MINUTE = 3600, 60


def number(value: float | None) -> str:
    """Three figures, never in exponents.

    >>> number(0.0123), number(1.234), number(3201.4)
    ('0.012', '1.23', '3,201')
    """
    if value is None:
        return NONE
    places = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{places}f}"


def short(value: float) -> str:
    """A large number in few letters.

    >>> short(86_400), short(432_100), short(1_045_000)
    ('86,400', '432 k', '1.0 M')
    """
    if value < 99_999.5:
        return f"{value:,.0f}"
    if value < 999_500:
        return f"{value / 1e3:.0f} k"
    return f"{value / 1e6:,.1f} M"


def rate(a_second: float) -> str:
    """Pages a second and a day.

    >>> rate(12.1)
    '12.1 pages/s (1.0 M pages/day)'
    """
    return f"{number(a_second)} pages/s ({short(a_second * SECONDS_A_DAY)} pages/day)"


def duration(seconds: float) -> str:
    """A span of time in its two largest units.

    >>> duration(42.4), duration(725), duration(4_230), duration(280_800)
    ('42 s', '12 min', '1 h 10 min', '3 d 6 h')
    """
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < 2 * SECONDS_A_DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // SECONDS_A_DAY:,} d {whole % SECONDS_A_DAY // _HOUR} h"


def moment(seconds: float) -> str:
    """A time since 1970 as the clocks here show it, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")

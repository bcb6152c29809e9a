"""How far a batch is, on stderr: a live line on a terminal, plain lines elsewhere, and no guess without grounds."""

from __future__ import annotations

import io
import os
import pty
import re
from itertools import pairwise

import pytest

from ocrpress.cli.batch_progress import Progress, Speed, Standing, describe
from ocrpress.jobs.report.words import duration, number, rate, short


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def live(self) -> list[str]:
        """What the live line was, one state after the other."""
        return [line.strip() for line in self.getvalue().split("\r") if line.strip()]


def watch(stream, clock, quiet: bool = False) -> Progress:
    return Progress(quiet, stream, clock, lambda: "12:01:05")


def run(progress: Progress, clock: Clock, seconds: float, step: float = 0.1, more: bool = False) -> None:
    """A batch of 4,000 documents with 10 pages each, at 12 pages a second."""
    start = clock.now
    while clock.now - start < seconds:
        clock.now += step
        pages = int(12 * (clock.now - 1000))
        progress.update(pages // 10, 4000, more, pages, pages + 20, 3)


def test_plain_lines_say_it_all():
    clock, stream = Clock(), io.StringIO()
    progress = watch(stream, clock)
    run(progress, clock, 100, step=0.5)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[1] == (
        "12:01:05 documents 72 of 4,000, pages 720, 12.0 pages/s (1.0 M pages/day), 3 failed, about 54 min left"
    )


def test_plain_lines_become_rarer():
    clock, stream = Clock(), io.StringIO()
    progress, seen = watch(stream, clock), []
    for _ in range(20):
        before = stream.getvalue().count("\n")
        while stream.getvalue().count("\n") == before:
            run(progress, clock, 5, step=5)
        seen.append(clock.now - 1000)
    pauses = [later - earlier for earlier, later in pairwise(seen)]
    assert seen[0] == 30
    assert pauses[:3] == [30, 30, 30]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 300


def test_a_short_batch_prints_no_plain_line():
    clock, stream = Clock(), io.StringIO()
    progress = watch(stream, clock)
    run(progress, clock, 20)
    progress.finish("")
    assert stream.getvalue() == ""


def test_a_live_line_is_drawn_at_once_and_then_twice_a_second(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    clock, stream = Clock(), Terminal()
    progress = watch(stream, clock)
    progress.update(0, 0, True, 0, 0, 0)
    assert "0/0+ documents, 0 pages" in stream.live[-1]
    run(progress, clock, 10)
    assert 15 <= len(stream.live) <= 25
    words = r"0%\| +\| 12/4,000 documents, 12\d pages, 12.0/s, 1.0 M/day, 3 failed, about 5[0-9] min left"
    assert re.fullmatch(words, stream.live[-1])


def test_a_terminal_that_does_not_know_its_size_has_a_live_line_too(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()  # 0 lines of 0 columns
    with os.fdopen(theirs, "w") as stream:
        clock = Clock()
        with watch(stream, clock) as progress:
            run(progress, clock, 1)
    with os.fdopen(ours, "rb", buffering=0) as end:
        assert b"documents" in end.read(10_000)


def test_the_live_line_fits_the_terminal(monkeypatch):
    for columns in (20, 60, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        clock, stream = Clock(), Terminal()
        progress = watch(stream, clock)
        run(progress, clock, 5)
        run(progress, clock, 5, more=True)
        assert max(map(len, stream.live)) < columns
        assert any("|" in line for line in stream.live) == (columns == 200)
        assert "\n" not in stream.getvalue()


def test_the_live_line_is_wiped_off_however_the_batch_ends(capsys):
    for fault in (None, RuntimeError, KeyboardInterrupt):
        clock, stream = Clock(), Terminal()
        try:
            with watch(stream, clock) as progress:
                run(progress, clock, 3)
                if fault:
                    raise fault
                progress.finish("all done")
        except (RuntimeError, KeyboardInterrupt):
            pass
        last = stream.getvalue().rpartition(" documents")[2]
        assert re.search(r"\r +\r$", last)
    assert capsys.readouterr().err == "ocrpress: all done\n"


def test_a_message_comes_above_the_live_line(capsys):
    clock, stream = Clock(), Terminal()
    progress = watch(stream, clock)
    run(progress, clock, 2)
    before = len(stream.live)
    progress.say("x.pdf is encrypted")
    assert capsys.readouterr().err == "ocrpress: x.pdf is encrypted\n"
    assert len(stream.live) == before + 1
    progress.finish("")


@pytest.mark.parametrize("make", [io.StringIO, Terminal])
def test_quiet_is_quiet_but_for_messages(make, capsys):
    clock, stream = Clock(), make()
    progress = watch(stream, clock, quiet=True)
    run(progress, clock, 400)
    progress.finish("all done")
    assert stream.getvalue() == ""
    progress.say("x.pdf is encrypted")
    assert capsys.readouterr().err == "ocrpress: x.pdf is encrypted\n"


def test_a_stderr_that_fails_is_nobodys_error(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    clock = Clock()
    progress = watch(Full(), clock)
    run(progress, clock, 100)
    closed = io.StringIO()
    closed.close()
    progress = watch(closed, clock)
    run(progress, clock, 100)
    monkeypatch.setattr("sys.stderr", None)
    with Progress() as progress:
        progress.update(1, 1, False, 1, 1, 0)
        progress.finish("all done")


def left(*looks: tuple[float, Standing]) -> str:
    speed = Speed()
    for now, standing in looks:
        speed.look(now, standing)
    now, standing = looks[-1]
    text = describe(standing, speed, now)
    return text.rpartition(", ")[2] if text.endswith("left") else ""


START = (0.0, Standing(0, 10, False, 0, 0, 0))


def test_time_left_goes_by_documents_once_some_are_done():
    assert left(START, (50.0, Standing(5, 10, False, 50, 60, 0))) == "about 50 s left"


def test_time_left_goes_by_pages_while_the_first_long_documents_are_read():
    start = (0.0, Standing(0, 1, False, 0, 500, 0))
    assert left(start, (50.0, Standing(0, 1, False, 100, 500, 0))) == "about 3 min left"


def test_time_left_is_a_lower_bound_while_not_every_document_is_known():
    assert left(START, (50.0, Standing(0, 10, False, 50, 500, 0))) == "over 7 min left"
    assert left(START, (50.0, Standing(2, 100, True, 50, 60, 0))) == "over 40 min left"


def test_a_lower_bound_of_nothing_much_is_not_told():
    assert left(START, (50.0, Standing(5, 6, True, 50, 55, 0))) == ""


def test_nothing_is_guessed_before_the_first_page():
    assert left(START) == ""
    assert left(START, (500.0, Standing(0, 10, False, 0, 100, 0))) == ""


def test_documents_that_were_done_before_say_nothing_of_the_speed():
    start = (0.0, Standing(0, 1000, False, 0, 0, 0))
    later = (10.0, Standing(901, 1000, False, 10, 20, 0, skipped=900))
    assert left(start, later) == "about 16 min left"


def test_the_rate_is_that_of_the_last_minute():
    speed = Speed()
    for second in range(300):
        speed.look(second, Standing(pages_done=max(0, second - 200) * 7))
    assert speed.pages(299, Standing(pages_done=99 * 7)) == pytest.approx(7)
    speed.look(2000, Standing(pages_done=99 * 7))
    assert speed.pages(2000, Standing(pages_done=99 * 7)) == 0


def test_what_lies_long_back_is_forgotten():
    speed = Speed()
    for second in range(0, 100_000, 2):
        speed.look(second, Standing(pages_done=second, documents_done=second))
    assert len(speed._looks) <= 302


def test_figures_are_said_in_words():
    assert [duration(seconds) for seconds in (0, 119, 120, 3599, 3600, 172_800)] == [
        "0 s", "119 s", "2 min", "59 min", "1 h 0 min", "2 d 0 h",
    ]  # fmt: skip
    assert [short(value) for value in (0, 99_999, 100_000, 999_499, 999_500, 1.5e9)] == [
        "0", "99,999", "100 k", "999 k", "1.0 M", "1,500.0 M",
    ]  # fmt: skip
    assert [number(value) for value in (None, 0, 0.5, 9.999, 99.99, 12_345.6)] == [
        "–", "0.000", "0.500", "10.00", "100.0", "12,346",
    ]  # fmt: skip
    assert rate(0.012) == "0.012 pages/s (1,037 pages/day)"

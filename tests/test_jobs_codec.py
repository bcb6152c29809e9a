"""A page as bytes and back: without loss, and nothing else is taken for a page."""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from dataclasses import fields, replace
from types import MappingProxyType
from typing import get_args

import numpy as np
import pytest

from ocrpress.document import Attempt, Block, BlockKind, Decoding, Fault, PageResult, Status
from ocrpress.jobs.ledger.codec import decode, encode
from ocrpress.modes import Plan, plan

FULL = PageResult(
    7, "failed",
    (
        Block("heading", "Ångström «1»\n\t\x00\u2028 😀", (0.1, 1 / 3, 1e-300, 612.0), level=2, confidence=0.1 + 0.2),
        Block("table", "", (1, 2, 3, 4), rows=(("a", "b"), ("", "d|\\")), markup=True),
        Block("figure", "", (-0.5, 0.0, 5e-324, sys.float_info.max), image="figures/p\udce97.png"),
        Block("paragraph", "goes on", (0.0, 0.0, 0.0, 0.0), continues=True),
    ),
    612.1, 792, 270, "deepseek", "gundam", plan(2000, 3000, "gundam"),
    (
        Attempt("deepseek", "base", "length", 1.25, "it loops", Decoding(0.2, 16, 512, 8192, 3, True), 913, "loop"),
        Attempt("rapid", "native", "end", 0.1, output_tokens=0),
    ),
    {"render": 0.1, "läyout": 3}, ("scaled down",), "cannot open 'caf\udce9.pdf'",
)  # fmt: skip


def floats(value):
    """All floats in a page, bit by bit."""
    if isinstance(value, float):
        return [struct.pack(">d", value)]
    if hasattr(value, "__dataclass_fields__"):
        return [bits for item in fields(value) for bits in floats(getattr(value, item.name))]
    if isinstance(value, dict):
        return [bits for item in value.values() for bits in floats(item)]
    return [bits for item in value for bits in floats(item)] if isinstance(value, tuple) else []


def any_page(chance: random.Random) -> PageResult:
    def text(most: int) -> str:
        points = (chance.choice([chance.randrange(32, 127), chance.randrange(0x110000)]) for _ in range(most))
        return "".join(map(chr, points))[: chance.randrange(most)]

    def number() -> float:
        return chance.choice([0.0, chance.random(), chance.uniform(-2000, 2000), chance.lognormvariate(0, 200)])

    def block() -> Block:
        width, height = chance.randrange(3), chance.randrange(3)
        return Block(
            chance.choice(get_args(BlockKind)), text(40), (number(), number(), number(), number()), chance.randrange(7),
            tuple(tuple(text(5) for _ in range(width)) for _ in range(height)), text(5), chance.random() < 0.2,
            chance.random(), chance.random() < 0.5,
        )  # fmt: skip

    def decoding() -> Decoding:
        figures = [chance.choice([None, chance.randrange(9000)]) for _ in range(3)]
        return Decoding(number(), *figures, chance.getrandbits(60), chance.random() < 0.5)

    def attempt() -> Attempt:
        return Attempt(
            text(9), text(9), text(9), number(), text(9), chance.choice([None, decoding()]),
            chance.choice([None, chance.randrange(9000)]), chance.choice([None, *get_args(Fault)]),
        )  # fmt: skip

    def some(make):
        return tuple(make() for _ in range(chance.choice([0, 1, chance.randrange(8)])))

    return PageResult(
        chance.randrange(1, 10**6), chance.choice(get_args(Status)), some(block), number(), number(),
        chance.choice([0, 90, 180, 270]), text(9), text(9),
        chance.choice([None, Plan(text(9), 1, 2, (3, 4), 5, 6, chance.getrandbits(40))]), some(attempt),
        {text(9): number() for _ in range(chance.randrange(4))}, some(lambda: text(20)), text(40),
    )  # fmt: skip


def test_a_page_comes_back_as_it_was():
    assert decode(encode(FULL)) == FULL
    assert decode(encode(PageResult(1, "blank"))) == PageResult(1, "blank")


def test_any_page_comes_back_as_it_was_with_every_bit_of_its_floats():
    chance = random.Random(20)
    for _ in range(300):
        page = any_page(chance)
        found = decode(encode(page))
        assert found == page
        assert floats(found) == floats(page)


@pytest.mark.parametrize("kind", [PageResult, Block, Attempt, Decoding, Plan])
def test_no_field_of_a_page_is_forgotten(kind):
    """A field that is added to a class and not to the codec fails here."""

    def find(value):
        if isinstance(value, kind):
            yield value
        if hasattr(value, "__dataclass_fields__"):
            value = tuple(getattr(value, item.name) for item in fields(value))
        if isinstance(value, tuple):
            for item in value:
                yield from find(item)

    for name in (item.name for item in fields(kind)):
        told = [getattr(thing, name) for thing in find(FULL)]
        assert any(value != next((f.default for f in fields(kind) if f.name == name), None) for value in told), name
        assert [getattr(thing, name) for thing in find(decode(encode(FULL)))] == told


def test_seconds_may_be_any_mapping():
    page = replace(FULL, seconds=MappingProxyType({"render": 0.25}))
    assert decode(encode(page)) == page


def test_the_bytes_are_small_json_in_utf_8():
    page = replace(FULL, blocks=FULL.blocks[:2], error="é")
    found = json.loads(encode(page).decode("utf-8"))
    assert found["error"] == "é"
    assert "warnings" in found
    assert b'"error":"\xc3\xa9"' in encode(page)
    assert encode(PageResult(1, "blank")) == b'{"number":1,"status":"blank"}'


def test_numbers_of_numpy_are_numbers():
    page = PageResult(
        np.int64(3), "ok", (Block("paragraph", "x", tuple(np.float32([0.1, 2, 3, 4])), confidence=np.float64(0.3)),),
        np.float32(612.1), seconds={"render": np.float32(0.1)},
    )  # fmt: skip
    assert decode(encode(page)) == page


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_what_is_not_finite_becomes_0(odd):
    page = PageResult(
        1, "ok", (Block("paragraph", "x", (odd, 2.0, 3.0, 4.0), confidence=odd),), odd, 2.0,
        attempts=(Attempt("rapid", "native", "end", odd),), seconds={"render": odd, "layout": 0.5},
    )  # fmt: skip
    assert decode(encode(page)) == PageResult(
        1, "ok", (Block("paragraph", "x", (0.0, 2.0, 3.0, 4.0), confidence=0.0),), 0.0, 2.0,
        attempts=(Attempt("rapid", "native", "end", 0.0),), seconds={"render": 0.0, "layout": 0.5},
    )  # fmt: skip


def changed(**columns):
    """A page of one block, something of which is not as it should be."""
    found = json.loads(encode(PageResult(1, "ok", (Block("paragraph", "x", (1, 2, 3, 4)),))))
    found["blocks"] |= columns
    return json.dumps(found).encode()


NO_PAGES = [
    b"", b"x", b"\xff\xfe", b"null", b"[]", b"{}", b'"page"', b"[" * 100_000, b'{"number":1}', b'{"status":"ok"}',
    b'{"number":"1","status":"ok"}', b'{"number":true,"status":"ok"}', b'{"number":1.0,"status":"ok"}',
    b'{"number":1,"status":"fine"}', b'{"number":1,"status":["ok"]}', b'{"number":1,"status":"ok","more":1}',
    b'{"number":1,"status":"ok","width":NaN}', b'{"number":1,"status":"ok","width":1e999}',
    b'{"number":1,"status":"ok","width":"9"}', b'{"number":1,"status":"ok","width":true}',
    b'{"number":1,"status":"ok","plan":null}', b'{"number":1,"status":"ok","plan":{"mode":"base"}}',
    b'{"number":1,"status":"ok","plan":{"mode":"base","width":1,"height":1,"grid":[1],"vision_tokens":1,'
    b'"valid_tokens":1,"sequence_tokens":1}}',
    b'{"number":1,"status":"ok","seconds":[1]}', b'{"number":1,"status":"ok","seconds":{"a":null}}',
    b'{"number":1,"status":"ok","warnings":"abc"}', b'{"number":1,"status":"ok","warnings":[1]}',
    b'{"number":1,"status":"ok","attempts":[{"engine":"a","mode":"b","stop":"c"}]}',
    b'{"number":1,"status":"ok","attempts":[{"engine":"a","mode":"b","stop":"c","seconds":1,"fault":"bug"}]}',
    b'{"number":1,"status":"ok","blocks":[]}', b'{"number":1,"status":"ok","blocks":{"kind":[],"text":[]}}',
    changed(kind=["poem"]), changed(kind=[["x"]]), changed(text=[]), changed(text=["a", "b"]), changed(text=[None]),
    changed(numbers=""), changed(numbers="AAAA"), changed(numbers="é"), changed(numbers=[1, 2, 3, 4, 5]),
    changed(numbers="AAAAAAAA8H8AAAAAAAAAQAAAAAAAAAhAAAAAAAAAEEAAAAAAAADwPw=="), changed(rows=[["a"]]),
    changed(rows=[[[1]]]), changed(level=["1"]), changed(level=[1, 2]), changed(continues=[1]), changed(colour=["red"]),
]  # fmt: skip


@pytest.mark.parametrize("data", NO_PAGES, ids=lambda data: repr(data[:70]))
def test_anything_else_is_a_value_error(data):
    with pytest.raises(ValueError):
        decode(data)


def test_the_page_that_the_wrong_ones_are_made_of_is_right():
    assert decode(changed()).blocks[0].box == (1, 2, 3, 4)


def test_damaged_bytes_give_a_page_or_a_value_error():
    chance = random.Random(5)
    whole = encode(FULL)
    refused = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            start = chance.randrange(len(data))
            cut = chance.choice([1, 1, chance.randrange(60)])
            data[start : start + cut] = chance.choice(
                [b"", chance.randbytes(1), chance.choice([b"]", b"}", b'"', b"9"])]
            )
        try:
            assert isinstance(decode(bytes(data)), PageResult)
        except ValueError:
            refused += 1
    assert refused > 1000

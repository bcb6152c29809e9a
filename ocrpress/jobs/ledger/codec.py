"""A PageResult as bytes and back, without loss: compact JSON, one object a page. Knows nothing of files or databases.

Fields that have their default value are left out, so that what was written before a field came still reads. Blocks are
written field by field, their boxes and confidences as doubles in base64. Floats come back bit by bit; what is not
finite becomes 0, as in the JSON that users get. The bytes are UTF-8; a text with lone surrogates (a file name that is
no UTF-8, inside an error message) has them in the three-byte form of "surrogatepass".
"""

from __future__ import annotations

import base64
import json
import math
import struct
import sys
from collections.abc import Callable
from itertools import chain
from numbers import Integral, Real
from operator import attrgetter
from typing import Any, TypeVar, get_args

from ocrpress.document import Attempt, Block, BlockKind, Box, Decoding, Fault, PageResult, Status
from ocrpress.modes import Plan

_T = TypeVar("_T")
_Check = Callable[[Any], Any]
_RARE: dict[str, Any] = {"level": 0, "rows": (), "image": "", "continues": False, "markup": False}  # of blocks
_get_fields = attrgetter("kind", "text", "box", "confidence", *_RARE)


def encode(result: PageResult) -> bytes:
    """The page as bytes; `decode` gives an equal page."""
    found = _page(result)
    try:
        text = _dumps(found)
    except ValueError:  # a number that JSON has no word for
        text = _dumps(_finite(found))
    return text.encode("utf-8", "surrogatepass")


def decode(data: bytes) -> PageResult:
    """The page that was encoded. Raises ValueError for anything that `encode` did not make."""
    try:
        found = json.loads(data.decode("utf-8", "surrogatepass"), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("not a page: nested too deeply") from error
    return _as_page(found)


# Writing. The fields stand in the order of their classes; tests/test_jobs_codec.py sees to it that none is forgotten.


def _page(page: PageResult) -> dict[str, Any]:
    found: dict[str, Any] = {"number": page.number, "status": page.status}
    if page.blocks:
        found["blocks"] = _columns(page.blocks)
    if page.width:
        found["width"] = page.width
    if page.height:
        found["height"] = page.height
    if page.rotation:
        found["rotation"] = page.rotation
    if page.engine:
        found["engine"] = page.engine
    if page.mode:
        found["mode"] = page.mode
    if page.plan is not None:
        found["plan"] = vars(page.plan)
    if page.attempts:
        found["attempts"] = [_attempt(attempt) for attempt in page.attempts]
    if page.seconds:
        found["seconds"] = dict(page.seconds)
    if page.warnings:
        found["warnings"] = page.warnings
    if page.error:
        found["error"] = page.error
    return found


def _columns(blocks: tuple[Block, ...]) -> dict[str, Any]:
    """The blocks field by field: a third of the time and half the bytes of an object a block."""
    kinds, texts, boxes, confidences, *rare = zip(*map(_get_fields, blocks), strict=True)
    numbers = [*chain.from_iterable(boxes), *confidences]
    if not math.isfinite(sum(numbers)):
        numbers = [number if math.isfinite(number) else 0.0 for number in numbers]
    packed = base64.b64encode(struct.pack(f"<{len(numbers)}d", *numbers))
    found = {"kind": kinds, "text": texts, "numbers": packed.decode()}
    for (name, default), column in zip(_RARE.items(), rare, strict=True):
        if any(column):
            found[name] = [value or default for value in column]
    return found


def _attempt(attempt: Attempt) -> dict[str, Any]:
    found = {name: value for name, value in vars(attempt).items() if value is not None}
    if not attempt.rejected:
        del found["rejected"]
    if attempt.decoding is not None:
        found["decoding"] = {name: value for name, value in vars(attempt.decoding).items() if value is not None}
    return found


def _number_of(value: object) -> int | float:
    """Numbers of other libraries (numpy's float32), which JSON does not know."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"a page holds a {type(value).__name__}")


_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_number_of).encode


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, Real) and not isinstance(value, Integral) and not math.isfinite(value):
        return 0.0
    return value


# Reading. Nothing is taken on trust: the bytes may come from a damaged disk.


def _refuse(constant: str) -> float:
    raise ValueError(f"not a page: {constant} is no finite number")


def _exact(wanted: type[_T]) -> Callable[[Any], _T]:
    def check(value: Any) -> _T:
        if type(value) is not wanted:
            raise ValueError(f"not a page: {value!r} is no {wanted.__name__}")
        return value

    return check


def _one_of(names: tuple[str, ...]) -> _Check:
    known = {name: name for name in names}

    def check(value: Any) -> str:
        if type(value) is not str or value not in known:
            raise ValueError(f"not a page: {value!r} is none of {', '.join(known)}")
        return known[value]

    return check


def _number(value: Any) -> int | float:
    if type(value) not in (int, float) or not -sys.float_info.max <= value <= sys.float_info.max:
        raise ValueError(f"not a page: {value!r} is no finite number")
    return value  # type: ignore[no-any-return]


def _tuple_of(check: _Check, length: int | None = None) -> _Check:
    def checked(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or (length is not None and len(value) != length):
            raise ValueError(f"not a page: {value!r} is no list of {'any length' if length is None else length}")
        return tuple([check(item) for item in value])

    return checked


def _seconds(value: Any) -> dict[str, int | float]:
    if type(value) is not dict:
        raise ValueError(f"not a page: {value!r} is no table of seconds")
    return {stage: _number(seconds) for stage, seconds in value.items()}


def _object(kind: type[_T], fields: dict[str, _Check]) -> Callable[[Any], _T]:
    def build(value: Any) -> _T:
        if type(value) is not dict:
            raise ValueError(f"not a page: {value!r} is no {kind.__name__}")
        try:
            return kind(**{name: fields[name](item) for name, item in value.items()})
        except KeyError as error:
            raise ValueError(f"not a page: a {kind.__name__} has no {error}") from error
        except TypeError as error:  # a field without a default is not there
            raise ValueError(f"not a page: {error}") from error

    return build


_text, _whole, _truth = _exact(str), _exact(int), _exact(bool)
_as_plan = _object(
    Plan,
    {
        "mode": _text, "width": _whole, "height": _whole, "grid": _tuple_of(_whole, 2), "vision_tokens": _whole,
        "valid_tokens": _whole, "sequence_tokens": _whole,
    },
)  # fmt: skip
_as_decoding = _object(
    Decoding,
    {
        "temperature": _number, "ngram": _whole, "window": _whole, "max_tokens": _whole, "seed": _whole,
        "ignore_end": _truth,
    },
)  # fmt: skip
_as_attempt = _object(
    Attempt,
    {
        "engine": _text, "mode": _text, "stop": _text, "seconds": _number, "rejected": _text, "decoding": _as_decoding,
        "output_tokens": _whole, "fault": _one_of(get_args(Fault)),
    },
)  # fmt: skip
_COLUMNS: dict[str, _Check] = {
    "kind": _tuple_of(_one_of(get_args(BlockKind))), "text": _tuple_of(_text), "level": _tuple_of(_whole),
    "rows": _tuple_of(_tuple_of(_tuple_of(_text))), "image": _tuple_of(_text), "continues": _tuple_of(_truth),
    "markup": _tuple_of(_truth),
}  # fmt: skip


def _as_blocks(value: Any) -> tuple[Block, ...]:
    if type(value) is not dict or not {"kind", "text", "numbers"} <= value.keys() <= {*_COLUMNS, "numbers"}:
        raise ValueError("not a page: its blocks are no table of columns")
    columns = {name: check(value[name]) for name, check in _COLUMNS.items() if name in value}
    count = len(columns["kind"])
    boxes, confidences = _unpacked(value["numbers"], count)
    for name, default in _RARE.items():
        columns.setdefault(name, (default,) * count)
    if any(len(column) != count for column in columns.values()):
        raise ValueError("not a page: the columns of its blocks are not equally long")
    return tuple(
        map(
            Block, columns["kind"], columns["text"], boxes, columns["level"], columns["rows"], columns["image"],
            columns["continues"], confidences, columns["markup"],
        )
    )  # fmt: skip


def _unpacked(packed: Any, count: int) -> tuple[list[Box], tuple[float, ...]]:
    """The boxes and confidences of `count` blocks."""
    try:
        data = base64.b64decode(_text(packed), validate=True)
        numbers = struct.unpack(f"<{5 * count}d", data)
    except struct.error as error:
        raise ValueError(f"not a page: {error}") from error
    if not all(map(math.isfinite, numbers)):
        raise ValueError("not a page: a box is not finite")
    boxes = iter(numbers[: 4 * count])
    return list(zip(boxes, boxes, boxes, boxes, strict=True)), numbers[4 * count :]


_as_page = _object(
    PageResult,
    {
        "number": _whole, "status": _one_of(get_args(Status)), "blocks": _as_blocks, "width": _number,
        "height": _number, "rotation": _whole, "engine": _text, "mode": _text, "plan": _as_plan,
        "attempts": _tuple_of(_as_attempt), "seconds": _seconds, "warnings": _tuple_of(_text), "error": _text,
    },
)  # fmt: skip

"""The mode table and plans, against what the published code computes (tests/golden/plans.json)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrpress.errors import UsageError
from ocrpress.modes import MODES, get_mode, plan

PLANS = json.loads((Path(__file__).parent / "golden" / "plans.json").read_text())


@pytest.mark.parametrize("case", PLANS, ids=lambda case: f"{case['width']}x{case['height']}")
def test_plans_equal_the_published_code(case: dict) -> None:
    for name, expected in case.items():
        if isinstance(expected, dict):
            mode, _, most = name.partition(":max")
            made = plan(case["width"], case["height"], mode, int(most or 9))
            assert (list(made.grid), made.sequence_tokens) == (expected["grid"], expected["sequence"]), name


def test_vision_tokens_are_those_of_the_published_table() -> None:
    tokens = {mode: plan(1224, 1584, mode).vision_tokens for mode in MODES}
    assert tokens == {
        "tiny": 64, "small": 100, "base": 256, "large": 400, "gundam": 856, "gundam-m": 1936, "dynamic": 1120
    }  # fmt: skip


def test_a_checkpoint_may_take_more_tiles_and_dynamic_never_takes_more_than_six() -> None:
    assert plan(2480, 3508, "gundam").tiles == plan(2480, 3508, "gundam", 9).tiles == 6
    assert plan(2480, 3508, "gundam", 32).tiles == 24
    assert plan(2480, 3508, "dynamic", 32).tiles == 6
    assert plan(700, 768, "dynamic").tiles == 0


def test_valid_tokens_leave_out_the_padding() -> None:
    assert plan(1000, 2000, "base").valid_tokens == 128
    assert plan(1000, 1000, "base").valid_tokens == 256
    assert plan(1000, 2000, "tiny").valid_tokens == 64  # stretched: no padding
    assert plan(1000, 1001, "large").valid_tokens == 400  # rounded up


def test_native_has_no_vision_tokens() -> None:
    assert plan(100, 100, "native").vision_tokens == 0


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (-1, 5)])
def test_a_page_without_pixels_has_no_plan(width: int, height: int) -> None:
    with pytest.raises(UsageError, match="1 pixel or more"):
        plan(width, height, "base")


def test_one_tile_is_no_grid() -> None:
    with pytest.raises(UsageError, match="2 or more"):
        plan(1000, 1000, "gundam", max_tiles=1)


def test_an_unknown_mode_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'gundam'"):
        get_mode("gundum")

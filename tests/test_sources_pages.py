"""Page ranges."""

from __future__ import annotations

import pytest

from ocrpress.errors import UsageError
from ocrpress.sources.pages import parse_ranges, select_pages


@pytest.mark.parametrize(
    ("text", "count", "numbers"),
    [
        ("1-3,7", 10, (1, 2, 3, 7)),
        ("5-", 7, (5, 6, 7)),
        ("-3", 7, (1, 2, 3)),
        ("4", 7, (4,)),
        (" 2 - 3 , 1 ", 7, (1, 2, 3)),
        ("7,1-3,2-4,7", 9, (1, 2, 3, 4, 7)),
        ("2,900", 3, (2,)),
        ("1-9999999999", 3, (1, 2, 3)),
        ("-", 3, None),
    ],
)
def test_ranges_give_sorted_numbers_each_once(text: str, count: int, numbers: tuple[int, ...] | None) -> None:
    if numbers is None:
        with pytest.raises(UsageError):
            parse_ranges(text)
    else:
        assert select_pages(parse_ranges(text), count) == numbers


@pytest.mark.parametrize("bad", ["", "x", "0", "3-1", "1-2-3", "1,,2", "1.5", "+1", "1_0", "٣", "0-4", "99999999999"])
def test_a_bad_part_is_named(bad: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ranges(bad)
    assert f"'{bad.split(',')[1] if ',' in bad else bad}'" in caught.value.message
    assert caught.value.advice


def test_no_page_left_is_an_error_that_says_how_many_there_are() -> None:
    with pytest.raises(UsageError, match=r"8-9,20-.*from 1 to 7"):
        select_pages(parse_ranges("8-9,20-"), 7)


def test_no_ranges_is_all_pages_without_listing_them() -> None:
    assert select_pages(None, 10**9) == range(1, 10**9 + 1)

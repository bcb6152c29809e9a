"""The n-gram rule and the draw, row by row against plain words."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ocrpress.document import Decoding  # noqa: E402
from ocrpress.engines.deepseek.ngram import ban_repeats, ban_repeats_here  # noqa: E402
from ocrpress.engines.deepseek.sampling import Drawing, choose, gumbel  # noqa: E402
from ocrpress.engines.deepseek.slots import Rule, settle  # noqa: E402

GOLDEN = Path(__file__).parent / "golden" / "ngram.json"
VOCABULARY = 40


def banned_together(cases: list[dict], exempt: set[int]) -> list[list[int]]:
    """What the vectorised rule bans in each case, all cases in one call."""
    lookback, longest = max(case["window"] for case in cases), max(case["ngram"] for case in cases)
    recent = torch.tensor([([-1] * lookback + case["ids"])[-lookback:] for case in cases])
    allowed = torch.zeros(VOCABULARY, dtype=torch.bool)
    allowed[list(exempt)] = True
    logits = ban_repeats(
        torch.zeros(len(cases), VOCABULARY), recent, torch.tensor([case["ngram"] for case in cases]),
        torch.tensor([case["window"] for case in cases]), allowed, longest,
    )  # fmt: skip
    return [sorted((row == -torch.inf).nonzero().flatten().tolist()) for row in logits]


def banned_here(cases: list[dict], exempt: set[int]) -> list[list[int]]:
    """What the same rule bans on the host."""
    recent = [np.array(case["ids"][max(0, len(case["ids"]) - case["window"]) :], dtype=np.int64) for case in cases]
    allowed = torch.zeros(VOCABULARY, dtype=torch.bool)
    allowed[list(exempt)] = True
    logits = torch.zeros(len(cases), VOCABULARY)
    ban_repeats_here(logits, recent, [case["ngram"] for case in cases], allowed)
    assert set(logits.unique().tolist()) <= {0.0, -torch.inf}
    return [sorted((row == -torch.inf).nonzero().flatten().tolist()) for row in logits]


BOTH = pytest.mark.parametrize("banned", [banned_together, banned_here])


def banned_plainly(ids: list[int], ngram: int, window: int, exempt: set[int]) -> list[int]:
    starts = range(max(0, len(ids) - window), len(ids) - ngram + 1)
    prefix = ids[len(ids) - ngram + 1 :]
    return sorted({ids[s + ngram - 1] for s in starts if ngram and ids[s : s + ngram - 1] == prefix} - exempt)


@BOTH
def test_the_published_rule_bans_the_same_tokens_in_all_72_cases(banned):
    cases = json.loads(GOLDEN.read_text())
    assert len(cases) == 72
    for exempt in {tuple(case["whitelist"]) for case in cases}:
        chosen = [case for case in cases if tuple(case["whitelist"]) == exempt]
        assert banned(chosen, set(exempt)) == [sorted(case["banned"]) for case in chosen]


@BOTH
@pytest.mark.parametrize("letters", [3, VOCABULARY])
def test_rows_of_different_rules_and_lengths_do_not_disturb_each_other(banned, letters):
    draw = random.Random(0)
    cases = [
        {
            "ids": [draw.randrange(letters) for _ in range(draw.randrange(0, 60))],
            "ngram": draw.randrange(0, 7), "window": draw.randrange(0, 50),
        }
        for _ in range(400)
    ]  # fmt: skip
    expected = [banned_plainly(case["ids"], case["ngram"], case["window"], {1}) for case in cases]
    assert banned(cases, {1}) == expected
    assert sum(map(bool, expected)) > (100 if letters == 3 else 50)


def test_a_token_that_was_broken_is_no_candidate():
    for n in (1, 2):
        logits = torch.zeros(1, 4)
        ban_repeats_here(logits, [np.array([2, -1, 2])], [n], torch.zeros(4, dtype=torch.bool))
        assert logits.tolist() == [[0.0, 0.0, 0.0 if n == 2 else -torch.inf, 0.0]]


def test_no_rule_leaves_the_scores_alone():
    logits = torch.randn(2, 5)
    zero = torch.zeros(2, dtype=torch.long)
    recent = torch.zeros(2, 0, dtype=torch.long)
    assert ban_repeats(logits, recent, zero, zero, torch.zeros(5, dtype=torch.bool), 0) is logits


def test_temperature_0_takes_the_likeliest_beside_rows_that_draw():
    logits = torch.randn(3, 50)
    seeds = torch.zeros(3, dtype=torch.long)
    one = torch.tensor([1, 1])  # twice, as where the number of rows that draw is rounded up
    drawn, _ = choose(logits, Drawing(one, torch.ones(2), seeds[one], seeds[one]))
    likeliest, highest = choose(logits)
    assert drawn[[0, 2]].tolist() == likeliest[[0, 2]].tolist() == logits.argmax(1)[[0, 2]].tolist()
    assert drawn[1] == (logits[1] + gumbel(seeds[:1], seeds[:1], 50)[0]).argmax()
    assert torch.equal(highest, logits.amax(1))


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_tokens_are_drawn_as_often_as_their_probability_says(temperature):
    count = 40_000
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0, -torch.inf])
    rows = torch.arange(count)
    drawing = Drawing(rows, torch.full((count,), temperature), torch.full((count,), 7), rows)
    drawn, _ = choose(scores.expand(count, -1), drawing)
    found = torch.bincount(drawn, minlength=5) / count
    assert torch.allclose(found, (scores / temperature).softmax(0), atol=0.01)


def test_the_draw_is_the_seed_s_and_position_s_own():
    seeds, positions = torch.tensor([1, 1, 2, 1]), torch.tensor([5, 5, 5, 6])
    noise = gumbel(seeds, positions, 1000)
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[3])
    assert noise.isfinite().all()
    assert abs(noise.mean() - 0.5772) < 0.05  # Euler's constant


def test_noise_is_finite_over_a_whole_vocabulary_and_many_positions():
    noise = gumbel(torch.arange(64), torch.arange(64) * 131, 129280)
    assert noise.isfinite().all()


def test_a_page_s_own_figures_come_before_the_checkpoint_s():
    assert settle(Decoding(), 30, 90) == Rule(0.0, 30, 90, 0)
    assert settle(Decoding(0.5, ngram=0, window=8, seed=3), 30, 90) == Rule(0.5, 0, 8, 3)

"""The bound against the table of facts, and its counts against a real model's parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocrpress.engines.deepseek.architecture import PUBLISHED
from ocrpress.measure.roofline import Rates, bound, decoder_cost, encode_flops, prefill_flops, seen_tokens
from ocrpress.modes import MODES, plan

H100 = Rates(bandwidth=3.0e12, matmul=790e12)  # measured
A100 = Rates(bandwidth=1.555e12, matmul=312e12)  # of the data sheet, 40 GB
LETTER = (1224, 1584)


def pages_per_second(rates, mode, slots, tokens=1000):
    made = plan(*LETTER, mode, 6)
    return bound(rates, PUBLISHED, made, slots, [tokens]).pages_per_second


@pytest.mark.parametrize(
    ("rates", "mode", "expected"),
    [
        (H100, "base", {64: 21, 128: 31, 256: 40, 512: 47}),
        (H100, "gundam", {64: 16, 128: 20, 256: 24, 512: 26}),
        (H100, "tiny", {64: 24, 128: 37, 256: 51, 512: 63}),
        (A100, "base", {64: 11, 128: 16, 256: 20}),
    ],
)
def test_the_bound_is_that_of_the_table_of_facts(rates, mode, expected):
    assert {slots: pages_per_second(rates, mode, slots) for slots in expected} == pytest.approx(expected, rel=0.05)


def test_a_step_reads_the_weights_once_and_every_row_its_cache():
    made = plan(*LETTER, "base")
    cost = decoder_cost(PUBLISHED.decoder)
    assert 2 * (cost.fixed + cost.experts) == pytest.approx(5.54e9, rel=0.002)
    assert 2 * cost.cache == 61_440
    found = bound(H100, PUBLISHED, made, 256, [1000])
    assert found.step_bytes == pytest.approx(5.54e9 + 256 * (273 + 10 + 500) * 61_440, rel=0.002)
    assert found.step_seconds == pytest.approx(found.step_bytes / 3.0e12)


def test_few_rows_choose_few_experts():
    cost = decoder_cost(PUBLISHED.decoder)
    one = bound(H100, PUBLISHED, plan(*LETTER, "tiny"), 1, [2])
    cache = (73 + 10 + 1) * 61_440
    assert one.step_bytes == pytest.approx(2 * (cost.fixed + cost.experts * 6 / 64) + cache)


def test_encoding_in_base_takes_about_the_published_operations_of_sam_and_clip():
    # SAM-B at 1024²: 0.97 TFLOP with its output head's share; CLIP-L: 0.6 GFLOP for each of 257 tokens.
    assert encode_flops(PUBLISHED, plan(*LETTER, "base")) == pytest.approx(0.95e12 + 0.16e12, rel=0.05)
    tiles = encode_flops(PUBLISHED, plan(*LETTER, "gundam", 6)) - encode_flops(PUBLISHED, plan(*LETTER, "base"))
    assert tiles == pytest.approx(6 * encode_flops(PUBLISHED, plan(*LETTER, "small")))


def test_long_answers_see_more_of_themselves_and_a_window_bounds_that():
    decoder = PUBLISHED.decoder
    assert seen_tokens(decoder, 100, [1000]) == 600
    assert seen_tokens(decoder, 100, [100, 1000]) == pytest.approx(100 + (100**2 + 1000**2) / 2 / 1100)
    window = replace(decoder, sliding_window=128)
    assert seen_tokens(window, 100, [100]) == 150
    assert 100 + 128 * 0.9 < seen_tokens(window, 100, [1000]) < 100 + 128


def test_overlapping_can_only_help():
    found = bound(H100, PUBLISHED, plan(*LETTER, "gundam", 6), 256, [1000])
    assert found.pages_per_second < found.overlapped < 2 * found.pages_per_second


@pytest.fixture(scope="module")
def small():
    torch = pytest.importorskip("torch")
    from ocrpress.measure.loaded import load_small

    return load_small(torch.device("cpu"), torch.float32)


def test_the_weights_counted_are_those_of_a_real_model(small):
    cost = decoder_cost(small.architecture.decoder)
    text = dict(small.model.model.language_model.named_parameters())
    embedding = text.pop("embed_tokens.weight")
    experts = sum(parameter.numel() for name, parameter in text.items() if ".experts." in name)
    assert cost.experts == experts
    assert cost.fixed + cost.experts == sum(each.numel() for each in text.values()) + cost.head
    assert cost.head == small.model.lm_head.weight.numel() == embedding.numel()


@pytest.mark.parametrize("mode", ["tiny", "base"])
def test_the_operations_of_encoding_are_those_that_torch_counts(small, mode):
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    side = MODES[mode].view
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        small.model.get_image_features(torch.zeros(1, 3, side, side))
    # transformers' SAM projects the padding of its windows too and makes its position bias by products.
    excess = counter.get_total_flops() / encode_flops(small.architecture, plan(*LETTER, mode))
    assert 1.0 < excess < 1.08


def test_the_operations_of_prefill_are_those_that_torch_counts(small):
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    small.model.set_experts_implementation("eager")  # torch does not count grouped products
    cost, tokens = decoder_cost(small.architecture.decoder), 200
    ids = torch.arange(tokens)[None]
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        small.model(input_ids=ids, logits_to_keep=1)
    # torch multiplies the half that a causal mask hides as well.
    hidden = cost.attention * tokens**2 / 2
    assert counter.get_total_flops() == pytest.approx(prefill_flops(cost, tokens) + hidden, rel=0.02)

"""What can be proved of the CUDA path without a GPU: a step asks the host nothing, keeps its addresses, and the fused
attention gets what it is promised."""

from __future__ import annotations

import contextlib

import pytest

torch = pytest.importorskip("torch")

from checkpoints import small_model  # noqa: E402
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode  # noqa: E402

from ocrpress.engines.deepseek import flash  # noqa: E402
from ocrpress.engines.deepseek import slots as slots_module  # noqa: E402
from ocrpress.engines.deepseek.decoder import Decoder  # noqa: E402
from ocrpress.engines.deepseek.experts import has_grouped_product, looped_product  # noqa: E402
from ocrpress.engines.deepseek.graphs import Graphs  # noqa: E402
from ocrpress.engines.deepseek.slots import Rule, Slots  # noqa: E402
from ocrpress.engines.deepseek.vision import Encoder, PixelViews  # noqa: E402
from ocrpress.modes import plan  # noqa: E402

RULE = Rule(temperature=0.5, ngram=3, window=20, seed=1)


def test_no_step_and_no_encoding_asks_the_host_for_a_value():
    """Fake tensors have shapes and no values: whatever needs a value on the host raises. The fake grouped product also
    checks what the CUDA kernel demands: bfloat16 and alignment."""
    with FakeTensorMode():
        torch.set_default_dtype(torch.bfloat16)
        try:
            model = small_model()
        finally:
            torch.set_default_dtype(torch.float32)
        decoder = Decoder(model)
        slots = Slots(decoder, 4, 256, exempt=(9, 10), ask_host=False)
        slots.prefill([0, 2], [torch.zeros(30, 64, dtype=torch.bfloat16)] * 2, [Rule(), RULE])
        slots.step(4, 40)
        assert slots.newest(4, 9).shape == (4, 9)
        made = plan(1000, 1400, "gundam", 6)
        overview, tiles = (torch.zeros(shape, dtype=torch.uint8) for shape in [(1024, 1024, 3), (6, 640, 640, 3)])
        sequences = Encoder(model.model).encode([PixelViews(made, overview, tiles)])
        assert sequences[0].shape == (made.sequence_tokens, 64)
        with pytest.raises(DataDependentOutputException):
            slots._state.tokens[0].item()


def test_a_step_replaces_none_of_the_tensors_that_a_graph_would_hold():
    slots = Slots(Decoder(small_model()), 3, 256)
    slots.prefill([0, 1], [torch.randn(9, 64), torch.randn(5, 64)], [RULE, Rule()])

    def addresses() -> list[int]:
        held = [*vars(slots._state).values(), *slots._cache._keys, *slots._cache._values]
        return [tensor.data_ptr() for tensor in held]

    before = addresses()
    for length in range(9, 14):
        slots.step(3, length)
    slots.release(1)
    slots.prefill([1], [torch.randn(7, 64)], [Rule()])
    assert addresses() == before


def test_the_rule_on_the_host_gives_the_tokens_that_a_graph_would():
    decoder = Decoder(small_model())
    prompts = [torch.randn(length, 64, generator=torch.Generator().manual_seed(length)) for length in (9, 30, 4)]
    rules = [Rule(ngram=2, window=30), Rule(), Rule(temperature=2.0, ngram=1, window=12, seed=3)]

    def tokens(ask_host: bool, ours: list[Rule]) -> list[list[int]]:
        slots = Slots(decoder, 3, 256, exempt=(5,), ask_host=ask_host)
        slots.prefill([0, 1, 2], prompts, ours)
        for step in range(80):
            slots.step(3, 30 + step)
        return slots.newest(3, 81).tolist()

    said = tokens(True, rules)
    assert said == tokens(False, rules)
    free = tokens(True, [Rule(), Rule(), Rule(temperature=2.0, seed=3)])
    assert [mine != other for mine, other in zip(said, free, strict=True)] == [True, False, True]


def fake_kernel(q, k_cache, v_cache, cache_seqlens=None, causal=False):
    """What `flash_attn_with_kvcache` computes, row by row, and what it demands of its arguments."""
    assert cache_seqlens.dtype == torch.int32
    assert cache_seqlens.max() <= k_cache.shape[1]
    assert causal
    assert q.shape[1] == 1
    assert k_cache.stride(-1) == 1
    output = torch.empty_like(q)
    group = q.shape[2] // k_cache.shape[2]
    for row, length in enumerate(cache_seqlens.tolist()):
        for head in range(q.shape[2]):
            keys, values = k_cache[row, :length, head // group], v_cache[row, :length, head // group]
            weights = (keys @ q[row, 0, head] / q.shape[3] ** 0.5).softmax(0)
            output[row, 0, head] = weights @ values
    return output


def test_the_fused_attention_gives_the_tokens_that_sdpa_gives(monkeypatch):
    decoder = Decoder(small_model())
    prompts = [torch.randn(length, 64, generator=torch.Generator().manual_seed(length)) for length in (9, 30, 4)]

    def tokens() -> list[list[int]]:
        slots = Slots(decoder, 3, 64)
        slots.prefill([0, 1, 2], prompts, [Rule()] * 3)
        for step in range(20):
            slots.step(3, 30 + step)
        return slots.newest(3, 21).tolist()

    expected = tokens()
    monkeypatch.setattr(slots_module, "find_flash", lambda *_: flash.FlashAttention("fake", fake_kernel))
    assert tokens() == expected


@pytest.mark.parametrize(
    ("capability", "there", "found"),
    [
        ((9, 0), {"flash_attn_interface", "fa3_fwd_interface", "flash_attn"}, "flash_attn_interface"),
        ((9, 0), {"fa3_fwd_interface", "flash_attn"}, "fa3_fwd_interface"),
        ((9, 0), {"flash_attn"}, "flash_attn"),
        ((8, 0), {"flash_attn_interface", "flash_attn"}, "flash_attn"),
        ((12, 0), {"fa3_fwd_interface"}, None),
        ((7, 5), {"flash_attn"}, None),
        ((9, 0), set(), None),
    ],
)
def test_the_kernel_that_the_gpu_can_run_is_taken(monkeypatch, capability, there, found):
    class Module:
        def __init__(self, name: str) -> None:
            self.flash_attn_with_kvcache = name

    def import_module(name: str) -> Module:
        if name not in there:
            raise ImportError(name)
        return Module(name)

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(flash.importlib, "import_module", import_module)
    kernel = flash.find_flash(torch.device("cuda"), torch.bfloat16)
    assert (kernel.name if kernel else None) == found
    assert flash.find_flash(torch.device("cuda"), torch.float32) is None
    assert flash.find_flash(torch.device("cpu"), torch.bfloat16) is None


def test_every_run_is_one_step_whether_warm_up_capture_or_replay(monkeypatch):
    """A CUDA graph played by a list: what happens while capturing is only noted, and done when it is replayed."""
    capturing, done = [], []

    class Stream:
        device = torch.device("cuda", 0)

        def wait_stream(self, other):
            pass

    class Graph:
        def replay(self):
            done.extend(self.noted)

        def pool(self):
            return (0, 1)

    class Capture:
        def __init__(self, graph, pool, stream, capture_error_mode):
            self.graph, self.pool = graph, pool
            pools.append(pool)

        def __enter__(self):
            capturing.append([])

        def __exit__(self, *_):
            self.graph.noted = capturing.pop()

    pools = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Capture)
    graphs = Graphs(torch.device("cuda", 0))
    for index, variant in enumerate("aabaabbbab"):
        graphs.run(variant, lambda name=variant: (capturing[-1] if capturing else done).append(name))
        assert len(done) == index + 1
    assert "".join(done) == "aabaabbbab"
    assert pools == [None, (0, 1)]  # one pool for both
    graphs.clear()
    graphs.run("a", lambda: done.append("a"))
    assert len(done) == 11
    assert len(pools) == 2


def test_on_the_cpu_a_step_simply_runs():
    done = []
    graphs = Graphs(torch.device("cpu"))
    for _ in range(3):
        graphs.run("variant", lambda: done.append(1))
    assert len(done) == 3


def test_widths_that_the_grouped_product_refuses_go_through_the_loop():
    assert has_grouped_product(torch.zeros(2, 8, 4))
    assert not has_grouped_product(torch.zeros(2, 8, 6))
    assert not has_grouped_product(torch.zeros(2, 4, 8, dtype=torch.bfloat16))


def test_the_loop_over_experts_equals_the_grouped_product():
    x, weights = torch.randn(11, 8), torch.randn(4, 8, 12)
    ends = torch.tensor([3, 3, 10, 11], dtype=torch.int32)
    grouped = torch.nn.functional.grouped_mm(x, weights, offs=ends)
    assert torch.allclose(looped_product(x, weights, ends), grouped, atol=1e-5)

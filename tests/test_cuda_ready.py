"""What can be proved of the CUDA path without a GPU: which path each GPU takes, that a step of it asks the host nothing
and keeps its addresses, and that each path gives the tokens of the plain one."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from checkpoints import small_model  # noqa: E402
from torch._subclasses.fake_tensor import DataDependentOutputException  # noqa: E402
from transformers.initialization import no_init_weights  # noqa: E402

from ocrpress.engines.deepseek import attention as attention_module  # noqa: E402
from ocrpress.engines.deepseek import experts as experts_module  # noqa: E402
from ocrpress.engines.deepseek.attention import BY_ROW, FLASH3, TORCH_FLASH, TORCH_FLASH_OP, RowAttention, candidates  # noqa: E402
from ocrpress.engines.deepseek.decoder import Decoder  # noqa: E402
from ocrpress.engines.deepseek.experts import expert_path, looped_product, path_for, version_of  # noqa: E402
from ocrpress.engines.deepseek.graphs import Graphs  # noqa: E402
from ocrpress.engines.deepseek.scheduler import Scheduler  # noqa: E402
from ocrpress.engines.deepseek.sequences import Job  # noqa: E402
from ocrpress.engines.deepseek.slots import Rule, Slots  # noqa: E402
from ocrpress.engines.deepseek.vision import Encoder, PixelViews  # noqa: E402
from ocrpress.measure.counts import fake_cuda  # noqa: E402
from ocrpress.modes import plan  # noqa: E402

RULE = Rule(temperature=0.5, ngram=3, window=20, seed=1)
CAPABILITIES = [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0), (12, 1)]
VERSIONS = [(2, 10), (2, 11), (2, 12), (2, 13), (2, 14)]
OPERATORS = (Path(__file__).parents[1] / "serving" / "README.md").read_text()


def grouped_in_one_kernel(capability: tuple[int, int], version: tuple[int, int]) -> bool:
    """Whether torch's grouped product is one kernel on such a GPU, and one that works."""
    return capability == (9, 0) or (capability == (10, 0) and version >= (2, 13))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_each_gpu_and_torch_takes_paths_that_can_be_captured(capability, version):
    bf16 = torch.bfloat16
    grouped = grouped_in_one_kernel(capability, version)
    assert expert_path(capability, version, bf16, aligned=True) == ("grouped" if grouped else "batched")
    assert expert_path(capability, version, bf16, aligned=False) == "batched"
    assert expert_path(capability, version, torch.float32, aligned=True) == "batched"
    own = FLASH3 if capability == (9, 0) else ()
    public = (TORCH_FLASH,) if version >= (2, 12) else ()
    assert candidates(capability, version, bf16) == (*own, *public, TORCH_FLASH_OP, BY_ROW)
    assert candidates(capability, version, torch.float32) == (BY_ROW,)


def test_the_table_for_operators_says_what_is_chosen():
    found = re.findall(r"^\| (\d+\.\d) \| [^|]+ \| ([\d., ]+) \| (\w+) \| ([^|]+) \| yes \|$", OPERATORS, re.MULTILINE)
    seen = set()
    for capability, versions, experts, kernel in found:
        major, minor = map(int, capability.split("."))
        for version in versions.split(", "):
            pair = (major, minor), version_of(version)
            seen.add(pair)
            assert experts == expert_path(*pair, torch.bfloat16, aligned=True)
            names = candidates(*pair, torch.bfloat16)
            flash2 = next(name for name in names if name not in FLASH3)
            assert flash2 != BY_ROW  # so the steps are captured
            assert kernel == (f"FlashAttention 3 if installed, else {flash2}" if names[0] in FLASH3 else flash2)
    listed = [(8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)]
    assert seen == {(capability, version) for capability in listed for version in VERSIONS}


def test_a_cpu_and_an_old_gpu_attend_row_by_row():
    assert candidates(None, (2, 13), torch.bfloat16) == (BY_ROW,)
    assert candidates((7, 5), (2, 13), torch.float16) == (BY_ROW,)
    assert expert_path(None, (2, 13), torch.bfloat16, aligned=True) == "grouped"
    assert expert_path(None, (2, 13), torch.bfloat16, aligned=False) == "looped"


def flash(q, keys, values, numbers, starts, used, most):
    """A fused kernel: its arguments are checked as torch's checks them; what it computes, and it asks the host."""
    rows = len(q)
    assert numbers.dtype == starts.dtype == used.dtype == torch.int32
    assert numbers.shape == starts.shape == (rows + 1,)
    assert used.shape == (rows,)
    assert numbers.is_contiguous()
    assert starts.is_contiguous()
    assert used.is_contiguous()
    assert q.stride(-1) == keys.stride(-1) == values.stride(-1) == 1
    assert numbers.tolist() == list(range(rows + 1))
    assert 1 <= used.min() <= used.max() <= most
    return attention_module.row_by_row(q, keys, values, numbers, starts, used, most)


def silent_flash(q, keys, values, numbers, starts, used, most):
    """The shape of what a fused kernel gives, for tensors without values."""
    return torch.empty_like(q)


def pretend(monkeypatch, capability: tuple[int, int], version: tuple[int, int] = (2, 13)) -> None:
    """Let the experts take the path of such a GPU; the grouped product syncs where torch's does."""
    true = torch.nn.functional.grouped_mm

    def grouped_mm(x, weights, offs):
        if capability not in ((9, 0), (10, 0)):
            offs.tolist()  # as torch's fallback does
        return true(x, weights, offs=offs)

    def path(*weights):
        aligned = all(side * each.itemsize % 16 == 0 for each in weights for side in each.shape[1:])
        return expert_path(capability, version, weights[0].dtype, aligned)

    monkeypatch.setattr(experts_module.F, "grouped_mm", grouped_mm)
    monkeypatch.setattr(experts_module, "path_for", path)


@contextlib.contextmanager
def fake_model(capability: tuple[int, int]):
    """A model on a GPU of shapes without values: whatever needs a value on the host raises, as inside a CUDA graph."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        with fake_cuda(capability) as device:
            with device, no_init_weights():
                model = small_model()
            yield model
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_no_step_on_any_gpu_asks_the_host_for_a_value(monkeypatch, capability, version):
    pretend(monkeypatch, capability, version)
    kernel = RowAttention(candidates(capability, version, torch.bfloat16)[0], silent_flash)
    with fake_model(capability) as model:
        slots = Slots(Decoder(model), 4, 1024, 256, exempt=(9, 10), attention=kernel, capture=False)
        assert slots.kernel.capturable
        assert slots.decoder.expert_path != "looped"
        for row in (0, 2, 3):
            assert slots.allocate(row, 256)
            slots._rules[row] = RULE if row else Rule()
        slots.step(4)
        assert slots.newest(4, 9).shape == (4, 9)
        assert slots.newest(4, 9).is_cuda
        with pytest.raises(DataDependentOutputException):
            slots._state.tokens[0].item()


def test_what_asked_the_host_before_is_caught_by_the_test_above(monkeypatch):
    """The grouped product on an A100, as it was once decided."""
    pretend(monkeypatch, (8, 0))
    monkeypatch.setattr(experts_module, "path_for", lambda *_: "grouped")
    with fake_model((8, 0)) as model:
        slots = Slots(Decoder(model), 2, 512, 256, attention=RowAttention(TORCH_FLASH, silent_flash), capture=False)
        with pytest.raises(DataDependentOutputException):
            slots.step(2)


def test_no_prefill_in_one_kernel_and_no_encoding_asks_the_host(monkeypatch):
    pretend(monkeypatch, (9, 0))
    with fake_model((9, 0)) as model:
        kernel = RowAttention(TORCH_FLASH, silent_flash)
        slots = Slots(Decoder(model), 4, 1024, 256, attention=kernel, capture=False)
        for row in (0, 2, 3):
            slots.allocate(row, 256)
        prompt = torch.zeros(30, 64, dtype=torch.bfloat16, device="cuda:0")
        slots.prefill([0, 2, 3], [prompt] * 3, [Rule(), RULE, RULE])
        made = plan(1000, 1400, "gundam", 6)
        overview, tiles = (torch.zeros(shape, dtype=torch.uint8) for shape in [(1024, 1024, 3), (6, 640, 640, 3)])
        sequences = Encoder(model.model).encode([PixelViews(made, overview, tiles)])
        assert sequences[0].shape == (made.sequence_tokens, 64)


def prompts_of(*lengths: int) -> list[torch.Tensor]:
    return [torch.randn(length, 64, generator=torch.Generator().manual_seed(length)) for length in lengths]


def decode(decoder: Decoder, attention: RowAttention | None = None, ask_host: bool = True, rules=None, steps: int = 80):
    """Tokens of three rows of different lengths and rules, of which one outgrows its extent midway."""
    slots = Slots(decoder, 3, 3 * 1024, 1024, exempt=(5,), attention=attention, ask_host=ask_host)
    lengths = (9, 230, 4)
    for row in range(3):
        slots.allocate(row, 256)
    slots.prefill([0, 1, 2], prompts_of(*lengths), rules or [Rule()] * 3)
    for step in range(steps):
        if lengths[1] + step == 250:
            assert slots.allocate(1, 512)
        slots.step(3)
    return slots.newest(3, steps + 1).tolist()


@pytest.mark.parametrize("window", [0, 12])
def test_the_path_of_a_gpu_gives_the_tokens_of_the_plain_one(monkeypatch, window):
    model = small_model("reference_sliding_attention" if window else "full_attention", window=window or 128)
    plain, kernel = decode(Decoder(model)), RowAttention(TORCH_FLASH, flash)
    assert decode(Decoder(model), kernel, ask_host=False) == plain  # the grouped product, and a fused kernel
    pretend(monkeypatch, (8, 0))
    decoder = Decoder(model)
    assert decoder.expert_path == "batched"
    assert decode(decoder, kernel, ask_host=False) == plain


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-6), (torch.bfloat16, 1e-2)])
def test_all_experts_at_once_compute_what_the_chosen_ones_do(monkeypatch, dtype, bound):
    generator = torch.Generator().manual_seed(0)
    gate_up, down = (
        torch.randn(64, 2 * 48, 64, generator=generator) / 8,
        torch.randn(64, 64, 48, generator=generator) / 7,
    )
    router = SimpleNamespace(weight=torch.randn(64, 64, generator=generator), top_k=6, routed_scaling_factor=1.5)
    x = torch.randn(33, 64, generator=generator)
    exact = experts_module.Experts(gate_up.clone(), down.clone(), router)(x, step=False)
    monkeypatch.setattr(experts_module, "path_for", lambda *_: "batched")
    weights = down.to(dtype)
    batched = experts_module.Experts(gate_up.to(dtype), weights, router)
    assert torch.equal(weights, down.to(dtype))  # laid out anew, and the same
    for step in (True, False):
        found = batched(x.to(dtype), step).float()
        assert (found - exact).abs().max() / exact.abs().max() < bound


def test_a_step_replaces_none_of_the_tensors_that_a_graph_would_hold():
    slots = Slots(Decoder(small_model()), 3, 1024, 256)
    for row in (0, 1):
        slots.allocate(row, 256)
    slots.prefill([0, 1], prompts_of(9, 5), [RULE, Rule()])

    def addresses() -> list[int]:
        held = [*vars(slots._state).values(), slots._starts, slots._drawing, slots._cache._pool, slots._cache._numbers]
        return [tensor.data_ptr() for tensor in held]

    before = addresses()
    for _ in range(5):
        slots.step(3)
    slots.release(1)
    slots.compact()
    slots.allocate(1, 512)
    slots.prefill([1], prompts_of(7), [Rule()])
    slots.move(1, 2)
    assert addresses() == before


def test_slots_without_a_sequence_write_where_nobody_reads():
    slots = Slots(Decoder(small_model()), 3, 512, 256)
    slots.allocate(1, 256)
    slots.prefill([1], prompts_of(9), [Rule()])
    held = slots._cache._pool[:, :, 256:512].clone()
    slots.release(1)
    for _ in range(300):
        slots.step(3)
    assert torch.equal(slots._cache._pool[:, :, 256:512], held)


def test_the_rule_on_the_host_gives_the_tokens_that_a_graph_would():
    decoder = Decoder(small_model())
    rules = [Rule(ngram=2, window=30), Rule(), Rule(temperature=2.0, ngram=1, window=12, seed=3)]
    said = decode(decoder, rules=rules)
    assert said == decode(decoder, RowAttention(TORCH_FLASH, flash), ask_host=False, rules=rules)
    free = decode(decoder, rules=[Rule(), Rule(), Rule(temperature=2.0, seed=3)])
    assert [mine != other for mine, other in zip(said, free, strict=True)] == [True, False, True]


def choose_here(monkeypatch, capability, modules, version="2.13.0+cu130") -> RowAttention:
    """What is chosen on such a GPU with such modules installed; kernels run on the CPU."""

    def import_module(name):
        if name not in modules:
            raise ImportError(name)
        if modules[name] is None:
            raise RuntimeError("two libraries register the same operator")
        return SimpleNamespace(**modules[name])

    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setattr(attention_module.importlib, "import_module", import_module)
    difference = attention_module._difference
    monkeypatch.setattr(attention_module, "_difference", lambda kernel, _, *rest: difference(kernel, cpu, *rest))
    return attention_module.choose_attention(torch.device("cuda"), torch.bfloat16, 4, 2, 16)


def varlen(q, keys, values, numbers, starts, max_q, most, *, seqused_k, enable_gqa=False):
    """torch.nn.attention.varlen.varlen_attn, plainly."""
    assert max_q == 1
    assert enable_gqa == (q.shape[1] != keys.shape[1])
    return flash(q, keys, values, numbers, starts, seqused_k, most)


def varlen3(q, keys, values, numbers, starts, max_q, most, *, seqused_k):
    """flash_attn_varlen_func of FlashAttention 3, in the versions that give a pair."""
    return flash(q, keys, values, numbers, starts, seqused_k, most), None


def broken(*_, **__):
    raise RuntimeError("no kernel image is available\nand more")


TORCH = {"torch.nn.attention.varlen": {"varlen_attn": varlen}}
OWN = {"fa3_fwd_interface": {"flash_attn_varlen_func": varlen3}}
WRONG = {"fa3_fwd_interface": {"flash_attn_varlen_func": lambda q, *_, **__: torch.zeros_like(q)}}
BROKEN3 = {"fa3_fwd_interface": {"flash_attn_varlen_func": broken}}


@pytest.mark.parametrize(
    ("capability", "modules", "name", "refused"),
    [
        ((9, 0), TORCH | OWN, "fa3_fwd_interface", ""),
        ((9, 0), TORCH, TORCH_FLASH, ""),
        ((9, 0), TORCH | WRONG, TORCH_FLASH, "fa3_fwd_interface: wrong by"),
        ((9, 0), TORCH | BROKEN3, TORCH_FLASH, "fa3_fwd_interface: no kernel image is available"),
        ((9, 0), TORCH | {"fa3_fwd_interface": None}, TORCH_FLASH, "fa3_fwd_interface: two libraries"),
        ((8, 0), TORCH | OWN, TORCH_FLASH, ""),
        ((12, 0), TORCH | OWN, TORCH_FLASH, ""),
        ((8, 0), {}, BY_ROW, "(operator): "),  # this machine has no such kernel
        ((8, 0), {"torch.nn.attention.varlen": {"varlen_attn": broken}}, BY_ROW, "no kernel image"),
    ],
)
def test_the_best_kernel_that_computes_rightly_is_taken(monkeypatch, capability, modules, name, refused):
    found = choose_here(monkeypatch, capability, modules)
    assert found.name == name
    assert found.capturable == (name != BY_ROW)
    assert refused in "".join(found.refused)
    assert "\n" not in "".join(found.refused)
    assert bool(found.refused) == bool(refused)


def test_before_torch_2_12_the_operator_below_is_called_as_its_schema_says(monkeypatch):
    """The operator has no kernel on the CPU: a fake one is held to the schema, which has what torch 2.10's has."""
    schema = torch.ops.aten._flash_attention_forward.default._schema
    names = [argument.name for argument in schema.arguments]
    assert names[:10] == [
        "query", "key", "value", "cum_seq_q", "cum_seq_k", "max_q", "max_k", "dropout_p", "is_causal",
        "return_debug_mask",
    ]  # fmt: skip
    assert "seqused_k" in names

    def operator(q, keys, values, numbers, starts, max_q, most, dropout, causal, mask, *, seqused_k):
        assert (max_q, dropout, causal, mask) == (1, 0.0, False, False)
        return (flash(q, keys, values, numbers, starts, seqused_k, most),) + (None,) * 4

    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", operator, raising=False)
    assert choose_here(monkeypatch, (8, 0), {}, "2.10.0+cu128").name == TORCH_FLASH_OP


@pytest.mark.parametrize("late", [0, 1])
def test_tokens_are_read_so_many_launches_late_and_are_the_same(late):
    decoder = Decoder(small_model())
    jobs = [Job(key, each, Rule(), 10 + 7 * key, True) for key, each in enumerate(prompts_of(*range(3, 12)))]

    def answers(late: int) -> tuple[dict[int, tuple[int, ...]], list[int]]:
        scheduler = Scheduler(Slots(decoder, 3, 3 * 512, 512), end=1)
        scheduler._stride, scheduler._late = 4, late
        found, waiting, under_way = {}, list(jobs), []
        while len(found) < len(jobs):
            admitted, waiting = waiting[: scheduler.free], waiting[scheduler.free :]
            scheduler.admit(admitted)
            scheduler.launch()
            under_way.append(len(scheduler._launches))
            found |= {answer.key: answer.tokens for answer in scheduler.collect()}
            waiting = scheduler.take_returned() + waiting
        return found, under_way

    found, under_way = answers(late)
    assert found == answers(0)[0]
    assert [len(found[job.key]) for job in jobs] == [job.max_tokens for job in jobs]
    assert max(under_way) == 1 + late


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
    monkeypatch.setattr(torch.cuda, "Stream", lambda _, priority: Stream())
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


def test_the_path_on_the_cpu_is_the_grouped_product_where_rows_are_aligned():
    assert path_for(torch.zeros(2, 8, 4)) == "grouped"
    assert path_for(torch.zeros(2, 8, 6)) == "looped"
    assert path_for(torch.zeros(2, 4, 8, dtype=torch.bfloat16)) == "looped"


def test_the_loop_over_experts_equals_the_grouped_product():
    x, weights = torch.randn(11, 8), torch.randn(4, 8, 12)
    ends = torch.tensor([3, 3, 10, 11], dtype=torch.int32)
    grouped = torch.nn.functional.grouped_mm(x, weights, offs=ends)
    assert torch.allclose(looped_product(x, weights, ends.tolist()), grouped, atol=1e-5)

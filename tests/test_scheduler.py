"""Slots, cache and scheduler over a small decoder, held against transformers' own `generate` on each prompt alone."""

from __future__ import annotations

import gc
import random
import weakref
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from checkpoints import small_model  # noqa: E402

from ocrpress.engines.deepseek import cache, endless  # noqa: E402
from ocrpress.engines.deepseek import scheduler as scheduling  # noqa: E402
from ocrpress.engines.deepseek import slots as slots_module  # noqa: E402
from ocrpress.engines.deepseek.attention import RowAttention  # noqa: E402
from ocrpress.engines.deepseek.decoder import Decoder  # noqa: E402
from ocrpress.engines.deepseek.scheduler import NO_MEMORY, NOT_FINITE, Scheduler  # noqa: E402
from ocrpress.engines.deepseek.sequences import Answer, Job  # noqa: E402
from ocrpress.engines.deepseek.slots import Rule, Slots  # noqa: E402
from ocrpress.errors import EngineError  # noqa: E402

END = 1
GREEDY = Rule()


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return small_model()


@pytest.fixture(scope="module")
def decoder(model):
    return Decoder(model)


def prompts(count: int, seed: int = 0, longest: int = 90) -> list[torch.Tensor]:
    draw = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(11, 300, (draw.randint(3, longest),), generator=generator) for _ in range(count)]


def make_job(decoder, key: int, prompt, tokens: int, rule: Rule = GREEDY, ignore_end: bool = True) -> Job:
    return Job(key, decoder.embed(prompt), rule, tokens, ignore_end)


KNOWN: dict[tuple[int, ...], list[int]] = {}


def generated(model, prompt, tokens: int) -> list[int]:
    """What transformers generates; of the same prompt, a shorter answer is the start of a longer one."""
    key = (id(model), *prompt.tolist())
    if len(KNOWN.get(key, ())) < tokens:
        with torch.no_grad():
            output = model.generate(
                input_ids=prompt[None], max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=2
            )
        KNOWN[key] = output[0, len(prompt) :].tolist()
    return KNOWN[key][:tokens]


def run(scheduler: Scheduler, jobs: list[Job]) -> dict[int, Answer]:
    answers = {}
    jobs = list(jobs)
    for _ in range(100_000):
        admitted, jobs = jobs[: scheduler.free], jobs[scheduler.free :]
        scheduler.admit(admitted)
        for answer in scheduler.advance():
            assert answer.key not in answers
            answers[answer.key] = answer
        jobs = scheduler.take_returned() + jobs
        if not jobs and not scheduler.active:
            return answers
    raise AssertionError("the scheduler never ends")


def make(decoder, slots: int, tokens: int = 8192, limit: int = 1024) -> Scheduler:
    return Scheduler(Slots(decoder, slots, tokens, limit), END)


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_every_token_equals_generate_on_each_prompt_alone(model, decoder, slots):
    draw = random.Random(slots)
    texts = prompts(9)
    lengths = [draw.choice([1, 2, 5, 20, 40]) for _ in texts]
    jobs = [make_job(decoder, key, text, tokens) for key, (text, tokens) in enumerate(zip(texts, lengths, strict=True))]
    answers = run(make(decoder, slots), jobs)
    for key, (text, tokens) in enumerate(zip(texts, lengths, strict=True)):
        assert list(answers[key].tokens) == generated(model, text, tokens)
        assert answers[key].stop == "length"


def test_reference_sliding_window_attention_equals_generate():
    model = small_model("reference_sliding_attention", window=12)
    decoder = Decoder(model)
    texts = prompts(4, seed=7)
    answers = run(make(decoder, 2), [make_job(decoder, key, text, 40) for key, text in enumerate(texts)])
    for key, text in enumerate(texts):
        assert list(answers[key].tokens) == generated(model, text, 40)


def test_a_sequence_that_ends_by_itself_stops_without_the_end_token(model, decoder):
    text = prompts(1, seed=2)[0]
    tokens = generated(model, text, 40)
    end = tokens[25]
    scheduler = Scheduler(Slots(decoder, 2, 8192, 1024), end)
    answer = run(scheduler, [make_job(decoder, 0, text, 40, ignore_end=False)])[0]
    assert answer.stop == "end"
    assert list(answer.tokens) == tokens[: tokens.index(end)]


def test_a_slot_is_refilled_at_once_so_that_no_step_is_wasted(decoder):
    draw = random.Random(1)
    jobs = [make_job(decoder, key, text, draw.randint(5, 60)) for key, text in enumerate(prompts(30, longest=9))]
    scheduler = make(decoder, 4)
    run(scheduler, jobs)
    tally = scheduler.tally
    assert tally.tokens == sum(job.max_tokens for job in jobs)
    # The first token of each comes from its prefill; the one that ends it is not stepped again.
    assert tally.active_steps == tally.tokens - len(jobs) + sum(job.max_tokens == 1 for job in jobs)
    assert tally.slot_steps == tally.active_steps


def test_the_answer_does_not_depend_on_slots_or_neighbours_even_when_drawn(decoder):
    texts = prompts(6, seed=4)
    jobs = [
        make_job(decoder, key, text, 30, Rule(temperature=0.8, seed=min(4, key)))
        for key, text in enumerate([*texts[:5], texts[4]])
    ]
    together = run(make(decoder, 6), jobs)
    apart = {job.key: run(make(decoder, 1), [job])[job.key] for job in jobs}
    assert {key: answer.tokens for key, answer in together.items()} == {
        key: answer.tokens for key, answer in apart.items()
    }
    assert together[4].tokens == together[5].tokens
    other = run(make(decoder, 1), [replace(jobs[4], rule=Rule(temperature=0.8, seed=99))])[4]
    assert other.tokens != together[4].tokens


def test_rows_with_and_without_an_ngram_rule_share_a_step(model, decoder):
    texts = prompts(3, seed=5)
    rules = [Rule(), Rule(ngram=2, window=50), Rule(ngram=3, window=10)]
    answers = run(
        make(decoder, 3),
        [make_job(decoder, key, text, 60, rule) for key, (text, rule) in enumerate(zip(texts, rules, strict=True))],
    )
    assert list(answers[0].tokens) == generated(model, texts[0], 60)
    pairs = list(zip(answers[1].tokens, answers[1].tokens[1:], strict=False))
    assert all(pair not in pairs[max(0, index - 48) : index] for index, pair in enumerate(pairs))


@pytest.fixture
def fine(monkeypatch):
    """Extents of 16 tokens, so that short sequences outgrow theirs."""
    monkeypatch.setattr(cache, "GRANULE", 16)
    monkeypatch.setattr(scheduling, "GRANULE", 16)
    monkeypatch.setattr(slots_module, "GRANULE", 16)


@pytest.mark.parametrize("stride", [1, 8])
def test_a_long_sequence_takes_the_room_of_others_which_lose_nothing(model, decoder, fine, stride):
    texts = prompts(6, seed=8, longest=20)
    lengths = [150, 20, 25, 20, 30, 22]
    jobs = [make_job(decoder, key, text, tokens) for key, (text, tokens) in enumerate(zip(texts, lengths, strict=True))]
    scheduler = make(decoder, 4, tokens=11 * 16, limit=176)
    scheduler._stride, scheduler._typical = stride, 1.0  # too hopeful
    answers = run(scheduler, jobs)
    for key, (text, tokens) in enumerate(zip(texts, lengths, strict=True)):
        assert list(answers[key].tokens) == generated(model, text, tokens), key
    assert scheduler.tally.restarts > 0
    # Everything was given back.
    extents = scheduler._slots.extents
    assert extents.free == 11 * 16
    assert scheduler.free == 4


def test_many_sequences_of_all_lengths_share_a_small_pool_and_every_token_is_right(model, decoder, fine):
    draw = random.Random(3)
    texts = prompts(40, seed=11, longest=60)
    lengths = [draw.choice([3, 10, 40, 90]) for _ in texts]
    jobs = [make_job(decoder, key, text, tokens) for key, (text, tokens) in enumerate(zip(texts, lengths, strict=True))]
    scheduler = make(decoder, 6, tokens=24 * 16, limit=160)
    scheduler._stride, scheduler._late = 4, 1
    answers = run(scheduler, jobs)
    for key, (text, tokens) in enumerate(zip(texts, lengths, strict=True)):
        assert list(answers[key].tokens) == generated(model, text, tokens), key


def test_a_long_page_costs_its_own_length(decoder):
    """The others stay where they are: nothing is handed back, and no slot is lost."""
    scheduler = make(decoder, 4, tokens=6 * 256, limit=1024)
    scheduler.admit([make_job(decoder, 0, torch.arange(20, 30), 600)])
    scheduler.admit([make_job(decoder, key, torch.arange(20, 30), 100) for key in (1, 2, 3)])
    assert scheduler.active == 4
    while scheduler.active:
        scheduler.advance()
    assert scheduler.tally.restarts == 0
    assert scheduler._slots.count == 4


def test_prompt_and_answer_never_pass_the_limit(decoder):
    scheduler = make(decoder, 2, tokens=512, limit=100)
    text = prompts(1, seed=1, longest=30)[0]
    answer = run(scheduler, [make_job(decoder, 0, text, 100 - len(text))])[0]
    assert len(answer.tokens) == 100 - len(text)


def break_above(rows: int, monkeypatch, slots: Slots, name: str, every: int = 1) -> None:
    """Every so many calls of a method of the slots run out of memory if they are for more than so many rows."""
    whole, calls = getattr(slots, name), []

    def breaking(given, *rest):
        size = len(given) if name == "prefill" else given
        calls.append(size)
        if size > rows and len(calls) % every == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        whole(given, *rest)

    monkeypatch.setattr(slots, name, breaking)


@pytest.mark.parametrize(
    ("names", "every", "stride"),
    [(["step"], 1, 1), (["prefill"], 1, 1), (["step", "reset"], 1, 1), (["step"], 7, 4)],
    ids=["step", "prefill", "reset", "within a launch"],
)
def test_out_of_memory_halves_the_slots_and_goes_on(model, decoder, monkeypatch, names, every, stride):
    texts = prompts(7, seed=6, longest=20)
    slots = Slots(decoder, 8, 8192, 1024)
    for name in names:
        break_above(2, monkeypatch, slots, name, every)
    scheduler = Scheduler(slots, END)
    scheduler._stride = stride
    answers = run(scheduler, [make_job(decoder, key, text, 30) for key, text in enumerate(texts)])
    for key, text in enumerate(texts):
        assert list(answers[key].tokens) == generated(model, text, 30), key
    # Too large a prefill is done in parts; too large a step wants fewer slots.
    assert slots.count == 8 if names == ["prefill"] else slots.count <= 2
    assert slots.tokens >= 1024


@pytest.mark.parametrize("where", ["step", "prefill"])
def test_what_ran_out_of_memory_is_free_before_new_slots_are_made(model, decoder, monkeypatch, where):
    """A device that holds one pool: the frames of the failure must not keep the old one."""
    alive = weakref.WeakSet()

    class Pool(cache.KVCache):
        def __init__(self, *given):
            gc.collect()
            if len(alive):
                raise torch.OutOfMemoryError("CUDA out of memory")
            super().__init__(*given)
            alive.add(self)

    whole, failed = decoder.logits, []

    def logits(states):
        if states.dim() == 2 and len(states) > 2 - (where == "prefill") and len(failed) < 3:
            failed.append(where)
            raise RuntimeError("cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED")
        return whole(states)

    monkeypatch.setattr(slots_module, "KVCache", Pool)
    monkeypatch.setattr(decoder, "logits", logits)
    slots = Slots(decoder, 8, 8192, 1024)
    texts = prompts(5, seed=6, longest=20)
    answers = run(Scheduler(slots, END), [make_job(decoder, key, text, 12) for key, text in enumerate(texts)])
    for key, text in enumerate(texts):
        assert list(answers[key].tokens) == generated(model, text, 12), key
    assert failed


def test_a_long_prompt_is_not_passed_over_for_ever(decoder):
    scheduler = make(decoder, 8, tokens=4096, limit=4096)
    scheduler._typical = 200.0
    short = [make_job(decoder, key, torch.arange(20, 320) % 280 + 15, 40) for key in range(1, 60)]
    waiting = [*short[:12], make_job(decoder, 0, torch.arange(0, 1700) % 280 + 15, 40), *short[12:]]
    ended = []
    while 0 not in ended:
        admitted, waiting = waiting[: scheduler.free], waiting[scheduler.free :]
        scheduler.admit(admitted)
        ended += [answer.key for answer in scheduler.advance()]
        waiting = scheduler.take_returned() + waiting
        assert len(ended) < 40


def test_what_is_not_finite_does_not_spread_through_a_kernel_that_reads_whole_tiles(model, decoder):
    """As FlashAttention 3 does: it weighs what lies behind a row's last token by 0, and 0 times NaN is NaN."""

    def tiled(q, keys, values, numbers, starts, used, most):
        rows = []
        for row, (start, count) in enumerate(zip(starts.tolist(), used.tolist(), strict=False)):
            tile = slice(start, start + -(-count // 128) * 128)
            group = q.shape[1] // keys.shape[1]
            k, v = (each[tile].repeat_interleave(group, 1).transpose(0, 1) for each in (keys, values))
            scores = (k @ q[row, :, :, None])[..., 0] / q.shape[2] ** 0.5
            scores[:, count:] = -torch.inf
            rows.append((scores.softmax(-1)[:, None] @ v)[:, 0])
        return torch.stack(rows)

    slots = Slots(decoder, 1, 1024, 1024, attention=RowAttention("tiled", tiled), capture=False, ask_host=True)
    slots._cache._pool.zero_()
    scheduler = Scheduler(slots, END)
    texts = prompts(2, seed=9)
    broken = replace(make_job(decoder, 0, texts[0], 20), prompt=decoder.embed(texts[0]) * torch.nan)
    assert run(scheduler, [broken])[0].error == NOT_FINITE
    assert list(run(scheduler, [make_job(decoder, 1, texts[1], 20)])[1].tokens) == generated(model, texts[1], 20)


def test_gaps_are_closed_only_if_they_make_room_together(decoder, monkeypatch):
    slots = Slots(decoder, 4, 2048, 1024)
    scheduler, closed = Scheduler(slots, END), []
    close = slots.compact
    monkeypatch.setattr(slots, "compact", lambda: (closed.append(1), close()))
    for row, size in enumerate((512, 256, 512, 512)):
        assert slots.allocate(row, size)
    assert not scheduler._allocate(0, 1024)
    assert not closed
    slots.release(1)
    assert scheduler._allocate(2, 512)
    assert not closed
    assert slots.extents.free == 2048 - 3 * 512
    slots.release(3)
    slots.allocate(1, 256)
    slots.allocate(3, 512)
    slots.release(1)
    assert scheduler._allocate(1, 512) == bool(closed)


def test_with_one_slot_left_and_no_memory_the_page_fails_and_the_next_is_tried(decoder, monkeypatch):
    slots = Slots(decoder, 2, 4096, 1024)
    prefill = slots.prefill

    def fail(rows, given, rules):
        if any(len(prompt) > 10 for prompt in given):
            raise torch.OutOfMemoryError("CUDA out of memory")
        prefill(rows, given, rules)

    monkeypatch.setattr(slots, "prefill", fail)
    short, long = torch.arange(20, 25), torch.arange(20, 60)
    scheduler = Scheduler(slots, END)
    answers = run(scheduler, [make_job(decoder, 0, long, 5), make_job(decoder, 1, short, 5)])
    assert (answers[0].stop, answers[0].error) == ("error", NO_MEMORY)
    assert answers[1].stop == "length"


def test_no_memory_for_a_single_slot_is_an_engine_error(decoder, monkeypatch):
    slots = Slots(decoder, 4, 2048, 1024)

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(slots, "step", fail)
    monkeypatch.setattr(slots, "reset", fail)
    with pytest.raises(EngineError, match="no memory for one page of 1,024 tokens"):
        run(Scheduler(slots, END), [make_job(decoder, 0, torch.arange(20, 30), 100)])


def test_scores_that_are_not_finite_end_the_page_with_an_error_and_spare_the_others(model, decoder):
    texts = prompts(3, seed=9)
    jobs = [make_job(decoder, key, text, 20) for key, text in enumerate(texts)]
    jobs[1] = replace(jobs[1], prompt=jobs[1].prompt * torch.nan)
    answers = run(make(decoder, 3), jobs)
    assert (answers[1].stop, answers[1].error) == ("error", NOT_FINITE)
    for key in (0, 2):
        assert list(answers[key].tokens) == generated(model, texts[key], 20)
    # The slot that held NaN serves the next page well.
    scheduler = make(decoder, 1)
    assert run(scheduler, [jobs[1]])[1].stop == "error"
    assert list(run(scheduler, [jobs[2]])[2].tokens) == generated(model, texts[2], 20)


def test_several_steps_between_two_looks_give_the_same_answers(model, decoder):
    texts = prompts(7, seed=10)
    scheduler = make(decoder, 3)
    scheduler._stride = 8
    answers = run(scheduler, [make_job(decoder, key, text, 10 + 7 * key) for key, text in enumerate(texts)])
    for key, text in enumerate(texts):
        assert list(answers[key].tokens) == generated(model, text, 10 + 7 * key)


def test_clearing_leaves_empty_slots(decoder):
    scheduler = make(decoder, 3)
    scheduler.admit([make_job(decoder, key, text, 50) for key, text in enumerate(prompts(3))])
    scheduler.advance()
    scheduler.clear()
    assert (scheduler.active, scheduler.free) == (0, 3)
    assert scheduler.advance() == []


def test_prompts_are_prefilled_in_batches_that_fit(model, decoder, monkeypatch):
    monkeypatch.setattr(scheduling, "MOST_PREFILLED", 100)
    slots = Slots(decoder, 8, 4096, 1024)
    prefill, sizes = slots.prefill, []

    def watch(rows, given, rules):
        sizes.append([len(prompt) for prompt in given])
        prefill(rows, given, rules)

    monkeypatch.setattr(slots, "prefill", watch)
    texts = [torch.arange(20, 20 + length) for length in (90, 10, 30, 12, 150, 25, 8)]
    jobs = [make_job(decoder, key, text, 6) for key, text in enumerate(texts)]
    answers = run(Scheduler(slots, END), jobs)
    assert all(len(batch) * max(batch) <= 100 or len(batch) == 1 for batch in sizes)
    assert sum(map(len, sizes)) == 7
    assert len(sizes) < 7
    for key, text in enumerate(texts):
        assert list(answers[key].tokens) == generated(model, text, 6)


@pytest.mark.parametrize("period", [1, 2, 7, 60, 100, 256])
def test_an_answer_that_goes_round_in_circles_is_seen_as_such(period):
    once = [300 * step + 7 for step in range(period)]
    assert endless.is_endless([5, 6, 7] + once * (1024 // period + 1))
    assert not endless.is_endless(once * (1000 // period))  # not long enough yet
    spoilt = once * (1024 // period + 1)
    spoilt[-500] = -3
    assert not endless.is_endless(spoilt)


def test_true_answers_are_not_taken_for_circles():
    draw = random.Random(0)
    rows = [token for row in range(200) for token in (9, 11, 10, 9, 100 + row, 10)]  # a table whose first cells agree
    assert not endless.is_endless([draw.randrange(300) for _ in range(3000)])
    assert not endless.is_endless(rows)
    assert not endless.is_endless([1, 2] * 200 + [3] + [1, 2] * 400)
    assert not endless.is_endless([256, 65536, 1 << 40] * 500 + [0])


def test_a_sequence_that_goes_round_in_circles_leaves_its_slot(decoder, monkeypatch):
    monkeypatch.setattr(endless, "RUN", 40)
    monkeypatch.setattr(endless, "LOOK_EVERY", 8)
    slots = Slots(decoder, 2, 4096, 1024)
    monkeypatch.setattr(slots, "newest", lambda rows, count: torch.arange(50, 50 + rows)[:, None].repeat(1, count))
    jobs = [make_job(decoder, key, text, 500, ignore_end=key == 1) for key, text in enumerate(prompts(2))]
    answers = run(Scheduler(slots, END), jobs)
    assert (answers[0].stop, len(answers[0].tokens)) == ("length", 40)
    assert len(answers[1].tokens) == 500  # a benchmark, which wants it so

"""The whole engine on the CPU against transformers' own `generate`, page by page, in float32."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from checkpoints import small_model, write_tokenizer  # noqa: E402
from test_flow import Book, Line  # noqa: E402

from ocrpress.document import Decoding, PageImage, Request  # noqa: E402
from ocrpress.engines.base import EngineOptions  # noqa: E402
from ocrpress.engines.cards import load_card  # noqa: E402
from ocrpress.engines.deepseek import engine as engine_module  # noqa: E402
from ocrpress.engines.deepseek import open_deepseek  # noqa: E402
from ocrpress.engines.deepseek.clock import Timing  # noqa: E402
from ocrpress.engines.deepseek.device import choose_dtype, find_device  # noqa: E402
from ocrpress.engines.deepseek.engine import DeepseekEngine  # noqa: E402
from ocrpress.engines.deepseek.feeder import Feeder  # noqa: E402
from ocrpress.engines.deepseek.tokenizer import Tokenizer  # noqa: E402
from ocrpress.engines.deepseek.vision import pixel_views  # noqa: E402
from ocrpress.errors import EngineError, OcrpressError, UsageError  # noqa: E402
from ocrpress.measure.random_weights import NoiseTokenizer  # noqa: E402
from ocrpress.modes import plan  # noqa: E402
from ocrpress.pipeline import Options  # noqa: E402
from ocrpress.views import make_views  # noqa: E402

SIZES = {"tiny": (300, 400), "small": (400, 300), "base": (500, 700), "gundam": (700, 500), "large": (600, 800)}


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)  # of so small products, two threads make no haste
    return small_model()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder / "tokenizer.json", 300)
    return Tokenizer(folder)


@pytest.fixture(scope="module")
def card():
    card = load_card("deepseek-ocr")
    return replace(card, generation=replace(card.generation, ngram=3, window=20, exempt=(9, 10)))


def page(seed: int, mode: str) -> PageImage:
    width, height = SIZES[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PageImage(seed, Image.fromarray(pixels), width, height)


def alone(model, tokenizer, card, request: Request) -> list[int]:
    """What transformers generates for this page by itself, with the published n-gram rule as a logits processor."""
    image = request.page.image
    made = plan(image.width, image.height, request.mode, request.max_tiles)
    views = pixel_views(make_views(image, made), pin=False)
    settings = {}
    if views.tiles is not None:
        settings = {
            "pixel_values_local": normalised(views.tiles), "num_local_patches": [len(views.tiles)],
            "patches_grid": [list(made.grid)],
        }  # fmt: skip
    opening = tokenizer.encode(card.before_image) if card.before_image else [tokenizer.bos]
    question = tokenizer.encode(card.prompt(request.task) + card.after_prompt)
    ids = [*opening, *[tokenizer.image] * made.sequence_tokens, *question]
    rule = NgramRule(len(ids), card.generation)
    with torch.no_grad():
        output = model.generate(
            input_ids=torch.tensor([ids]), pixel_values=normalised(views.overview[None]), **settings,
            max_new_tokens=request.decoding.max_tokens, do_sample=False, logits_processor=[rule],
            eos_token_id=None if request.decoding.ignore_end else tokenizer.end, pad_token_id=2,
        )  # fmt: skip
    tokens = output[0, len(ids) :].tolist()
    ended = tokenizer.end in tokens and not request.decoding.ignore_end
    return tokens[: tokens.index(tokenizer.end)] if ended else tokens


def normalised(views):
    return views.permute(0, 3, 1, 2).float() / 127.5 - 1


class NgramRule:
    """The published rule over generated tokens, written plainly."""

    def __init__(self, prompt: int, generation) -> None:
        self.prompt, self.rule = prompt, generation

    def __call__(self, ids, scores):
        n, window, made = self.rule.ngram, self.rule.window, ids[0, self.prompt :].tolist()
        for start in range(max(0, len(made) - window), len(made) - n + 1):
            if made[start : start + n - 1] == made[len(made) - n + 1 :]:
                token = made[start + n - 1]
                if token not in self.rule.exempt:
                    scores[0, token] = -torch.inf
        return scores


@pytest.fixture(scope="module")
def mixed(model, tokenizer, card):
    """24 requests of mixed modes, tasks and lengths, and what `generate` makes of each alone."""
    draw = random.Random(3)
    modes = ["tiny"] * 10 + ["small"] * 7 + ["base"] * 3 + ["gundam"] * 3 + ["large"]
    draw.shuffle(modes)
    tasks = ["markdown", "text", "locate=the total"]
    requests = [
        Request(
            index, page(index, mode), mode, tasks[index % 3], max_tiles=4,
            decoding=Decoding(max_tokens=draw.choice([1, 2, 7, 20, 40]), ignore_end=index % 4 == 0),
        )
        for index, mode in enumerate(modes)
    ]  # fmt: skip
    return requests, {request.key: alone(model, tokenizer, card, request) for request in requests}


def test_a_card_may_open_and_close_the_prompt_otherwise(model, tokenizer, card):
    other = replace(card, before_image="<|User|>:\n", after_prompt="\n<|Assistant|>:\n")
    request = Request(0, page(5, "tiny"), "tiny", decoding=Decoding(max_tokens=20, ignore_end=True))
    engine = DeepseekEngine(model, tokenizer, other, slots=1)
    try:
        (answer,) = engine.read([request])
    finally:
        engine.close()
    assert answer.text == tokenizer.decode(alone(model, tokenizer, other, request))


def check(tokenizer, mixed, answers: list) -> None:
    requests, expected = mixed
    found = {completion.key: completion for completion in answers}
    assert len(answers) == len(found)
    assert set(found) == set(expected)
    for request in requests:
        answer = found[request.key]
        assert answer.text == tokenizer.decode(expected[request.key]), request
        assert answer.output_tokens == len(expected[request.key])
        full = len(expected[request.key]) == request.decoding.max_tokens
        assert answer.stop == ("length" if full else "end")
        assert answer.form == "markup"
        assert answer.plan.mode == request.mode
        assert set(answer.seconds) == {"views", "encode", "prefill", "decode"}


def test_24_pages_of_mixed_modes_and_lengths_in_5_slots_equal_generate_on_each_alone(model, tokenizer, card, mixed):
    engine = DeepseekEngine(model, tokenizer, card, slots=5)
    check(tokenizer, mixed, list(engine.read(mixed[0])))
    assert engine.scheduler.tally.tokens == sum(map(len, mixed[1].values()))


@pytest.mark.parametrize("slots", [5, 16])
def test_the_same_pages_in_the_order_and_strides_of_a_gpu(model, tokenizer, card, mixed, monkeypatch, slots):
    """What the engine does otherwise on CUDA, kernels apart: chunks, looks, rows, and an encoder that lags."""

    class Stream:
        def wait_stream(self, other):
            waits.append(other)

    class Beside(contextlib.nullcontext):
        def __init__(self, stream):
            super().__init__(stream)

    waits, lag = [], itertools.count()
    monkeypatch.setattr(torch.cuda, "stream", Beside)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: Stream())
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda *_: None)
    monkeypatch.setattr(Timing, "over", property(lambda _: next(lag) % 3 == 2))
    engine = DeepseekEngine(model, tokenizer, card, slots=slots)
    engine._on_gpu, engine._threaded, engine._chunk, engine._stream = True, True, 4, Stream()
    engine.scheduler._on_gpu, engine.scheduler._stride, engine.scheduler._late = True, 8, 1
    monkeypatch.setattr(engine_module, "Feeder", lambda requests, room, pin, device: Feeder(requests, room, pin=False))
    check(tokenizer, mixed, list(engine.read(mixed[0])))
    assert waits
    assert engine.scheduler.tally.slot_steps >= engine.scheduler.tally.active_steps


@pytest.fixture(scope="module")
def small():
    return small_model(context=400)


def small_engine(small, slots: int = 3) -> DeepseekEngine:
    return DeepseekEngine(small, NoiseTokenizer(300), load_card("deepseek-ocr"), slots)


def ask(key: int, tokens: int = 8, mode: str = "tiny", size: tuple[int, int] = (80, 100)) -> Request:
    image = Image.effect_noise(size, 60).convert("RGB")
    return Request(key, PageImage(key, image, *size), mode, decoding=Decoding(max_tokens=tokens, ignore_end=True))


def test_pages_that_cannot_be_read_are_errors_of_their_own(small):
    requests = [
        ask(0), ask(1, mode="large"), ask(2, mode="native"), replace(ask(3), task="locate=a=b"), ask(4, tokens=10_000),
        replace(ask(5), task="locate"),
    ]  # fmt: skip
    answers = {answer.key: answer for answer in small_engine(small).read(requests)}
    assert [answers[key].stop for key in range(6)] == ["length", "error", "error", "length", "length", "error"]
    assert "the model's context holds 400" in answers[1].error
    assert "native" in answers[2].error
    assert "locate=WHAT" in answers[5].error
    assert answers[4].output_tokens > 300  # prompt and answer together fill the context


def test_a_model_that_gives_nan_fails_its_pages_not_the_run():
    model = small_model(context=400)
    model.model.image_newline.data.fill_(torch.nan)
    answers = list(small_engine(model).read([ask(key) for key in range(4)]))
    assert sorted(answer.key for answer in answers) == [0, 1, 2, 3]
    assert all(answer.stop == "error" and "not finite" in answer.error for answer in answers)


def test_answers_come_while_requests_are_still_being_made(small):
    engine = small_engine(small)
    made = []

    def requests():
        for key in range(60):
            made.append(key)
            yield ask(key, tokens=1 + key % 5)

    answered = 0
    for answer in engine.read(requests()):
        answered += 1
        assert len(made) <= answered + engine.capabilities.in_flight
        assert answer.key in made
    assert answered == 60


def test_an_error_of_the_source_comes_after_what_was_under_way(small):
    def requests():
        yield from (ask(key) for key in range(7))
        raise OSError("the disk went away")

    answers = []
    with pytest.raises(OSError, match="went away"):
        answers.extend(answer.key for answer in small_engine(small).read(requests()))
    assert sorted(answers) == list(range(7))


@pytest.mark.parametrize("threaded", [False, True])
def test_an_abandoned_reading_leaves_an_engine_that_reads_the_next(small, threaded):
    engine = small_engine(small)
    engine._threaded = threaded
    reading = engine.read(ask(key, tokens=50) for key in range(100))
    next(reading)
    reading.close()
    assert engine.scheduler.active == 0
    assert sorted(answer.key for answer in engine.read([ask(200), ask(201)])) == [200, 201]
    names = [thread.name for thread in threading.enumerate()]
    deadline = time.monotonic() + 5
    while any(name.startswith("ocrpress-") for name in names) and time.monotonic() < deadline:
        names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("ocrpress-") for name in names)
    engine.close()
    engine.close()


@pytest.mark.parametrize("slots", [1, 2])
def test_a_page_without_memory_is_not_kept_back_until_another_comes(small, monkeypatch, slots):
    engine, answered = small_engine(small, slots), threading.Event()
    engine._threaded = slots == 2
    step, calls = engine._slots.step, []

    def once(rows):
        calls.append(rows)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(rows)

    def requests():
        yield ask(0)
        assert answered.wait(60)
        yield ask(1)

    monkeypatch.setattr(engine._slots, "step", once)
    stops = []
    for answer in engine.read(requests()):
        stops.append(answer.stop)
        answered.set()
    assert stops == ["error" if slots == 1 else "length", "length"]


def test_an_error_that_breaks_the_device_reaches_the_caller(small, monkeypatch):
    """After it, every call of CUDA fails, those that empty the slots too."""
    engine = small_engine(small)
    engine._threaded = True

    def broken(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(engine.scheduler, "launch", broken)
    monkeypatch.setattr(engine.scheduler, "clear", broken)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        list(engine.read([ask(0)]))


def test_a_reading_given_up_within_a_long_step_is_left_at_once_and_the_next_waits_for_it(small, monkeypatch):
    monkeypatch.setattr(engine_module, "PATIENCE", 0.2)
    engine, answered, encoding, go_on = small_engine(small), threading.Event(), threading.Event(), threading.Event()
    whole = engine._encoder.encode

    def encode(pages):
        if pages[0].plan.mode == "small":
            encoding.set()
            assert go_on.wait(60)
        return whole(pages)

    def requests():
        yield ask(0)
        assert answered.wait(60)
        yield ask(1, mode="small")

    monkeypatch.setattr(engine._encoder, "encode", encode)
    engine._threaded = True
    first = engine.read(requests())
    assert next(first).key == 0
    answered.set()
    assert encoding.wait(60)
    first.close()
    engine.close()  # which must not take from the step what it works with
    go_on.set()
    assert [answer.key for answer in engine.read([ask(20)])] == [20]


def test_no_memory_to_encode_many_pages_encodes_fewer(small, monkeypatch):
    engine = small_engine(small, slots=4)
    whole, sizes = engine._encoder.encode, []

    def encode(pages):
        sizes.append(len(pages))
        if len(pages) > 1 or pages[0].plan.mode == "small":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pages)

    monkeypatch.setattr(engine._encoder, "encode", encode)
    requests = [ask(key, mode="small" if key == 2 else "tiny") for key in range(6)]
    answers = {answer.key: answer for answer in engine.read(requests)}
    assert {key for key, answer in answers.items() if answer.stop == "error"} == {2}
    assert "not enough memory" in answers[2].error
    assert len(answers) == 6
    assert max(sizes) > 1


def test_the_same_seed_draws_the_same_text_and_a_retry_another(small):
    def text(seed: int) -> str:
        wanted = Decoding(temperature=0.9, max_tokens=20, seed=seed, ignore_end=True)
        return next(small_engine(small).read([replace(ask_same(), decoding=wanted)])).text

    def ask_same() -> Request:
        return Request(0, PageImage(0, Image.new("RGB", (80, 100), "white"), 80, 100), "tiny")

    assert text(1) == text(1)
    assert text(1) != text(2)


@pytest.mark.parametrize("device", ["cuda:77", "tpu?", "mps", "cuda"])
def test_a_device_that_is_not_there_is_one_line(device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UsageError if device in ("tpu?", "mps") else EngineError, match="device"):
        find_device(device)


def test_the_processor_decides_the_arithmetic():
    assert choose_dtype(find_device("cpu")) in (torch.float32, torch.bfloat16)


def test_more_slots_than_memory_holds_are_one_line(small):
    with pytest.raises(EngineError, match="no room for 100000000000 slots"):
        small_engine(small, slots=10**11)


def test_no_slots_are_refused_before_anything_is_loaded():
    with pytest.raises(UsageError, match="0 slots"):
        open_deepseek(EngineOptions(slots=0))


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(OcrpressError, match="no_such"):
        open_deepseek(EngineOptions(checkpoint=str(tmp_path / "no_such"), device="cpu"))


def test_pages_are_answered_and_asked_for_again_though_no_other_ever_comes(model, tokenizer, card):
    """As in a service: the supply of pages has no end. What noise the model writes is cut off, so it is rejected."""
    engine = DeepseekEngine(model, tokenizer, card, slots=3)
    options = Options(mode="tiny", max_tokens=3, retries=2, fallback="none")
    with Line(engine) as line:
        for pattern in ("p", "pp", "pbp"):
            book = Book("a", pattern, options=options)
            assert line.read(book) == {n: "blank" if kind == "b" else "failed" for n, kind in enumerate(pattern, 1)}
            assert {len(page.attempts) for page in book.results.values() if page.status != "blank"} == {3}
    engine.close()


class Marked(NoiseTokenizer):
    """Says what it is told of a pass over several pages, and of a single page that it is one."""

    def __init__(self, said: str) -> None:
        super().__init__(300)
        self.said, self.many = said, 12

    def decode(self, ids) -> str:
        return self.said if len(ids) >= self.many else "<PAGE>alone"


def pages_engine(monkeypatch, said: str) -> DeepseekEngine:
    """Encodes only when three pages are at hand, as a GPU does with sixteen."""
    engine = DeepseekEngine(
        small_model("reference_sliding_attention", window=128), Marked(said), load_card("unlimited-ocr"), slots=4
    )
    take = Feeder.take

    def patient(feeder, most, wait):
        taken = list(take(feeder, most, wait))
        while wait and 0 < len(taken) < 3 and not feeder.exhausted:
            taken += take(feeder, 3 - len(taken), True)
        return iter(taken)

    monkeypatch.setattr(Feeder, "take", patient)
    return engine


def ask_pages(*numbers: int, attempt: int = 1, mode: str = "base") -> list[Request]:
    image = Image.new("RGB", (80, 100), "white")
    return [
        Request(100 + number, PageImage(number, image, 80, 100), mode, "pages", attempt=attempt,
                decoding=Decoding(max_tokens=9))
        for number in numbers
    ]  # fmt: skip


def end_after(monkeypatch, engine: DeepseekEngine, tokens: int) -> None:
    """The model's answers end by themselves, after so many tokens a page."""
    job = engine._job

    def ended(pages, prompt):
        return replace(job(pages, prompt), max_tokens=tokens * len(pages))

    finish = engine.scheduler._read

    def read(running, count, found):
        answer = finish(running, count, found)
        return replace(answer, stop="end") if answer else None

    monkeypatch.setattr(engine, "_job", ended)
    monkeypatch.setattr(engine.scheduler, "_read", read)


def test_pages_that_follow_one_another_are_read_in_one_pass_and_told_apart(monkeypatch):
    engine = pages_engine(monkeypatch, "<PAGE>one<PAGE>two<PAGE>")
    end_after(monkeypatch, engine, 6)
    found = {answer.key: answer for answer in engine.read(ask_pages(1, 2, 3, 8))}
    assert {key: answer.text for key, answer in found.items()} == {101: "one", 102: "two", 103: "", 108: "alone"}
    assert {answer.stop for answer in found.values()} == {"end"}
    assert engine.scheduler.tally.tokens == 4 * 6
    assert engine.scheduler.tally.prefilled == 2


def test_pages_of_different_documents_are_never_read_in_one_pass(monkeypatch):
    engine = pages_engine(monkeypatch, "<PAGE>one<PAGE>two<PAGE>three")
    end_after(monkeypatch, engine, 6)
    one, two, three = ask_pages(1, 2, 3)
    requests = [
        replace(one, document=(mine := object())),
        replace(two, document=object()),
        replace(three, document=mine),
    ]
    assert [answer.text for answer in engine.read(requests)] == ["alone"] * 3
    assert engine.scheduler.tally.prefilled == 3


@pytest.mark.parametrize("said", ["<PAGE>1<PAGE>2", "<PAGE>1<PAGE>2<PAGE>3<PAGE>4", "no mark at all"])
def test_a_pass_that_cannot_be_told_apart_is_read_again_page_by_page(monkeypatch, said):
    engine = pages_engine(monkeypatch, said)
    end_after(monkeypatch, engine, 6)
    found = list(engine.read(ask_pages(1, 2, 3)))
    assert sorted((answer.key, answer.text) for answer in found) == [(101, "alone"), (102, "alone"), (103, "alone")]


def test_a_pass_that_is_cut_off_is_read_again_page_by_page(monkeypatch):
    found = list(pages_engine(monkeypatch, "<PAGE>1<PAGE>2<PAGE>3").read(ask_pages(1, 2, 3)))
    assert sorted((answer.key, answer.text) for answer in found) == [(101, "alone"), (102, "alone"), (103, "alone")]


def test_pages_asked_for_again_are_read_alone_and_other_modes_are_refused(monkeypatch):
    engine = pages_engine(monkeypatch, "<PAGE>1<PAGE>2<PAGE>3")
    found = list(engine.read(ask_pages(1, 2, 3, attempt=2)))
    assert [answer.text for answer in found] == ["alone"] * 3
    assert "take --mode base" in next(engine.read(ask_pages(1, mode="gundam"))).error

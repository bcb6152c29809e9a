"""A fixed number of slots on the device: each holds one sequence, and one step gives every slot its next token.

All state lies in tensors whose addresses do not change, so that a step can be captured in a CUDA graph and replayed;
the host is not asked anything within a step. What sits in the slots, and when one is refilled, is the scheduler's
business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ocrpress.document import Decoding
from ocrpress.engines.deepseek.attention import RowAttention, choose_attention
from ocrpress.engines.deepseek.cache import GRANULE, Extents, KVCache, on_device
from ocrpress.engines.deepseek.decoder import Decoder
from ocrpress.engines.deepseek.graphs import Graphs
from ocrpress.engines.deepseek.ngram import ban_repeats, ban_repeats_here
from ocrpress.engines.deepseek.sampling import Drawing, choose

BROKEN = -1  # in place of a token: the model's scores were not finite
SCRATCH = -1  # in the place of a row: holds the first GRANULE tokens of the pool, where slots without a sequence write


@dataclass(frozen=True)
class Rule:
    """How a row chooses its tokens; every figure settled."""

    temperature: float = 0.0
    ngram: int = 0
    window: int = 0
    seed: int = 0


@dataclass(frozen=True)
class Variant:
    """What a step depends on that is not in a tensor; one CUDA graph is captured for each.

    Attributes:
        rows: the first so many slots take part.
        drawn: how many rows draw their token, rounded up to a power of two.
        lookback, longest: the largest window (rounded up to a power of two) and n of the rows' n-gram rules.
    """

    rows: int
    drawn: int
    lookback: int
    longest: int


@dataclass
class _State:
    """By slot: last token, tokens seen, those of them that are prompt, tokens generated, the rule, and the extent."""

    tokens: Tensor
    lengths: Tensor
    prompts: Tensor
    produced: Tensor
    temperatures: Tensor
    ngrams: Tensor
    windows: Tensor
    seeds: Tensor
    capacities: Tensor
    history: Tensor  # (slots, limit): what was generated, in order


def _new_state(slots: int, limit: int, device: torch.device) -> _State:
    def zeros(*more: int, dtype: torch.dtype = torch.long) -> Tensor:
        return torch.zeros((slots, *more), device=device, dtype=dtype)

    return _State(
        tokens=zeros(), lengths=zeros(), prompts=zeros(), produced=zeros(), temperatures=zeros(dtype=torch.float32),
        ngrams=zeros(), windows=zeros(), seeds=zeros(), capacities=zeros() + GRANULE, history=zeros(limit),
    )  # fmt: skip


@dataclass
class Slots:
    """The slots of one decoder.

    Args:
        count: how many sequences are decoded side by side.
        tokens: of the pool that their keys and values share.
        limit: longest sequence, prompt and answer together, in tokens; None: the decoder's context.
        exempt: token ids that the n-gram rule never bans.
        capture: hold steps in CUDA graphs where that can be done.
        attention: of a step; None takes the best that works here.
        ask_host: let a step ask for values where that makes it faster, which no graph can hold: for the n-gram rule.
            None: if the tensors are on the host.
    """

    decoder: Decoder
    count: int
    tokens: int
    limit: int | None = None
    exempt: Sequence[int] = ()
    capture: bool = True
    attention: RowAttention | None = None
    ask_host: bool | None = None
    extents: Extents = field(init=False)
    kernel: RowAttention = field(init=False)
    captured: bool = field(init=False)
    _rules: list[Rule] = field(init=False)
    _cache: KVCache = field(init=False)
    _state: _State = field(init=False)

    def __post_init__(self) -> None:
        device, sizes = self.decoder.device, self.decoder.sizes
        self._exempt = torch.zeros(sizes.vocabulary, dtype=torch.bool, device=device)
        self._exempt[[token for token in self.exempt if token < sizes.vocabulary]] = True
        self.ask_host = device.type == "cpu" if self.ask_host is None else self.ask_host
        shape = (sizes.heads, sizes.kv_heads, sizes.head_dim)
        self.kernel = self.attention or choose_attention(device, self.decoder.dtype, *shape)
        self.captured = self.capture and self.kernel.capturable and self.decoder.expert_path != "looped"
        self._graphs = Graphs(device, self.captured)
        self.reset(self.count, self.tokens)

    def reset(self, count: int, tokens: int) -> None:
        """So many empty slots and a pool of so many tokens; what was there is gone, and its memory is free first."""
        device, dtype = self.decoder.device, self.decoder.dtype
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self._graphs.clear()
        self.__dict__.pop("_cache", None)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        self._cache = KVCache(self.decoder.sizes, tokens + GRANULE, count, device, dtype, self.kernel)
        self._state = _new_state(count, self.limit or self.decoder.sizes.context, device)
        self._starts = torch.zeros(count + 1, device=device, dtype=torch.int32)
        self._drawing = torch.zeros(count, device=device, dtype=torch.long)
        self._drawn: list[int] = []
        self._rules = [Rule()] * count
        self.extents = Extents(tokens + GRANULE)
        self.extents.take(SCRATCH, GRANULE)
        self.count, self.tokens = count, tokens

    def allocate(self, row: int, size: int) -> bool:
        """An extent of so many tokens for a row, what it holds included; False if there is no gap so large."""
        start, held = self.extents.get(row)
        if not self.extents.take(row, size):
            return False
        target, _ = self.extents.get(row)
        if held and target != start:
            self._cache.copy(start, target, min(held, size))
        self._put(row, target, size)
        return True

    def compact(self) -> None:
        """Move all extents together, so that what is free is in one piece."""
        for row, start, target, size in self.extents.compact():
            self._cache.copy(start, target, size)
            self._put(row, target, size)

    def _put(self, row: int, start: int, size: int) -> None:
        self._starts[row] = start
        self._state.capacities[row] = size

    @torch.inference_mode()
    def prefill(self, rows: Sequence[int], prompts: Sequence[Tensor], rules: Sequence[Rule]) -> None:
        """Put sequences into rows and choose the first token of each.

        Args:
            rows: free slots that have room for the prompt and a token more.
            prompts: embeddings, each (tokens, hidden).
            rules: how each row chooses.
        """
        device, state = self.decoder.device, self._state
        counts = [len(prompt) for prompt in prompts]
        figures = [[rule.ngram, rule.window, rule.seed] for rule in rules]
        index, lengths, *settings = on_device([rows, counts, *zip(*figures, strict=True)], device)
        x = torch.zeros(len(rows), max(counts), self.decoder.sizes.hidden, device=device, dtype=self.decoder.dtype)
        for row, prompt in enumerate(prompts):
            x[row, : len(prompt)] = prompt
        attend = self._cache.prefill([self.extents.get(row)[0] for row in rows], counts)
        states = self.decoder.forward(x, torch.arange(max(counts), device=device)[None], attend)
        logits = self.decoder.logits(states[torch.arange(len(rows), device=device), lengths - 1])
        for row, rule in zip(rows, rules, strict=True):
            self._rules[row] = rule
        temperatures = on_device([rule.temperature for rule in rules], device, torch.float32)
        state.temperatures[index] = temperatures
        state.ngrams[index], state.windows[index], state.seeds[index] = settings
        state.lengths[index] = lengths
        state.prompts[index] = lengths
        drawing = None
        if drawn := [place for place, rule in enumerate(rules) if rule.temperature > 0]:
            which = on_device(drawn, device)
            drawing = Drawing(which, temperatures[which], settings[2][which], lengths[which])
        chosen = _finite(*choose(logits, drawing))
        state.tokens[index] = chosen.clamp(min=0)
        state.history[index, 0] = chosen
        state.produced[index] = 1

    @torch.inference_mode()
    def step(self, rows: int) -> None:
        """One more token for each of the first `rows` slots; free ones among them decode noise that nobody reads."""
        rules = self._rules[:rows]
        window = max(rule.window if rule.ngram else 0 for rule in rules)
        # Rounded up, so that graphs stay few, whatever windows callers ask for.
        lookback = min(1 << (window - 1).bit_length(), self._state.history.shape[1]) if window else 0
        drawn = self._draw_rows([row for row, rule in enumerate(rules) if rule.temperature > 0])
        variant = Variant(rows, drawn, lookback, max(rule.ngram for rule in rules))
        self._graphs.run(variant, lambda: self._step(variant))

    def _draw_rows(self, rows: list[int]) -> int:
        """Note which rows draw; how many of the noted count, a power of two: some stand there twice."""
        if not rows:
            return 0
        count = min(self.count, 1 << (len(rows) - 1).bit_length())
        if rows != self._drawn:
            self._drawing[:count] = on_device((rows * 2)[:count], self.decoder.device)
            self._drawn = rows
        return count

    def move(self, source: int, target: int) -> None:
        """Carry a sequence over to a free slot. Its keys and values stay where they are."""
        start, size = self.extents.get(source)
        self.extents.rename(source, target)
        for tensor in vars(self._state).values():
            tensor[target] = tensor[source]
        self._put(target, start, size)
        self._rules[target] = self._rules[source]
        self.release(source)

    def release(self, row: int) -> None:
        """The row is free: its rule no longer makes a step dearer, and it has no extent."""
        self.extents.release(row)
        self._rules[row] = Rule()
        self._put(row, 0, GRANULE)
        self._state.lengths[row] = 0
        self._state.prompts[row] = 0
        self._state.ngrams[row] = 0

    def wipe(self, row: int) -> None:
        """Clear what a row holds, where it is not finite: a kernel may read past the end of the extent before it."""
        self._cache.wipe(*self.extents.get(row))

    def newest(self, rows: int, count: int) -> Tensor:
        """The last `count` tokens that each of the first rows chose, oldest first, on the device; BROKEN among them."""
        return _newest(self._state.history[:rows], self._state.produced[:rows], count, BROKEN)

    def _without_repeats(self, logits: Tensor, variant: Variant) -> Tensor:
        rows, state = variant.rows, self._state
        if self.ask_host:
            said = zip(state.history.numpy(), state.produced[:rows].tolist(), self._rules, strict=False)
            recent = [tokens[max(0, count - rule.window) : count] for tokens, count, rule in said]
            ban_repeats_here(logits, recent, [rule.ngram for rule in self._rules[:rows]], self._exempt)
            return logits
        return ban_repeats(
            logits, _newest(state.history[:rows], state.produced[:rows], variant.lookback, -1), state.ngrams[:rows],
            state.windows[:rows], self._exempt, variant.longest,
        )  # fmt: skip

    def _step(self, variant: Variant) -> None:
        rows, state = variant.rows, self._state
        lengths, produced, history = state.lengths[:rows], state.produced[:rows], state.history[:rows]
        attend = self._cache.decode(self._starts[: rows + 1], state.capacities[:rows], lengths, state.prompts[:rows])
        x = self.decoder.embed(state.tokens[:rows, None])
        logits = self.decoder.logits(self.decoder.forward(x, lengths[:, None], attend, step=True)[:, 0])
        if variant.longest:
            logits = self._without_repeats(logits, variant)
        drawing = None
        if variant.drawn:
            drawn = self._drawing[: variant.drawn]
            # A token's place in the sequence, not in the answer: the draw is that of `prefill` continued.
            drawing = Drawing(drawn, state.temperatures[drawn], state.seeds[drawn], lengths[drawn] + 1)
        chosen = _finite(*choose(logits, drawing))
        history.scatter_(1, produced[:, None], chosen[:, None])
        state.tokens[:rows] = chosen.clamp(min=0)
        # Rows that are done or free run on until the host looks: they must stay inside the buffers.
        last = history.shape[1] - 1
        produced.add_(1).clamp_(max=last)
        lengths.add_(1).clamp_(max=last)


def _finite(chosen: Tensor, highest: Tensor) -> Tensor:
    """The next tokens; BROKEN where the scores hold NaN or nothing finite."""
    return torch.where(highest - highest == 0, chosen, BROKEN)  # what is not finite gives NaN


def _newest(history: Tensor, produced: Tensor, count: int, missing: int) -> Tensor:
    """The last `count` entries of each row's history (rows, limit), right-aligned; `missing` before the first."""
    columns = produced[:, None] - count
    if count > 1:
        columns = columns + torch.arange(count, device=history.device)
    return torch.where(columns >= 0, history.gather(1, columns.clamp(min=0)), missing)


def settle(decoding: Decoding, ngram: int, window: int) -> Rule:
    """A page's Decoding with the checkpoint's own figures where it has none."""
    n = ngram if decoding.ngram is None else decoding.ngram
    return Rule(decoding.temperature, n, window if decoding.window is None else decoding.window, decoding.seed)

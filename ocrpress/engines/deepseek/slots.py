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
from ocrpress.engines.deepseek.cache import KVCache
from ocrpress.engines.deepseek.decoder import Decoder
from ocrpress.engines.deepseek.flash import find_flash
from ocrpress.engines.deepseek.graphs import Graphs
from ocrpress.engines.deepseek.ngram import ban_repeats, ban_repeats_here
from ocrpress.engines.deepseek.sampling import choose

BROKEN = -1  # in place of a token: the model's scores were not finite


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
        bucket: upper bound of the rows' lengths, the new token included.
        draws: whether any row has a temperature.
        lookback, longest: the largest window and n of the rows' n-gram rules.
    """

    rows: int
    bucket: int
    draws: bool
    lookback: int
    longest: int


@dataclass
class _State:
    """By slot: last token, tokens in the cache, those of them that are prompt, tokens generated, and the rule."""

    tokens: Tensor
    lengths: Tensor
    prompts: Tensor
    produced: Tensor
    temperatures: Tensor
    ngrams: Tensor
    windows: Tensor
    seeds: Tensor
    history: Tensor  # (slots, capacity): what was generated, in order


def _new_state(slots: int, capacity: int, device: torch.device) -> _State:
    def zeros(*more: int, dtype: torch.dtype = torch.long) -> Tensor:
        return torch.zeros((slots, *more), device=device, dtype=dtype)

    return _State(
        zeros(), zeros(), zeros(), zeros(), zeros(dtype=torch.float32), zeros(), zeros(), zeros(), zeros(capacity)
    )


@dataclass
class Slots:
    """The slots of one decoder.

    Args:
        count: how many sequences are decoded side by side.
        capacity: longest sequence, prompt and answer together, in tokens; at most the decoder's context.
        exempt: token ids that the n-gram rule never bans.
        capture: hold steps in CUDA graphs where that can be done.
        ask_host: let a step ask for values where that makes it faster, which no graph can hold: for the n-gram rule,
            and the length of a lone row. None: if the tensors are on the host.
    """

    decoder: Decoder
    count: int
    capacity: int
    exempt: Sequence[int] = ()
    capture: bool = True
    ask_host: bool | None = None
    _rules: list[Rule] = field(init=False)
    _cache: KVCache = field(init=False)
    _state: _State = field(init=False)

    def __post_init__(self) -> None:
        device, sizes = self.decoder.device, self.decoder.sizes
        self._exempt = torch.zeros(sizes.vocabulary, dtype=torch.bool, device=device)
        self._exempt[[token for token in self.exempt if token < sizes.vocabulary]] = True
        self.ask_host = device.type == "cpu" if self.ask_host is None else self.ask_host
        self._graphs = Graphs(device, self.capture and self.decoder.capturable)
        self.reset(self.count, self.capacity)

    def reset(self, count: int, capacity: int) -> None:
        """So many empty slots of that capacity; whatever was in them is gone, and its memory is free first."""
        device, dtype = self.decoder.device, self.decoder.dtype
        self._graphs.clear()
        self.__dict__.pop("_cache", None)
        self._cache = KVCache(self.decoder.sizes, count, capacity, device, dtype, find_flash(device, dtype))
        self._state = _new_state(count, capacity, device)
        self._rules = [Rule()] * count
        self.count, self.capacity = count, capacity

    def resize(self, rows: Sequence[int], count: int, capacity: int) -> None:
        """Keep these rows, in this order, as the first of `count` slots of another capacity."""
        self._graphs.clear()
        self._cache.resize(rows, count, capacity)
        old, new = self._state, _new_state(count, capacity, self.decoder.device)
        index = torch.tensor(rows, dtype=torch.long, device=self.decoder.device)
        for name, tensor in vars(new).items():
            kept = getattr(old, name)[index]
            if tensor.dim() == 2:
                tensor[: len(rows), : kept.shape[1]] = kept[:, :capacity]
            else:
                tensor[: len(rows)] = kept
        self._state = new
        self._rules = [*(self._rules[row] for row in rows), *[Rule()] * (count - len(rows))]
        self.count, self.capacity = count, capacity

    @torch.inference_mode()
    def prefill(self, rows: Sequence[int], prompts: Sequence[Tensor], rules: Sequence[Rule]) -> None:
        """Put sequences into rows and choose the first token of each.

        Args:
            rows: free slots.
            prompts: embeddings, each (tokens, hidden), tokens below the capacity.
            rules: how each row chooses.
        """
        device, state = self.decoder.device, self._state
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        longest = max(len(prompt) for prompt in prompts)
        x = torch.zeros(len(rows), longest, self.decoder.sizes.hidden, device=device, dtype=self.decoder.dtype)
        for row, prompt in enumerate(prompts):
            x[row, : len(prompt)] = prompt
        index = torch.tensor(rows, device=device)
        states = self.decoder.forward(
            x, torch.arange(longest, device=device)[None], self._cache.prefill(index, longest)
        )
        logits = self.decoder.logits(states[torch.arange(len(rows), device=device), lengths - 1])
        for row, rule in zip(rows, rules, strict=True):
            self._rules[row] = rule
        state.temperatures[index] = torch.tensor([rule.temperature for rule in rules], device=device)
        state.ngrams[index] = torch.tensor([rule.ngram for rule in rules], device=device)
        state.windows[index] = torch.tensor([rule.window for rule in rules], device=device)
        state.seeds[index] = torch.tensor([rule.seed for rule in rules], device=device)
        state.lengths[index] = lengths
        state.prompts[index] = lengths
        draws = any(rule.temperature > 0 for rule in rules)
        chosen = _choose(logits, state.temperatures[index] if draws else None, state.seeds[index], lengths)
        state.tokens[index] = chosen.clamp(min=0)
        state.history[index, 0] = chosen
        state.produced[index] = 1

    @torch.inference_mode()
    def step(self, rows: int, longest: int) -> None:
        """One more token for each of the first `rows` slots; free ones among them decode noise that nobody reads.

        Args:
            rows: 1 or more.
            longest: the most tokens that any row in use holds.
        """
        bucket = self._cache.bucket(longest + 1)
        rules = self._rules[:rows]
        variant = Variant(
            rows, bucket, any(rule.temperature > 0 for rule in rules),
            max(rule.window if rule.ngram else 0 for rule in rules), max(rule.ngram for rule in rules),
        )  # fmt: skip
        self._graphs.run(variant, lambda: self._step(variant))

    def move(self, source: int, target: int) -> None:
        """Carry a sequence over to a free slot."""
        self._cache.copy_row(source, target)
        for tensor in vars(self._state).values():
            tensor[target] = tensor[source]
        self._rules[target] = self._rules[source]
        self.release(source)

    def wipe(self, row: int) -> None:
        """Clear what a row holds, where it is not finite."""
        self._cache.wipe(row)

    def release(self, row: int) -> None:
        """The row is free: its rule no longer makes a step dearer, and it is empty."""
        self._rules[row] = Rule()
        self._state.lengths[row] = 0
        self._state.temperatures[row] = 0
        self._state.ngrams[row] = 0

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
        attend = self._cache.decode(lengths, state.prompts[:rows], variant.bucket, rows == 1 and bool(self.ask_host))
        states = self.decoder.forward(self.decoder.embed(state.tokens[:rows, None]), lengths[:, None], attend)
        logits = self.decoder.logits(states[:, 0])
        if variant.longest:
            logits = self._without_repeats(logits, variant)
        # A token's place in the sequence, not in the answer: the draw is that of `prefill` continued.
        temperatures = state.temperatures[:rows] if variant.draws else None
        chosen = _choose(logits, temperatures, state.seeds[:rows], lengths + 1)
        history.scatter_(1, produced[:, None], chosen[:, None])
        state.tokens[:rows] = chosen.clamp(min=0)
        # Rows that are done or free run on until the host looks: they must stay inside the buffers.
        produced.add_(1).clamp_(max=self.capacity - 1)
        lengths.add_(1).clamp_(max=self.capacity - 1)


def _choose(logits: Tensor, temperatures: Tensor | None, seeds: Tensor, positions: Tensor) -> Tensor:
    """The next tokens; BROKEN where the scores hold NaN or nothing finite."""
    chosen = choose(logits, temperatures, seeds, positions)
    highest = logits.amax(dim=-1)
    return torch.where(highest - highest == 0, chosen, BROKEN)  # what is not finite gives NaN


def _newest(history: Tensor, produced: Tensor, count: int, missing: int) -> Tensor:
    """The last `count` entries of each row's history (rows, capacity), right-aligned; `missing` before the first."""
    columns = produced[:, None] - count
    if count > 1:
        columns = columns + torch.arange(count, device=history.device)
    return torch.where(columns >= 0, history.gather(1, columns.clamp(min=0)), missing)


def settle(decoding: Decoding, ngram: int, window: int) -> Rule:
    """A page's Decoding with the checkpoint's own figures where it has none."""
    n = ngram if decoding.ngram is None else decoding.ngram
    return Rule(decoding.temperature, n, window if decoding.window is None else decoding.window, decoding.seed)

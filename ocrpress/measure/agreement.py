"""Whether the fast paths say the same: CUDA graphs against plain steps, our decoder against transformers' `generate`.

Sequences are put into the scheduler directly, in a fixed order: the batches are the same each time, so the tokens must
be too.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from ocrpress.engines.deepseek.cache import rounded
from ocrpress.engines.deepseek.decoder import Decoder
from ocrpress.engines.deepseek.scheduler import Scheduler
from ocrpress.engines.deepseek.sequences import Job
from ocrpress.engines.deepseek.slots import Rule, Slots
from ocrpress.measure.loaded import Loaded

SLOTS = 4
SEQUENCES = 12
NO_END = -2  # a token that no model chooses


@dataclass(frozen=True)
class Agreement:
    """How far two ways of decoding agree.

    Attributes:
        what: the two ways.
        sequences, equal: how many were decoded, and how many of them are equal to the last token.
        tokens, before: tokens of all sequences, and those before a sequence's first difference.
    """

    what: str
    sequences: int
    equal: int
    tokens: int
    before: int

    @property
    def complete(self) -> bool:
        """Every token of every sequence is equal."""
        return self.before == self.tokens


def compare_graphs(loaded: Loaded) -> Agreement:
    """Captured steps against plain ones, with the n-gram rule and drawn tokens; on a CPU both are plain."""
    decoder = Decoder(loaded.model)
    rules = [Rule(), Rule(ngram=3, window=20), Rule(temperature=0.7, seed=5)]
    captured = decode(decoder, _jobs(decoder, rules))
    plain = decode(decoder, _jobs(decoder, rules), capture=False)
    return _compared("captured steps and plain steps", captured, plain)


def compare_generate(loaded: Loaded) -> Agreement:
    """Our decoder, step by step, against transformers' `generate` on each sequence alone; float32 makes them equal."""
    loaded.model.set_experts_implementation("eager")  # the plainest of its three
    decoder = Decoder(loaded.model)
    jobs = _jobs(decoder, [Rule()])
    ours = decode(decoder, jobs, capture=False)
    theirs = {}
    for job in jobs:
        prompt = job.prompt[None]
        output = loaded.model.generate(
            inputs_embeds=prompt,
            attention_mask=torch.ones(prompt.shape[:2], dtype=torch.long, device=prompt.device),
            max_new_tokens=job.max_tokens, do_sample=False, eos_token_id=None, pad_token_id=loaded.tokenizer.end,
        )  # fmt: skip
        theirs[job.key] = tuple(output[0].tolist())
    return _compared("our decoder and transformers' generate", ours, theirs)


def decode(decoder: Decoder, jobs: list[Job], capture: bool = True) -> dict[int, tuple[int, ...]]:
    """The tokens of every job, decoded in a few slots that are refilled; `capture`: steps in CUDA graphs."""
    limit = max(len(job.prompt) + job.max_tokens for job in jobs)
    scheduler = Scheduler(Slots(decoder, SLOTS, SLOTS * rounded(limit), limit, capture=capture), NO_END)
    tokens: dict[int, tuple[int, ...]] = {}
    while len(tokens) < len(jobs):
        under_way = scheduler.active
        started = len(tokens) + under_way
        scheduler.admit(jobs[started : started + scheduler.free])
        tokens |= {answer.key: answer.tokens for answer in scheduler.advance()}
    return tokens


def _jobs(decoder: Decoder, rules: list[Rule]) -> list[Job]:
    """Sequences of random prompts and lengths, the same each time."""
    chance = random.Random(0)  # noqa: S311, no secret
    generator = torch.Generator().manual_seed(0)
    jobs = []
    for key in range(SEQUENCES):
        ids = torch.randint(decoder.sizes.vocabulary, (chance.randint(4, 60),), generator=generator)
        prompt = decoder.embed(ids.to(decoder.device))
        jobs.append(Job(key, prompt, rules[key % len(rules)], chance.randint(8, 80), ignore_end=True))
    return jobs


def _compared(what: str, one: dict[int, tuple[int, ...]], other: dict[int, tuple[int, ...]]) -> Agreement:
    before = 0
    for key, tokens in one.items():
        pairs = enumerate(zip(tokens, other[key], strict=False))
        before += next((index for index, (a, b) in pairs if a != b), min(len(tokens), len(other[key])))
    return Agreement(
        what, len(one), sum(tokens == other[key] for key, tokens in one.items()), sum(map(len, other.values())), before
    )

"""A batch of pages -> what the model is to learn from it: losses, and how much of it it knew."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from feed import Batch
from figures import ALPHABET, CELL, END, NEWLINE, PAD, START, TOKENS
from net import PATCH, PATCH_SLOTS, POINTERS, SLOT_HEIGHT, SLOT_WIDTH, Net
from torch import Tensor

BLANK = TOKENS[" "]
ASK = ([NEWLINE, START], [NEWLINE, TOKENS["<|grounding|>"], START + 1])  # "Free OCR.", and the prompt for Markdown
WEIGHTS = {"patch": 0.5, "cell": 0.5, "copy": 1.0, "read": 1.0, "point": 0.6, "place": 0.1}


@dataclass(frozen=True)
class Lesson:
    """What one batch gave.

    Attributes:
        loss: to go back through.
        figures: name -> a tensor of one number: losses, "…_letters" in nats a letter, "…_right" as the share of
            letters that were right.
    """

    loss: Tensor
    figures: dict[str, Tensor]


def teach(net: Net, batch: Batch, device: torch.device, reading: bool) -> Lesson:
    """One forward pass with all its losses.

    Args:
        reading: whether the decoder takes part.
    """
    pixels = torch.from_numpy(batch.pixels).to(device)
    tokens = torch.from_numpy(batch.tokens).to(device)
    places = torch.from_numpy(batch.places).to(device)
    patches, cells = net.see(pixels)
    figures: dict[str, Tensor] = {}
    side = batch.order.side
    letters = (tokens > NEWLINE) & (tokens != BLANK) & (tokens < ALPHABET)
    where, labels, real = _slots(tokens, places, letters, side)
    unpacked = net.unpack(cells)
    by_cell = _by_cell(side, len(tokens), device)
    for name, features, at in (("patch", patches.flatten(0, -2), where), ("cell", unpacked, by_cell[where])):
        logits = net.patch_head(features, at).float()
        figures[name] = F.cross_entropy(logits, labels)
        figures[f"{name}_letters"] = F.cross_entropy(logits[:real], labels[:real])
        figures[f"{name}_right"] = (logits[:real].argmax(-1) == labels[:real]).float().mean()
    rows = where // PATCH_SLOTS
    wanted = F.layer_norm(patches.flatten(0, -2)[rows].detach(), patches.shape[-1:])
    figures["copy"] = F.mse_loss(unpacked[by_cell[where] // PATCH_SLOTS].float(), wanted.float())
    if reading:
        limit = batch.order.read
        figures |= _read(net, cells, tokens[:, :limit], places[:, :limit], side)
    loss = torch.stack([weight * figures[name] for name, weight in WEIGHTS.items() if name in figures]).sum()
    return Lesson(loss, {name: figure.detach() for name, figure in figures.items()})


def _slots(tokens: Tensor, places: Tensor, letters: Tensor, side: int) -> tuple[Tensor, Tensor, int]:
    """Slots to ask for, as flat indices, their letters (PAD where there is none), and how many hold a letter.

    As many empty slots as letters are asked for, most of them near a letter.
    """
    page = torch.arange(len(tokens), device=tokens.device)[:, None].expand_as(tokens)[letters]
    spots, labels = places[letters], tokens[letters]
    full = _flat(page, spots, side)
    taken = torch.zeros(len(tokens) * (side // PATCH) ** 2 * PATCH_SLOTS, dtype=torch.bool, device=tokens.device)
    taken[full] = True
    away = torch.randn_like(spots) * torch.tensor([10.0, 14.0], device=spots.device)
    far = torch.rand_like(spots) * side
    near = torch.where(torch.rand(len(spots), 1, device=spots.device) < 0.7, spots + away, far)
    empty = _flat(page, near.clamp(0, side - 0.01), side)
    empty = empty[~taken[empty]]
    return torch.cat([full, empty]), torch.cat([labels, torch.full_like(empty, PAD)]), len(full)


def _flat(page: Tensor, spots: Tensor, side: int) -> Tensor:
    """Flat index into (page, patch, slot) of places on pages."""
    across, wide = side // PATCH, PATCH // SLOT_WIDTH
    x, y = spots[:, 0], spots[:, 1]
    at = page * across**2 + (y // PATCH).long() * across + (x // PATCH).long()
    return at * PATCH_SLOTS + ((y % PATCH) // SLOT_HEIGHT).long() * wide + ((x % PATCH) // SLOT_WIDTH).long()


def _by_cell(side: int, pages: int, device: torch.device) -> Tensor:
    """Flat index into (page, patch, slot) -> the same slot's in (page, cell, patch of the cell, slot)."""
    cells, inside = side // CELL, CELL // PATCH
    order = torch.arange(pages * (side // PATCH) ** 2 * PATCH_SLOTS, device=device)
    order = order.view(pages, cells, cells, inside, inside, PATCH_SLOTS).transpose(2, 3)
    return order.flatten()


def _read(net: Net, cells: Tensor, tokens: Tensor, places: Tensor, side: int) -> dict[str, Tensor]:
    """The decoder's losses: the next token, where in its cell it stands, and where reading has come to."""
    embed = net.model.model.language_model.embed_tokens
    ask = torch.tensor(random.choice(ASK), device=tokens.device)  # noqa: S311
    prompt = torch.cat([net.prompt(cells), embed(ask).expand(len(tokens), -1, -1)], 1)
    first = prompt.shape[1] - 1
    hidden, middle, pointer = net.read(torch.cat([prompt, embed(tokens[:, :-1])], 1), first)
    known = tokens != PAD
    logits = net.model.lm_head(hidden[known]).float()
    target, spots = tokens[known], places[known]
    across, wide = side // CELL, CELL // SLOT_WIDTH
    column, row = (torch.cat([places[:, :1], places[:, :-1]], 1)[known] // CELL).long().T
    cells_there = torch.stack(
        [1 + row * (across + 1) + (column + aside).clamp(max=across - 1) for aside in POINTERS], 1
    )
    inside = net.place_head(middle[known]).float()
    scores = pointer.transpose(1, 2)[known].float()  # (n, pointers, prompt)
    right = logits.argmax(-1) == target
    letters = (target != BLANK) & (target != END) & (target < ALPHABET)
    place = F.cross_entropy(inside[:, :wide], ((spots[:, 0] % CELL) // SLOT_WIDTH).long()) + F.cross_entropy(
        inside[:, wide:], ((spots[:, 1] % CELL) // SLOT_HEIGHT).long()
    )
    return {
        "read": F.cross_entropy(logits, target), "place": place,
        "point": F.cross_entropy(scores.transpose(1, 2), cells_there),
        "read_right": right[letters].float().mean(), "move_right": right[target >= ALPHABET].float().mean(),
        "point_right": (scores.argmax(-1) == cells_there).float().mean(),
    }  # fmt: skip

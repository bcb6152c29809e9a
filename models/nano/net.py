"""The forward pass for training, over the modules of the transformers model: faster on a CPU than the model's own.

Written so that nothing is computed that training does not need: grey patches (the three planes of a page are one),
windows that stay apart where they divide a view, relative positions inside the dot product. The same numbers as the
published forward; a test holds one against the other. On top of it stand heads that only training needs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from figures import ALPHABET, ARCHITECTURE, CELL, END, PAD, read_folder, write_folder
from torch import Tensor, nn

from ocrpress.engines.deepseek.architecture import Architecture

HEADS = "heads.safetensors"
PATCH = 16  # pixels behind a patch
SLOT_WIDTH, SLOT_HEIGHT = 4, 8  # pixels; a letter belongs to the slot that holds its centre
PATCH_SLOTS = (PATCH // SLOT_WIDTH) * (PATCH // SLOT_HEIGHT)
# Heads of this layer of the decoder are taught to look at the vision token where reading stands, the last of them at
# the one to the right.
POINTER_LAYER, POINTERS = 1, (0, 0, 0, 1)
PLACE_LAYER = 2  # behind it stands a head that says where in its cell the next letter is


class SlotHead(nn.Module):
    """What letter, if any, stands in a slot of a patch or cell: an auxiliary head.

    Args:
        width: of the features.
        slots: of a feature's square.
    """

    def __init__(self, width: int, slots: int, inner: int = 48) -> None:
        super().__init__()
        self.slots, self.inner = slots, inner
        self.norm = nn.LayerNorm(width)
        self.spread = nn.Linear(width, slots * inner)
        self.letters = nn.Linear(inner, ALPHABET)

    def forward(self, features: Tensor, where: Tensor) -> Tensor:
        """Logits (n, ALPHABET) at `where`, indices into (features, slots) taken flat; features (m, width)."""
        spread = self.spread(self.norm(features)).view(-1, self.inner)
        return self.letters(F.gelu(spread[where], approximate="tanh"))


class Unpack(nn.Module):
    """A vision token -> what its patches would have said: an auxiliary layer before the head of the patches.

    A head of its own for each place in a cell would see each of them too seldom; this one learns from all at once.

    Args:
        width: of a token.
        patch: width of a patch's features.
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.norm, self.patch = nn.LayerNorm(width), patch
        self.spread = nn.Linear(width, (CELL // PATCH) ** 2 * patch)

    def forward(self, cells: Tensor) -> Tensor:
        """(n, s², width) -> (n × s² × 16, patch), the 16 row by row."""
        return self.spread(self.norm(cells)).view(-1, self.patch)


class Net(nn.Module):
    """The model and its heads.

    Args:
        model: what `figures.new_model` gives.
        architecture: its figures; no layer of SAM's may be global.
    """

    def __init__(self, model: Any, architecture: Architecture = ARCHITECTURE) -> None:
        super().__init__()
        self.model = model
        sam, decoder = architecture.sam, architecture.decoder
        self.patch_head = SlotHead(sam.width, PATCH_SLOTS)
        self.unpack = Unpack(decoder.width, sam.width)
        self.place_head = nn.Linear(decoder.width, CELL // SLOT_WIDTH + CELL // SLOT_HEIGHT)
        index = torch.arange(sam.window)
        self.register_buffer("offsets", index[:, None] - index[None] + sam.window - 1, persistent=False)
        one_hot = torch.eye(sam.window)
        keys = torch.cat([one_hot.repeat_interleave(sam.window, 0), one_hot.repeat(sam.window, 1)], 1)
        self.register_buffer("keys", keys, persistent=False)
        self.window, self.clip_heads = sam.window, architecture.encoder.heads
        self.depth = decoder.width // decoder.heads

    def see(self, pages: Tensor) -> tuple[Tensor, Tensor]:
        """Grey uint8 (n, q, q) -> patch features (n, q / 16, q / 16, c) and vision tokens (n, (q / 64)², hidden)."""
        tower = self.model.model.vision_tower
        patches = self._sam(pages, tower.sam_encoder)
        local = self._compress(patches, tower.sam_encoder)
        features = torch.cat([self._clip(local, tower.vision_encoder), local.flatten(2).transpose(1, 2)], -1)
        return patches, self.model.model.multi_modal_projector(features)

    def _sam(self, pages: Tensor, sam: Any) -> Tensor:
        count, side, _ = pages.shape
        grid = side // PATCH
        weight, bias = sam.patch_embed.projection.weight, sam.patch_embed.projection.bias
        cells = pages.view(count, grid, PATCH, grid, PATCH).transpose(2, 3).reshape(count, grid, grid, -1)
        x = F.linear(cells.to(weight.dtype).div_(127.5).sub_(1), weight.sum(1).flatten(1), bias)
        x = x + sam.interpolate_pos_encoding(grid, grid)
        if grid % self.window:
            for layer in sam.layers:
                x = x + self._padded_attention(layer.attn, layer.layer_norm1(x))
                x = x + layer.mlp.lin2(F.gelu(layer.mlp.lin1(layer.layer_norm2(x))))
            return x
        # Windows stay apart through all layers: there is no global one among them.
        x = self._part(x)
        for layer in sam.layers:
            x = x + self._window_attention(layer.attn, layer.layer_norm1(x))
            x = x + layer.mlp.lin2(F.gelu(layer.mlp.lin1(layer.layer_norm2(x))))
        return self._join(x, grid)

    def _part(self, x: Tensor) -> Tensor:
        """(n, grid, grid, c) -> (windows, window², c)."""
        count, grid, _, width = x.shape
        across, window = grid // self.window, self.window
        return x.view(count, across, window, across, window, width).transpose(2, 3).reshape(-1, window**2, width)

    def _join(self, x: Tensor, grid: int) -> Tensor:
        """(windows, window², c) -> (n, grid, grid, c)."""
        across, window = grid // self.window, self.window
        return (
            x.view(-1, across, across, window, window, x.shape[-1]).transpose(2, 3).reshape(-1, grid, grid, x.shape[-1])
        )

    def _padded_attention(self, attention: Any, x: Tensor) -> Tensor:
        """Of a grid that windows do not divide: the last ones reach over its end, and see zeros there."""
        grid = x.shape[1]
        more = -grid % self.window
        padded = self._part(F.pad(x, (0, 0, 0, more, 0, more)))
        return self._join(self._window_attention(attention, padded), grid + more)[:, :grid, :grid]

    def _window_attention(self, attention: Any, x: Tensor) -> Tensor:
        heads, window = attention.num_attention_heads, self.window
        count, patches, width = x.shape
        depth = width // heads
        q, k, v = attention.qkv(x).view(count, patches, 3, heads, depth).permute(2, 0, 3, 1, 4)
        rows, columns = attention.rel_pos_h[self.offsets], attention.rel_pos_w[self.offsets]
        grid = q.reshape(count, heads, window, window, depth)
        down = torch.einsum("bhyxd,ykd->bhyxk", grid, rows).flatten(2, 3)
        over = torch.einsum("bhyxd,xkd->bhyxk", grid, columns).flatten(2, 3)
        longer = torch.cat([q * depth**-0.5, down, over], -1)
        keys = torch.cat([k, self.keys.to(k.dtype).expand(count, heads, -1, -1)], -1)
        mixed = (longer @ keys.transpose(-1, -2)).softmax(-1) @ v
        return attention.proj(mixed.transpose(1, 2).reshape(count, patches, width))

    def _compress(self, x: Tensor, sam: Any) -> Tensor:
        neck = sam.neck
        x = F.linear(x, neck.conv1.weight.flatten(1))
        x = F.layer_norm(x, neck.layer_norm1.normalized_shape, neck.layer_norm1.weight, neck.layer_norm1.bias, 1e-6)
        x = neck.conv2(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = F.layer_norm(x, neck.layer_norm2.normalized_shape, neck.layer_norm2.weight, neck.layer_norm2.bias, 1e-6)
        return sam.proj.conv2(sam.proj.conv1(x.permute(0, 3, 1, 2)))

    def _clip(self, local: Tensor, clip: Any) -> Tensor:
        x = clip.pre_layrnorm(clip.embeddings(local))
        for layer in clip.encoder.layers:
            attention, y = layer.self_attn, layer.layer_norm1(x)
            q, k, v = (
                part(y).unflatten(-1, (self.clip_heads, -1)).transpose(1, 2)
                for part in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            x = x + attention.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
            y = layer.mlp.fc1(layer.layer_norm2(x))
            x = x + layer.mlp.fc2(y * torch.sigmoid(1.702 * y))
        return x[:, 1:]

    def prompt(self, tokens: Tensor) -> Tensor:
        """Vision tokens (n, s², hidden) -> (n, 1 + s × (s + 1) + 1, hidden): begin, rows and their ends, separator."""
        count, cells, width = tokens.shape
        side = round(cells**0.5)
        inner = self.model.model
        ends = inner.image_newline.expand(count, side, 1, width)
        rows = torch.cat([tokens.view(count, side, side, width), ends], 2).flatten(1, 2)
        begin = inner.language_model.embed_tokens.weight[0].expand(count, 1, width)
        return torch.cat([begin, rows, inner.view_separator.expand(count, 1, width)], 1)

    def read(self, x: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Decoder over embeddings (n, t, hidden); gives hidden states, those that tell places, and pointers' scores.

        Args:
            first: index of the first embedding that is asked where it looks; the keys are those before it.

        Returns:
            (n, t - first, hidden) of the last layer and of PLACE_LAYER, and (n, pointers, t - first, first) scores.
        """
        decoder = self.model.model.language_model
        cos, sin = (table[:, None] for table in decoder.rotary_emb(x, torch.arange(x.shape[1], device=x.device)[None]))
        middle = pointer = x
        for index, layer in enumerate(decoder.layers):
            attention, y = layer.self_attn, _rms(layer.input_layernorm, x)
            q, k, v = (
                part(y).unflatten(-1, (-1, self.depth)).transpose(1, 2)
                for part in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            q, k = _turn(q, cos, sin), _turn(k, cos, sin)
            if index == POINTER_LAYER:
                heads = len(POINTERS)
                pointer = (q[:, :heads, first:] * self.depth**-0.5) @ k[:, :heads, :first].transpose(-1, -2)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + attention.o_proj(mixed.transpose(1, 2).flatten(2))
            y = _rms(layer.post_attention_layernorm, x)
            x = x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(y)) * layer.mlp.up_proj(y))
            if index == PLACE_LAYER:
                middle = x[:, first:]
        return _rms(decoder.norm, x[:, first:]), middle, pointer

    @torch.no_grad()
    def greedy(self, tokens: Tensor, start: list[int], limit: int) -> Tensor:
        """What the decoder says to vision tokens (n, s², hidden): ids (n, up to limit), padding after the end token."""
        inner = self.model.model
        embed = inner.language_model.embed_tokens
        ask = embed(torch.tensor(start, device=tokens.device)).expand(len(tokens), -1, -1)
        x = torch.cat([self.prompt(tokens), ask], 1)
        cache: list[tuple[Tensor, Tensor]] = []
        said = torch.full((len(tokens), limit), PAD, device=tokens.device)
        open_ = torch.ones(len(tokens), dtype=torch.bool, device=tokens.device)
        at = 0
        for index in range(limit):
            hidden, at = self._step(x, cache, at), at + x.shape[1]
            chosen = self.model.lm_head(hidden).argmax(-1)
            said[:, index] = torch.where(open_, chosen, PAD)
            open_ &= chosen != END
            if not open_.any():
                break
            x = embed(chosen)[:, None]
        return said[:, : index + 1]

    def _step(self, x: Tensor, cache: list[tuple[Tensor, Tensor]], at: int) -> Tensor:
        """Hidden states of the last of some new embeddings, of which the first has position `at`."""
        decoder = self.model.model.language_model
        positions = torch.arange(at, at + x.shape[1], device=x.device)[None]
        cos, sin = (table[:, None] for table in decoder.rotary_emb(x, positions))
        for index, layer in enumerate(decoder.layers):
            attention, y = layer.self_attn, _rms(layer.input_layernorm, x)
            q, k, v = (
                part(y).unflatten(-1, (-1, self.depth)).transpose(1, 2)
                for part in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            q, k = _turn(q, cos, sin), _turn(k, cos, sin)
            if at:
                k, v = (torch.cat([old, new], 2) for old, new in zip(cache[index], (k, v), strict=True))
                cache[index] = (k, v)
            else:
                cache.append((k, v))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=not at)
            x = x + attention.o_proj(mixed.transpose(1, 2).flatten(2))
            y = _rms(layer.post_attention_layernorm, x)
            x = x + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(y)) * layer.mlp.up_proj(y))
        return _rms(decoder.norm, x[:, -1])


def _rms(norm: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], norm.weight, norm.variance_epsilon)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


def save_net(net: Net, folder: Path, progress: dict[str, Any]) -> None:
    """A checkpoint folder, and beside it the heads and how far training is, in heads.safetensors."""
    from safetensors.torch import save_file

    write_folder(net.model, folder)
    heads = {name: p.to("cpu", torch.float16) for name, p in _heads(net).items()}
    save_file(heads, folder / HEADS, {"progress": json.dumps(progress)})


def load_net(net: Net, folder: Path) -> dict[str, Any]:
    """What `save_net` wrote, into a net in float32; gives how far its training was."""
    from safetensors import safe_open

    net.model.load_state_dict(read_folder(folder).state_dict())
    with safe_open(folder / HEADS, "pt") as file:
        net.load_state_dict(net.state_dict() | {name: file.get_tensor(name) for name in _heads(net)})
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    return progress


def _heads(net: Net) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in net.named_parameters() if not name.startswith("model.")}

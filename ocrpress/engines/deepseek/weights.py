"""Published tensors into a model that is already on its device: read one at a time, copied into its parameter.

So no weight is in memory twice: beside the model there is one buffer, as large as the largest tensor. The model's
classes are transformers'; which published name is which of their parameters, or which part of one, is said here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ocrpress.engines.deepseek.hub import UPDATE
from ocrpress.engines.deepseek.tensors import ADVICE, FLOATS
from ocrpress.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ocrpress.engines.deepseek.tensors import Tensor as Header

TYPES = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
# Applied in turn, each to what the one before left.
_RENAMES = tuple((re.compile(pattern), to) for pattern, to in (
    (r"^model\.(embed_tokens|layers|norm)\.", r"model.language_model.\1."),
    (r"^model\.view_seperator$", "model.view_separator"),
    (r"^model\.projector\.layers\.", "model.multi_modal_projector."),
    (r"^model\.vision_model\.", "model.vision_tower.vision_encoder."),
    (r"\.vision_encoder\.transformer\.", ".vision_encoder.encoder."),
    (r"^model\.qwen2_model\.model\.model\.", "model.vision_tower.vision_encoder."),
    (r"^model\.qwen2_model\.query_(\d+)\.", r"model.vision_tower.query_\1_resolution."),
    (r"^model\.sam_model\.", "model.vision_tower.sam_encoder."),
    (r"\.blocks\.(\d+)\.norm", r".layers.\1.layer_norm"),
    (r"\.blocks\.", ".layers."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.neck\.0\.", ".neck.conv1."), (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."), (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"\.net_2\.", ".proj.conv1."), (r"\.net_3\.", ".proj.conv2."),
))  # fmt: skip
_EXPERT = re.compile(r"(.*\.experts)\.(\d+)\.(gate|up|down)_proj\.weight")


def fill(model: nn.Module, headers: Mapping[str, Header]) -> None:
    """Copy published tensors into a model's parameters, in their type and on their device.

    Args:
        model: of the architecture that the tensors were checked against.
        headers: of the tensors, by published name.

    Raises:
        EngineError: a file cannot be read, or a parameter is not there, has another shape or stays unfilled.
    """
    parameters = {name: parameter.data for name, parameter in model.named_parameters()}
    filled: Counter[str] = Counter()
    pin = any(parameter.is_cuda for parameter in parameters.values())
    for name, value in _read(headers, pin):
        for target, into, part in _places(name, value, parameters):
            if into is None or into.shape != part.shape:
                raise EngineError(f"this version of transformers has no place for {name}", UPDATE)
            into.copy_(part)
            filled[target] += part.numel()
    empty = [name for name, parameter in parameters.items() if filled[name] != parameter.numel()]
    if empty:
        raise EngineError(f"{len(empty)} parameters stay unfilled ({', '.join(empty[:3])})", UPDATE)


def _read(headers: Mapping[str, Header], pin: bool) -> Iterator[tuple[str, Tensor]]:
    """Each tensor on the host, in the order in which the files hold them; valid until the next one is asked for."""
    buffer = torch.empty(max(map(_bytes, headers.values())), dtype=torch.uint8, pin_memory=pin)
    for path in sorted({header.file for header in headers.values()}):
        here = [(header.start, name) for name, header in headers.items() if header.file == path]
        try:
            with path.open("rb") as file:
                for start, name in sorted(here):
                    header = headers[name]
                    raw = buffer[: _bytes(header)]
                    file.seek(start)
                    if file.readinto(raw.numpy().data) != len(raw):
                        raise OSError(f"it ends within {name}")
                    yield name, raw.view(TYPES[header.dtype]).view(header.shape)
        except OSError as error:
            raise EngineError(f"{path} cannot be read ({error})", ADVICE) from error


def _places(name: str, value: Tensor, parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor | None, Tensor]]:
    """What a published tensor fills: a parameter's name, the part of it (None if there is none), and with what."""
    for pattern, to in _RENAMES:
        name = pattern.sub(to, name)
    if expert := _EXPERT.fullmatch(name):
        stack = f"{expert[1]}.{'down' if expert[3] == 'down' else 'gate_up'}_proj"
        experts = parameters.get(stack)
        if experts is None or int(expert[2]) >= len(experts):
            yield stack, None, value
            return
        slot = experts[int(expert[2])]
        gate, up = slot.chunk(2)
        yield stack, {"down": slot, "gate": gate, "up": up}[expert[3]], value
    elif ".qkv_proj." in name:  # CLIP's; SAM's remains one
        for letter, part in zip("qkv", value.chunk(3), strict=True):
            target = name.replace(".qkv_proj.", f".{letter}_proj.")
            yield target, parameters.get(target), part
    else:
        yield name, parameters.get(name), value


def _bytes(header: Header) -> int:
    return math.prod(header.shape) * FLOATS[header.dtype]


def joined(linears: Sequence[Any], name: str = "weight") -> Tensor:
    """One parameter of several linear layers in one tensor, of which the layers' own become views: nothing twice."""
    parts: list[Tensor] = [getattr(linear, name) for linear in linears]
    whole = torch.cat([part.data for part in parts])
    for part, view in zip(parts, whole.split([len(part) for part in parts]), strict=True):
        part.data = view
    return whole

"""Names and shapes: what a checkpoint's safetensors files hold, against what its architecture needs.

Reads the files' headers alone, so that a folder is judged in milliseconds and before any weight is loaded. The names
are those under which DeepSeek-OCR is published; transformers writes the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocrpress.engines.deepseek.architecture import Architecture, ClipConfig, DecoderConfig, QwenConfig, SamConfig
from ocrpress.errors import EngineError

INDEX_FILE = "model.safetensors.index.json"
SINGLE_FILE = "model.safetensors"
# CLIP's own patch embedding: SAM's features take its place, but the published file carries it.
UNUSED = frozenset({"model.vision_model.embeddings.patch_embedding.weight"})
FLOATS = {"BF16": 2, "F16": 2, "F32": 4}  # bytes of a value
MAX_HEADER = 100 * 2**20  # bytes; what the safetensors library itself accepts
NAMED = 3  # how many tensors an error names
ADVICE = "download the checkpoint again (ocrpress pull)"

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """A header's entry: the type as safetensors names it, the shape, the file, and its first byte there."""

    dtype: str
    shape: Shape
    file: Path
    start: int


def check_tensors(folder: Path, architecture: Architecture, skip: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors to load from a folder, by published name: exactly those that the architecture needs.

    Args:
        skip: how the names of tensors begin that may be there besides.

    Raises:
        EngineError: no safetensors, a broken file, or tensors that are missing, unknown, of a wrong shape or type;
            the message counts them and names the first few.
    """
    found = read_headers(folder)
    needed = expected_tensors(architecture)
    complaints = [
        _complaint("missing", [name for name in needed if name not in found]),
        _complaint("unknown", [
            name for name in found if name not in needed and name not in UNUSED and not name.startswith(skip)
        ]),
        _complaint("of a wrong shape", [
            f"{name} is {_show(found[name].shape)}, not {_show(shape)}"
            for name, shape in needed.items() if name in found and found[name].shape != shape
        ]),
        _complaint("of a wrong type", [
            f"{name} is {found[name].dtype}" for name in needed if name in found and found[name].dtype not in FLOATS
        ]),
    ]  # fmt: skip
    if any(complaints):
        raise EngineError(f"{folder} does not fit its config.json: {'; '.join(filter(None, complaints))}", ADVICE)
    return {name: found[name] for name in needed}


def expected_tensors(architecture: Architecture) -> dict[str, Shape]:
    """Published name -> shape of every tensor that an architecture needs."""
    decoder, encoder, sam = architecture.decoder, architecture.encoder, architecture.sam
    needed: dict[str, Shape] = {
        "lm_head.weight": (decoder.vocabulary, decoder.width),
        "model.embed_tokens.weight": (decoder.vocabulary, decoder.width),
        "model.norm.weight": (decoder.width,),
        **({} if isinstance(encoder, QwenConfig) else {"model.image_newline": (decoder.width,)}),
        "model.view_seperator": (decoder.width,),  # so spelt in the published file
        "model.projector.layers.weight": (decoder.width, architecture.features),
        "model.projector.layers.bias": (decoder.width,),
    }
    needed |= {f"model.sam_model.{name}": shape for name, shape in _sam(sam)}
    if isinstance(encoder, QwenConfig):
        needed |= {f"model.qwen2_model.{name}": shape for name, shape in _qwen(encoder)}
    else:
        needed |= {f"model.vision_model.{name}": shape for name, shape in _clip(encoder)}
    for index in range(decoder.layers):
        dense = index < decoder.dense_layers
        needed |= {f"model.layers.{index}.{name}": shape for name, shape in _decoder_layer(decoder, dense)}
    return needed


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder: those of its index, or model.safetensors, or the one that is there.

    Raises:
        EngineError: there are none (weights in other formats are not read: they can carry code), or the index is
            broken or names files that are not there.
    """
    if (folder / INDEX_FILE).is_file():
        return _indexed(folder)
    single = folder / SINGLE_FILE
    files = [single] if single.is_file() else sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return files
    if files:
        raise EngineError(f"{folder} has {len(files)} safetensors files but no {INDEX_FILE}", ADVICE)
    others = sorted(path.name for kind in ("bin", "pt", "pth", "ckpt", "gguf") for path in folder.glob(f"*.{kind}"))
    if others:
        raise EngineError(f"{folder} has no safetensors, only {others[0]}", "only safetensors are read: convert it")
    raise EngineError(f"{folder} has no safetensors", ADVICE)


def read_headers(folder: Path) -> dict[str, Tensor]:
    """Every tensor in a folder's safetensors files, by its name. Raises EngineError for a broken or cut-off file."""
    found: dict[str, Tensor] = {}
    for path in weight_files(folder):
        for name, tensor in read_header(path).items():
            if name in found:
                raise EngineError(f"{name} is both in {found[name].file.name} and in {path.name} of {folder}", ADVICE)
            found[name] = tensor
    return found


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file: an 8-byte length, a JSON header of that length, then the data."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, path.stat().st_size - 8):
                raise ValueError("its header is cut off or no header")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = {name: _entry(path, 8 + length, **entry) for name, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        size = path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise EngineError(f"{path} is no safetensors file ({error})", ADVICE) from error
    if size != 8 + length + end:
        raise EngineError(f"{path} has {size:,} bytes where its header says {8 + length + end:,}", ADVICE)
    return tensors


def _entry(path: Path, base: int, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    """A header's entry, if its bytes are as many as its shape says."""
    start, end = data_offsets
    if dtype in FLOATS and end - start != math.prod(shape) * FLOATS[dtype]:
        raise ValueError(f"a tensor of {_show(tuple(shape))} {dtype} has {end - start} bytes")
    return Tensor(dtype, tuple(shape), path, base + start)


def _sam(sam: SamConfig) -> Iterator[tuple[str, Shape]]:
    grid, head = sam.image // sam.patch, sam.width // sam.heads
    yield "pos_embed", (1, grid, grid, sam.width)
    yield "patch_embed.proj.weight", (sam.width, 3, sam.patch, sam.patch)
    yield "patch_embed.proj.bias", (sam.width,)
    for index in range(sam.layers):
        block = f"blocks.{index}"
        reach = 2 * (grid if index in sam.global_layers else sam.window) - 1
        for norm in ("norm1", "norm2"):
            yield f"{block}.{norm}.weight", (sam.width,)
            yield f"{block}.{norm}.bias", (sam.width,)
        yield f"{block}.attn.rel_pos_h", (reach, head)
        yield f"{block}.attn.rel_pos_w", (reach, head)
        yield from _linear(f"{block}.attn.qkv", sam.width, 3 * sam.width)
        yield from _linear(f"{block}.attn.proj", sam.width, sam.width)
        yield from _linear(f"{block}.mlp.lin1", sam.width, sam.mlp)
        yield from _linear(f"{block}.mlp.lin2", sam.mlp, sam.width)
    yield "neck.0.weight", (sam.neck, sam.width, 1, 1)
    yield "neck.2.weight", (sam.neck, sam.neck, 3, 3)
    for norm in ("neck.1", "neck.3"):
        yield f"{norm}.weight", (sam.neck,)
        yield f"{norm}.bias", (sam.neck,)
    yield "net_2.weight", (sam.channels[0], sam.neck, 3, 3)
    yield "net_3.weight", (sam.channels[1], sam.channels[0], 3, 3)


def _clip(clip: ClipConfig) -> Iterator[tuple[str, Shape]]:
    yield "embeddings.class_embedding", (clip.width,)
    yield "embeddings.position_embedding.weight", ((clip.image // clip.patch) ** 2 + 1, clip.width)
    yield "pre_layrnorm.weight", (clip.width,)
    yield "pre_layrnorm.bias", (clip.width,)
    for index in range(clip.layers):
        layer = f"transformer.layers.{index}"
        for norm in ("layer_norm1", "layer_norm2"):
            yield f"{layer}.{norm}.weight", (clip.width,)
            yield f"{layer}.{norm}.bias", (clip.width,)
        yield from _linear(f"{layer}.self_attn.qkv_proj", clip.width, 3 * clip.width)
        yield from _linear(f"{layer}.self_attn.out_proj", clip.width, clip.width)
        yield from _linear(f"{layer}.mlp.fc1", clip.width, clip.mlp)
        yield from _linear(f"{layer}.mlp.fc2", clip.mlp, clip.width)


def _qwen(qwen: QwenConfig) -> Iterator[tuple[str, Shape]]:
    kv = qwen.kv_heads * qwen.width // qwen.heads
    for side, count in zip((768, 1024), qwen.queries, strict=True):
        yield f"query_{side}.weight", (count, qwen.width)
    yield "model.model.norm.weight", (qwen.width,)
    for index in range(qwen.layers):
        layer = f"model.model.layers.{index}"
        yield f"{layer}.input_layernorm.weight", (qwen.width,)
        yield f"{layer}.post_attention_layernorm.weight", (qwen.width,)
        for name, outputs in (("q", qwen.width), ("k", kv), ("v", kv)):
            yield from _linear(f"{layer}.self_attn.{name}_proj", qwen.width, outputs)
        yield f"{layer}.self_attn.o_proj.weight", (qwen.width, qwen.width)
        yield from _gated(f"{layer}.mlp", qwen.width, qwen.mlp)


def _decoder_layer(decoder: DecoderConfig, dense: bool) -> Iterator[tuple[str, Shape]]:
    width, head = decoder.width, decoder.width // decoder.heads
    yield "input_layernorm.weight", (width,)
    yield "post_attention_layernorm.weight", (width,)
    yield "self_attn.q_proj.weight", (width, width)
    yield "self_attn.k_proj.weight", (decoder.kv_heads * head, width)
    yield "self_attn.v_proj.weight", (decoder.kv_heads * head, width)
    yield "self_attn.o_proj.weight", (width, width)
    if dense:
        yield from _gated("mlp", width, decoder.mlp)
        return
    yield "mlp.gate.weight", (decoder.experts, width)
    yield from _gated("mlp.shared_experts", width, decoder.shared_experts * decoder.expert_mlp)
    for expert in range(decoder.experts):
        yield from _gated(f"mlp.experts.{expert}", width, decoder.expert_mlp)


def _linear(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _gated(name: str, width: int, inner: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.gate_proj.weight", (inner, width)
    yield f"{name}.up_proj.weight", (inner, width)
    yield f"{name}.down_proj.weight", (width, inner)


def _indexed(folder: Path) -> list[Path]:
    path = folder / INDEX_FILE
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"{path} cannot be read ({error!r})", ADVICE) from error
    if any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise EngineError(f"{path} names files outside its folder", ADVICE)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing or not names:
        raise EngineError(f"{folder} lacks {', '.join(missing[:NAMED]) or 'weights'}, which {INDEX_FILE} names", ADVICE)
    return [folder / name for name in names]


def _complaint(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{len(names):,} tensor{'s' * (len(names) != 1)} {kind} ({', '.join(names[:NAMED])}{more})"


def _show(shape: Shape) -> str:
    return " × ".join(map(str, shape)) or "a scalar"

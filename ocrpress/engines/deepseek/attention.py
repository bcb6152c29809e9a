"""Attention of a decoding step: one query a row, over keys and values in one pool, each row in its own extent.

`candidates` says which kernels a device may use, best first; `choose_attention` takes the first that is there and
agrees with plain arithmetic on a small input, once, before any CUDA graph is captured.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

from ocrpress.engines.deepseek.experts import version_of

AMPERE, HOPPER = (8, 0), (9, 0)
FLASH3 = ("flash_attn_interface", "fa3_fwd_interface")  # modules that FlashAttention 3 comes in
TORCH_FLASH, TORCH_FLASH_OP, BY_ROW = "torch's FlashAttention 2", "torch's FlashAttention 2 (operator)", "row by row"
TOLERANCE = 0.02  # of the check, where values have the variance 1; bfloat16 has 8 bits

# q (rows, heads, head_dim); keys, values (tokens, kv_heads, head_dim); numbers (rows + 1,): 0, 1, …, rows;
# starts (rows + 1,) and used (rows,): where each row's extent begins, and how many of its tokens count, 1 or more;
# most: upper bound of `used`. The three are int32. -> (rows, heads, head_dim)
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class RowAttention:
    """A kernel, and its name for people. `refused`: better ones that were there and failed the check, and how."""

    name: str
    kernel: Kernel
    refused: tuple[str, ...] = ()

    @property
    def capturable(self) -> bool:
        """Whether it asks the host nothing, so that a CUDA graph can hold it."""
        return self.name != BY_ROW


def candidates(capability: tuple[int, int] | None, version: tuple[int, int], dtype: torch.dtype) -> tuple[str, ...]:
    """Names of the kernels to try, best first.

    FlashAttention 3 is built for capability 9.0 alone. FlashAttention 2 is part of torch, from capability 8.0: from
    torch 2.12 with a public function that takes per-row lengths, before as the operator below it, which is also
    what is left should that function refuse (read in torch 2.13 and 2.14.1; never cuDNN's kernel for single queries).

    Args:
        capability: of the CUDA device; None on the CPU.
        version: torch's.
    """
    if capability is None or capability < AMPERE or dtype not in (torch.bfloat16, torch.float16):
        return (BY_ROW,)
    public = (TORCH_FLASH,) if version >= (2, 12) else ()
    return (*(FLASH3 if capability == HOPPER else ()), *public, TORCH_FLASH_OP, BY_ROW)


def choose_attention(device: torch.device, dtype: torch.dtype, heads: int, kv_heads: int, depth: int) -> RowAttention:
    """The best kernel that works here, for so many heads of `depth` channels."""
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    refused: list[str] = []
    for name in candidates(capability, version_of(torch.__version__), dtype):
        try:
            kernel = _find(name)
            if name == BY_ROW:
                break
            error = _difference(kernel, device, dtype, heads, kv_heads, depth)
        except ImportError:  # not installed
            continue
        except Exception as failure:  # built for another torch or GPU: whatever it raises, another one serves
            refused.append(f"{name}: {str(failure).partition(chr(10))[0]}")
            continue
        if error < TOLERANCE:
            return RowAttention(name, kernel, tuple(refused))
        refused.append(f"{name}: wrong by {error:.3g}")
    return RowAttention(BY_ROW, row_by_row, tuple(refused))


def row_by_row(
    q: Tensor, keys: Tensor, values: Tensor, numbers: Tensor, starts: Tensor, used: Tensor, most: int
) -> Tensor:
    """The plain form, for a CPU and as the measure of the others: asks the host for every row's length."""
    return over_extents(q, keys, values, list(zip(starts.tolist(), used.tolist(), strict=False)))


def over_extents(q: Tensor, keys: Tensor, values: Tensor, extents: list[tuple[int, int]]) -> Tensor:
    """Attention of each q[i] over so many keys and values from a first one on: (rows, heads, head_dim)."""
    rows, heads, depth = q.shape
    kv_heads, token = keys.shape[1], keys.stride(0)
    first_key, first_value, strides = keys.storage_offset(), values.storage_offset(), (0, depth, token, 1)
    attended = []
    for query, (start, count) in zip(q.reshape(rows, 1, heads, 1, depth).unbind(), extents, strict=True):
        # One operation in the place of three views: on a CPU they cost as much as the sums.
        shape = (1, kv_heads, count, depth)
        key = keys.as_strided(shape, strides, first_key + start * token)
        value = values.as_strided(shape, strides, first_value + start * token)
        attended.append(F.scaled_dot_product_attention(query, key, value, enable_gqa=heads != kv_heads))
    return torch.cat(attended)[:, :, 0]


def _find(name: str) -> Kernel:
    """The kernel of a name. Raises ImportError where it is not installed, and anything where it does not fit."""
    if name == BY_ROW:
        return row_by_row
    if name == TORCH_FLASH_OP:
        operator = torch.ops.aten._flash_attention_forward
        return lambda q, keys, values, numbers, starts, used, most: operator(
            q, keys, values, numbers, starts, 1, most, 0.0, False, False, seqused_k=used
        )[0]
    module = importlib.import_module("torch.nn.attention.varlen" if name == TORCH_FLASH else name)
    function = module.varlen_attn if name == TORCH_FLASH else module.flash_attn_varlen_func

    def attend(
        q: Tensor, keys: Tensor, values: Tensor, numbers: Tensor, starts: Tensor, used: Tensor, most: int
    ) -> Tensor:
        more = {"enable_gqa": True} if name == TORCH_FLASH and q.shape[1] != keys.shape[1] else {}
        found = function(q, keys, values, numbers, starts, 1, most, seqused_k=used, **more)
        output: Tensor = found[0] if isinstance(found, tuple) else found  # versions of FlashAttention 3 differ
        return output

    return attend


def _difference(
    kernel: Kernel, device: torch.device, dtype: torch.dtype, heads: int, kv_heads: int, depth: int
) -> float:
    """The largest difference of a kernel to the plain form, over extents of uneven lengths and in no order."""
    used = torch.tensor([300, 1, 129], dtype=torch.int32, device=device)
    starts = torch.tensor([512, 0, 256, 0], dtype=torch.int32, device=device)
    numbers = torch.arange(4, dtype=torch.int32, device=device)
    generator = torch.Generator(device).manual_seed(0)
    q = torch.randn(3, heads, depth, generator=generator, device=device).to(dtype)
    keys, values = (torch.randn(1024, kv_heads, depth, generator=generator, device=device).to(dtype) for _ in "kv")
    plain = row_by_row(q.float(), keys.float(), values.float(), numbers, starts, used, 512)
    return float((kernel(q, keys, values, numbers, starts, used, 512).float() - plain).abs().max())

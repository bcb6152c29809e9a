"""The routed experts of one layer, in the form that the device is good at. `expert_path` decides which, and why.

Tokens choose 6 of 64 experts, so the rows of an expert are known on the device alone. A decoding step must not ask for
them: it is captured in a CUDA graph. Prefill may.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

ALIGNMENT = 16  # bytes, of every row that the grouped product reads
Path = Literal["grouped", "batched", "looped"]


def version_of(text: str) -> tuple[int, int]:
    """(2, 13) of "2.13.0+cpu"."""
    major, minor = re.findall(r"\d+", text)[:2]
    return int(major), int(minor)


def expert_path(
    capability: tuple[int, int] | None, version: tuple[int, int], dtype: torch.dtype, aligned: bool
) -> Path:
    """How a decoding step computes the experts; none of "grouped" and "batched" asks the host for a value.

    "grouped": every expert's rows in one kernel. torch has that kernel (CUTLASS) for capability 9.0 and 10.0 alone;
    elsewhere the same function copies the offsets to the host and loops, which no CUDA graph may hold. On 10.0 the
    kernels of torch 2.10 are reported to fail at launch and those of 2.13 to work.
    "batched": every expert for every row, all others weighted by 0. Memory-bound, as a step is anyway, up to some 128
    rows.
    "looped": one product an expert, after asking the host.

    Args:
        capability: of the CUDA device; None on the CPU.
        version: torch's.
        aligned: every row of the weights begins at a multiple of ALIGNMENT bytes.
    """
    if capability is None:
        return "grouped" if aligned else "looped"
    has_kernel = capability == (9, 0) or (capability == (10, 0) and version >= (2, 13))
    return "grouped" if has_kernel and dtype == torch.bfloat16 and aligned else "batched"


class Experts:
    """Mixture of experts with softmax routing, the greedy top k (DeepSeekMoE, section 3; weights not renormalised).

    Args:
        gate_up: (experts, 2 × intermediate, hidden).
        down: (experts, hidden, intermediate). For "batched", its memory is laid out anew, as (hidden, experts,
            intermediate); the tensor itself reads as before.
        router: the module that holds the router's weight (experts, hidden), top_k and routed_scaling_factor.

    Attributes:
        path: of a decoding step; prefill takes "looped" in the place of "batched".
    """

    def __init__(self, gate_up: Tensor, down: Tensor, router: Any) -> None:
        self.path = path_for(gate_up, down)
        if self.path == "batched":
            down.data = down.data.permute(1, 0, 2).contiguous().permute(1, 0, 2)
        self._all_gate_up, self._all_down = gate_up.flatten(0, 1).T, down.permute(1, 0, 2)
        self._gate_up, self._down = gate_up.transpose(1, 2), down.transpose(1, 2)
        self._router = router.weight.float()
        self._top_k: int = router.top_k
        self._scale: float = router.routed_scaling_factor
        self._ids = torch.arange(gate_up.shape[0], device=gate_up.device)

    def __call__(self, x: Tensor, step: bool) -> Tensor:
        """Expert outputs, weighted and summed.

        Args:
            x: (tokens, hidden).
            step: this is a decoding step: the host must not be asked (unless the path is "looped").
        """
        scores = F.linear(x.float(), self._router).softmax(dim=-1)
        weights, chosen = scores.topk(self._top_k, dim=-1, sorted=False)
        if step and self.path == "batched":
            return self._batched(x, torch.zeros_like(scores).scatter_(1, chosen, weights * self._scale))
        by_expert, order = chosen.flatten().sort()
        ends = torch.searchsorted(by_expert, self._ids, right=True).int()
        grouped = self.path == "grouped"
        product: Any = F.grouped_mm if grouped else looped_product
        offs = ends if grouped else ask_host(ends)
        gate, up = product(x[order // self._top_k], self._gate_up, offs=offs).chunk(2, dim=-1)
        outputs = product(F.silu(gate) * up, self._down, offs=offs)
        placed = torch.empty_like(outputs).index_copy_(0, order, outputs).view(*weights.shape, -1)
        return torch.einsum("tk,tkh->th", weights * self._scale, placed.float()).to(x.dtype)

    def _batched(self, x: Tensor, weights: Tensor) -> Tensor:
        """Every expert for every token: two dense products. weights: (tokens, experts), 0 where not chosen."""
        gate, up = torch.mm(x, self._all_gate_up).view(*weights.shape, 2, -1).unbind(2)
        hidden = F.silu(gate).mul_(up).mul_(weights[..., None])
        return torch.mm(hidden.flatten(1), self._all_down.flatten(1).T)


def path_for(*weights: Tensor) -> Path:
    """`expert_path` of weights (experts, …, …) where they lie."""
    first = weights[0]
    aligned = all(side * first.itemsize % ALIGNMENT == 0 for each in weights for side in each.shape[1:])
    capability = torch.cuda.get_device_capability(first.device) if first.is_cuda else None
    return expert_path(capability, version_of(torch.__version__), first.dtype, aligned)


def ask_host(ends: Tensor) -> list[int]:
    """The row after each expert's last; waits for the device."""
    found: list[int] = ends.tolist()
    return found


def looped_product(x: Tensor, weights: Tensor, offs: list[int]) -> Tensor:
    """What `grouped_mm` computes, one product an expert.

    Args:
        x: (rows, in), sorted by expert.
        weights: (experts, in, out).
        offs: of `ask_host`.
    """
    output = x.new_empty(x.shape[0], weights.shape[2])
    start = 0
    for expert, end in enumerate(offs):
        if end > start:
            torch.mm(x[start:end], weights[expert], out=output[start:end])
        start = end
    return output

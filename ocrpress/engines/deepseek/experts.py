"""The routed experts of one layer as two grouped products: every expert's weights are read once, whatever the batch.

No host synchronisation on CUDA of compute capability 8.0 or later in bfloat16, so it can be captured in a CUDA graph.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812, the name that everybody knows
from torch import Tensor

ALIGNMENT = 16  # bytes, of every row that the grouped product reads


class Experts:
    """Mixture of experts with softmax routing, the greedy top k (DeepSeekMoE, section 3; weights not renormalised).

    Args:
        gate_up: (experts, 2 × intermediate, hidden).
        down: (experts, hidden, intermediate).
        router: the module that holds the router's weight (experts, hidden), top_k and routed_scaling_factor.

    Attributes:
        grouped: whether the products are grouped ones; else the host is asked how many rows each expert has.
    """

    def __init__(self, gate_up: Tensor, down: Tensor, router: Any) -> None:
        self._gate_up, self._down = gate_up.transpose(1, 2), down.transpose(1, 2)
        self._router = router.weight.float()
        self._top_k: int = router.top_k
        self._scale: float = router.routed_scaling_factor
        self._ids = torch.arange(gate_up.shape[0], device=gate_up.device)
        self.grouped = has_grouped_product(gate_up) and has_grouped_product(down)

    def __call__(self, x: Tensor) -> Tensor:
        """Expert outputs, weighted and summed; x: (tokens, hidden)."""
        scores = F.linear(x.float(), self._router).softmax(dim=-1)
        weights, chosen = scores.topk(self._top_k, dim=-1, sorted=False)
        by_expert, order = chosen.flatten().sort()
        ends = torch.searchsorted(by_expert, self._ids, right=True).int()
        gate, up = self._product(x[order // self._top_k], self._gate_up, ends).chunk(2, dim=-1)
        outputs = self._product(F.silu(gate) * up, self._down, ends)
        placed = torch.empty_like(outputs).index_copy_(0, order, outputs).view(*weights.shape, -1)
        return torch.einsum("tk,tkh->th", weights * self._scale, placed.float()).to(x.dtype)

    def _product(self, x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
        if self.grouped:
            return F.grouped_mm(x, weights, offs=ends)
        return looped_product(x, weights, ends)


def has_grouped_product(weights: Tensor) -> bool:
    """Whether torch multiplies such weights (experts, …, …) group by group in one kernel here."""
    aligned = all(side * weights.itemsize % ALIGNMENT == 0 for side in weights.shape[1:])
    if not hasattr(F, "grouped_mm") or not aligned:
        return False
    if weights.is_cuda:
        return weights.dtype == torch.bfloat16 and torch.cuda.get_device_capability(weights.device) >= (8, 0)
    return weights.device.type == "cpu"


def looped_product(x: Tensor, weights: Tensor, ends: Tensor) -> Tensor:
    """The same for devices without such a kernel, one product an expert; asks the host once.

    Args:
        x: (rows, in), sorted by expert.
        weights: (experts, in, out).
        ends: (experts,), the row after each expert's last.
    """
    output = x.new_empty(x.shape[0], weights.shape[2])
    start = 0
    for expert, end in enumerate(ends.tolist()):
        if end > start:
            torch.mm(x[start:end], weights[expert], out=output[start:end])
        start = end
    return output

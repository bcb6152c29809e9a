"""What work asks of a GPU, counted without one: bytes moved, floating-point operations and kernels launched.

    with fake_cuda():  tensors of shapes without values; torch takes the ways that it takes on a GPU
        count(lambda: encoder.encode(pages)) ──▶ Counts ──▶ seconds(device)

Every operation is charged what its kernel reads and writes: views nothing, look-ups what they touch and not the table,
expanded tensors their storage once. Caches of the device, which would save some of it, are not modelled.
"""

from __future__ import annotations

import ctypes
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ocrpress.errors import EngineError

HEAD_DIMENSIONS = (32, 64, 96, 128, 192, 256)  # that FlashAttention has kernels for; others are filled up
GROUPS = ("matmul", "attention", "copy", "elementwise")  # the last has norms and sums in it
KERNEL_SECONDS = 2e-6  # the least that a kernel takes, the gap to the next one included (assumed)
ISSUE_SECONDS = 6e-6  # of the host for an operation that no graph holds (assumed)

_FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "lift_fresh", "alias",
         "_unsafe_view", "device"}  # fmt: skip
_WHOLE = {"scaled_dot_product_attention", "rms_norm", "_grouped_mm"}  # one kernel on a GPU, whatever it is made of
_LOOK_UPS = {"embedding", "index", "index_select", "gather"}
_OVERWRITE = {"copy_", "fill_", "zero_"}
_COPIES = {*_LOOK_UPS, *_OVERWRITE, "clone", "_to_copy", "cat", "stack", "constant_pad_nd", "index_put_", "index_copy_",
           "index_fill_", "scatter_", "scatter_add_", "zeros", "new_zeros", "full", "flip", "repeat"}  # fmt: skip
_META, _CUDA, _KINDS = 14, 1, 20  # c10::DeviceType


@dataclass(frozen=True)
class Device:
    """A GPU's rates as they can be reached: bytes a second, and operations a second of matmuls and of attention."""

    name: str
    bandwidth: float
    matmul: float
    attention: float
    capability: tuple[int, int]


@dataclass(frozen=True)
class Operation:
    """One launch. `group` is one of GROUPS."""

    name: str
    group: str
    bytes: int
    flops: int


@dataclass(frozen=True)
class Counts:
    """What a piece of work did: each operation, and how often."""

    operations: Counter[Operation]

    def total(self, what: str, group: str = "") -> int:
        """Sum of "bytes", "flops" or "launches", of all groups or of one."""
        kept = ((each, times) for each, times in self.operations.items() if group in ("", each.group))
        return sum(times * (1 if what == "launches" else getattr(each, what)) for each, times in kept)

    def figures(self, pages: int = 1) -> dict[str, float]:
        """GB, GFLOP, GB by group, for each of so many pages; launches of all."""
        found = {"GB": self.total("bytes") / 1e9 / pages, "GFLOP": self.total("flops") / 1e9 / pages}
        found |= {f"{group} GB": self.total("bytes", group) / 1e9 / pages for group in GROUPS}
        return {name: round(value, 4) for name, value in found.items()} | {"launches": self.total("launches")}

    def seconds(self, device: Device, captured: bool) -> float:
        """Each operation at the device's rates, in turn; not captured, no faster than the host issues them."""
        rates = {"attention": device.attention}
        busy = sum(
            times * max(op.bytes / device.bandwidth, op.flops / rates.get(op.group, device.matmul), KERNEL_SECONDS)
            for op, times in self.operations.items()
        )
        return busy if captured else max(busy, self.total("launches") * ISSUE_SECONDS)


class Counting(TorchDispatchMode):
    """Counts what runs under it. A kernel that torch does not know is charged by `charge`, called from its stand-in."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Counter[Operation] = Counter()

    def charge(self, name: str, group: str, moved: int, flops: int = 0) -> None:
        """One launch more."""
        self.operations[Operation(name, group, moved, flops)] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.rpartition("::")[2]
        if name not in _WHOLE and name not in _FREE:
            with self:  # what is made of other operations is charged as those
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        # Fake, SDPA answers in another layout than a GPU's kernels do.
        out = torch.empty_like(args[0]) if name == "scaled_dot_product_attention" else func(*args, **kwargs)
        if name not in _FREE and not _is_view(func):
            flops, group = _flops(func, name, args, kwargs, out)
            self.charge(name, group, _moved(func, name, args, kwargs, out), flops)
        return out


def count(work: Callable[[], object], counting: Counting | None = None) -> Counts:
    """Do the work and say what it did."""
    counting = counting or Counting()
    with torch.inference_mode(), counting:
        work()
    return Counts(counting.operations)


@contextmanager
def fake_cuda(capability: tuple[int, int] = (9, 0)) -> Iterator[torch.device]:
    """Within it, tensors on the device given have shapes and no values, and code runs as on a GPU of that capability.

    A torch without CUDA refuses to index a fake CUDA tensor, as it has no guard that would switch devices; here it gets
    the guard of "meta", which does nothing.

    Raises:
        EngineError: this torch has no such table of guards (it has on Linux).
    """
    with ExitStack() as stack:
        stack.enter_context(patch.object(torch.cuda, "get_device_capability", lambda *_: capability))
        stack.enter_context(patch.object(torch.cuda, "synchronize", lambda *_: None))
        if torch.version.cuda is None:
            stack.enter_context(_no_guard())
        stack.enter_context(FakeTensorMode())
        yield torch.device("cuda", 0)


@contextmanager
def _no_guard() -> Iterator[None]:
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
        guards = (ctypes.c_void_p * _KINDS).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    except (OSError, ValueError) as error:
        raise EngineError("this torch cannot pretend to have a GPU", "count on Linux") from error
    kept, guards[_CUDA] = guards[_CUDA], guards[_META]
    try:
        yield
    finally:
        guards[_CUDA] = kept


def attention_flops(q: Tensor, seen: float, causal: bool = False) -> int:
    """Operations of attention: queries (…, head dimension), each over so many keys, as a fused kernel does them."""
    *rows, depth = q.shape
    kernel = next((each for each in HEAD_DIMENSIONS if each >= depth), depth)
    return int(4 * math.prod(rows) * seen * kernel / (2 if causal else 1))


def size(tensor: Tensor) -> int:
    """Bytes that a tensor shows, what it repeats by a stride of nought once."""
    shown = (length for length, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not length)
    return math.prod(shown) * tensor.element_size()


def _flops(func: Any, name: str, args: Any, kwargs: Any, out: Any) -> tuple[int, str]:
    if name == "scaled_dot_product_attention":
        return attention_flops(args[0], args[1].shape[-2], kwargs.get("is_causal", False)), "attention"
    if name == "_grouped_mm":
        return 2 * args[0].shape[0] * math.prod(args[1].shape[1:]), "matmul"
    if formula := flop_registry.get(func._overloadpacket):
        return int(formula(*args, **kwargs, out_val=out)), "matmul"
    return 0, "copy" if name in _COPIES else "elementwise"


def _moved(func: Any, name: str, args: Any, kwargs: Any, out: Any) -> int:
    """Bytes read and written by one operation."""
    read = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    written = sum(size(each) for each in tree_leaves(out) if isinstance(each, Tensor))
    if name in _LOOK_UPS:
        return sum(map(size, read[1:])) + 2 * written
    if name in ("index_put_", "index_copy_", "index_fill_", "scatter_", "scatter_add_"):
        return sum(map(size, read[1:])) + _replaced(name, args)
    if name == "_grouped_mm":  # of the groups, those that rows fall to by chance
        tokens, weights = read[:2]
        read[1] = weights[: math.ceil(len(weights) * (1 - (1 - 1 / len(weights)) ** len(tokens)))]
    outs = {id(kwargs.get(each.name)) for each in func._schema.arguments if each.is_out}
    unread = {id(read[0])} if name in _OVERWRITE else outs
    return sum(size(each) for each in read if id(each) not in unread) + written


def _replaced(name: str, args: Any) -> int:
    """Bytes of the first tensor that an indexed assignment writes."""
    target: Tensor = args[0]
    if name in ("scatter_", "scatter_add_"):
        return (1 + (name == "scatter_add_")) * int(args[2].numel()) * target.element_size()
    indices = [each for each in args[1] if each is not None] if name == "index_put_" else [args[2]]
    dims = [place for place, each in enumerate(args[1]) if each is not None] if name == "index_put_" else [args[1]]
    places = math.prod(torch.broadcast_shapes(*(each.shape for each in indices)))
    return int(size(target) * places // math.prod(target.shape[dim] for dim in dims))


def _is_view(func: Any) -> bool:
    aliases = [each.alias_info for each in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)

"""Several processes as one: ``torchrun -m dsah_train fit ...`` on one machine or many.

Hugging Face Accelerate joins the group and picks device and backend; it is chosen over Lightning
Fabric since it does that much without owning the loop. Gradients are summed here and not averaged
by DistributedDataParallel: pair losses need all pictures of the batch, so every process computes
the loss of the whole gathered batch, and the gradients through its own pictures add up to that of
one process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from dsah_infer.errors import DeviceError, MissingDependencyError, install_hint

__all__ = [
    "agree",
    "device",
    "exchange",
    "gather",
    "is_main",
    "join",
    "mains",
    "processes",
    "same_tensor",
    "share",
    "sum_gradients",
]

T = TypeVar("T")


def join(wanted: str) -> str:
    """Join the processes that torchrun started, if it did.

    Args:
        wanted: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        The device of this process, such as ``cpu`` or ``cuda:1``.

    Raises:
        MissingDependencyError: Several processes, but accelerate is not installed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device(wanted)
    try:
        from accelerate import PartialState
    except ImportError:
        raise MissingDependencyError(
            f"several processes need accelerate: {install_hint('train')}"
        ) from None
    own = PartialState(cpu=device(wanted) == "cpu").device
    return "cpu" if own.type == "cpu" else str(own)


def device(wanted: str) -> str:
    """``auto`` is the first CUDA device where there is one.

    Raises:
        DeviceError: An unknown device, or CUDA where there is none.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"device {wanted!r}, allowed: auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        built = torch.version.cuda or "none: this torch is a CPU build"
        raise DeviceError(f"device cuda: torch sees no CUDA device (CUDA of this torch: {built})")
    if wanted != "auto":
        return wanted
    return "cuda" if torch.cuda.is_available() else "cpu"


def _world() -> tuple[int, int]:
    """(rank, number) of this process."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def is_main() -> bool:
    """Whether this process writes files and shows progress."""
    return _world()[0] == 0


def processes() -> int:
    """How many processes train together."""
    return _world()[1]


def share(count: int) -> slice:
    """The rows of a batch of ``count`` that this process computes; shares differ by at most one.

    None is empty where ``count`` is `processes` or more.
    """
    rank, world = _world()
    return slice(count * rank // world, count * (rank + 1) // world)


class _Gather(torch.autograd.Function):
    """Own rows into the whole batch; backward takes the own rows of the whole gradient."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, count: int) -> Tensor:
        whole = own.new_zeros((count, *own.shape[1:]))
        whole[share(count)] = own
        # Zeros elsewhere: the sum is the concatenation, of uneven shares too.
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][share(len(grads[0]))].contiguous(), None


def gather(own: Tensor, count: int) -> Tensor:
    """Rows of all processes as one batch, differentiable in this process's rows.

    Args:
        own: This process's `share` of the rows.
        count: Rows of the whole batch.
    """
    if processes() == 1:
        return own
    return cast(Tensor, _Gather.apply(own, count))


class _Exchange(torch.autograd.Function):
    """Own rows among those of all processes; backward adds up what all of them ask of own rows."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, rows: slice, count: int) -> Tensor:
        ctx.rows = rows
        whole = own.new_zeros((count, *own.shape[1:]))
        whole[rows] = own
        dist.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        whole = grads[0].clone(memory_format=torch.contiguous_format)  # autograd keeps its own
        dist.all_reduce(whole)
        return whole[ctx.rows], None, None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def exchange(own: Tensor) -> tuple[Tensor, slice]:
    """Rows of all processes, and which of them are own, for layers that look at a whole batch.

    What follows `gather` is the same in every process, and so is its gradient. Here each process
    goes on with its own rows, and the gradients of all processes are added up. All processes must
    take part.

    Args:
        own: Rows of this process, any number of them.
    """
    rank, world = _world()
    counts = torch.zeros(world, dtype=torch.int64, device=own.device)
    counts[rank] = len(own)
    dist.all_reduce(counts)
    sizes = counts.tolist()
    start = sum(sizes[:rank])
    rows = slice(start, start + len(own))
    return cast(Tensor, _Exchange.apply(own, rows, sum(sizes))), rows


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Add up the gradients of all processes, in one message."""
    if processes() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in grads])
    dist.all_reduce(flat)
    start = 0
    for g in grads:
        g.copy_(flat[start : start + g.numel()].view_as(g))
        start += g.numel()


def agree(value: float) -> float:
    """The main process's value, in every process: decisions must not differ by a rounding."""
    return mains(lambda: value)


def mains(make: Callable[[], T]) -> T:
    """What ``make`` gives in the main process, in every process; the others do not call it.

    Files that are read to decide something are read so: other machines need not have them.
    """
    if processes() == 1:
        return make()
    box: list[Any] = [make() if is_main() else None]
    dist.broadcast_object_list(box, src=0)
    return cast(T, box[0])


def same_tensor(value: Tensor) -> Tensor:
    """Overwrite a tensor by the main process's, in every process; returns it.

    What every process computes for itself, on perhaps another kind of device, is made equal so.
    """
    if processes() > 1:
        dist.broadcast(value.detach(), src=0)
    return value

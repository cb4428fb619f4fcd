"""What a batch costs a process, measured on the meta device, where tensors have sizes and no values: operations, bytes
moved and sent, and memory from operation to operation.
"""

import fnmatch
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from saccade.core.recipe import Objective, Split
from saccade.runs.stand_ins import Kernels, recomputed


class Footprint(NamedTuple):
    """One forward and backward pass of a batch in one process; bytes, unless said otherwise."""

    flops: int
    """Floating-point operations of matrix products and attention."""
    attention: int
    """Those of attention."""
    moved: int
    """Read and written by all other operations."""
    activations: int
    """Kept from the model's forward pass for the backward pass."""
    logits: int
    """More than that while the loss is computed."""
    early: int
    """The most up to the backward pass of the last block, with gradients, without weights and optimizer."""
    late: int
    """The most from that of the first block on. Between the two, activations become gradients block by block, so the
    peak is at one of them."""
    summed: int
    """Activations and their gradients that a tensor group sums."""

    @property
    def peak(self) -> int:
        return max(self.early, self.late)


def footprint(
    model: nn.Module, batch: Any, objective: Objective, *, blocks: Iterable[str] = (), recompute: bool = False,
    **options: Any,
) -> Footprint:  # fmt: skip
    """The footprint of a batch on the meta device, where model and batch must be.

    Blocks of the same sizes cost the same, so if the model has a stack of them, stacks of two and three are computed,
    and each further block adds their difference.

    Args:
        blocks: patterns of the names of blocks.
        recompute: the backward pass computes the inside of the blocks again.
        options: those of `passed`.
    """
    names = matching(model, blocks)
    again = names if recompute else []
    stack = stack_of(model, names)
    if stack is None:
        return passed(model, batch, objective, again, **options)
    all_blocks = dict(stack._modules)
    found = []
    try:
        for depth in SHORT:
            stack._modules = dict(list(all_blocks.items())[:depth])
            kept = [name for name in again if has(model, name)]
            found.append(passed(model, batch, objective, kept, list(stack.children()), **options))
    finally:
        stack._modules = all_blocks
    return Footprint(*(a + (len(all_blocks) - SHORT[0]) * (b - a) for a, b in zip(*found, strict=True)))


SHORT = (2, 3)


def passed(
    model: nn.Module, batch: Any, objective: Objective, again: Iterable[str] = (), stack: Sequence[nn.Module] = (), *,
    shards: Mapping[str, Split] | None = None, narrow: bool = False, fused: bool = True, accumulated: bool = False,
) -> Footprint:  # fmt: skip
    """Compute a batch, forward and backward.

    Args:
        again: names of the modules that the backward pass computes again.
        stack: the blocks of the model, two or more; if there are none, both peaks are that of the whole pass.
        shards: how the model was cut, see `cut`, by the names of its layers.
        narrow: products are in bfloat16, as under autocast.
        fused: attention is computed by the fused kernel.
        accumulated: gradients of earlier batches are there from the beginning.
    """
    for weight in model.parameters():
        weight.grad = torch.empty_like(weight) if accumulated else None
    tracker = Tracker([*model.parameters(), *model.buffers()])
    for there in (*(weight.grad for weight in model.parameters()), *tree_leaves(batch)):
        if isinstance(there, Tensor):
            tracker.add(there)
    start, ends = tracker.live, [0]
    handles = listen(model, tracker, {name: how for name, how in (shards or {}).items() if has(model, name)}, ends)
    if stack:
        handles += [stack[-2].register_forward_hook(when_derived(tracker.turn)),
                    stack[0].register_forward_hook(when_derived(tracker.begin_late))]  # fmt: skip
    kernels = Kernels(tracker, narrow, fused)
    undo = [recomputed(model.get_submodule(name), kernels) for name in again]
    try:
        model.train()
        with kernels, tracker:
            loss = objective(model, batch, 0).value
            tracker.backward, highest = True, tracker.peak
            loss.backward()
    finally:
        for handle in handles:
            handle.remove()
        for restore in undo:
            restore()
    kept = ends[0] - start
    early, late = (tracker.early, tracker.peak) if stack else (tracker.peak, tracker.peak)
    return Footprint(
        tracker.flops, tracker.attention, tracker.moved, kept, highest - start - kept, early, late, tracker.summed
    )


PRODUCTS = {
    **flop_registry,
    # torch's counter leaves out sums in place, by which a blockwise loss adds up the gradient of its matrix
    torch.ops.aten.addmm_: flop_registry[torch.ops.aten.addmm],
    torch.ops.aten.baddbmm_: flop_registry[torch.ops.aten.baddbmm],
}


class Tracker(TorchDispatchMode):
    """Counts the operations and the bytes of all that runs within, and the memory of the tensors that exist.

    Args:
        weights: tensors whose memory is not counted.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.attention = self.moved = self.summed = self.live = self.peak = 0
        self.early, self.backward = 0, False
        self.weights = {each.untyped_storage()._cdata for each in weights}
        self.known: dict[int, Any] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and importing the compiler takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = PRODUCTS.get(func._overloadpacket)
        found = [out] if isinstance(out, Tensor) else [each for each in tree_leaves(out) if isinstance(each, Tensor)]
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=out)
        elif not func.is_view:
            given = [each for each in tree_leaves(args) if isinstance(each, Tensor)]
            self.moved += sum(each.numel() * each.element_size() for each in (*given, *found))
        for each in found:
            self.add(each)
        return out

    def add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known or key in self.weights:
            return
        size = storage.nbytes()
        self.known[key] = weakref.ref(storage, partial(self.drop, key, size))
        self.live += size
        self.peak = max(self.peak, self.live)

    def turn(self) -> None:
        self.early = self.peak

    def begin_late(self) -> None:
        self.peak = self.live

    def drop(self, key: int, size: int, _: Any) -> None:
        self.live -= size
        del self.known[key]


def when_derived(act: Callable[[], None]) -> Callable[..., None]:
    """A forward hook: `act` is called once the gradient of the module's output is known."""

    def hook(module: nn.Module, inputs: Any, outputs: Tensor) -> None:
        if outputs.requires_grad:
            outputs.register_hook(lambda slope: act())

    return hook


def stack_of(model: nn.Module, names: Iterable[str]) -> nn.ModuleList | None:
    """The list that holds all these blocks, if they have the same sizes and are more than would be computed."""
    wanted = [model.get_submodule(name) for name in names]
    sizes = {tuple(weight.shape for weight in block.parameters()) for block in wanted}
    if len(sizes) != 1:
        return None
    lists = (each for each in model.modules() if isinstance(each, nn.ModuleList) and list(each) == wanted)
    found = next(lists, None)
    return found if found is not None and len(found) > SHORT[1] else None


def has(model: nn.Module, name: str) -> bool:
    try:
        model.get_submodule(name)
    except AttributeError:
        return False
    return True


def matching(model: nn.Module, patterns: Iterable[str]) -> list[str]:
    """The names of the matching modules that are not inside another matching one."""
    names = [name for name, _ in model.named_modules() if any(fnmatch.fnmatchcase(name, each) for each in patterns)]
    found = set(names)
    return [name for name in names if found.isdisjoint(accumulate(name.split(".")[:-1], "{}.{}".format))]


def cut(model: nn.Module, shards: Mapping[str, Split], tensor: int) -> None:
    """Reduce the layers of a model on the meta device to one process's part, by the plan of layers of `planned`."""
    for name, split in shards.items():
        module: Any = model.get_submodule(name)
        axis = 1 if split == "rows" else 0
        shape = list(module.weight.shape)
        shape[axis] = -(-shape[axis] // tensor)
        module.weight = nn.Parameter(torch.empty(shape, device="meta", dtype=module.weight.dtype))
        if split == "vocabulary":
            module.weight.device_mesh = None  # a loss asks for it, and then computes as with a split matrix
        elif split == "columns" and module.bias is not None:
            module.bias = nn.Parameter(torch.empty(shape[:1], device="meta", dtype=module.bias.dtype))


def listen(model: nn.Module, tracker: Tracker, shards: Mapping[str, Split], ends: list[int]) -> list[Any]:
    """Note the memory at the end of the model's forward pass, and what a tensor group sums: the outputs of rows and
    vocabulary, and the gradients of what columns and the loss read."""

    def leaves(module: nn.Module, inputs: Any, outputs: Any) -> None:
        tracker.summed += size_of(outputs)

    def reads(module: nn.Module, inputs: Any, outputs: Any) -> None:
        if not tracker.backward:
            tracker.summed += size_of(inputs)

    def finishes(module: nn.Module, inputs: Any, outputs: Any) -> None:
        ends[0] = tracker.live
        if "vocabulary" in shards.values():
            tracker.summed += size_of(tree_leaves(outputs)[:1])

    found = [
        model.get_submodule(name).register_forward_hook(reads if split == "columns" else leaves)
        for name, split in shards.items()
    ]
    return [*found, model.register_forward_hook(finishes)]


def size_of(value: Any) -> int:
    """Bytes of the tensors in a value."""
    return sum(each.numel() * each.element_size() for each in tree_leaves(value) if isinstance(each, Tensor))

"""Whether an exported graph computes what the model computes when it is called.

A forward can ask whether it is being compiled, and can keep things in plain Python; the graph shows neither. So
the model is called twice without an export, and its second answer is compared with the graph's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from spikedrive.auditing.refusals.export import held_by, keeps
from spikedrive.errors import AuditError


@torch.no_grad()
def check_eager(
    model: nn.Module, program: ExportedProgram, examples: tuple[Tensor, ...], kept: Sequence[str]
) -> None:
    """Compare the answers of `program` with those of `model` in eval mode.

    `kept` are the attributes that the forward was seen to write, such as "self.blocks.0.last": between the two calls
    each is made unreadable, so that what is only recorded passes and what is read does not. One call runs after the
    other and only answers are held, so that this needs no more memory than one call.

    Raises: AuditError.
    """
    examples = tuple(map(_telling, examples))
    copied = own_copy(model)
    before = held_by(copied)
    _answers(copied, examples)
    changed = [name for name, what in held_by(copied).items() if before.get(name) != what]
    if changed:
        raise keeps(model, changed)
    traps = [_trap(copied, name) for name in kept]
    try:
        second = _answers(copied, examples)
    except _ReadError as error:
        raise keeps(model, kept) from error
    if not all(sprung() for sprung in traps):
        raise keeps(model, kept)
    graph = _answers(lambda *given: _run(program, given), examples)
    if len(second) == len(graph) and all(map(_equal, second, graph)):
        return
    raise AuditError(
        f"{type(model).__name__} answers otherwise when it is called than its exported graph does; the audit takes "
        "models that compute the same in both. Take out what asks whether the model is being compiled or exported, and "
        "what is kept from call to call in Python."
    )


def own_copy(model: nn.Module) -> nn.Module:
    """An eval-mode copy that shares parameters alone: a forward may write to buffers."""
    memo: dict[int, Any] = {id(p): p for p in model.parameters()}
    return copy.deepcopy(model, memo).eval()


def _telling(x: Tensor) -> Tensor:
    """The example, or noise where it is one number throughout, which would make different functions agree."""
    if x.numel() and x.is_floating_point() and bool((x == x.flatten()[0]).all()):
        return torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(0)).to(x.device)
    return x


def _run(program: ExportedProgram, examples: tuple[Tensor, ...]) -> Any:
    """The program's answers; its own `module()` would copy every weight."""
    signature, given = program.graph_signature, iter(examples)
    paths = {**signature.inputs_to_parameters, **signature.inputs_to_buffers,
             **signature.inputs_to_lifted_tensor_constants}  # fmt: skip
    held = {**program.constants, **program.state_dict}
    nodes = program.graph.find_nodes(op="placeholder")
    read = [held[paths[node.name]] if node.name in paths else next(given) for node in nodes]
    results = torch.fx.Interpreter(program.graph_module).run(*read)
    return results[len(results) - len(signature.user_outputs) :]


def _answers(model: Callable[..., Any], examples: tuple[Tensor, ...]) -> list[Tensor]:
    fast = torch.backends.mha.get_fastpath_enabled()
    # an export takes the slow path of attention, and rounds as it does
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            leaves = pytree.tree_leaves(model(*(x.clone() for x in examples)))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return [leaf.clone() for leaf in leaves if isinstance(leaf, Tensor)]


def _equal(one: Tensor, other: Tensor) -> bool:
    """Equal but for the rounding of equivalent kernels: the square root of the type's, over the largest answer."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not (one.is_floating_point() or one.is_complex()):
        return torch.equal(one, other)
    finite = one[torch.isfinite(one)]
    largest = float(finite.abs().amax()) if finite.numel() else 0.0
    share = torch.finfo(one.dtype).eps ** 0.5
    return torch.allclose(one, other, rtol=0.0, atol=share * largest, equal_nan=True)


class _ReadError(Exception):
    """Something was read that the last call left."""


def _refuse(*_: object, **__: object) -> NoReturn:
    raise _ReadError


class _Unreadable:
    """Takes the place of what a call left; every use of it raises."""

    __getattribute__ = __getattr__ = __setattr__ = __bool__ = __len__ = __iter__ = __getitem__ = (
        __setitem__
    ) = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __call__ = __contains__ = __float__ = __index__ = (
        _refuse
    )
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __matmul__ = (
        _refuse
    )
    __rmatmul__ = __pow__ = __rpow__ = __neg__ = __invert__ = __and__ = __or__ = __str__ = __repr__ = _refuse
    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def __torch_function__(cls, *_: object, **__: object) -> NoReturn:
        raise _ReadError


def _trap(model: nn.Module, name: str) -> Callable[[], bool]:
    """Make the attribute unreadable; what is returned says whether it was written since."""
    owner, key = _owner(model, name.partition("[")[0].split(".")[1:])
    trap = _Unreadable()
    vars(owner)[key] = trap
    return lambda: vars(owner).get(key) is not trap


def _owner(model: nn.Module, path: list[str]) -> tuple[nn.Module, str]:
    for i, part in enumerate(path):
        inner = model._modules.get(part)
        if inner is None:
            return model, path[i]
        model = inner
    raise AssertionError(path)

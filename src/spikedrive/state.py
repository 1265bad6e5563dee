"""Time and state: pure neurons, and one function that continues.

A `Stateful` module starts from rest and forgets: `module(x)` is pure. `run` carries state from
one call to the next, keyed by module path; `Stream` holds the state of one live input.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from spikedrive.errors import ConfigError, StateError

State = Any
"""A tensor, or a tuple or dict of tensors."""

Axis = Literal["time", "tokens"]


@dataclass(eq=False)
class _Cell:
    """What one `Stateful` carries during one `run`."""

    start: State | None
    end: State | None = None
    calls: int = 0
    steps: int | None = None
    owner: int = field(default_factory=lambda: _thread())


class Stateful(nn.Module):
    """A module with state along one axis; subclasses give `rest` and `scan` and nothing else.

    Shapes: forward x (T, B, ...) -> whatever `scan` returns first.
    """

    axis: Axis = "time"
    """Which axis the state runs along; `run(along=...)` carries the matching ones."""
    refuses_streaming: str | None = None
    """Why this module needs the whole of its axis at once; None where it streams."""
    _cell: _Cell | None = None
    _may_forget: bool = False

    @abstractmethod
    def rest(self, x: Tensor) -> State:
        """The state before the first step for an input like `x` (T, B, ...)."""

    @abstractmethod
    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The output for `x` (T, B, ...) from `state`, and the state after the last step; pure.

        With a further argument `keep_last` (True) it may leave the state empty where that is False.
        """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "scan" in cls.__dict__:
            cls._may_forget = "keep_last" in inspect.signature(cls.scan).parameters

    @final
    def forward(self, x: Tensor) -> Tensor:
        """The output from rest; inside `run`, from the carried state."""
        cell = self._cell
        if cell is None or not (torch.compiler.is_compiling() or cell.owner == _thread()):
            # nobody keeps the state: a scan that can leave it unwritten is told so
            forgetful: dict[str, Any] = {"keep_last": False} if self._may_forget else {}
            return self.scan(x, self.rest(x), **forgetful)[0]
        cell.calls += 1
        if cell.calls > 1:
            raise StateError(
                f"One {type(self).__name__} was called {cell.calls} times in one run; a carried state belongs to one "
                "place in the network. Use a module of its own for each place."
            )
        y, cell.end = self.scan(x, self.rest(x) if cell.start is None else cell.start)
        return y

    @property
    def steps_override(self) -> int | None:
        """The `steps` of the `run` that this call is part of, for encoders."""
        cell = self._cell
        return None if cell is None else cell.steps


def run(
    model: nn.Module,
    x: Tensor,
    state: dict[str, State] | None = None,
    *,
    steps: int | None = None,
    detach: bool = False,
    along: Axis = "time",
) -> tuple[Any, dict[str, State]]:
    """The model's answer to `x` continued from `state`, and the state to continue with.

    `state` is keyed by module path, free of the prefixes of DDP and torch.compile. Chunks equal
    the whole on the last answer. For a static input `steps=n` lets the encoder give n more steps.
    `detach` cuts the gradient at the returned state.

    Shapes: x as the model takes it; static (B, ...), sequences (T, B, ...).
    Raises: StateError for a module that cannot stream, is called twice, or is in use elsewhere;
    ConfigError for `steps` without a static encoder, or a state of another model.
    """
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ConfigError(
            f"run got steps={steps!r}; it takes a whole number of at least 1. Leave it out for the default."
        )
    members = _members(model, along)
    _check_state(members, state or {}, along)
    if steps is not None and not any(getattr(m, "static", False) for m in members.values()):
        raise ConfigError(
            f"run got steps={steps}, and {type(model).__name__} has no encoder of static input that could give more "
            "steps; a sequence brings its own. Leave steps out."
        )
    cells = {path: _Cell((state or {}).get(path), steps=steps) for path in members}
    with _locked(model), _carrying({members[path]: cell for path, cell in cells.items()}):
        y = model(x)
    new = {path: cell.start if cell.calls == 0 else cell.end for path, cell in cells.items()}
    new = {path: value for path, value in new.items() if value is not None}
    return y, pytree.tree_map_only(Tensor, Tensor.detach, new) if detach else new


class Stream:
    """One live input: call it with the next chunk, get the answer so far; the state is detached.

    Several streams may share one model.
    """

    def __init__(self, model: nn.Module, *, along: Axis = "time") -> None:
        self.model = model
        self.along: Axis = along
        self.state: dict[str, State] | None = None

    def __call__(self, x: Tensor, *, steps: int | None = None) -> Any:
        """The answer after the chunk `x`."""
        y, self.state = run(self.model, x, self.state, steps=steps, detach=True, along=self.along)
        return y

    def reset(self) -> None:
        """Forget the input so far."""
        self.state = None


def recompute(module: nn.Module, *args: Tensor, fn: Callable[..., Any] | None = None) -> Any:
    """`fn(*args)` (the module itself by default) with its activations computed again in the backward pass.

    Unlike a bare `torch.utils.checkpoint`, the second computation starts from the state that each
    neuron inside `module` started with, so gradients are right inside `run` too.
    """
    outer = {m: m._cell for m in module.modules() if isinstance(m, Stateful) and m._cell is not None}
    starts = {m: (cell.start, cell.steps) for m, cell in outer.items()}
    body = module if fn is None else fn

    def again(*inputs: Tensor) -> Any:
        inner = {m: _Cell(start, steps=steps) for m, (start, steps) in starts.items()}
        with _carrying(inner):
            y = body(*inputs)
        for m, cell in inner.items():
            if cell.calls:
                # the outer run has ended when this runs a second time; then these cells are read by nobody
                outer[m].end, outer[m].calls = cell.end, outer[m].calls + cell.calls
        return y

    return checkpoint(again, *args, use_reentrant=False)


def _thread() -> int:
    # a compiled or exported call has one thread by construction, and cannot trace the question
    return 0 if torch.compiler.is_compiling() else threading.get_ident()


def plain_path(path: str) -> str:
    """A module path without the prefixes of DDP (`module.`) and torch.compile (`_orig_mod.`).

    >>> plain_path("module._orig_mod.blocks.0.lif")
    'blocks.0.lif'
    """
    parts = path.split(".")
    while parts and parts[0] in ("module", "_orig_mod", "_forward_module"):
        parts = parts[1:]
    return ".".join(p for p in parts if p != "_orig_mod")


def _members(model: nn.Module, along: Axis) -> dict[str, Stateful]:
    members = {
        plain_path(n): m for n, m in model.named_modules() if isinstance(m, Stateful) and m.axis == along
    }
    for path, member in members.items():
        if member.refuses_streaming is not None:
            raise StateError(
                f"{path or type(model).__name__} is a {type(member).__name__}, which cannot stream: "
                f"{member.refuses_streaming}. Call the model on the whole input instead of run."
            )
    return members


def _check_state(members: dict[str, Stateful], state: dict[str, State], along: Axis) -> None:
    strange = [path for path in state if path not in members]
    if strange:
        raise ConfigError(
            f"run got a state with {strange[0]!r}, which this model does not have along {along}; it takes the state "
            "that run returned for the same model. Start again with state=None."
        )


_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()


@contextmanager
def _locked(model: nn.Module) -> Iterator[None]:
    if torch.compiler.is_compiling():
        yield
        return
    with _locks_guard:
        lock = _locks.setdefault(model, threading.RLock())
    with lock:
        yield


@contextmanager
def _carrying(cells: dict[Stateful, _Cell]) -> Iterator[None]:
    before: dict[Stateful, _Cell | None] = {}
    try:
        for member, cell in cells.items():
            old = member._cell
            if old is not None and old.owner != cell.owner:
                raise StateError(
                    f"A {type(member).__name__} is shared by two models that run in two threads at once; its state "
                    "would mix. Give each model its own copy, or run them in turn."
                )
            before[member] = old
            member._cell = cell
        yield
    finally:
        for member, old in before.items():
            member._cell = old

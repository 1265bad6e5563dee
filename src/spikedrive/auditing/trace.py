"""A model as a flat list of operations, each with its module, file and line.

`trace` exports the eval-mode model with `torch.export` and keeps the operations at the level that
people write (`aten.conv2d.default`, `aten.batch_norm.default`, `spikedrive.lif_scan.default`).
What depends on parameters alone is evaluated here, once.
"""

from __future__ import annotations

import copy
import hashlib
import os
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import ExportGraphSignature
from torch.fx.proxy import TracerBase
from torch.utils import _pytree as pytree
from torch.utils._sympy.functions import FloorDiv, Mod

import spikedrive
from spikedrive.auditing.refusals import (
    check_eager,
    examples_of,
    keeps,
    numbers_of,
    own_copy,
    silent,
    why_not_exported,
    why_not_running,
)
from spikedrive.errors import AuditError
from spikedrive.ops import domains

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Ref:
    """An argument that is the (first) output of another node."""

    name: str


class Batched(int):
    """A size that grows with the batch: the value for one sample, `.at(batch)` for more.

    >>> size = Batched.affine(slope=4, offset=0)
    >>> int(size), size.at(8)
    (4, 32)
    """

    slope: int
    offset: int

    @classmethod
    def affine(cls, slope: int, offset: int) -> Batched:
        """slope * batch + offset."""
        size = cls(slope + offset)
        size.slope, size.offset = slope, offset
        return size

    def at(self, batch: int) -> int:
        """The size for that many samples."""
        return self.slope * batch + self.offset


@dataclass
class Node:
    """One operation.

    `op` is "input", "constant", "getitem" or the operation's overload name; `shapes` and `dtypes` hold
    one entry an output. A constant's `target` is its path in the model ("stem.conv.weight"), or empty
    for one computed from others. `users` are the names of the nodes that read it.
    """

    name: str
    op: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    module: str = ""
    file: str = ""
    line: int = 0
    shapes: tuple[Shape, ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()
    users: tuple[str, ...] = ()
    target: str = ""
    function: Callable[..., Any] | None = field(default=None, repr=False, compare=False)

    @property
    def shape(self) -> Shape:
        """The shape of the first output."""
        return self.shapes[0] if self.shapes else ()

    @property
    def dtype(self) -> torch.dtype:
        """The element type of the first output."""
        return self.dtypes[0]

    @property
    def refs(self) -> list[str]:
        """The names of the nodes that this one reads, in order of its arguments."""
        return [leaf.name for leaf in _leaves((self.args, self.kwargs)) if isinstance(leaf, Ref)]

    @property
    def where(self) -> str:
        """`module 'blocks.0.conv' (file.py:12)`, for messages."""
        return f"module {self.module or '(the model itself)'!r} ({self.file or 'unknown file'}:{self.line})"


@dataclass
class Graph:
    """The operations of a model in the order they run.

    Shapes are those of `batch` samples: one where the exported graph takes any batch (`dynamic`), else
    the example's. Sizes that grow with the batch are `Batched`. `constants` holds the value of every
    node of op "constant" by node name; they share memory with the model.
    """

    nodes: list[Node]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, Tensor]
    batch: int
    dynamic: bool
    batch_axis: int

    def __post_init__(self) -> None:
        self._by_name = {node.name: node for node in self.nodes}

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def digest(self) -> str:
        """The SHA-256 of operations, arguments, shapes and constants; names, files and lines left out."""
        place = {node.name: i for i, node in enumerate(self.nodes)}
        sha = hashlib.sha256()
        for node in self.nodes:
            arguments = pytree.tree_map_only(
                Ref, lambda r: f"%{place[r.name]}", (node.args, node.kwargs), is_leaf=_is_ref
            )
            shapes = [tuple(map(int, shape)) for shape in node.shapes]
            sha.update(f"{node.op}{arguments}{shapes}{node.dtypes}\n".encode())
            if node.op == "constant":
                value = self.constants[node.name].detach().cpu().contiguous()
                sha.update(value.view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
        sha.update(str([place[name] for name in self.outputs]).encode())
        return sha.hexdigest()


def trace(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    *,
    batch_axis: int | None = None,
    dynamic: bool = True,
    decompose: Callable[[str], bool] | None = None,
    compared: bool = False,
) -> Graph:
    """The graph of `model` in eval mode on inputs like `example`; the model itself is not changed.

    The batch may have any size where the model allows it, unless `dynamic` is False. `batch_axis` is 0 for
    static inputs (B, ...) and 1 for sequences (T, B, ...); a model's card says which, so it is needed for
    models without a card only. An operation for which `decompose` says so is written in simpler ones: a
    neuron as its equation, another where PyTorch knows how. With `compared` the model is called too, and must
    answer as the graph does; attributes that it only records are then no state.

    Raises: AuditError naming the line that cannot be exported, or the layer that does not take the example;
    ShapeError for an example without a batch; DtypeError for one that is no tensor.
    """
    axis = _batch_axis(model) if batch_axis is None else batch_axis
    examples = examples_of(model, example, axis)
    graph = None
    if dynamic:
        # what fails on any batch may be fit for one of fixed size, and is told apart best on it
        with suppress(AuditError):
            graph = _graph(model, examples, axis, decompose, dynamic=True, compared=compared)
    return graph or _graph(model, examples, axis, decompose, dynamic=False, compared=compared)


@torch.no_grad()
def _graph(
    model: nn.Module,
    examples: tuple[Tensor, ...],
    axis: int,
    decompose: Callable[[str], bool] | None,
    *,
    dynamic: bool,
    compared: bool,
) -> Graph:
    exported, kept = _export(_quiet_copy(model), examples, axis, dynamic=dynamic)
    _check_state(exported.graph_signature)
    if kept and not compared:
        raise keeps(model, kept)
    program = _functional(exported, decompose)
    _check_state(program.graph_signature)
    if dynamic and not _takes_any_batch(program, axis):
        # a second sample may have been ours
        return _graph(model, examples, axis, decompose, dynamic=False, compared=compared)
    if compared:
        check_eager(model, exported, examples, kept)
    return folded(_convert(program, 1 if dynamic else examples[0].shape[axis], dynamic, axis))


def evaluate(node: Node, values: dict[str, Any], batch: int = 1) -> Any:
    """What `node` computes from the `values` of the nodes it reads, for `batch` samples."""

    def real(leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            return values[leaf.name]
        return leaf.at(batch) if isinstance(leaf, Batched) else leaf

    args, kwargs = pytree.tree_map(real, (node.args, node.kwargs), is_leaf=_is_ref)
    if node.op == "getitem":
        return args[0][args[1]]
    assert node.function is not None, node
    return node.function(*args, **kwargs)


def _batch_axis(model: nn.Module) -> int:
    kinds = getattr(model, "input", None), getattr(getattr(model, "card", None), "input", None)
    return 1 if "frames" in kinds or "tokens" in kinds else 0


def _quiet_copy(model: nn.Module) -> nn.Module:
    """An eval-mode copy of the structure that shares every tensor."""
    memo: dict[int, Any] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, memo).eval()


def _export(
    model: nn.Module, examples: tuple[Tensor, ...], axis: int, *, dynamic: bool = True
) -> tuple[ExportedProgram, tuple[str, ...]]:
    """The program, and the attributes that the forward wrote."""
    given, shapes = examples, None
    if dynamic:
        # a size of one would be taken for a constant
        examples = tuple(torch.cat([x, x], axis) if x.shape[axis] == 1 else x for x in examples)
        shapes = tuple({axis: Dim.AUTO} for _ in examples)
        if _takes_star(model):
            shapes = (shapes,)
    before, after = numbers_of(model), {}
    # torch.export puts back what a forward changed
    seen = model.register_forward_hook(lambda *_: after.update(numbers_of(model)))
    try:
        with _whole_traces(), silent(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            program = torch.export.export(model, examples, dynamic_shapes=shapes, strict=False)
    except Exception as error:
        raise why_not_running(own_copy(model), given, _culprit) or why_not_exported(
            model, _culprit(error), error
        ) from error
    finally:
        seen.remove()
    kept = [name for name, number in after.items() if before.get(name) != number]
    for warning in caught:
        written = re.match(_KEPT, str(warning.message))
        if written is not None:
            # torch's own recurrent layers list their weights anew
            kept += [name for name in written[1].split(", ") if not re.fullmatch(_WEIGHTS, name)]
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return program, tuple(dict.fromkeys(kept))


# what torch.export says of tensors that were written to attributes, and the names that are no state
_KEPT = r"The tensor attributes? (.*) (?:was|were) assigned during export"
_WEIGHTS = r"self\.(?:\w+\.)*_flat_weights\[\d+\]"


def _takes_star(model: nn.Module) -> bool:
    code = getattr(model.forward, "__code__", None)
    return bool(code is not None and code.co_flags & 0x04)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200]


def _culprit(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_model_file(f.filename)]
    if not frames:
        return "no line of the model is named"
    return f"{frames[-1].filename}:{frames[-1].lineno}, `{(frames[-1].line or '').strip()}`"


_TORCH = str(Path(torch.__file__).parent)
_LAYERS = str(Path(nn.__file__).parent / "modules") + os.sep
_OURS = Path(spikedrive.__file__).parent
# these run a model's code, or are a neuron, whose place is the line that calls it
_PLUMBING = (
    __file__,
    str(_OURS / "state.py"),
    *(str(_OURS / folder) + os.sep for folder in ("ops", "neurons", "interop")),
)


def _is_model_file(path: str) -> bool:
    return not path.startswith((_TORCH, "<", "torch/", *_PLUMBING))


@contextmanager
def _whole_traces() -> Iterator[None]:
    """Keep the functions that a forward calls in the stack of each node; PyTorch keeps only the forwards."""
    tracer: Any = TracerBase
    kept = tracer._filter_traceback_frames

    def below_forward(_: Any, frames: traceback.StackSummary) -> traceback.StackSummary:
        first = next((i for i, frame in enumerate(frames) if frame.name == "forward"), len(frames))
        below = [f for f in frames[first:] if not f.filename.startswith((_TORCH, "<"))]
        # a model of nothing but torch's own layers has no other line
        below = below or [f for f in frames[first:] if f.filename.startswith(_LAYERS)]
        return traceback.StackSummary.from_list([f for f in below if _is_model_file(f.filename)] or below)

    tracer._filter_traceback_frames = below_forward
    try:
        yield
    finally:
        tracer._filter_traceback_frames = kept


def _functional(program: ExportedProgram, decompose: Callable[[str], bool] | None) -> ExportedProgram:
    """The same program without in-place operations, and without those to be decomposed."""
    for _ in range(_ROUNDS):
        called = {
            node.target for node in program.graph.nodes if node.op == "call_function" and _holds_tensors(node)
        }
        operations = [t for t in called if isinstance(t, torch._ops.OpOverload)]
        unwanted = {
            t for t in operations if decompose is not None and decompose(str(t)) and t is not _FUNCTIONAL_BN
        }
        known = torch.export.default_decompositions() if unwanted else {}
        equations = domains.decompositions()
        table: dict[Any, Any] = {t: t.decompose for t in unwanted if _is_composite(t)}
        table |= {t: known[t] for t in unwanted if t in known}
        table |= {t: equations[t] for t in unwanted if t in equations}
        if not table and not any(t._schema.is_mutable for t in operations):
            break
        with warnings.catch_warnings():
            # torch 2.13 warns about its own use of LeafSpec
            warnings.simplefilter("ignore", FutureWarning)
            try:
                program = program.run_decompositions(table)
            except RuntimeError as error:
                raise AuditError(
                    f"The exported model cannot be made free of in-place operations ({_first_line(error)}). The audit "
                    "takes models whose forward changes nothing but its own results. Write x = x + 1 for x.add_(1)."
                ) from error
    return program


def _is_composite(operation: torch._ops.OpOverload) -> bool:
    """Whether PyTorch itself writes it in other operations."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(operation.name(), "CompositeImplicitAutograd")


# a decomposition may consist of operations that decompose further
_ROUNDS = 4


def _takes_any_batch(program: ExportedProgram, axis: int) -> bool:
    names = set(program.graph_signature.user_inputs)
    first = next(node for node in program.graph.nodes if node.op == "placeholder" and node.name in names)
    size = first.meta["val"].shape[axis]
    if not isinstance(size, torch.SymInt) or not size.node.expr.free_symbols:
        return False
    # a batch that is taken apart, as in reshape(-1, steps), has no single sample
    return not any(
        isinstance(size, torch.SymInt) and size.node.expr.has(FloorDiv, Mod)
        for node in program.graph.nodes
        for leaf in pytree.tree_leaves(node.meta.get("val"))
        if isinstance(leaf, Tensor)
        for size in leaf.shape
    )


def _convert(program: ExportedProgram, batch: int, dynamic: bool, axis: int) -> Graph:
    signature = program.graph_signature
    paths = {**signature.inputs_to_parameters, **signature.inputs_to_buffers,
             **signature.inputs_to_lifted_tensor_constants}  # fmt: skip
    nodes: list[Node] = []
    constants: dict[str, Tensor] = {}
    inputs: list[str] = []
    outputs: tuple[str, ...] = ()
    whole = {node.name for node in program.graph.nodes if node.target is _FUNCTIONAL_BN}
    for source in program.graph.nodes:
        if source.op == "output":
            asked = len(source.args[0]) - len(signature.user_outputs)
            # an input that is changed in place is a result too
            results = [*source.args[0][asked:], *source.args[0][:asked]]
            outputs = tuple(n.name for n in results if isinstance(n, fx.Node) and _is_output(n))
        elif source.op == "placeholder" and source.name in paths:
            path = paths[source.name]
            value: Any = program.state_dict[path] if path in program.state_dict else program.constants[path]
            constants[source.name] = value.detach()
            nodes.append(_described(Node(source.name, "constant", target=path), source))
        elif source.op == "placeholder":
            inputs.append(source.name)
            nodes.append(_described(Node(source.name, "input"), source))
        elif isinstance(source.target, torch._ops.HigherOrderOperator):
            place = _described(Node(source.name, str(source.target)), source, sizes=False)
            raise AuditError(
                f"{place.op} in {place.where} holds a graph of its own; the audit takes flat graphs. Leave "
                "control flow and changes of grad mode out of forward."
            )
        elif _holds_tensors(source):
            nodes.append(_described(_call(source), source))
    if not outputs:
        raise AuditError(
            "The model's forward returns no tensor; the audit takes one that returns tensors, alone or in tuples, "
            "lists and dicts. Return what it computes."
        )
    for node in nodes:
        # its users read the first of three outputs; now there is one
        if node.op == "getitem" and node.args[0].name in whole:
            if node.args[1] != 0:
                raise AuditError(
                    f"{node.where} reads the statistics of a BatchNorm in eval mode, which are empty; the audit takes "
                    "its output. Read nothing else."
                )
            node.op, node.args, node.function = (
                "aten.alias.default",
                node.args[:1],
                torch.ops.aten.alias.default,
            )
    return Graph(nodes, tuple(inputs), outputs, constants, batch, dynamic, axis)


def _is_output(source: fx.Node) -> bool:
    """Whether it is a tensor; a size is none, and a number that the data decides is refused."""
    if not _holds_tensors(source):
        _size(source.meta.get("val"), source)
    return _holds_tensors(source)


def _check_state(signature: ExportGraphSignature) -> None:
    if signature.buffers_to_mutate:
        names = ", ".join(map(repr, dict.fromkeys(signature.buffers_to_mutate.values())))
        raise AuditError(
            f"The model's forward writes to its buffer {names}; the audit takes buffers for constants, and would miss "
            "what goes on in them. Take the state as an input and return the new one."
        )


_FUNCTIONAL_BN = torch.ops.aten._native_batch_norm_legit_no_training.default


def _holds_tensors(source: fx.Node) -> bool:
    """Not so for sizes, which are written into the arguments, and for assertions about them."""
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(source.meta.get("val")))


def _call(source: fx.Node) -> Node:
    args, kwargs = fx.node.map_aggregate((source.args, source.kwargs), lambda leaf: _argument(leaf, source))  # type: ignore[misc]
    target: Any = source.target
    if getattr(target, "__name__", "") == "getitem":
        return Node(source.name, "getitem", tuple(args), dict(kwargs))
    if target is _FUNCTIONAL_BN:
        # what becomes of a batch_norm when a program is made free of in-place operations
        target, args, kwargs = torch.ops.aten.batch_norm.default, (*args[:5], False, *args[5:], False), {}
    return Node(source.name, str(target), tuple(args), dict(kwargs), function=target)


def _argument(leaf: Any, owner: fx.Node) -> Any:
    if not isinstance(leaf, fx.Node):
        return leaf
    value = leaf.meta.get("val")
    return Ref(leaf.name) if value is None or not _is_number(value) else _size(value, owner)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, bool, torch.SymInt, torch.SymFloat, torch.SymBool))


def _size(value: Any, owner: fx.Node) -> Any:
    """A size as a plain number, or `Batched` where it follows the batch."""
    if not isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool)):
        return value
    expression = value.node.expr
    symbols = sorted(expression.free_symbols, key=str)
    if not symbols:
        return int(expression) if isinstance(value, torch.SymInt) else float(expression)
    at = [expression.subs(dict.fromkeys(symbols, batch)) for batch in (1, 2, 3)]
    if (
        not isinstance(value, torch.SymInt)
        or any(str(s)[0] == "u" for s in symbols)
        or at[2] - at[1] != at[1] - at[0]
    ):
        described = _described(Node(owner.name, str(owner.target)), owner, sizes=False)
        raise AuditError(
            f"{described.op} in {described.where} has the {'size' if isinstance(value, torch.SymInt) else 'number'} "
            f"{expression}, which depends on the data or grows faster than the batch; the audit counts per sample. Use "
            "sizes that are fixed or proportional to the batch, and tensors in place of .item()."
        )
    return Batched.affine(int(at[1] - at[0]), int(2 * at[0] - at[1]))


def _described(node: Node, source: fx.Node, *, sizes: bool = True) -> Node:
    stack = list((source.meta.get("nn_module_stack") or {}).values())
    # a module called twice shows as path@1
    node.module = re.sub(r"@\d+", "", stack[-1][0]) if stack else ""
    frames = re.findall(r'File "([^"]+)", line (\d+)', source.meta.get("stack_trace") or "")
    # after a decomposition PyTorch adds its own frames
    for file, line in [f for f in frames if _is_model_file(f[0])] or frames:
        node.file, node.line = file, int(line)
    if sizes:
        tensors = [leaf for leaf in pytree.tree_leaves(source.meta.get("val")) if isinstance(leaf, Tensor)]
        node.shapes = tuple(tuple(_size(size, source) for size in t.shape) for t in tensors)
        node.dtypes = tuple(t.dtype for t in tensors)
    return node


def _is_ref(leaf: Any) -> bool:
    return isinstance(leaf, Ref)


def _leaves(tree: Any) -> list[Any]:
    return pytree.tree_leaves(tree, is_leaf=_is_ref)


def folded(graph: Graph) -> Graph:
    """The graph with everything that depends on constants alone evaluated, and dead nodes gone."""
    for node in graph.nodes:
        if node.op in ("input", "constant", "getitem") or node.function is None or not is_pure(node):
            foldable = node.op == "getitem" and node.args[0].name in graph.constants
        else:
            foldable = all(name in graph.constants for name in node.refs) and not _follows_batch(node)
        if foldable:
            with torch.no_grad():
                graph.constants[node.name] = evaluate(node, graph.constants)
            node.op, node.args, node.kwargs, node.function = "constant", (), {}, None
    needed: set[str] = set(graph.outputs)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.refs)
    kept = [node for node in graph.nodes if node.name in needed or node.op == "input"]
    readers: dict[str, list[str]] = {node.name: [] for node in kept}
    for node in kept:
        for name in dict.fromkeys(node.refs):
            readers[name].append(node.name)
    for node in kept:
        node.users = tuple(readers[node.name])
    constants = {node.name: graph.constants[node.name] for node in kept if node.op == "constant"}
    return Graph(kept, graph.inputs, graph.outputs, constants, graph.batch, graph.dynamic, graph.batch_axis)


def is_pure(node: Node) -> bool:
    """Whether it computes the same from the same, which random numbers and memory that was never written do not."""
    tags = getattr(node.function, "tags", ())
    written = not node.op.startswith(("aten.empty", "aten.new_empty"))
    return (
        isinstance(node.function, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded not in tags
        and written
    )


def _follows_batch(node: Node) -> bool:
    return any(isinstance(leaf, Batched) for leaf in _leaves((node.args, node.kwargs)))

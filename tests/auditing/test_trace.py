"""The traced graph: level of the operations, places, constants, batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from spikedrive.auditing.trace import Batched, Ref, evaluate, trace
from spikedrive.encoders import Direct
from spikedrive.errors import AuditError, ShapeError
from spikedrive.neurons import ILIF, PLIF
from spikedrive.ops.fold import over_time


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.conv, self.bn = Direct(2), nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.plif, self.ilif, self.head = PLIF(tau=3.0), ILIF(), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.plif(over_time(lambda y: self.bn(self.conv(y)), self.encoder(x)))
        return self.head(self.ilif(x).mean((-1, -2))).mean(0)


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn(self.conv(x))).add_(1)


def run_graph(graph, x: Tensor) -> Tensor:
    axis = graph.batch_axis
    values = {**graph.constants, graph.inputs[0]: x}
    for node in graph:
        if node.name not in values:
            values[node.name] = evaluate(node, values, x.shape[axis])
    return values[graph.outputs[0]]


@pytest.mark.parametrize("batch", [1, 5])
def test_the_graph_computes_what_the_model_computes_for_any_batch(batch: int) -> None:
    model = Net().eval()
    graph = trace(model, torch.randn(1, 3, 6, 6))
    x = torch.randn(batch, 3, 6, 6) * 3
    assert graph.dynamic
    torch.testing.assert_close(run_graph(graph, x), model(x))


def test_operations_stay_at_the_level_that_people_write() -> None:
    graph = trace(Net(), torch.randn(2, 3, 6, 6))
    ops = [node.op for node in graph]
    for op in ("aten.conv2d.default", "aten.batch_norm.default", "spikedrive.plif_scan.default",
               "spikedrive.ilif_scan.default", "aten.linear.default"):  # fmt: skip
        assert op in ops
    assert ops.count("getitem") == 2


def test_a_node_knows_its_module_its_file_and_its_line() -> None:
    graph = trace(Net(), torch.randn(2, 3, 6, 6))
    conv = next(node for node in graph if node.op == "aten.conv2d.default")
    assert conv.module == "conv"
    assert conv.file == __file__
    assert "self.bn(self.conv(y))" in Path(__file__).read_text().splitlines()[conv.line - 1]
    weight = graph[conv.args[1].name]
    assert weight.target == "conv.weight"
    assert weight.users == (conv.name,)


def test_what_depends_on_parameters_alone_is_a_constant() -> None:
    graph = trace(Net(), torch.randn(2, 3, 6, 6))
    scan = next(node for node in graph if node.op == "spikedrive.plif_scan.default")
    decay = scan.args[2]
    assert isinstance(decay, Ref)
    assert graph[decay.name].op == "constant"
    assert graph.constants[decay.name].item() == pytest.approx(2 / 3)


def test_shapes_are_those_of_one_sample_and_sizes_follow_the_batch() -> None:
    graph = trace(Net(), torch.randn(7, 3, 6, 6))
    conv = next(node for node in graph if node.op == "aten.conv2d.default")
    assert conv.shape == (2, 4, 6, 6)
    assert isinstance(conv.shape[0], Batched)
    assert conv.shape[0].at(7) == 14


def test_in_place_operations_become_functional() -> None:
    model = InPlace().eval()
    graph = trace(model, torch.randn(2, 3, 6, 6))
    assert [node.op for node in graph if "batch_norm" in node.op] == ["aten.batch_norm.default"]
    assert not any(node.op.split(".")[1].endswith("_") for node in graph if "." in node.op)
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(run_graph(graph, x), model(x))


def test_a_fixed_batch_is_kept() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(3, 4) + 1

    graph = trace(Fixed(), torch.randn(3, 4))
    assert (graph.dynamic, graph.batch) == (False, 3)


def test_the_model_is_left_as_it_was() -> None:
    model = Net().train()
    trace(model, torch.randn(2, 3, 6, 6))
    assert model.training
    assert model.bn.training
    assert model.bn.num_batches_tracked == 0


def test_the_digest_sees_weights_and_structure_but_not_the_batch() -> None:
    model = Net()
    first = trace(model, torch.randn(1, 3, 6, 6)).digest()
    assert trace(model, torch.randn(4, 3, 6, 6)).digest() == first
    with torch.no_grad():
        model.conv.weight[0, 0, 0, 0] += 1
    assert trace(model, torch.randn(1, 3, 6, 6)).digest() != first


def test_a_line_that_cannot_be_exported_is_named() -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 0:
                return x
            return -x

    with pytest.raises(AuditError, match=r"test_trace.py:\d+, `if x.sum\(\) > 0:`.*Rewrite that line"):
        trace(Branch(), torch.randn(2, 3))


def test_an_example_without_a_batch_is_refused() -> None:
    with pytest.raises(ShapeError, match="no sample along axis 1"):
        trace(Net(), torch.randn(3), batch_axis=1)

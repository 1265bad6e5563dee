"""Models and examples that cannot be audited: the error says what came, what is accepted and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from auditing.nets import SPIKES, Net
from spikedrive.auditing import audit
from spikedrive.errors import AuditError, DtypeError, ShapeError
from spikedrive.neurons import LIF

EXAMPLE = torch.rand(2, 3)


def branch(x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return -x


def loop(x: Tensor) -> Tensor:
    while x.amax() > 1:
        x = x / 2
    return x


def written_out(x: Tensor) -> Tensor:
    name = f"{x.sum():.2f}"
    return x * len(name)


def by_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.tanh(x.numpy()))


def sliced(x: Tensor) -> Tensor:
    return x[:, : int(x.sum())]


def early(x: Tensor) -> Tensor:
    for t in range(3):
        if bool((x > t).all()):
            return x
    return x


@pytest.mark.parametrize(
    ("function", "line", "instead"),
    [
        (branch, r"`if x.sum\(\) > 0:`", "Rewrite that line with tensor operations"),
        (loop, r"`while x.amax\(\) > 1:`", "Rewrite that line with tensor operations"),
        (sliced, r"`return x\[:, : int\(x.sum\(\)\)\]`", "Rewrite that line with tensor operations"),
        (early, r"`if bool\(\(x > t\).all\(\)\):`", "Rewrite that line with tensor operations"),
        (written_out, "`name = f.*`", "Leave formatting and printing of tensors out"),
        (by_numpy, r"`return torch.from_numpy\(np.tanh\(x.numpy\(\)\)\)`", "Replace NumPy on that line"),
    ],
)
def test_a_line_that_cannot_be_exported_is_named_with_what_to_write(
    function: Any, line: str, instead: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        AuditError, match=rf"Net cannot be exported: .*test_refusals\.py:\d+, {line}.*{instead}"
    ):
        audit(Net(function), EXAMPLE)
    # nothing of PyTorch's own log and graphs
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "function", [lambda x: x * x.sum().item(), lambda x: torch.tensor(x.tolist()) * x, lambda x: x.unique()]
)
def test_numbers_and_sizes_that_the_data_decide_are_refused_with_their_line(function: Any) -> None:
    with pytest.raises(
        AuditError, match=r"test_refusals\.py:\d+\) has the .*which depends on the data.*tensors in place of"
    ):
        audit(Net(function), EXAMPLE)


@pytest.mark.parametrize("result", [None, "spikes", 1.5, ()])
def test_a_forward_that_returns_no_tensor_is_refused(result: Any) -> None:
    with pytest.raises(
        AuditError, match=r"returns no tensor; the audit takes one that returns tensors.*Return what"
    ):
        audit(Net(lambda x: result), EXAMPLE)


def test_what_a_forward_returns_may_be_nested_and_is_audited_in_full() -> None:
    result = audit(Net(lambda x: {"logits": [x * x], "rates": (x + 1, None)}), EXAMPLE)
    assert (result.verdict, result.totals["multiplications"]) == ("hybrid", 3)


class Counts(nn.Module):
    """A factor that grows from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class Remembers(nn.Module):
    """The last output, a factor of the next."""

    last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.last is None else x * self.last
        self.last = x
        return y


@pytest.mark.parametrize(("model", "name"), [(Counts(), "calls"), (Remembers(), "last")])
def test_a_forward_that_remembers_is_refused(model: nn.Module, name: str) -> None:
    with pytest.raises(
        AuditError, match=rf"forward keeps self\.{name} from call to call; .*return the new one"
    ):
        audit(nn.Sequential(model).get_submodule("0"), EXAMPLE)


class Two(nn.Module):
    """A product of two inputs."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left * right


@pytest.mark.parametrize("example", [(EXAMPLE, EXAMPLE), [EXAMPLE, EXAMPLE]])
def test_several_inputs_are_given_as_a_tuple(example: Any) -> None:
    assert audit(Two(), example, inputs=SPIKES * 2).totals["ands"] == 3


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (
            EXAMPLE,
            r"got 1 tensor as the example \(missing a required argument: 'right'\); it takes one for each",
        ),
        (
            (EXAMPLE,) * 3,
            r"got 3 tensors as the example \(too many .*forward\(left: .*, right: .*Give them as a tuple",
        ),
        ((), "got 0 tensors as the example"),
    ],
)
def test_too_few_and_too_many_inputs_are_refused(example: Any, message: str) -> None:
    with pytest.raises(AuditError, match=message):
        audit(Two(), example)


@pytest.mark.parametrize(
    ("example", "kind"),
    [("spikes", "str"), ({"left": EXAMPLE}, "dict"), (None, "NoneType"), (np.ones((2, 3)), "ndarray"),
     ((EXAMPLE, 3), "int"), ((EXAMPLE, (EXAMPLE,)), "tuple")],
)  # fmt: skip
def test_what_is_no_tensor_is_refused(example: Any, kind: str) -> None:
    with pytest.raises(
        DtypeError, match=f"got an example of type {kind}; it takes a tensor, or a tuple of tensors for Two"
    ):
        audit(Two(), example)


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


@pytest.mark.parametrize(
    ("example", "message"),
    [
        (torch.rand(1, 5, 8, 8), r"layer '0', Conv2d.* takes 3 channels .* and got shape \(1, 5, 8, 8\)"),
        (torch.rand(5, 8, 8), r"layer '0', Conv2d.* takes 3 channels .* and got shape \(5, 8, 8\)"),
        (torch.rand(1, 3, 9, 8), r"layer '3', Linear.* takes 144 features .* and got shape \(1, 168\)"),
        (torch.rand(1, 3, 2, 2), r"layer '0', Conv2d.* got shape \(1, 3, 2, 2\).*Kernel size can't be greater"),
        (torch.rand(1, 3, 8, 8).double(), r"takes 3 channels .*torch\.float32 on cpu and got .*torch\.float64 on cpu"),
        (torch.ones(1, 3, 8, 8).long(), r"torch\.float32 on cpu and got .*torch\.int64 on cpu"),
        (torch.rand(1, 3, 8, 8, device="meta"), r"torch\.float32 on meta"),
    ],
)  # fmt: skip
def test_an_example_of_another_shape_or_format_is_told_what_the_layer_takes(
    example: Tensor, message: str
) -> None:
    with pytest.raises(
        AuditError, match=f"Sequential does not run on an example of shape.*{message}.*Give an example as"
    ):
        audit(small(), example)


def test_a_model_of_another_format_takes_examples_of_its_own() -> None:
    model = small().double()
    with pytest.raises(
        AuditError, match=r"takes 3 channels .*torch\.float64 on cpu and got .*torch\.float32 on cpu"
    ):
        audit(model, torch.rand(1, 3, 8, 8))
    assert (
        audit(model, torch.rand(1, 3, 8, 8).double()).totals == audit(small(), torch.rand(1, 3, 8, 8)).totals
    )


def test_numbers_where_a_table_takes_indices() -> None:
    with pytest.raises(
        AuditError, match=r"layer '\(the model itself\)', Embedding\(5, 3\), takes whole numbers .* below 5"
    ):
        audit(nn.Embedding(5, 3), torch.rand(1, 3))


def test_a_line_that_fails_without_any_export_is_named() -> None:
    with pytest.raises(
        AuditError, match=r"Net does not run on .*test_refusals\.py:\d+, .*nope.*Correct that line"
    ):
        audit(Net(lambda x: x.nope()), EXAMPLE)


@pytest.mark.usefixtures("unchecked")
def test_what_a_layer_of_ours_says_of_its_input_is_said() -> None:
    with pytest.raises(ShapeError, match=r"lif_scan got x of shape \(3,\); it takes \(T, B, ...\)"):
        audit(Net(lambda x, n: n(x[0]), n=LIF()), torch.rand(2, 3))


@pytest.mark.parametrize(
    ("example", "axis"), [(torch.tensor(1.0), 0), (torch.rand(0, 3), 0), (torch.rand(3), 1)]
)
def test_an_example_without_a_batch_is_refused(example: Tensor, axis: int) -> None:
    with pytest.raises(ShapeError, match=f"has no sample along axis {axis}; it takes .*Add the batch axis"):
        audit(nn.ReLU(), example, batch_axis=axis)


def test_a_layer_of_no_size_yet_is_refused() -> None:
    with pytest.raises(
        AuditError, match=r"has a parameter '0\.weight' of no size yet; .*Call the model once"
    ):
        audit(nn.Sequential(nn.LazyLinear(3)), EXAMPLE)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_script_is_refused() -> None:
    with pytest.raises(AuditError, match=r"whose Python code is gone; .*Give the module that was scripted"):
        audit(torch.jit.trace(nn.Linear(3, 2), EXAMPLE), EXAMPLE)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (
            (EXAMPLE, EXAMPLE),
            ShapeError,
            r"got 2 tensors as data; the model takes 1\. Give one for each input",
        ),
        (
            EXAMPLE.double(),
            DtypeError,
            r"got data of torch\.float64; the example was of torch\.float32\. Convert",
        ),
    ],
)
def test_data_of_another_count_or_format_are_refused(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        audit(nn.Linear(3, 2), EXAMPLE, data=data)

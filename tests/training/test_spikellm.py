"""SpikeLLM on small layers: spikes add up, bits are counted, and each method does what it is for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import spikedrive as sd
from spikedrive.errors import ConfigError, ShapeError, ValueRangeError
from spikedrive.training.spikellm import (
    Format,
    Moments,
    SpikingLinear,
    average_bits,
    convert_language_model,
    grids,
    observe,
    salience,
    spike_linear,
)

ROWS, COLUMNS = 24, 40
FORMS = [
    Format(),
    Format(4, 4, activation_spikes=2),
    Format(4, 4, activation_spikes=4, ranges="token"),
    Format(2, 8, weight_spikes=2, activation_spikes=3, group=16),
    Format(2, 8, "smoothquant", weight_spikes=3, salient=0.3),
    Format(3, 4, "gptq", weight_spikes=2, activation_spikes=2, group=8),
    Format(4, 8, weight_spikes=2, activation_spikes=2, ternary=True),
    Format(3.3, 4.4, "gptq"),
]


def inputs(tokens: int = 256) -> torch.Tensor:
    """Tokens of correlated channels, two of which are far larger than the others."""
    x = torch.randn(tokens, COLUMNS) @ torch.randn(COLUMNS, COLUMNS) / 6
    x[:, [3, 17]] *= 12
    return x


def moments_of(x: torch.Tensor) -> Moments:
    found = Moments.of(x.shape[-1])
    found.add(x)
    return found


def layer(form: Format, x: torch.Tensor) -> tuple[SpikingLinear, torch.Tensor, torch.Tensor]:
    weight, bias = torch.randn(ROWS, COLUMNS), torch.randn(ROWS)
    return spike_linear(weight, bias, moments_of(x), form), weight, bias


def error(form: Format, x: torch.Tensor) -> float:
    """Squared error of the output, of the same weights each time."""
    torch.manual_seed(5)
    found, weight, bias = layer(form, x)
    return float((found(x) - nn.functional.linear(x, weight, bias)).square().mean())


class Decoder(nn.Module):
    """Blocks of two linear layers that read one tensor, and one that reads what comes of them."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, COLUMNS)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {"a": nn.Linear(COLUMNS, ROWS), "b": nn.Linear(COLUMNS, ROWS), "c": nn.Linear(ROWS, COLUMNS)}
            )
            for _ in range(2)
        )
        self.head = nn.Linear(COLUMNS, 11)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        for block in self.layers:
            assert isinstance(block, nn.ModuleDict)
            x = x + block["c"](torch.tanh(block["a"](x)) * block["b"](x))
        return self.head(x)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_output_is_the_sum_over_spikes(form) -> None:
    x = inputs()
    found, _, _ = layer(form, x)
    torch.testing.assert_close(found.unrolled(x), found(x), rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_spike_has_no_more_than_its_bits(form) -> None:
    x = inputs()
    found, _, _ = layer(form, x)
    fired = found.fire(x)
    assert sorted(torch.cat([f.channels for f in fired]).tolist()) == list(range(COLUMNS))
    largest = math.ceil(2 ** (form.activation_bits or 0)) - 1
    for one, spikes in zip(fired, (1, form.activation_spikes), strict=False):
        assert len(one.spikes) == spikes
        assert torch.equal(one.spikes, one.spikes.round())
        assert one.spikes.min() >= 0 and one.spikes.max() <= largest
    # weights: what a column's spikes can hold
    top = 2 if form.ternary else math.ceil(2**form.weight_bits) - 1
    assert bool((found.codes.amax(0) <= top * found.weight_spikes).all())
    assert set(found.weight_spikes.tolist()) == {1, form.weight_spikes}


def test_more_spikes_bring_the_output_closer() -> None:
    x = inputs()
    for method in ("rtn", "smoothquant", "gptq"):
        plain = Format(4, 4, method)
        assert error(Format(4, 4, method, activation_spikes=2), x) < 0.8 * error(plain, x)
    assert error(Format(2, None, weight_spikes=4), x) < 0.9 * error(Format(2, None), x)


def test_gptq_and_smoothquant_beat_rounding() -> None:
    x = inputs()
    assert error(Format(3, None, "gptq"), x) < 0.7 * error(Format(3, None), x)
    assert error(Format(8, 4, "smoothquant"), x) < 0.7 * error(Format(8, 4), x)


def test_smoothquant_changes_nothing_but_the_rounding() -> None:
    x = inputs()
    found, weight, bias = layer(Format(8, None, "smoothquant"), x)
    assert found.smooth is not None
    largest, reach = x.abs().amax(0), weight.abs().amax(0)
    torch.testing.assert_close(found.smooth, (largest / reach).sqrt())
    # eight bits of a row's range
    torch.testing.assert_close(found.weight / found.smooth, weight, rtol=0, atol=0.1)
    assert (found(x) - nn.functional.linear(x, weight, bias)).abs().max() < 1.0


@pytest.mark.parametrize("group", [None, 16])
@pytest.mark.parametrize("bits", [3, 2.5])
def test_gptq_equals_its_twin_column_by_column(group, bits) -> None:
    x = inputs()
    moments, weight = moments_of(x), torch.randn(ROWS, COLUMNS)
    found = spike_linear(weight, None, moments, Format(bits, None, "gptq", group=group)).weight
    order = moments.hessian.diagonal().argsort(descending=True)
    w, inverse = weight[:, order].double(), moments.inverse(0.01)[order][:, order].double()
    tops, size, expected = grids.tops_of(bits, ROWS), group or COLUMNS, torch.empty(ROWS, COLUMNS)
    for j in range(COLUMNS):
        if j % size == 0:
            scale, zero = grids.fit_affine(w[:, j : j + size], tops)
        q = grids.values(grids.codes(w[:, j : j + 1], scale, zero, tops), scale, zero)[:, 0]
        expected[:, order[j]] = q.float()
        # Optimal Brain Surgeon's update of what is left, and of its inverse
        w = w - torch.outer((w[:, j] - q) / inverse[j, j], inverse[j])
        inverse = inverse - torch.outer(inverse[:, j], inverse[j]) / inverse[j, j]
        inverse[j, j] = 1
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_gptq_of_independent_inputs_is_rounding() -> None:
    moments = Moments(torch.eye(COLUMNS), torch.ones(COLUMNS), 1)
    weight = torch.randn(ROWS, COLUMNS)
    gptq, rtn = (spike_linear(weight, None, moments, Format(3, None, m)) for m in ("gptq", "rtn"))
    assert torch.equal(gptq.codes, rtn.codes)


def test_second_order_salience_is_the_error_of_cutting_a_channel() -> None:
    x = inputs().double()
    hessian, weight = x.T @ x / len(x), torch.randn(ROWS, COLUMNS).double()
    found = salience.second_order(weight, salience.invert(hessian, 0.0))
    for cut in (0, 3, 22):
        rest = [c for c in range(COLUMNS) if c != cut]
        # the other columns at their best
        left = torch.linalg.lstsq(x[:, rest], x @ weight.T).solution
        lost = (x[:, rest] @ left - x @ weight.T).square().sum(1).mean()
        torch.testing.assert_close(found[cut], lost, rtol=1e-6, atol=1e-9)


def test_first_order_salience_is_the_gradient_times_the_input() -> None:
    x, weight = inputs(16).requires_grad_(), torch.randn(ROWS, COLUMNS)
    (gradient,) = torch.autograd.grad((x @ weight.T).square().sum() / 2, x)
    found = salience.first_order(weight, x.detach().T @ x.detach() / len(x))
    torch.testing.assert_close(found, (gradient * x).detach().mean(0), rtol=1e-4, atol=1e-2)


def test_moments_in_parts_are_those_of_the_whole() -> None:
    x = inputs()
    parts = Moments.of(COLUMNS)
    for part in (x[:100].view(2, 50, -1), x[100:]):
        parts.add(part)
    whole = moments_of(x)
    torch.testing.assert_close(parts.hessian, x.T @ x / len(x), rtol=1e-4, atol=1e-4)
    assert torch.equal(parts.largest, whole.largest) and parts.tokens == 256


def test_singular_moments_without_damping_are_refused() -> None:
    with pytest.raises(
        ValueRangeError, match=r"2 input channels are not positive definite with damping 0; .* raise"
    ):
        salience.invert(torch.tensor([[1.0, 2.0], [2.0, 1.0]]), 0.0)


def test_bits_are_counted() -> None:
    x = inputs()
    # a scale of 16 and a zero point of 4 bits a row; for each token 16 and 16
    found = layer(Format(4, 4), x)[0].average_bits()
    assert found.weight == pytest.approx(4 + 20 / 40) and found.activation == pytest.approx(4 + 32 / 40)
    # 4 of 40 channels have two spikes of four bits, and a range of their own
    found = layer(Format(4, 4, activation_spikes=2), x)[0].average_bits()
    assert found.activation == pytest.approx(4 * 1.1 + 64 / 40)
    found = layer(Format(4, 4, activation_spikes=2, ranges="token"), x)[0].average_bits()
    assert found.activation == pytest.approx(4 * 1.1 + 32 / 40)
    # 4 of 40 columns in one group of their own, the others in groups of 16: 1 + 3, two bits a column say which
    found = layer(Format(2, None, "smoothquant", weight_spikes=2, group=16), x)[0].average_bits()
    assert found.weight == pytest.approx(2 * 1.1 + 4 * (16 + 3) / 40 + 2 / 24 + 16 / 24)
    assert found.activation == 16
    found = layer(Format(4, None, weight_spikes=2, ternary=True), x)[0].average_bits()
    assert found.weight == pytest.approx(math.log2(3) * 1.1 + 2 * 16 / 40 + 1 / 24)
    assert (found.weights, found.activations) == (960, 40)


@pytest.mark.parametrize("bits", [1.3, 2.2, 3.7, 4.4])
def test_fractions_of_a_bit_are_rows_with_one_level_more(bits) -> None:
    tops = grids.tops_of(bits, 1000)
    assert isinstance(tops, torch.Tensor) and len(tops.unique()) == 2
    assert float((tops + 1).log2().mean()) == pytest.approx(bits, abs=2e-3)


def test_ternary_weights_are_sums_of_ternary_spikes() -> None:
    x = inputs()
    found, weight, _ = layer(Format(4, 8, weight_spikes=2, ternary=True), x)
    signed = found.codes.float() - found.zero[:, found.group.long()]
    assert set(signed[:, found.weight_spikes == 1].unique().tolist()) == {-1.0, 0.0, 1.0}
    assert set(signed[:, found.weight_spikes == 2].unique().tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    assert 0.3 < float((signed != 0).float().mean()) < 0.8
    torch.testing.assert_close(found.weight, signed * found.scale[:, found.group.long()])
    # no scale of one row does better than the one that was found, up to the distance of trials
    row = weight[0, found.weight_spikes == 1]
    fit = found.weight[0, found.weight_spikes == 1]
    least = min(
        float(((row / s).round().clamp(-1, 1) * s - row).square().sum()) for s in torch.linspace(0.05, 4, 400)
    )
    assert float((fit - row).square().sum()) < 1.02 * least


def test_a_language_model_is_converted_in_place() -> None:
    torch.manual_seed(1)
    model, tokens = Decoder(), torch.randint(11, (4, 32))
    before = model(tokens)
    moments = observe(model, tokens.split(2))
    assert set(moments) == {f"layers.{i}.{n}" for i in range(2) for n in "abc"}
    # layers that read one tensor share what is known of it
    assert moments["layers.0.a"] is moments["layers.0.b"] and moments["layers.0.a"].tokens == 128
    assert moments["layers.0.a"] is not moments["layers.1.a"]
    done = []
    bits = convert_language_model(
        model,
        moments,
        Format(8, 8, "gptq", weight_spikes=1, activation_spikes=2),
        progress=lambda *n: done.append(n),
    )
    assert done == [(n, 6) for n in range(1, 7)]
    assert isinstance(model.get_submodule("layers.1.c"), SpikingLinear) and isinstance(model.head, nn.Linear)
    assert bits == average_bits(model) and bits.weights == 6 * ROWS * COLUMNS
    torch.testing.assert_close(model(tokens), before, rtol=0, atol=0.05)
    # a layer holds codes, not numbers, and is saved like any other
    copy = Decoder()
    convert_language_model(copy, moments, Format(8, 8, "gptq", activation_spikes=2))
    copy.load_state_dict(model.state_dict())
    assert torch.equal(copy(tokens), model(tokens))


def test_the_audit_names_what_depends_on_the_token() -> None:
    x = inputs(8)
    for form in (
        Format(4, 4, activation_spikes=2),
        Format(4, 8, weight_spikes=2, activation_spikes=2, ternary=True),
    ):
        found = sd.audit(layer(form, x)[0].eval(), x)
        # scales are the token's own: nothing folds them away, and what they scale is no integer to the audit
        assert found.verdict == "hybrid"
        assert {"division", "real x weight"} <= {exception.kind for exception in found.exceptions}


def test_wrong_arguments_are_refused() -> None:
    for arguments, message in (
        ({"method": "awq"}, r"method='awq'; it takes rtn, smoothquant, gptq. Name"),
        ({"ranges": "all"}, r"ranges='all'; it takes own, token"),
        ({"weight_bits": 9}, r"weight_bits=9; it takes a number from 1 to 8"),
        ({"activation_bits": 0}, r"activation_bits=0; it takes a number from 1 to 16"),
        ({"weight_spikes": 0}, r"weight_spikes=0"),
        (
            {"activation_bits": 4.4, "activation_spikes": 2},
            r"activation_spikes=2 of 4.4 bits; .* Round activation_bits",
        ),
        ({"weight_bits": 8, "weight_spikes": 2}, r"2 spikes of 8 bits a weight; codes up to 255"),
        ({"ranges": "token", "activation_spikes": 3}, r"activation_spikes=3; .* Take 2, 4 or 8"),
    ):
        with pytest.raises(ConfigError, match=message):
            Format(**arguments)
    x = inputs()
    with pytest.raises(ShapeError, match=r"x of shape \(2, 7\); its last axis must hold 40 channels"):
        layer(Format(), x)[0](torch.randn(2, 7))
    with pytest.raises(ConfigError, match=r"a Linear whose blocks hold no linear layer; .* Name the blocks"):
        observe(nn.Linear(2, 2), [torch.randn(2, 2)])
    with pytest.raises(ConfigError, match=r"moments of 'layers.0.z', which the Decoder does not have"):
        convert_language_model(Decoder(), {"layers.0.z": moments_of(x)}, Format())
    with pytest.raises(ConfigError, match=r"got no moments; .* Call observe"):
        convert_language_model(Decoder(), {}, Format())
    with pytest.raises(ConfigError, match=r"a Decoder without a SpikingLinear"):
        average_bits(Decoder())

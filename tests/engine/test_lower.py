"""What compile keeps, folds and refuses."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from engine.chains import MEAN, STD, Chain, Menu, learned
from spikedrive.auditing import audit
from spikedrive.auditing.trace import Graph, trace
from spikedrive.engine import pack
from spikedrive.engine.ir import Neuron
from spikedrive.engine.lower import compile
from spikedrive.engine.lower.walk import Walk
from spikedrive.errors import ConfigError, LoweringError
from spikedrive.neurons import ILIF, LIF, NILIF

EXAMPLE = torch.zeros(1, 2, 7, 5)
REFUSED = {
    "F.leaky_relu(s)": r"leaky_relu\.default in .* has no rule to lower it\. The engine knows",
    "s.flip(0)": r"aten\.flip\.default in module .* \(.*chains\.py:\d+\) has no rule",
    "s * 0.3": r"aten\.mul\.Tensor in .* multiplies by 0\.3\. A factor is a power of two",
    "s * self.p": r"multiplies by \[1\..*fold another one into a weight",
    "s + self.p": r"combines activations with the parameter 'p'.*fold it into a weight or bias",
    "s + 1": "combines activations with 1",
    "s / (s + s)": "divides activations by activations",
    "s.mean(1, keepdim=True) + s": r"works along time or batch \(axes \(1,\)\)",
    "s.transpose(0, 1)": "moves time or batch",
    "s + s.mean((3, 4), keepdim=True)": "adds means over 1 and 35 elements",
    "torch.add(s, s, alpha=2)": "scales its second term by 2",
    "s[..., ::2]": "takes every 2th element",
    "F.pad(s, (1, 1), value=1.0)": "pads with other than zeros",
    "F.max_pool2d(s[0], 2, ceil_mode=True)": "rounds its size",
    "F.adaptive_avg_pool2d(s[0], 2)": "averages to",
    "self.same(self.conv(x))": "meets membrane potentials",
    "self.same(s[0]) + self.same(s[0])": "a weight that is used twice",
    "s * self.same(s[0]).unsqueeze(0)": "multiplies membrane potentials",
    "s": r"gives the answer, 1 steps of shape \(4, 7, 5\)",
    "self.conv(x * 2)": "multiplies by 2",
    "self.conv(x.transpose(2, 3))": "pixels that were moved",
    "self.conv(x + x)": "combines raw pixels",
    "self.conv(F.pad(x, (1, 1)))": "pads raw pixels",
    "self.n(x.unsqueeze(0))": "reads raw pixels",
    "x.sum((2, 3))": "sums raw pixels",
    "F.max_pool2d(x, 5)": "pools raw pixels",
    "self.flat(x.flatten(1))": r"reads raw pixels with the means .* start with a convolution",
}


def lower(model: nn.Module, **options):
    return compile(model, EXAMPLE, **{"mean": MEAN, "std": STD, **options})


def test_a_hybrid_model_is_refused_with_its_exceptions():
    model = Chain(1, LIF)
    model.out = nn.Sequential(nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1))
    with pytest.raises(LoweringError) as caught:
        lower(model)
    message = str(caught.value)
    assert re.search(r"hybrid: aten\.conv2d\.default in 'out\.1' \(.*\.py:\d+\): ", message)
    assert "additions, comparisons and shifts behind its first layer" in message
    assert "compile fuse(model, dense_separable=True)" in message


def test_an_audit_can_be_handed_in(monkeypatch):
    model = Chain(1, LIF)
    done = audit(model, EXAMPLE)
    monkeypatch.setattr("spikedrive.engine.lower.audit", None)
    assert lower(model, audited=done).meta.source == done.graph_hash


@pytest.fixture(scope="module")
def menu() -> Graph:
    """Every refused expression, exported at once."""
    return trace(Menu(list(REFUSED)), EXAMPLE, batch_axis=0)


@pytest.mark.parametrize("expression", REFUSED)
def test_what_a_program_cannot_say_is_refused(menu, expression):
    answer = menu.outputs[list(REFUSED).index(expression)]
    with pytest.raises(LoweringError, match=REFUSED[expression]):
        Walk(replace(menu, outputs=(answer,)), np.array(MEAN), np.array(STD)).run()


def test_a_program_has_one_answer_and_any_batch(menu):
    with pytest.raises(LoweringError, match=f"has {len(REFUSED)} answers; .* Return the logits alone"):
        Walk(menu, np.array(MEAN), np.array(STD)).run()
    with pytest.raises(LoweringError, match="has a fixed batch size; a program takes any batch"):
        Walk(replace(menu, outputs=menu.outputs[:1], dynamic=False), np.array(MEAN), np.array(STD)).run()


@pytest.mark.usefixtures("unaudited")
class TestLowering:
    def test_the_model_stays_as_it_is(self):
        model = Chain(2, LIF).train()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        lower(model)
        assert model.training
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
        assert all(p.requires_grad for p in model.parameters())

    def test_the_same_model_gives_the_same_bytes_and_another_one_another_source(self):
        one, again = lower(Chain(2, LIF)), lower(Chain(2, LIF))
        assert pack.dump({"source": one.meta.source}, one.ops) == pack.dump(
            {"source": again.meta.source}, again.ops
        )
        other = Chain(2, LIF)
        other.head.bias.data += 1
        assert lower(other).meta.source != one.meta.source

    def test_meta_holds_what_it_was_given(self):
        meta = lower(Chain(2, LIF), class_names=["x", "y", "z"]).meta
        assert (meta.class_names, meta.mean, meta.std, meta.weight_bits) == (("x", "y", "z"), MEAN, STD, 8)
        assert meta.model == "Chain"

    def test_streams_share_one_exponent_and_weights_have_their_bits(self):
        program = lower(Chain(2, LIF))
        stem, out = (next(op for op in program.ops if op.module == name) for name in ("stem", "out"))
        assert stem.exponent == out.exponent
        assert stem.weight.dtype == np.int8
        assert stem.bias.shape == (6, 4, 5)
        assert (stem.shift >= 0).all()

    def test_half_even_ties_are_exact(self):
        neuron = next(op for op in lower(Chain(1, ILIF)).ops if isinstance(op, Neuron))
        half = neuron.threshold // 2
        # 0.5 rounds to 0 and 2.5 to 2: one above the tie; 1.5 to 2 and 3.5 to 4: at the tie
        assert neuron.ladder == (half + 1, 3 * half, 5 * half + 1, 7 * half)

    @pytest.mark.parametrize(
        ("neuron", "match"),
        [
            (lambda: LIF(decay=0.3), r"lif_scan.*'first' .*keeps 0\.3 of its membrane.*leak is a shift"),
            (learned, r"plif_scan.*keeps 0\.4\d* \(learned\) of its membrane.*train with LIF"),
            (lambda: ILIF(scale=1 / 3), r"gives multiples of 0\.333333.*times a power of two"),
            (NILIF, r"reads a mean over 5 elements several times a step.*use ILIF"),
            (lambda: NILIF(decay=0.0), r"repeats 4 charges and forgets"),
        ],
    )
    def test_neurons_that_need_products_are_refused(self, neuron, match):
        with pytest.raises(LoweringError, match=match):
            lower(Chain(2, neuron))

    def test_parameters_that_are_not_finite_are_refused(self):
        model = Chain(2, LIF)
        model.out.weight.data[0, 0] = math.nan
        with pytest.raises(LoweringError, match="parameters of out hold NaN or infinity"):
            lower(model)

    def test_sums_that_fp64_could_not_check_are_refused(self):
        with pytest.raises(
            LoweringError, match=r"'first' can reach .* in its integer units; sums stay below 2\*\*53"
        ):
            lower(Chain(4, lambda: LIF(decay=2.0**-8)))

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"mean": (0.5,)}, r"mean=\[0\.5\], .* a finite number for each of the 2 channels"),
            ({"std": (0.5, 0.0)}, "std above 0"),
            ({"mean": (math.nan, 0.0)}, "finite"),
            ({"weight_bits": 1}, "weight_bits=1; it takes 2 to 16. Use 8"),
            ({"mean": 0.3}, r"mean=0\.3, .* a list with a number for each of the 2 channels"),
            ({"weight_bits": 32}, "weight_bits=32"),
            ({"class_names": "abc"}, r"class_names='abc'; it takes a list of names"),
        ],
    )
    def test_arguments_out_of_range_are_refused(self, options, match):
        with pytest.raises(ConfigError, match=match):
            lower(Chain(2, LIF), **options)

"""What the audit says of neurons without a rule of their own: their equation, product by product."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spikedrive import neurons as n
from spikedrive.auditing import audit

STEPS, WIDTH = 4, 6
# the first layer meets real input
ANALOG = STEPS * WIDTH * WIDTH
REAL, MEMBRANE = "real x constant", "real x real"


def audited(neuron: n.Neuron):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), neuron, nn.Linear(WIDTH, 3)).eval()
    return audit(model, torch.randn(STEPS, 1, WIDTH), batch_axis=1)


# times: products a neuron, over four steps from rest whose last membrane nobody reads
HYBRID = {
    # v v from the second step on: the first is a constant
    "QIF": (n.QIF(), {MEMBRANE: 3}, 0),
    # the same, its a0, and the division by tau that is no shift now
    "QIF, odd constants": (n.QIF(3.0, a0=0.75), {MEMBRANE: 3, REAL: 7}, 0),
    # v v, and a (h - v_rest) while somebody reads w
    "Izhikevich": (n.Izhikevich(a=0.1, b=0.2), {MEMBRANE: 3, REAL: 3}, 0),
    # that of the resting membrane is a constant
    "EIF": (n.EIF(), {}, 3),
    "KLIF": (n.KLIF(k=1.3), {REAL: 3}, 0),
    # m sigmoid(h / tau) twice, the first m being 0 and the last unread
    "CLIF": (n.CLIF(), {MEMBRANE: 2}, 6),
    "PSN": (n.PSN(STEPS), {"real x weight": STEPS * STEPS}, 0),
    # two taps a step
    "MaskedPSN": (n.MaskedPSN(STEPS, 2), {REAL: 2 * STEPS}, 0),
    "MaskedPSN, not yet causal": (n.MaskedPSN(STEPS, mix=0.5), {"real x weight": STEPS * STEPS}, 0),
    "SlidingPSN": (n.SlidingPSN(3, exponential=False), {REAL: 3 * STEPS}, 0),
    # z goes into the membrane too
    "MPBN, written back": (n.MPBNLIF(write_back=True, eps=0.1), {REAL: 3}, 0),
}


@pytest.mark.parametrize("name", HYBRID)
def test_products_inside_are_named_and_counted(name) -> None:
    neuron, products, functions = HYBRID[name]
    found = audited(neuron)
    assert found.verdict == "hybrid"
    assert {left.module for left in found.exceptions} == {"1"}
    counted = dict.fromkeys(products, 0.0)
    for left in found.exceptions:
        # a sigmoid holds a division
        if left.kind not in ("exp", "sigmoid"):
            counted[left.kind] += left.count
    assert counted == {kind: times * WIDTH for kind, times in products.items()}
    assert found.totals["functions"] == functions * WIDTH


@pytest.mark.parametrize(
    "neuron", [n.GLIF(STEPS), n.ALIF(), n.ALIF(subtract_base=True, reset="soft", beta=0.3)]
)
def test_learned_and_odd_constants_multiply(neuron) -> None:
    found = audited(neuron)
    assert found.verdict == "hybrid" and found.totals["multiplications"] > ANALOG
    assert {left.kind for left in found.exceptions} == {REAL}


ADDITIVE = {
    "KLIF with k 1": n.KLIF(),
    "TCLIF at its start": n.TCLIF(),
    "SlidingPSN of powers of two": n.SlidingPSN(3),
    "MPBN": n.MPBNLIF(),
    "Re-Loss": n.MPRLIF(),
    "Hoyer": n.HoyerLIF(0.7, extremum="fixed"),
    "thresholds of either sign": n.ThresholdLIF(
        torch.linspace(-1, 1, WIDTH), torch.tensor([1.0, -1, 0, 1, -1, 0])
    ),
}


@pytest.mark.parametrize("name", ADDITIVE)
def test_constants_that_fold_or_shift_cost_no_product(name) -> None:
    found = audited(ADDITIVE[name])
    assert found.verdict == "additive" and found.exceptions == ()
    assert found.totals["multiplications"] == ANALOG and found.totals["compares"] >= STEPS * WIDTH


def test_a_trained_mpbn_is_free_of_products_before_and_after_its_fold() -> None:
    neuron = n.MPBNLIF(WIDTH)
    with torch.no_grad():
        neuron.weight.normal_()
        neuron.weight[0] = 0
        neuron.bias.normal_()
    neuron.running_mean.normal_()
    neuron.running_var.uniform_(0.5, 2)
    before, after = audited(neuron), audited(neuron.fold())
    assert before.verdict == after.verdict == "additive"
    assert before.totals["multiplications"] == after.totals["multiplications"] == ANALOG

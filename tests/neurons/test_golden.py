"""Every neuron equals its original, outputs and gradients, in fp64."""

from __future__ import annotations

import pytest
import torch

from spikedrive.neurons import ILIF, LIF, NILIF, PLIF, Neuron
from spikedrive.ops import surrogate

NEURONS: dict[str, Neuron] = {
    "lif_tau2_hard_vth1": LIF(),
    "lif_tau2_hard_vth0.5": LIF(threshold=0.5),
    "lif_tau2_hard_vth1_nodetach": LIF(detach_reset=False),
    "lif_tau2_soft_vth1": LIF(reset="soft"),
    "plif_tau2_hard_vth1": PLIF(),
    "ilif_spikeyolo_D4_decay0.25": ILIF(carry=True, decay=0.25),
    "ilif_spikeyolo_D4_edges": ILIF(carry=True, decay=0.25),
    "sfa_v3_base_D4_norm4": ILIF(scale=0.25),
    "sfa_v3_base_edges": ILIF(scale=0.25),
    "sfa_v3_large_D4_norm4": ILIF(scale=0.25, rounding="half_up", gate="open"),
    "sfa_v3_large_edges": ILIF(scale=0.25, rounding="half_up", gate="open"),
    "ielif_qsd_D4": ILIF(scale=0.25, threshold=0.25, rounding="half_up", gate="open"),
    "ielif_qsd_att": ILIF(scale=0.5, threshold=0.25, rounding="half_up", gate="open"),
    "ielif_qsd_edges": ILIF(scale=0.25, threshold=0.25, rounding="half_up", gate="open"),
    "nilif_spikevim": NILIF(),
    "lif_ems_T5": LIF(0.25, 0.5, decay_input=False, strict=True, surrogate=surrogate.rectangular(1.0)),
    "lif_asa_tasnn": LIF(
        0.3, 0.3, decay_input=False, detach_reset=False, surrogate=surrogate.rectangular(0.5)
    ),
}


@pytest.mark.parametrize("name", NEURONS)
def test_output_and_gradients_equal_the_original(name, golden) -> None:
    entry = torch.load(golden("vision_neurons") / "neurons.pt")[name]
    neuron = NEURONS[name].double()
    neuron.zero_grad()
    shape = entry["x"].shape
    x = entry["x"].reshape(1, *shape) if len(shape) == 2 else entry["x"]
    x = x.detach().clone().requires_grad_()
    y = neuron(x)
    cotangent = entry["cotangent"].reshape(x.shape)
    # the EMS-YOLO original writes its spikes into a float32 buffer, which rounds the gradient on its way in
    y.backward(cotangent.float().double() if name == "lif_ems_T5" else cotangent)
    torch.testing.assert_close(y.reshape(shape), entry["y"], rtol=0, atol=1e-9)
    torch.testing.assert_close(x.grad.reshape(shape), entry["grad_x"], rtol=0, atol=1e-9)
    for key, gradient in entry.get("param_grads", {}).items():
        torch.testing.assert_close(dict(neuron.named_parameters())[key].grad, gradient, rtol=0, atol=1e-9)


def test_every_neuron_of_the_file_is_covered(golden) -> None:
    # the LSQ convolution of the same file is no neuron
    assert set(torch.load(golden("vision_neurons") / "neurons.pt")) - {"lsq_conv2d_4bit"} == set(NEURONS)

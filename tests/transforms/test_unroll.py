"""An integer network and its binary steps: the same integers in every neuron, the same answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.blocks import MembraneShortcut, RepConv, SEWShortcut, SpikeAttention
from spikedrive.encoders import Direct
from spikedrive.errors import ConfigError, ShapeError, UnrollError
from spikedrive.neurons import GIF, ILIF, LIF, NILIF, Neuron
from spikedrive.ops.domain import Domain, Integer
from spikedrive.ops.fold import over_time
from spikedrive.transforms import Unrolled


class Net(nn.Module):
    """A function of its parts and the input."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.parts, self.function = nn.ModuleDict(parts), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **self.parts)


def on_a_grid(net: nn.Module, steps: int = 8) -> nn.Module:
    """The net in fp64 with small whole multiples of 1 / steps for weights: nothing that it adds up rounds."""
    net = net.double().eval().requires_grad_(False)
    torch.manual_seed(1)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randint(-steps, steps + 1, value.shape) / steps)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            # with this, the root of the variance is one
            module.running_var.fill_(0.75)  # type: ignore[union-attr]
            module.eps = 0.25
    return net


def pixels(*shape: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randint(-64, 65, shape).double() / 16


FLAVOURS: dict[str, Callable[[], Neuron]] = {
    "base": lambda: ILIF(scale=1 / 4),
    "large": lambda: ILIF(rounding="half_up", gate="open", scale=1 / 4),
    "qsd": lambda: ILIF(threshold=1 / 4, scale=1 / 2, rounding="half_up", gate="open"),
    "coco": lambda: ILIF(carry=True, decay=0.25),
    "gen1": lambda: ILIF(carry=True, decay=0.5, decay_input=True),
    "three_levels": lambda: ILIF(levels=3, carry=True),
    "one_level": lambda: ILIF(levels=1),
    "third": lambda: ILIF(levels=5, scale=1 / 3),
    "normalised": NILIF,
    "normalised_three": lambda: NILIF(levels=3, inner_steps=2),
}


def everything(neuron: Callable[[], Neuron]) -> nn.Module:
    """Biases, BatchNorm, pools of both kinds, a membrane shortcut and a linear readout, over three steps."""

    def forward(x, encode, stem, a, conv, bn, b, c, mix, head):
        x = over_time(stem, encode(x))
        s = over_time(lambda y: F.max_pool2d(y, 2), a(x))
        y = over_time(lambda z: F.avg_pool2d(bn(conv(z)), 2), s)
        y = y + over_time(mix, b(y))
        return head(c(y.mean((3, 4)))).mean(0)

    return Net(
        forward, encode=Direct(3), stem=nn.Conv2d(1, 4, 3, padding=1), a=neuron(), b=ILIF(), c=neuron(),
        conv=nn.Conv2d(4, 6, 3, padding=1), bn=nn.BatchNorm2d(6), mix=nn.Conv2d(6, 6, 1), head=nn.Linear(6, 5),
    )  # fmt: skip


class Together(nn.Module):
    """The same input to each net."""

    def __init__(self, nets: dict[str, nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleDict(nets)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(net(x) for net in self.nets.values())


def test_every_flavour_is_the_sum_of_its_binary_steps() -> None:
    net = on_a_grid(Together({name: everything(neuron) for name, neuron in FLAVOURS.items()}))
    x = pixels(4, 1, 8, 8)
    unrolled = sd.unroll(net, x[:1])
    report = sd.verify_unrolled(net, x, unrolled=unrolled)
    assert report.equal and report.rounded is None
    assert report.exact.compared == len(FLAVOURS) * 3 * 4 * (4 * 64 + 6 * 4 + 6)
    watched: dict[str, Tensor] = {}
    for flavour in FLAVOURS:
        neuron = unrolled.get_submodule(f"nets.{flavour}.parts.a")
        neuron.register_forward_hook(lambda _m, _i, out, f=flavour: watched.update({f: out[0].count()}))
    answers = dict(zip(FLAVOURS, zip(unrolled(x), net(x), strict=True), strict=True))
    for flavour, (mine, its) in answers.items():
        # a neuron that never fires, or always, would prove little
        levels = unrolled.levels[f"nets.{flavour}.parts.a"]
        assert watched[flavour].amin() == 0 and watched[flavour].amax() == levels
        # with units that are powers of two nothing rounds: the answer is equal to the bit
        tolerance = 1e-12 if flavour in ("third", "normalised_three") else 0
        torch.testing.assert_close(mine, its, rtol=0, atol=tolerance, msg=flavour)


def attention(variant: str, **more: Any) -> nn.Module:
    """Attention on feature maps, with a shortcut."""
    part = SpikeAttention(
        8,
        2,
        variant=variant,
        projection=lambda a, b: nn.Conv2d(a, b, 1),
        neuron=ILIF,
        **more,  # type: ignore[arg-type]
    )
    return Net(lambda x, encode, block: block(encode(x)).mean(0), encode=Direct(2), block=part)


def sew(x, encode, stem, a, b, c, conv, join):
    s = a(over_time(stem, encode(x)))
    s = join(s, b(over_time(conv, s)))
    # the maximum of a sum of spikes, and of their product
    return c(over_time(lambda y: F.max_pool2d(y, 2), s * 0.5 if join.connect == "add" else s)).mean(0)


def sew_net(connect: Any, a: Neuron, b: Neuron) -> nn.Module:
    return Net(
        sew, encode=Direct(2), stem=nn.Conv2d(8, 8, 3, padding=1), conv=nn.Conv2d(8, 8, 1), a=a, b=b, c=ILIF(2),
        join=SEWShortcut(connect),
    )  # fmt: skip


def mixed(x, encode, first, integer, binary, join):
    x = encode(x)
    return (
        over_time(join, torch.cat([integer(x), binary(x)], 2).flip(3)[..., 1:]).mean(0)
        + first(x).mean(0).sum()
    )


NETS: dict[str, Callable[[], nn.Module]] = {
    "sdsa1": lambda: attention("sdsa1"),
    "sdsa1 pooled": lambda: attention("sdsa1", pool=True),
    "sdsa3": lambda: attention("sdsa3", scale=1 / 8),
    "sdsa3 joint": lambda: attention("sdsa3", joint=True),
    "sew add": lambda: sew_net("add", ILIF(3), ILIF(2)),
    "sew and": lambda: sew_net("and", ILIF(3), ILIF(2)),
    "sew iand": lambda: sew_net("iand", LIF(), ILIF(2)),
    "beside binary": lambda: Net(
        mixed, encode=Direct(3), first=ILIF(2), integer=ILIF(4), binary=LIF(), join=nn.Conv2d(16, 4, 3)
    ),
    "repconv": lambda: Net(
        lambda x, encode, a, conv, add: add(encode(x), over_time(conv, a(encode(x)))).mean(0),
        encode=Direct(2), a=ILIF(), conv=RepConv(8, 8), add=MembraneShortcut(),
    ),
}  # fmt: skip


def test_products_sums_and_pools_of_spikes_are_exact() -> None:
    net, x = on_a_grid(Together({name: build() for name, build in NETS.items()})), pixels(3, 8, 4, 4)
    unrolled = sd.unroll(net, x[:1])
    assert sd.verify_unrolled(net, x, unrolled=unrolled).equal
    for name, mine, its in zip(NETS, unrolled(x), net(x), strict=True):
        assert torch.equal(mine, its), name
        assert float(its.abs().amax()) > 0, name


def domains_met(audit: sd.Audit) -> set[str]:
    return {
        row.domain.split(" x ")[0] for row in audit.layers if "weight" in row.kind or row.kind == "neuron"
    }


def test_the_demo_network_unrolls_and_the_audit_sees_nothing_but_spikes() -> None:
    torch.manual_seed(0)
    model = sd.create_model("meta_spikeformer_nano", widths=(8, 16), depths=(1, 1), strides=(4, 2)).eval()
    fused = sd.fuse(model)
    unrolled = sd.unroll(fused)
    x = torch.randn(3, 1, 28, 28)
    report = sd.verify_unrolled(fused, x, unrolled=unrolled)
    assert report.equal and len(report.exact.neurons) == 14 == len(fused.neurons())
    assert [row.neuron for row in report.exact.neurons] == list(fused.neurons())
    audit = sd.audit(unrolled, x[:1])
    assert audit.verdict == "additive" and audit.analog == ("stages.0.downsample.project",)
    assert domains_met(audit) == {"binary 0..1"}
    with pytest.raises(
        ShapeError, match=r"got inputs of shape \[\(3, 1, 14, 14\)\]; it takes .*Unroll again"
    ):
        unrolled(x[..., :14, :14])


def test_leaks_and_membranes_are_charged_as_often_as_before() -> None:
    net = Net(lambda x, n, w: w(n(x)), n=ILIF(carry=True, decay=0.7), w=nn.Linear(6, 2))
    x = torch.randn(2, 1, 6)
    before = sd.audit(net, x, batch_axis=1)
    after = sd.audit(sd.unroll(net, x, batch_axis=1), x, batch_axis=1)
    for count in ("membrane_updates", "multiplications", "compares"):
        assert before.totals[count] == after.totals[count] > 0


def test_the_given_model_and_its_copy_share_nothing(tmp_path: Any) -> None:
    net, x = everything(ILIF).train(), torch.randn(2, 1, 8, 8)
    kept = {key: value.clone() for key, value in net.state_dict().items()}
    unrolled = sd.unroll(net, x)
    before = unrolled(x)
    assert net.training and all(torch.equal(kept[k], v) for k, v in net.state_dict().items())
    with torch.no_grad():
        net.parts["stem"].weight.zero_()  # type: ignore[union-attr]
    assert torch.equal(unrolled(x), before)
    torch.save(unrolled, tmp_path / "unrolled.pt")
    assert torch.equal(torch.load(tmp_path / "unrolled.pt", weights_only=False)(x), before)


class Rounded(Neuron):
    """Integers from operations of its own."""

    @property
    def domain(self) -> Domain:
        return Integer(4)

    def rest(self, x: Tensor) -> None:
        return

    def scan(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        return x.clamp(0, 4).round(), None


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Net(lambda x, n: n(x).exp(), n=ILIF()), r"aten.exp.default in module .* reads the integers .* Put a neuron"),
        (Net(lambda x, n: x / n(x), n=ILIF()), r"divides by the integers of a neuron"),
        (Net(lambda x, n: F.pad(n(x), (1, 1), value=1.0), n=ILIF()), r"pads a neuron's integers"),
        (Net(lambda x, n: torch.maximum(n(x), x), n=ILIF()), r"compares the integers of a neuron with other"),
        (Net(lambda x, n, m: m(n(x)), n=ILIF(), m=GIF()), r"'parts.m'.* emits integer .*; unroll takes neurons"),
        (Net(lambda x, n: n(x), n=Rounded()), r"'parts.n' is a Rounded that emits integer 0..4; .* Train with"),
        (Net(lambda x, n: n(x), n=LIF()), r"got a Net without a neuron of more than one level; .* Use the model"),
    ],
)  # fmt: skip
def test_what_has_no_binary_form_is_refused_by_name(net: nn.Module, message: str) -> None:
    with pytest.raises(UnrollError, match=message):
        sd.unroll(net, torch.randn(2, 3, 4), batch_axis=1)


def test_a_model_without_a_card_needs_an_example() -> None:
    with pytest.raises(
        ConfigError, match=r"unroll got a Net without a card and no example; .* unroll\(model, example"
    ):
        sd.unroll(everything(ILIF))


def test_a_wrong_copy_is_found_and_located() -> None:
    net, x = on_a_grid(everything(ILIF)), pixels(5, 1, 8, 8)
    wrong = sd.unroll(net, x[:1])
    for name, buffer in wrong.named_buffers():
        if name == "parts.conv.constant_1":
            # the bias in every one of the four sub-steps
            buffer.mul_(4)
    report = sd.verify_unrolled(net, x, unrolled=wrong, batch=2)
    assert not report.equal and report.exact.first is not None
    assert report.exact.first.neuron == "parts.b" and report.exact.differing > 0
    assert "NOT equal" in report.text() and "first: parts.b, sample" in report.text()
    rows = {row.neuron: row.differing for row in report.exact.neurons}
    assert rows["parts.a"] == 0 < rows["parts.b"]


def test_what_fp32_rounds_is_counted_beside_the_proof() -> None:
    # a weight of which fifteen times it is not the sum of fifteen, and a threshold that lies between the two
    torch.manual_seed(0)
    weights = torch.rand(256)
    product = 15 * weights
    sums = torch.stack([torch.full((15, 1, 2, 1), float(w)).sum(0)[0, 1, 0] for w in weights])
    at = int(((product - sums).abs() / product).argmax())
    threshold = float(product[at] + sums[at])
    net = Net(lambda x, a, w, b: b(w(a(x))), a=ILIF(15), w=nn.Linear(1, 1, bias=False), b=ILIF(1, threshold))
    with torch.no_grad():
        net.parts["w"].weight.fill_(float(weights[at]))  # type: ignore[union-attr, operator]
    report = sd.verify_unrolled(net, torch.tensor([0.0, 15.0]).view(1, 2, 1), batch_axis=1)
    assert report.equal and report.rounded is not None and report.rounded.dtype == "float32"
    assert [(row.compared, row.differing) for row in report.rounded.neurons] == [(2, 0), (2, 1)]
    first = report.rounded.first
    assert first is not None and (first.neuron, first.sample) == ("parts.b", 1)
    assert first.membrane == pytest.approx(0.5, abs=1e-6) and {first.integer, first.substeps} == {0, 1}
    assert "float32: 1 of 4 integers of 2 neurons differ by rounding" in report.text()
    assert report.to_dict()["rounded"]["neurons"][1]["differing"] == 1


def test_no_data_and_another_models_copy_are_refused() -> None:
    net = everything(ILIF)
    with pytest.raises(ShapeError, match=r"has no sample along axis 0; .* Give at least one"):
        sd.verify_unrolled(net, torch.zeros(0, 1, 8, 8), unrolled=sd.unroll(net, torch.zeros(1, 1, 8, 8)))
    other = Net(lambda x, n: n(x), n=ILIF())
    strange = sd.unroll(other, torch.zeros(1, 2, 1, 8, 8), batch_axis=1)
    with pytest.raises(UnrollError, match=r"fires in 'parts.n', where 0 calls .* Unroll this model"):
        sd.verify_unrolled(Net(lambda x, m: m(x), m=ILIF()), torch.zeros(1, 2, 1, 8, 8), unrolled=strange)
    assert isinstance(strange, Unrolled)

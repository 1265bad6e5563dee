"""Ordinary networks audit too: each is hybrid, with the counts that a hand calculation gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikedrive.auditing import audit
from spikedrive.ops.domain import Binary


class Net(nn.Module):
    """A function of its parts and the input."""

    def __init__(self, function: Callable[..., Any], **parts: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({k: p for k, p in parts.items() if isinstance(p, nn.Module)})
        for name in parts.keys() - self.parts.keys():
            self.register_buffer(name, parts[name])
        self.given = list(parts)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *(self.parts[k] if k in self.parts else getattr(self, k) for k in self.given))


def conv(a: int, b: int, k: int = 3, stride: int = 1) -> nn.Module:
    """A convolution and its BatchNorm, whose constants fold into it."""
    bn = nn.BatchNorm2d(b)
    nn.init.uniform_(bn.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv2d(a, b, k, stride, k // 2, bias=False), bn)


def resnet() -> nn.Module:
    def forward(x: Tensor, *parts: nn.Module) -> Tensor:
        stem, a1, a2, b1, b2, down, head = parts
        x = F.max_pool2d(stem(x).relu(), 2)
        x = (x + a2(a1(x).relu())).relu()
        x = (down(x) + b2(b1(x).relu())).relu()
        return head(F.adaptive_avg_pool2d(x, 1).flatten(1))

    return Net(forward, stem=conv(3, 4), a1=conv(4, 4), a2=conv(4, 4), b1=conv(4, 8, stride=2), b2=conv(8, 8),
               down=conv(4, 8, 1, 2), head=nn.Linear(8, 5))  # fmt: skip


def encoder_layer(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu", **options)


def layer_norm(tokens: int, width: int = 8) -> int:
    """The square, the scale and the gain of each element, and the mean of each token's squares."""
    return 3 * tokens * width + tokens


def attention(tokens: int) -> int:
    """Two heads of width four: the products, the scale and the division of each score, and four maps."""
    return 4 * tokens * 8 * 8 + 2 * tokens * tokens * (4 + 4 + 2)


def mlp(tokens: int) -> int:
    """Two maps between eight and sixteen, and the two products of a GELU."""
    return 2 * tokens * 8 * 16 + 2 * tokens * 16


def transformer_functions(tokens: int) -> int:
    """The exponential of each score of two heads, a GELU's function, the root of two norms."""
    return 2 * tokens * tokens + 16 * tokens + 2 * tokens


def vit() -> nn.Module:
    def forward(
        x: Tensor, patch: nn.Module, layer: nn.Module, norm: nn.Module, head: nn.Module, *more: Tensor
    ) -> Any:
        start, position = more
        x = patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([start.expand(x.shape[0], -1, -1), x], 1) + position
        return head(norm(layer(x))[:, 0])

    return Net(forward, patch=nn.Conv2d(3, 8, 4, 4), layer=encoder_layer(norm_first=True), norm=nn.LayerNorm(8),
               head=nn.Linear(8, 5), start=torch.randn(1, 1, 8), position=torch.randn(5, 8))  # fmt: skip


def recurrent(cell: Callable[..., nn.Module]) -> nn.Module:
    return Net(
        lambda x, cell, head: head(cell(x)[0][:, -1]), cell=cell(3, 4, batch_first=True), head=nn.Linear(4, 2)
    )


def gpt() -> nn.Module:
    def forward(tokens: Tensor, *parts: Any) -> Tensor:
        table, norm1, mixer, norm2, up, down, position, mask = parts
        x = table(tokens) + position
        y = norm1(x)
        x = x + mixer(y, y, y, attn_mask=mask, need_weights=False)[0]
        x = x + down(F.gelu(up(norm2(x))))
        # the table once more, as the readout
        return F.linear(x, table.weight)

    return Net(forward, table=nn.Embedding(11, 8), norm1=nn.LayerNorm(8),
               mixer=nn.MultiheadAttention(8, 2, batch_first=True), norm2=nn.LayerNorm(8), up=nn.Linear(8, 16),
               down=nn.Linear(16, 8), position=torch.randn(5, 8),
               mask=torch.triu(torch.full((5, 5), -torch.inf), 1))  # fmt: skip


def bert() -> nn.Module:
    def forward(tokens: Tensor, *parts: Any) -> Tensor:
        table, norm, encoder, pooler, position = parts
        padding = torch.where(tokens == 0, -torch.inf, 0.0)
        x = encoder(norm(table(tokens) + position), src_key_padding_mask=padding)
        return torch.tanh(pooler(x[:, 0]))

    return Net(forward, table=nn.Embedding(11, 8), norm=nn.LayerNorm(8),
               encoder=nn.TransformerEncoder(encoder_layer(), 1, enable_nested_tensor=False),
               pooler=nn.Linear(8, 8), position=torch.randn(5, 8))  # fmt: skip


def unet() -> nn.Module:
    def forward(x: Tensor, down: nn.Module, middle: nn.Module, up: nn.Module, head: nn.Module) -> Tensor:
        a = down(x).relu()
        b = middle(F.max_pool2d(a, 2)).relu()
        return F.interpolate(head(torch.cat([a, up(b)], 1)), scale_factor=2, mode="nearest")

    return Net(forward, down=conv(1, 2), middle=conv(2, 4), up=nn.ConvTranspose2d(4, 2, 2, stride=2),
               head=nn.Conv2d(4, 3, 1))  # fmt: skip


def mamba() -> nn.Module:
    def forward(u: Tensor, *parts: Any) -> Tensor:
        enter, mix, select, spread, leave, decay = parts
        x, gate = enter(u).chunk(2, -1)
        x = F.silu(mix(x.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2))
        step, b, c = select(x).split([1, 3, 3], -1)
        step = F.softplus(spread(step))
        h, out = torch.zeros(u.shape[0], 4, 3), []
        for t in range(u.shape[1]):
            kept = torch.exp(step[:, t, :, None] * decay)
            h = h * kept + step[:, t, :, None] * b[:, t, None] * x[:, t, :, None]
            out.append((h * c[:, t, None]).sum(-1))
        return leave(torch.stack(out, 1) * F.silu(gate))

    return Net(forward, enter=nn.Linear(4, 8), mix=nn.Conv1d(4, 4, 3, padding=2, groups=4), select=nn.Linear(4, 7),
               spread=nn.Linear(1, 4), leave=nn.Linear(4, 4), decay=-torch.rand(4, 3))  # fmt: skip


def graph() -> nn.Module:
    def forward(
        x: Tensor, first: nn.Module, second: nn.Module, source: Tensor, target: Tensor, share: Tensor
    ) -> Tensor:
        for layer in (first, second):
            y = layer(x)
            x = torch.zeros_like(y).index_add(1, target, y[:, source] * share).relu()
        return x

    return Net(forward, first=nn.Linear(3, 6), second=nn.Linear(6, 2), source=torch.tensor([0, 1, 2, 3, 1]),
               target=torch.tensor([1, 0, 3, 2, 2]), share=torch.rand(5, 1))  # fmt: skip


def mixer() -> nn.Module:
    def forward(x: Tensor, *parts: nn.Module) -> Tensor:
        patch, norm1, tokens, norm2, channels, head = parts
        x = patch(x).flatten(2).transpose(1, 2)
        x = x + tokens(norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + channels(norm2(x))
        return head(x.mean(1))

    def perceptron(a: int, b: int) -> nn.Module:
        return nn.Sequential(nn.Linear(a, b), nn.GELU(), nn.Linear(b, a))

    return Net(forward, patch=nn.Conv2d(3, 8, 4, 4), norm1=nn.LayerNorm(8), tokens=perceptron(4, 6),
               norm2=nn.LayerNorm(8), channels=perceptron(8, 16), head=nn.Linear(8, 5))  # fmt: skip


@dataclass(frozen=True)
class Ordinary:
    """A network, the shape of one input (token indices below 11 where it is `tokens`), and what it multiplies."""

    net: Callable[[], nn.Module]
    shape: tuple[int, ...]
    multiplications: int
    functions: int
    analog: tuple[str, ...] = ()
    tokens: bool = False


# maps of 16, 8 and 4 squared; each constant of a BatchNorm and of the mean folds
RESNET = 3 * 9 * 4 * 256 + 2 * 4 * 9 * 4 * 64 + (4 * 9 + 8 * 9 + 4) * 8 * 16 + 8 * 5
# five steps of four units: the gates' weights, three sigmoids, and f c + i g, o tanh(c)
LSTM = 5 * (4 * 4 * (3 + 4) + 4 * 3 + 4 * 3) + 4 * 2
# the gates' weights, two sigmoids, r (W h) and z (h - n)
GRU = 5 * (3 * 4 * (3 + 4) + 4 * 2 + 4 * 2) + 4 * 2
# of three steps, four channels and three states: the maps, a convolution of five places, two SiLU and the gate
MAMBA = 3 * (4 * 8 + 4 * 7 + 1 * 4 + 4 * 4) + 5 * 4 * 3 + 2 * 3 * 4 * 2 + 3 * 4
# the step times the decay, times b and x, the state times c; the state before the first step is nothing
SCAN = 3 * 12 * (1 + 2 + 1) + 2 * 12

NETS = {
    "ResNet": Ordinary(resnet, (3, 16, 16), RESNET, 0, analog=("parts.stem.0",)),
    "ViT": Ordinary(
        vit, (3, 8, 8), 3 * 16 * 8 * 4 + attention(5) + mlp(5) + 3 * layer_norm(5) + 8 * 5,
        transformer_functions(5) + 5, analog=("parts.patch",),
    ),
    "LSTM": Ordinary(lambda: recurrent(nn.LSTM), (5, 3), LSTM, 5 * 4 * 5),
    "GRU": Ordinary(lambda: recurrent(nn.GRU), (5, 3), GRU, 5 * 4 * 3),
    "GPT block": Ordinary(
        gpt, (5,), attention(5) + mlp(5) + 2 * layer_norm(5) + 5 * 8 * 11, transformer_functions(5), tokens=True,
    ),
    "U-Net": Ordinary(
        unet, (1, 8, 8), 9 * 2 * 64 + 2 * 9 * 4 * 16 + 4 * 2 * 4 * 16 + 4 * 3 * 64, 0, analog=("parts.down.0",),
    ),
    # an exponential a state, two functions a softplus, one a SiLU
    "Mamba": Ordinary(mamba, (3, 4), MAMBA + SCAN, 3 * (12 + 4 * 2 + 2 * 4), analog=("parts.enter",)),
    # four nodes, and the share of each of five edges
    "graph convolution": Ordinary(graph, (4, 3), 4 * (3 * 6 + 6 * 2) + 5 * (6 + 2), 0, analog=("parts.first",)),
    "BERT": Ordinary(
        bert, (5,), attention(5) + mlp(5) + 3 * layer_norm(5) + 8 * 8,
        transformer_functions(5) + 5 + 8, tokens=True,
    ),
    "MLP-Mixer": Ordinary(
        mixer, (3, 8, 8), 3 * 16 * 8 * 4 + 2 * 8 * 4 * 6 + 2 * 8 * 6 + mlp(4) + 2 * layer_norm(4) + 8 * 5,
        8 * 6 + 4 * 16 + 2 * 4, analog=("parts.patch",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_it_is_hybrid_and_multiplies_as_often_as_a_hand_counts(name: str) -> None:
    torch.manual_seed(0)
    case = NETS[name]
    x = torch.randint(0, 11, (1, *case.shape)) if case.tokens else torch.randn(1, *case.shape)
    result = audit(case.net(), x)
    assert result.verdict == "hybrid"
    assert result.analog == case.analog
    assert (result.totals["multiplications"], result.totals["functions"]) == (
        case.multiplications,
        case.functions,
    )
    assert all(left.why and left.replacement and left.line for left in result.exceptions)


def test_spikes_enter_a_recurrent_layer_by_additions() -> None:
    result = audit(recurrent(nn.GRU), torch.randint(0, 2, (1, 5, 3)).float(), inputs=(Binary(),))
    assert result.totals["additions"] == 5 * 3 * 4 * 3
    assert result.totals["multiplications"] == GRU - 5 * 3 * 4 * 3
    assert result.analog == ()


def test_a_network_of_torch_s_own_layers_is_named_by_their_lines() -> None:
    left = audit(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.randn(1, 3)).exceptions
    assert [(e.module, e.file.endswith("linear.py"), e.count) for e in left] == [("1", True, 8)]
    assert left[0].line > 0


def test_spikes_are_added_as_often_as_a_transposed_convolution_spreads_them() -> None:
    net = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, bias=False)
    x = torch.randint(0, 2, (5, 2, 4, 4)).float()
    spread = F.conv_transpose2d(x, torch.ones(2, 3, 3, 3), stride=2, padding=1)
    result = audit(net, x[:1], data=x, inputs=(Binary(),))
    assert result.verdict == "additive"
    assert result.totals["additions"] == pytest.approx(float(spread.sum()) / 5)


@pytest.mark.parametrize("axis", [0, -1])
def test_a_constant_before_a_running_sum_is_not_forgotten(axis: int) -> None:
    class Forks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            y = self.linear(x).relu()
            return torch.cat([y, (y * 0.3).cumsum(axis)])

    result = audit(Forks().eval(), torch.zeros(4, 2, 8), inputs=[Binary()], batch_axis=1)
    assert result.verdict == "hybrid"
    assert result.totals["multiplications"] == 4 * 8

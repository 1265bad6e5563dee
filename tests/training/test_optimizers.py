"""LAMB and SGD against their equations, the learning rate, and the moving average."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.models import create_model
from spikedrive.training import Lamb, Recipe, WeightAverage, learning_rate, make_optimizer

BASE = Recipe(model="meta_spikeformer_nano", data="fashion_mnist_mini")


def lamb_by_hand(
    w: Tensor, g: list[Tensor], *, lr: float, decay: float, clip: bool, beta1: float, beta2: float, eps: float
) -> Tensor:
    """The published step, one number at a time in thought."""
    m, v = torch.zeros_like(w), torch.zeros_like(w)
    for k, grad in enumerate(g, 1):
        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad**2
        u = (m / (1 - beta1**k)) / ((v / (1 - beta2**k)) ** 0.5 + eps) + decay * w
        ratio = 1.0
        if decay:
            ratio = float(w.norm() / u.norm()) if w.norm() > 0 and u.norm() > 0 else 1.0
            ratio = min(ratio, 1.0) if clip else ratio
        w = w - lr * ratio * u
    return w


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("decay", [0.1, 0.0])
@pytest.mark.parametrize("size", [0.0, 0.1, 30.0])
def test_lamb_is_its_equation(clip: bool, decay: float, size: float) -> None:
    start = size * torch.randn(3, 4, dtype=torch.float64)
    grads = list(torch.randn(4, 3, 4, dtype=torch.float64))
    w = nn.Parameter(start.clone())
    optimizer = Lamb([w], lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=decay, trust_clip=clip)
    for grad in grads:
        w.grad = grad.clone()
        optimizer.step()
    expected = lamb_by_hand(start, grads, lr=0.1, decay=decay, clip=clip, beta1=0.8, beta2=0.95, eps=1e-6)
    assert torch.allclose(w.detach(), expected, rtol=0, atol=1e-12)


def test_lamb_continues_from_its_state() -> None:
    grads = list(torch.randn(4, 5, 5))
    whole, first = nn.Parameter(torch.ones(5, 5)), nn.Parameter(torch.ones(5, 5))
    one, two = Lamb([whole], weight_decay=0.1), Lamb([first], weight_decay=0.1)
    for k, grad in enumerate(grads):
        whole.grad, first.grad = grad.clone(), grad.clone()
        one.step()
        two.step()
        if k == 1:
            state = copy.deepcopy(two.state_dict())
            two = Lamb([first], weight_decay=0.1)
            two.load_state_dict(state)
    assert torch.equal(whole, first)


def test_lamb_refuses_betas_out_of_range() -> None:
    with pytest.raises(
        ConfigError, match=r"Lamb got betas=\(1.0, 0.9\), eps=1e-06; betas lie in 0 <= beta < 1"
    ):
        Lamb([nn.Parameter(torch.ones(1))], betas=(1.0, 0.9))


def test_sgd_carries_its_momentum() -> None:
    model = nn.Linear(2, 2, bias=False)
    start, grads = model.weight.detach().clone(), torch.randn(2, 2, 2)
    changes = {"optimizer": "sgd", "lr": 0.5, "weight_decay": 0.1, "optimizer_args": {"momentum": 0.9}}
    optimizer = make_optimizer(model, BASE.replace(**changes))
    w, velocity = start, torch.zeros(2, 2)
    for grad in grads:
        model.weight.grad = grad.clone()
        optimizer.step()
        velocity = 0.9 * velocity + grad + 0.1 * w
        w = w - 0.5 * velocity
    assert torch.allclose(model.weight.detach(), w, atol=1e-6)
    with pytest.raises(
        ConfigError, match="optimizer_args got betas; sgd takes layer_decay, momentum, nesterov"
    ):
        make_optimizer(model, BASE.replace(optimizer="sgd", optimizer_args={"betas": [0.9, 0.99]}))


@pytest.mark.parametrize("name", ["adamw", "lamb", "sgd"])
def test_only_weights_of_two_axes_are_decayed(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    model.register_parameter("w", nn.Parameter(torch.tensor(0.0)))
    optimizer = make_optimizer(model, BASE.replace(optimizer=name, weight_decay=0.3))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.3 if parameter.dim() > 1 else 0.0)


def test_an_unknown_optimizer_argument_is_named() -> None:
    with pytest.raises(
        ConfigError, match="optimizer_args got trust_clip; adamw takes betas, eps, layer_decay"
    ):
        make_optimizer(nn.Linear(2, 2), BASE.replace(optimizer_args={"trust_clip": True}))


# block3.0 is layer 1 of the released rule, block3.11 layer 12, the head layer 13, and all in front layer 0
SHARES = {"stages.0.downsample.": 13, "stages.2.blocks.1.mlp.": 13, "stages.3.downsample.": 13,
          "stages.3.blocks.0.pointwise.": 12, "stages.3.blocks.11.attention.": 1, "head.": 0}  # fmt: skip


def test_layers_far_from_the_head_learn_slower() -> None:
    with torch.device("meta"):
        model = create_model("e_spikeformer_83m")
    args = {"layer_decay": 0.75}
    optimizer = make_optimizer(model, BASE.replace(optimizer="lamb", lr=0.1, optimizer_args=args))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(model.parameters())) and optimizer.param_groups[0]["lr"] == 0.1
    found = {
        (start, rates[id(p)])
        for name, p in model.named_parameters()
        for start in SHARES
        if name.startswith(start)
    }
    assert found == {(start, 0.1 * 0.75**power) for start, power in SHARES.items()}


def test_what_stands_between_two_layers_learns_as_the_one_in_front() -> None:
    blocks = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model = nn.ModuleDict({"stem": nn.Linear(2, 2), "blocks": blocks})
    whole = nn.ModuleDict({"first": model, "between": nn.Linear(2, 2), "last": copy.deepcopy(model)})
    optimizer = make_optimizer(whole, BASE.replace(lr=1.0, optimizer_args={"layer_decay": 0.5}))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rates[id(p)] for n, p in whole.named_parameters() if n.endswith("weight")] == [
        0.5**power for power in (5, 4, 3, 3, 3, 2, 1)
    ]


@pytest.mark.parametrize("decay", [0, 1.5, "0.75", True])
def test_a_layer_decay_out_of_range_is_named(decay: object) -> None:
    with pytest.raises(ConfigError, match=rf"got layer_decay={decay!r}; it lies in 0 < layer_decay <= 1"):
        make_optimizer(nn.Linear(2, 2), BASE.replace(optimizer_args={"layer_decay": decay}))


def test_a_model_without_blocks_has_no_layers_to_decay() -> None:
    with pytest.raises(ConfigError, match=r"layer_decay=0\.5, and Linear has no list of blocks"):
        make_optimizer(nn.Linear(2, 2), BASE.replace(optimizer_args={"layer_decay": 0.5}))


def test_learning_rate_rises_to_its_peak_and_falls_to_its_end() -> None:
    rates = [learning_rate(s, steps=100, warmup=10, peak=2.0, end=0.1) for s in range(101)]
    assert rates[:10] == pytest.approx([2.0 * (s + 1) / 10 for s in range(10)])
    assert max(rates) == 2.0 and rates[100] == pytest.approx(0.2)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[55] == pytest.approx(2.0 * (0.1 + 0.9 / 2))


def test_average_follows_its_equation_and_gives_the_weights_back() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    average = WeightAverage(model, 0.6)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for step in range(1, 5):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
            model[1].running_mean.add_(1.0)
        average.update(step)
        decay = min(0.6, (step + 1) / (step + 10))
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * tensor
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with average.swapped():
        for name, tensor in model.state_dict().items():
            assert torch.allclose(tensor, expected[name], rtol=0, atol=1e-12), name
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.state_dict().items())

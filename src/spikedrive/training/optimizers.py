"""What moves the weights: AdamW, LAMB and SGD, the learning rate, and the moving average."""

# one call for all tensors instead of one each; torch documents these functions and does not list them
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError
from spikedrive.training.recipe import Recipe

_BLOCK = re.compile(r"(.*?\bblocks\.\d+)\.")
_ARGUMENTS = {
    "adamw": {"betas", "eps", "layer_decay"},
    "lamb": {"betas", "eps", "trust_clip", "layer_decay"},
    "sgd": {"momentum", "nesterov", "layer_decay"},
}


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over all parameters; those of one axis or none are not decayed.

    With `layer_decay` in optimizer_args, the layer k places in front of the head learns at `layer_decay ** k` of the
    rate; the head, and so the first group, at the whole one. Layers are the blocks that hold attention, or all blocks
    where none does; everything in front of the first is one layer.

    *Raises*: ConfigError for optimizer_args that the optimizer does not take or that are out of range.
    *Source*: the layer-wise decay of BEiT (arXiv 2106.08254), with the layers of Spike-driven Transformer V3
    (arXiv 2411.16061; BICLab/Spike-Driven-Transformer-V3 at 00fcd1fd, Model_Large: all convolution stages are layer 0).
    """
    arguments = dict(recipe.optimizer_args)
    accepted = _ARGUMENTS[recipe.optimizer]
    strange = sorted(set(arguments) - accepted)
    if strange:
        raise ConfigError(
            f"optimizer_args got {', '.join(strange)}; {recipe.optimizer} takes {', '.join(sorted(accepted))}. "
            "Leave the others out, or set them as keys of the recipe."
        )
    scales = _layer_scales(model, arguments.pop("layer_decay", 1.0))
    groups = []
    for scale in sorted(set(scales.values()), reverse=True):
        layer = [p for n, p in model.named_parameters() if p.requires_grad and scales[n] == scale]
        for decay, wanted in ((recipe.weight_decay, True), (0.0, False)):
            chosen = [p for p in layer if (p.dim() > 1) == wanted]
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "lr": recipe.lr * scale})
    if recipe.optimizer == "lamb":
        return Lamb(groups, lr=recipe.lr, **arguments)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, fused=True, **arguments)
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=True, **arguments)


def _layer_scales(model: nn.Module, decay: Any) -> dict[str, float]:
    """Each parameter's share of the learning rate."""
    names = [name for name, _ in model.named_parameters()]
    if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 < decay <= 1:
        raise ConfigError(
            f"optimizer_args got layer_decay={decay!r}; it lies in 0 < layer_decay <= 1. Use 1 to leave it out."
        )
    if decay == 1:
        return dict.fromkeys(names, 1.0)
    block_of = {name: found[1] for name in names if (found := _BLOCK.match(name))}
    blocks = list(dict.fromkeys(block_of.values()))
    layers = [b for b in blocks if any(name.startswith(f"{b}.attention.") for name in names)] or blocks
    if not layers:
        raise ConfigError(
            f"optimizer_args got layer_decay={decay}, and {type(model).__name__} has no list of blocks; it takes a "
            "model that has one, a transformer or another pyramid of them. Leave layer_decay out."
        )
    scales, met = {}, 0
    for name in names:
        if block_of.get(name) in layers:
            met = layers.index(block_of[name]) + 1
        # behind the last block stands the head; between two of them, what belongs to the one in front
        behind = met == len(layers) and block_of.get(name) not in layers
        scales[name] = float(decay) ** (len(layers) + 1 - met - behind)
    return scales


def learning_rate(step: int, *, steps: int, warmup: int, peak: float, end: float) -> float:
    """The rate of one step: a straight line up to `peak`, then half a cosine down to `end * peak`.

    *Equation*, with S steps of which W warm up:

        step < W    lr = peak (step + 1) / W
        otherwise   lr = peak (end + (1 - end) / 2 (1 + cos(pi (step - W) / (S - W))))

    >>> [round(learning_rate(s, steps=6, warmup=2, peak=1.0, end=0.0), 3) for s in range(6)]
    [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (end + (1 - end) / 2 * (1 + math.cos(math.pi * min(1.0, progress))))


class Lamb(torch.optim.Optimizer):
    """AdamW whose step is scaled, tensor by tensor, to the norm of the weight.

    *Equation*, with gradient g, weight w, weight decay c and step count k:

        m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2
        u = (m / (1 - b1^k)) / (sqrt(v / (1 - b2^k)) + eps) + c w
        r = |w| / |u|  (1 where either norm is 0;  min(r, 1) with trust_clip)
        w = w - lr r u

    r is 1 for tensors that are not decayed (biases, norms, neuron parameters).
    *Raises*: ConfigError for betas outside 0..1 or eps of zero or less.
    *Source*: You et al. 2020, algorithm 2, with the exemption and the clip of r that the recipes of
    Spike-driven Transformer use; the gradient is not clipped in here: that is the recipe's `clip`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        trust_clip: bool = True,
    ) -> None:
        if not all(0 <= beta < 1 for beta in betas) or not eps > 0:
            raise ConfigError(
                f"Lamb got betas={betas}, eps={eps}; betas lie in 0 <= beta < 1 and eps above 0. Change optimizer_args."
            )
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "trust_clip": trust_clip,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step; returns what `closure` returns."""
        answer = None
        if closure is not None:
            with torch.enable_grad():
                answer = closure()
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._step_group(weights, group)
        return answer

    def _step_group(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for w in weights:
            if not self.state[w]:
                self.state[w].update(
                    step=torch.zeros(()), exp_avg=torch.zeros_like(w), exp_avg_sq=torch.zeros_like(w)
                )
        states = [self.state[w] for w in weights]
        grads = [w.grad for w in weights if w.grad is not None]
        m, v = [s["exp_avg"] for s in states], [s["exp_avg_sq"] for s in states]
        beta1, beta2 = group["betas"]
        for s in states:
            s["step"] += 1
        torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, grads, grads, 1 - beta2)
        count = float(states[0]["step"])
        below = torch._foreach_sqrt(torch._foreach_div(v, 1 - beta2**count))
        torch._foreach_add_(below, group["eps"])
        updates = torch._foreach_div(torch._foreach_div(m, 1 - beta1**count), below)
        if group["weight_decay"] == 0:
            torch._foreach_add_(weights, updates, alpha=-group["lr"])
            return
        torch._foreach_add_(updates, weights, alpha=group["weight_decay"])
        for w, u, w_norm, u_norm in zip(
            weights, updates, torch._foreach_norm(weights), torch._foreach_norm(updates), strict=True
        ):
            ratio = torch.where((w_norm > 0) & (u_norm > 0), w_norm / u_norm, torch.ones_like(w_norm))
            w.sub_(u.mul_(ratio.clamp(max=1.0) if group["trust_clip"] else ratio), alpha=group["lr"])


class WeightAverage:
    """An exponential moving average of a model's parameters and floating buffers.

    *Equation*: a = a + (1 - d_k) (w - a), with d_k = min(decay, (k + 1) / (k + 10)) after k steps, so
    that the first steps are soon forgotten. Other buffers are not averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._live = {n: _local(t) for n, t in tensors.items() if t.is_floating_point()}
        self._averages = {n: t.clone() for n, t in self._live.items()}
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        weight = 1 - min(self.decay, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(self._averages.values()), list(self._live.values()), weight)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside, the model holds the averages; afterwards its own weights again, to the bit."""
        own = [t.clone() for t in self._live.values()]
        try:
            self._copy(self._averages.values())
            yield
        finally:
            self._copy(own)

    def restart(self) -> None:
        """Make the weights as they are now the average."""
        torch._foreach_copy_(list(self._averages.values()), list(self._live.values()))

    @torch.no_grad()
    def _copy(self, source: Iterable[Tensor]) -> None:
        torch._foreach_copy_(list(self._live.values()), list(source))


def _local(tensor: Tensor) -> Tensor:
    # a sharded parameter (DTensor) is averaged where it lies; the view shares its storage
    tensor = tensor.detach()
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()

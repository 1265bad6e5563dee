"""Relevance from an answer to the input, through any model of layers, pools, sums and neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spikedrive.errors import ConfigError, unknown_name
from spikedrive.neurons import Neuron
from spikedrive.tasks import classify
from spikedrive.training.losses.anytime import membranes_of
from spikedrive.training.relevance.rules import conserved, layer_relevance, share_of_held

Method = Literal["slrp", "sltrp"]

LAYERS = (F.linear, torch.conv2d)
POOLS = (
    F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool2d, torch.mean, Tensor.mean, torch.sum, Tensor.sum,
)  # fmt: skip
SUMS = (torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__)
PASSING = (F.batch_norm, Tensor.__truediv__, Tensor.div, torch.div)
PRODUCTS = (torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)
"""By a number relevance passes; a product of two values has no rule."""
VIEWS = (
    Tensor.flatten, Tensor.unflatten, Tensor.view, Tensor.reshape, Tensor.permute, Tensor.transpose, Tensor.unsqueeze,
    Tensor.squeeze, Tensor.movedim, Tensor.expand, Tensor.contiguous, Tensor.clone, Tensor.chunk, Tensor.split,
    Tensor.__getitem__, torch.flatten, torch.stack, torch.cat, torch.permute, torch.movedim, F.dropout,
)  # fmt: skip
"""They move values, so that relevance moves as a gradient does."""


def propagate_relevance(
    model: nn.Module,
    x: Tensor,
    *,
    method: Method = "slrp",
    classes: Tensor | None = None,
    alpha: float = 1.0,
    start: float | None = None,
) -> Tensor:
    """How much each input had to do with the logit of `classes`, by default those that the model answers.

    "slrp": neurons pass relevance on at its step, and layers share it by inputs averaged over the steps. "sltrp": it
    also goes back in time, as far as a membrane was charged before; layers share it step by step. BatchNorm and factors
    pass it, sums split it by what they add. The model is left as it came. With `start` relevance starts from that
    number in place of the logit, whose sign it takes otherwise.

    *Shapes*: x as the model takes it, (B, C, H, W) or (T, B, C, H, W); classes (B,) -> as x. A saliency map is its sum
    over channels, or over steps too.
    *Units*: those of the logit, or of `start`.
    *Raises*: UnknownNameError for another method; ConfigError for an operation without a rule, such as attention's
    products, and for neurons whose charge is no sum of input and membrane ("sltrp").
    *Source*: SLRP and SLTRP of EventRPG (ICLR 2024). **Where we differ**: its BatchNorm divides by the square of
    the variance in passing; its first layer shares out what outputs without excitation lose, ours lets it go.
    """
    if method not in get_args(Method):
        raise unknown_name("way to propagate relevance", method, get_args(Method))
    training = model.training
    model.eval()
    given = x.detach().clone().requires_grad_()
    batch = x.shape[1 if getattr(model, "input", "image") == "frames" else 0]
    try:
        mode = _Propagating(method, alpha, batch)
        with _neurons_of(model, mode), mode:
            y = model(given)
        answer = classify.logits(y)
        chosen = answer.argmax(1) if classes is None else classes
        logit = answer.gather(1, chosen[:, None]).detach()
        whole = logit if start is None else torch.full_like(logit, start)
        (relevance,) = torch.autograd.grad(
            answer, given, torch.zeros_like(answer).scatter(1, chosen[:, None], whole)
        )
    finally:
        model.train(training)
    return relevance


class _Rule(torch.autograd.Function):
    """An output whose gradient is the relevance of its inputs."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, rule: Callable[[Tensor], tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
        """y, as it is."""
        ctx.rule = rule
        return y.clone()

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """What the rule gives each input."""
        return (None, None, *ctx.rule(relevance[0]))


class _Propagating(TorchFunctionMode):
    """Every operation with its rule in the place of its gradient."""

    def __init__(self, method: Method, alpha: float, batch: int) -> None:
        super().__init__()
        self.method, self.alpha, self.batch, self.steps = method, alpha, batch, 1
        self.off = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        traced = [
            a for a in args if isinstance(a, Tensor) and a.requires_grad and not isinstance(a, nn.Parameter)
        ]
        if self.off or not (traced or _lists_traced(args)):
            return func(*args, **kwargs)
        if func in LAYERS:
            return self._layer(func, args, kwargs)
        if func in POOLS:
            run = lambda x: func(x, *args[1:], **kwargs)  # noqa: E731
            met = args[0].detach()
            return _passed(run(args[0]), lambda r: (conserved(run, met, r),), args[0])
        if func in SUMS and len(traced) == 2:
            a, b = (each.detach() for each in traced)
            add = lambda c, d: c + d  # noqa: E731
            parts = lambda r: (conserved(lambda c: add(c, b), a, r), conserved(lambda d: add(a, d), b, r))  # noqa: E731
            return _passed(func(*args, **kwargs), parts, *traced)
        if func in PASSING or (func in (*SUMS, *PRODUCTS) and len(traced) == 1):
            return _passed(func(*args, **kwargs), lambda r: (r,), traced[0])
        y = func(*args, **kwargs)
        if func not in VIEWS and isinstance(y, Tensor) and y.requires_grad and y.is_floating_point():
            raise ConfigError(
                f"Relevance came to {getattr(func, '__name__', func)}, which has no rule; layers, pools, sums and "
                "neurons have one. Use a convolutional model, such as sew_resnet_nano."
            )
        return y

    def _layer(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        named = dict(zip(("x", "weight", "bias"), args, strict=False)) | kwargs
        x, weight = named.get("x", named.get("input")).detach(), named["weight"].detach()

        def layer(x: Tensor, weight: Tensor) -> Tensor:
            return func(x, weight, None, *args[3:])

        def rule(r: Tensor) -> tuple[Tensor]:
            if self.method == "sltrp" or self.steps == 1:
                return (layer_relevance(layer, x, weight, r, alpha=self.alpha),)
            if len(x) == self.steps * self.batch:
                # time and batch are one axis here
                mean = x.unflatten(0, (self.steps, -1)).mean(0)
                whole = layer_relevance(
                    layer, mean, weight, r.unflatten(0, (self.steps, -1)).sum(0), alpha=self.alpha
                )
                return ((whole / self.steps).repeat(self.steps, *[1] * (x.dim() - 1)),)
            if x.shape[:2] == (self.steps, self.batch):
                whole = layer_relevance(layer, x.mean(0), weight, r.sum(0), alpha=self.alpha)
                return ((whole / self.steps).expand(x.shape),)
            return (layer_relevance(layer, x, weight, r, alpha=self.alpha),)

        return _passed(func(*args, **kwargs), rule, args[0])


def _passed(y: Tensor, rule: Callable[[Tensor], tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
    return _Rule.apply(y.detach(), rule, *inputs)  # type: ignore[no-any-return]


def _lists_traced(args: Any) -> bool:
    return any(isinstance(a, (list, tuple)) and any(isinstance(t, Tensor) for t in a) for a in args)


@contextmanager
def _neurons_of(model: nn.Module, mode: _Propagating) -> Iterator[None]:
    """Neurons that hand relevance on, in the place of their surrogate gradients."""
    neurons = [module for module in model.modules() if isinstance(module, Neuron)]

    def passing(neuron: Neuron) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            mode.off, mode.steps = True, len(x)
            try:
                with torch.no_grad():
                    given = x.detach()
                    spikes = neuron.scan(given, neuron.rest(given))[0]
                    held = None
                    if mode.method == "sltrp":
                        after = membranes_of(neuron, given)
                        before = torch.cat([torch.zeros_like(after[:1]), after[:-1]])
                        held = share_of_held(neuron, given, before)
                return _passed(spikes, lambda r: (r if held is None else _back_in_time(r, held),), x)
            finally:
                mode.off = False

        return forward

    try:
        for neuron in neurons:
            neuron.__dict__["forward"] = passing(neuron)
        yield
    finally:
        for neuron in neurons:
            del neuron.__dict__["forward"]


def _back_in_time(relevance: Tensor, held: Tensor) -> Tensor:
    carried, given = torch.zeros_like(relevance[0]), []
    for r, share in zip(relevance.flip(0), held.flip(0), strict=True):
        whole = r + carried
        carried = share * whole
        given.append(whole - carried)
    return torch.stack(given[::-1])

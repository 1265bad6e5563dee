"""Devices and processes: Fabric, sharding, and batch statistics over all processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from spikedrive.errors import ConfigError
from spikedrive.training.recipe import Recipe

if TYPE_CHECKING:
    # Fabric takes seconds to import, which evaluating and reading recipes need not pay
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.strategy import Strategy


def launch(recipe: Recipe) -> Fabric:
    """Fabric on the recipe's device; several processes come from torchrun only.

    *Raises*: ConfigError for a device that is not there, or a strategy without torchrun.
    """
    from lightning_fabric import Fabric

    world = int(os.environ.get("WORLD_SIZE", "1")) if dist.is_torchelastic_launched() else 1
    device = _device(recipe)
    if world == 1 and recipe.strategy != "auto":
        raise ConfigError(
            f"strategy={recipe.strategy!r} got one process; it takes several, started by torchrun. "
            "Run `torchrun --standalone --nproc-per-node N -m spikedrive train ...`, or leave strategy out."
        )
    if recipe.strategy == "fsdp" and recipe.precision == "64-true":
        raise ConfigError(
            "strategy='fsdp' got precision='64-true'; it takes '32-true' or 'bf16-mixed'. Use strategy='ddp' for fp64."
        )
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world > 1 else 1
    # Fabric reports its precision and its processes as log lines; the run folder holds both
    for name in ("lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if device == "cuda":
        # a resumed run equals an unbroken one only where each kernel sums in one order
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    fabric = Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy=_strategy(recipe.strategy, world),
        precision=recipe.precision,
    )
    fabric.launch()
    return fabric


def gather_sums(fabric: Fabric, numbers: Sequence[float]) -> list[float]:
    """Each number summed over all processes."""
    if fabric.world_size == 1:
        return [float(number) for number in numbers]
    sums = torch.tensor(numbers, dtype=torch.float64, device=fabric.device)
    dist.all_reduce(sums)
    return sums.tolist()


@contextmanager
def batch_statistics_of_all(fabric: Fabric) -> Iterator[None]:
    """Inside, each BatchNorm in training normalises by the batch of all processes; one process runs as it is."""
    if fabric.world_size == 1:
        yield
        return
    with _SharedStatistics():
        yield


class _SharedStatistics(TorchFunctionMode):
    # torch's SyncBatchNorm refuses the CPU and takes modules only; blocks may call F.batch_norm themselves
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is F.batch_norm:
            return _batch_norm(func, *args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    local: Callable[..., Tensor],
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    if not training:
        return local(x, running_mean, running_var, weight, bias, training, momentum, eps)
    channels = x.shape[1]
    weight = x.new_ones(channels) if weight is None else weight
    bias = x.new_zeros(channels) if bias is None else bias
    y, mean, var, count = _NormaliseTogether.apply(x, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            # the running variance is the unbiased one, as in torch
            running_var.lerp_((var * (count / (count - 1))).to(running_var.dtype), momentum)
    return y


class _NormaliseTogether(torch.autograd.Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias with mean and var over the batches of all processes.

    With n values a channel in all, x' the normalised x and g the gradient of y, both sums over all processes:
    dx = weight / sqrt(var + eps) (g - sum(g) / n - x' sum(g x') / n).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        others = [axis for axis in range(x.dim()) if axis != 1]
        values = x if x.dtype == torch.float64 else x.float()
        count = x.numel() // x.shape[1]
        var, mean = torch.var_mean(values, others, correction=0)
        # means and centred squares of every process, combined without the loss of E[x^2] - E[x]^2
        mine = torch.cat([mean, var, mean.new_tensor([count])])
        parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, mine)
        all_parts = torch.stack(parts)
        means, variances, counts = all_parts.split([len(mean), len(var), 1], dim=1)
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        var = ((variances + (means - mean).square()) * counts).sum(0) / total
        inverse = torch.rsqrt(var + eps)
        shape = [1, -1] + [1] * (x.dim() - 2)
        gain = inverse * weight
        y = torch.addcmul((bias - mean * gain).view(shape), values, gain.view(shape)).to(x.dtype)
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.total, ctx.others, ctx.shape = total, others, shape
        ctx.mark_non_differentiable(mean, var, total)
        return y, mean, var, total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse = ctx.saved_tensors
        grad = grad_outputs[0].to(mean.dtype)
        normalised = (x.to(mean.dtype) - mean.view(ctx.shape)) * inverse.view(ctx.shape)
        grad_bias, grad_weight = grad.sum(ctx.others), (grad * normalised).sum(ctx.others)
        # weight and bias keep their own process's share: DDP and FSDP average those like any gradient
        sums = torch.cat([grad_bias, grad_weight])
        dist.all_reduce(sums)
        sum_grad, sum_product = (sums / ctx.total).chunk(2)
        centred = grad - sum_grad.view(ctx.shape) - normalised * sum_product.view(ctx.shape)
        grad_x = centred * (inverse * weight).view(ctx.shape)
        return grad_x.to(x.dtype), grad_weight.to(weight.dtype), grad_bias.to(weight.dtype), None


def _device(recipe: Recipe) -> str:
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device='cuda' got a machine or a PyTorch build without CUDA; here it takes 'cpu' or 'auto'. Change device."
        )
    if recipe.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return recipe.device


def _strategy(name: str, world: int) -> str | Strategy:
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    if world == 1:
        return "auto"
    if name == "fsdp":
        return ModelParallelStrategy(_shard, data_parallel_size=world, tensor_parallel_size=1)
    # BatchNorm's buffers are equal on all processes already, so DDP need not send them at each step
    return DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)


def _shard(model: nn.Module, mesh: Any) -> nn.Module:
    """FSDP2: each block of a list of blocks is one unit that is gathered and freed, the rest is the last."""
    from torch.distributed.fsdp import fully_shard

    lists = [m for m in model.modules() if isinstance(m, (nn.ModuleList, nn.Sequential))]
    # inner blocks first, as fully_shard asks; single layers stay with the block around them
    for block in (b for each in reversed(lists) for b in each if next(b.children(), None) is not None):
        if next(block.parameters(), None) is not None:
            fully_shard(block, mesh=mesh["data_parallel"])
    fully_shard(model, mesh=mesh["data_parallel"])
    return model

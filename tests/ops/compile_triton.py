"""Compile the Triton kernels for GPUs that need not be there, through the calls that would launch them.

Usage: python compile_triton.py      (prints how many kernels were compiled; without TRITON_INTERPRET)
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from spikedrive.ops.lif import triton as lif_triton
from spikedrive.ops.lif.options import Options
from spikedrive.ops.tiles import launch

# Ampere and Hopper
TARGETS = (GPUTarget("cuda", 80, 32), GPUTarget("cuda", 90, 32))
TYPES = {
    torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.float64: "*fp64",
    torch.int16: "*i16", torch.uint8: "*u8",
}  # fmt: skip
compiled = 0


def compile_instead(kernel: Any, size: int, *arguments: Any, constants: dict[str, Any]) -> None:
    """Stands in for `launch`: the same arguments, a binary in place of a run."""
    global compiled
    signature, fixed = {}, {**constants, "BLOCK": launch.BLOCK}
    for name, value in zip(kernel.arg_names, [*arguments, size], strict=False):
        if value is None:
            fixed[name] = None
        else:
            signature[name] = TYPES[value.dtype] if isinstance(value, torch.Tensor) else "i32"
    # in the order of the kernel's arguments, as Triton wants it
    signature = {name: signature.get(name, "constexpr") for name in kernel.arg_names}
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed)
    for target in TARGETS:
        binary = triton.compile(source, target=target, options={"enable_fp_fusion": False})
        assert binary.asm["cubin"]
        compiled += 1


def leaky() -> None:
    """Each way of saving, each reset, each element type, and a learned decay."""
    lif_triton.launch = compile_instead
    plain = Options(0.7, 1.0, True, True, 0.0, False, True, "atan", 2.0, True)
    cases = [
        (torch.float32, plain),
        (torch.float32, plain._replace(surrogate="rectangular", hard_reset=False)),
        (torch.float64, plain._replace(surrogate="sigmoid", detach_reset=False)),
        (torch.bfloat16, plain._replace(decay=torch.tensor(0.7), surrogate="s2nn")),
        (torch.float16, plain._replace(surrogate="tanh_window", delayed_reset=True)),
    ]
    for dtype, o in cases:
        x = torch.zeros(3, 2, 7, dtype=dtype)
        _, last, saved = lif_triton.forward(x, x[0], o)
        lif_triton.backward(x, last, saved, x, x[0], o)


if __name__ == "__main__":
    warnings.simplefilter("error")
    leaky()
    print(compiled)

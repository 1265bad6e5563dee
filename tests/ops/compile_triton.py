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

from spikedrive.ops.current import triton as current_triton
from spikedrive.ops.ilif import triton as ilif_triton
from spikedrive.ops.ilif.options import Options as IntegerOptions
from spikedrive.ops.lif import triton as lif_triton
from spikedrive.ops.lif.options import Options
from spikedrive.ops.ternary import triton as ternary_triton
from spikedrive.ops.ternary.options import Options as TernaryOptions
from spikedrive.ops.tiles import launch
from spikedrive.ops.wkv import triton as wkv_triton

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
        if value is None or (isinstance(value, int) and value == 1):
            # which Triton writes into the code
            fixed[name] = value
        elif isinstance(value, torch.Tensor):
            signature[name] = TYPES[value.dtype]
        else:
            signature[name] = "i32" if value < 2**31 else "i64"
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
        # more elements than 32 bits count
        x = torch.empty(5, 2**15, 2**15, dtype=dtype, device="meta")
        _, last, saved = lif_triton.forward(x, x[0], o)
        lif_triton.backward(x, last, saved, x, x[0], o)
    # one step of one element
    x = torch.empty(1, 1, device="meta")
    lif_triton.backward(x, None, lif_triton.forward(x, None, plain)[2], None, None, plain)


def integers() -> None:
    """With carry and without, every rounding, and a threshold that is no power of two."""
    ilif_triton.launch = compile_instead
    x = torch.empty(5, 2**15, 2**15, device="meta")
    for v, dtype, o in (
        (x[0], torch.float32, IntegerOptions(4, 0.6, 0.7, True, True, True, 3, 0.25, True)),
        (None, torch.float64, IntegerOptions(4, 0.6, 0.7, False, True, False, 1, 1.0, True)),
        (None, torch.bfloat16, IntegerOptions(4, 0.5, 1.0, False, False, False, 4, 1.0, True)),
    ):
        y, last, gates = ilif_triton.forward(x.to(dtype), v, o)
        ilif_triton.backward(y, last if v is not None else None, gates, v is not None, o)


def currents() -> None:
    """The synaptic current, in and out."""
    o = Options(0.7, 1.0, False, True, 0.0, False, True, "atan", 2.0, True)
    x = torch.empty(5, 2**15, 2**15, device="meta")
    *_, saved = current_triton.forward(x, x[0], None, 0.5, o)
    current_triton.backward(x, None, x[0], saved, 0.5, o)


def ternaries() -> None:
    """A window in bits, and a surrogate at both thresholds: its membrane, its slope, and in bits."""
    ternary_triton.launch = compile_instead
    plain = TernaryOptions(0.5, 1.0, True, True, 0.0, True, 0.8, "atan", 2.0, True)
    for dtype, o in (
        (torch.float32, plain),
        (torch.float64, plain._replace(window=0.0, detach_reset=False)),
        (torch.bfloat16, plain._replace(window=0.0, hard_reset=False)),
        (
            torch.float32,
            plain._replace(window=0.0, surrogate="rectangular", detach_reset=False, hard_reset=False),
        ),
    ):
        x = torch.empty(5, 2**15, 2**15, dtype=dtype, device="meta")
        _, last, saved = ternary_triton.forward(x, x[0], o)
        ternary_triton.backward(x, last, saved, o)


def keys_and_values() -> None:
    """With states kept and without."""
    wkv_triton.launch = compile_instead
    decay = torch.empty(2**14, device="meta")
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        x = torch.empty(40, 2**4, 2**15, dtype=dtype, device="meta")
        y, last, saved = wkv_triton.forward(x, None, decay.to(dtype), decay.to(dtype), True)
        wkv_triton.forward(x, last, decay.to(dtype), decay.to(dtype), False)
        wkv_triton.backward(y, last, x, decay.to(dtype), decay.to(dtype), saved)


if __name__ == "__main__":
    warnings.simplefilter("error")
    leaky()
    integers()
    currents()
    ternaries()
    keys_and_values()
    print(compiled)

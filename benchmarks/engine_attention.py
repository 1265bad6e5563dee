"""Q (K^T V) of spikes in the engine against torch.matmul in fp32, in interleaved rounds.

Usage: python engine_attention.py JOB      (a JSON object; the last line of the output is the answer)
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

import numpy as np
import torch

from spikedrive import native
from spikedrive.engine.arithmetic import Conv2d, MatMul, Sum, SumSteps
from spikedrive.engine.ir import Input, Neuron, Op
from spikedrive.engine.layout import Permute, Reshape, Slice
from spikedrive.engine.measure.layers import timer
from spikedrive.engine.measure.race import Spread, fastest, pinned, ratio
from spikedrive.engine.runtime import Program

HEADS, WIDTH, STEPS, SIDE = 8, 64, 4, 32
TOKENS = SIDE * SIDE


def attention() -> Program:
    """The operations that a model's attention compiles to, on spikes that are drawn as bytes.

    A 1 x 1 convolution in front of each neuron leaves spikes in the layout that the engine gives them in a model.
    """
    channels = HEADS * WIDTH
    ops: list[Op] = [Input(name="x", inputs=(), shape=(3 * channels, SIDE, SIDE), steps=STEPS)]
    for place, name in enumerate("qkv"):
        none = np.zeros(channels, np.int64)
        ops += [
            Slice(name=f"{name}_bytes", inputs=("x",), axis=0, start=place * channels, stop=(place + 1) * channels),
            Conv2d(
                name=f"{name}_sums", inputs=(f"{name}_bytes",), weight=np.ones((channels, 1, 1, 1), np.int8),
                shift=none, bias=none.reshape(-1, 1, 1), exponent=0, groups=channels,
            ),
            Neuron(name=f"{name}_spikes", inputs=(f"{name}_sums",), ladder=(128,), threshold=128, steps=STEPS),
            Reshape(name=f"{name}_flat", inputs=(f"{name}_spikes",), shape=(channels, TOKENS)),
            Reshape(name=name, inputs=(f"{name}_flat",), shape=(HEADS, WIDTH, TOKENS)),
        ]  # fmt: skip
    ops += [
        Permute(name="k_turned", inputs=("k",), axes=(0, 2, 1)),
        MatMul(name="vk", inputs=("v", "k_turned")),
        MatMul(name="z", inputs=("vk", "q")),
        Reshape(name="z_flat", inputs=("z",), shape=(channels, TOKENS)),
        Sum(name="channels", inputs=("z_flat",), axes=(1,)),
        SumSteps(name="logits", inputs=("channels",), steps=STEPS),
    ]
    return Program(ops)


COUNTED = ("q_flat", "q", "k_flat", "k", "v_flat", "v", "k_turned", "vk", "z", "z_flat")
"""Everything between the neurons of q, k, v and what would be the next neuron."""


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Race them; the engine's time is that of its own clock for the counted operations."""
    torch.set_num_threads(job["threads"])
    program, batch = attention(), job["batch"]
    draw = np.random.default_rng(0)
    spikes = draw.random((STEPS, batch, 3 * HEADS * WIDTH, SIDE, SIDE)) < job["density"]
    pixels = np.where(spikes, 255, 0).astype(np.uint8)
    engine = timer(program, pixels, threads=job["threads"])
    places = [place for place, op in enumerate(program.ops) if op.name in COUNTED]
    q, k, v = torch.from_numpy(spikes).float().view(STEPS, batch, 3, HEADS, WIDTH, TOKENS).unbind(2)
    rows = [x.transpose(-1, -2).contiguous() for x in (q, k, v)]
    forms = {
        "channels first": lambda: (v @ k.transpose(-1, -2)) @ q,
        "tokens first": lambda: rows[0] @ (rows[1].transpose(-1, -2) @ rows[2]),
    }
    sums = program.run(pixels, runtime="native", threads=job["threads"]).logits_int
    expected = forms["channels first"]().double().sum((0, 4)).flatten(1).numpy()
    with pinned(job["threads"]), torch.inference_mode():
        form = fastest(forms)
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        shuffle = random.Random(0)
        for _ in range(job["rounds"] + 1):
            for who in shuffle.sample(["ours", "theirs"], 2):
                if who == "ours":
                    times = engine()
                    seconds[who].append(sum(times[place] for place in places))
                else:
                    start = time.perf_counter()
                    forms[form]()
                    seconds[who].append(time.perf_counter() - start)
    # the first round sets up what is kept
    ours, theirs = seconds["ours"][1:], seconds["theirs"][1:]
    answer = {"form": form, "exact": bool((sums == expected).all()), "isa": native.engine_level()}
    for who, values in (("ours", ours), ("theirs", theirs)):
        spread = Spread.of([1e3 * value for value in values])
        answer |= {f"{who}_ms": spread.median, f"{who}_low": spread.low, f"{who}_high": spread.high}
    quotient = ratio(theirs, ours)
    answer |= {"ratio": quotient.median, "ratio_low": quotient.low, "ratio_high": quotient.high}
    return answer | {"density": float(spikes.mean()), "steps": STEPS}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))

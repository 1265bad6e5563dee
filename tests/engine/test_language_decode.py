"""The plain form of the additive SpikeGPT that benchmarks race against says what the model says."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch

import spikedrive as sd


@torch.inference_mode()
def test_the_plain_decoder_is_the_network(monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "benchmarks")
    language_decode = importlib.import_module("language_decode")
    torch.manual_seed(0)
    model = sd.create_model("spikegpt_additive_6m", width=32, depth=2).double()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.mul_(3)
    fused = sd.fuse(model.eval())
    plain, stream = language_decode.PlainDecoder(fused).double(), sd.Stream(fused, along="tokens")
    spoken = []
    for token in torch.randint(0, 256, (24, 1), generator=torch.Generator().manual_seed(1)):
        wanted = stream(token[None])[0]
        assert torch.allclose(plain(token), wanted, atol=1e-12)
        spoken.append(int(wanted.argmax()))
    assert len(set(spoken)) > 1
    assert all(membrane.any() for membrane in plain.membranes)
    assert "language_decode" in sys.modules

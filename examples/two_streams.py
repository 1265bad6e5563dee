"""Two cameras, one model: each stream remembers its own input.

Usage: python examples/two_streams.py
"""

import torch

import spikedrive as sd

torch.manual_seed(0)
model = sd.create_model("spike_driven_transformer_cifar10_dvs_2_256").eval()
left, right = sd.Stream(model), sd.Stream(model)

frames = torch.rand(2, 2, 1, 2, 64, 64).round()  # cameras, then (T, B, C, H, W)
with torch.no_grad():
    for step in range(2):
        # each call hands over one step of one camera; the answer is for everything that it saw so far
        answers = [stream(frames[i, step : step + 1]) for i, stream in enumerate((left, right))]
        print(f"step {step}: left {answers[0].argmax().item()}, right {answers[1].argmax().item()}")

    # the whole at once gives the same last answer, so nothing leaked from one stream into the other
    for i, answer in enumerate(answers):
        whole, _ = sd.run(model, frames[i])
        assert torch.allclose(whole, answer, atol=1e-5)

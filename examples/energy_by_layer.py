"""Where a model spends its additions: the five most expensive layers, before and after fusing.

Usage: python examples/energy_by_layer.py
"""

import torch

import spikedrive as sd
from spikedrive.data import load_images
from spikedrive.data.transforms import normalise

torch.manual_seed(0)
images = load_images("fashion_mnist_mini", "train")
x = normalise(images.images[:32], *images.statistics())
model = sd.create_model("meta_spikeformer_nano").eval()

for name, form in (("as trained", model), ("as deployed", sd.fuse(model))):
    proof = sd.audit(form, x[:1], data=x)
    print(f"{name}: {proof.verdict}, {proof.totals['joules'] * 1e6:.2f} uJ an image")
    for row in sorted(proof.layers, key=lambda row: -row.joules)[:5]:
        print(
            f"  {row.module:48s} {row.additions:12,.0f} additions {row.multiplications:12,.0f} multiplications"
        )

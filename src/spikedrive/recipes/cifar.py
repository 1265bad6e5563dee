"""The published recipes for folders of CIFAR's kind: pictures of 32 x 32 pixels, one folder a class.

*Source*: the configuration files of the original repositories, named at each recipe.

*Where we differ*: 10 % of the training images choose the checkpoint, and a test folder is read by `spikedrive eval`
alone; RandAugment as in `recipes.imagenet`; cool-down epochs at the last learning rate are left out.

Nothing was trained here, and no accuracy of ours is claimed.
"""

from __future__ import annotations

from typing import Any

from spikedrive.recipes._registry import register_recipe
from spikedrive.training import Recipe

DATA = "cifar10"
"""A folder here, unless `--data` names another."""
_AUGMENT: dict[str, dict[str, Any]] = {
    "RandomHorizontalFlip": {},
    # timm's rand-m9-n1-mstd0.4
    "RandAugment": {"count": 1, "magnitude": 27, "spread": 1.2, "probability": 0.5, "fill": 120},
}


@register_recipe
def cifar_spike_driven_transformer() -> Recipe:
    """Spike-driven Transformer V1, 2-512, T = 4; mixed images in the first 200 epochs.

    *Command*: `spikedrive train cifar_spike_driven_transformer --data FOLDER`.
    *Source*: `conf/cifar10/2_512_300E_t4.yml` of BICLab/Spike-Driven-Transformer.
    """
    return Recipe(
        model="spike_driven_transformer_cifar_2_512", data=DATA, image_size=32,
        epochs=300, batch_size=64, lr=3e-4, lr_end=1 / 30, warmup_epochs=20, weight_decay=0.06, label_smoothing=0.1,
        augment=_AUGMENT, mix={"Mixup": {"alpha": 0.5}}, mix_epochs=200,
    )  # fmt: skip


@register_recipe
def cifar_spikformer() -> Recipe:
    """Spikformer, 4-384, T = 4; mixed images in the first 200 epochs.

    *Command*: `spikedrive train cifar_spikformer --data FOLDER`.
    *Source*: `cifar10/cifar10.yml` of ZK-Zhou/spikformer.
    """
    return Recipe(
        model="spikformer_cifar_4_384", data=DATA, image_size=32,
        epochs=300, batch_size=128, lr=5e-4, lr_end=0.02, warmup_epochs=20, weight_decay=0.06, label_smoothing=0.1,
        augment={**_AUGMENT, "RandomErase": {"probability": 0.25, "fill": 120}}, mix={"Mixup": {"alpha": 0.5}},
        mix_epochs=200, precision="bf16-mixed",
    )  # fmt: skip

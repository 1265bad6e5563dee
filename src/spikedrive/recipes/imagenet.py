"""The published recipes for ImageNet: a folder of class folders, or with train/ and val/ in it.

*Source*: the configuration files and command lines of the original repositories, named at each recipe; learning rates
are those of the batch that stands there, `blr * batch / 256` where the original says so.

*Where we differ*, in all of them: 5 % of the training images choose the checkpoint, and val/ is read by
`spikedrive eval --split val` alone, where the originals choose by the images that they report. Crops are cut from the
central square at 320 pixels, and judged at the whole central square of 224. RandAugment draws from the paper's fourteen
operations, with timm's magnitudes of 10 as ours of 30 and its probability of a half; the fifteen of timm also invert,
and add below a threshold. Cool-down epochs at the last learning rate are left out, the warm-up starts at one step's
share of the peak, and images are not repeated within a batch.

Nothing was trained here, and no accuracy of ours is claimed: a published one stands in the model's card.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spikedrive.recipes._registry import register_recipe
from spikedrive.training import Recipe

DATA = "imagenet"
"""A folder here, unless `--data` names another."""
_GRAY = 116
"""The mean of ImageNet's channels, of 255."""


@register_recipe
def imagenet_spike_driven_transformer() -> Recipe:
    """Spike-driven Transformer V1, 8-384, T = 4.

    *Command*: `spikedrive train imagenet_spike_driven_transformer --data FOLDER`.
    *Source*: `conf/imagenet/8_384_300E_t4.yml` of BICLab/Spike-Driven-Transformer: 48 images a GPU, here of eight,
    whose number is not stated. Its drop-path is built and never applied. For 8_768 it has lr=1e-3, 36 images a GPU,
    magnitude 7, every batch mixed and crops from 0.08.
    """
    mixed = {"probability": 0.6}
    return _imagenet(
        model="spike_driven_transformer_8_384",
        epochs=300, batch_size=384, lr=1.5e-3, lr_end=0.01, warmup_epochs=20, optimizer="lamb", weight_decay=0.01,
        augment=_augment(5, area=(0.2, 1.0)),
        mix={"Mixup": {"alpha": 0.2, **mixed}, "CutMix": {"alpha": 1.0, **mixed}},
    )  # fmt: skip


@register_recipe
def imagenet_meta_spikeformer() -> Recipe:
    """Spike-driven Transformer V2 at T = 1, from which `imagenet_meta_spikeformer_4_steps` goes on.

    *Command*: `spikedrive train imagenet_meta_spikeformer --data FOLDER`.
    *Source*: `classification/train.sh` of BICLab/Spike-Driven-Transformer-V2 with the defaults of its
    `main_finetune.py`: 128 images on each of eight GPUs, blr 6e-4.
    """
    return _imagenet(
        model="meta_spikeformer_15m", model_args={"steps": 1},
        epochs=200, batch_size=1024, lr=2.4e-3, lr_end=1e-6 / 2.4e-3, warmup_epochs=10, optimizer="lamb",
        weight_decay=0.05, augment=_augment(9, noise=True),
    )  # fmt: skip


@register_recipe
def imagenet_meta_spikeformer_4_steps() -> Recipe:
    """Spike-driven Transformer V2 from T = 1 to T = 4, distilled where a teacher is given.

    *Command*: `spikedrive train imagenet_meta_spikeformer_4_steps --data FOLDER
    --weights runs/imagenet_meta_spikeformer teacher=TEACHER`, the teacher a checkpoint or a file of
    `training.distill.save_teacher`.
    *Source*: `classification/train_finetune_from_t1_to_t4.sh` of the same: 24 images on each of eight GPUs, blr 2e-5,
    hard distillation from CAFormer-B36 with half of the loss.
    """
    return imagenet_meta_spikeformer().replace(
        model_args={"steps": 4}, epochs=50, batch_size=192, lr=1.5e-5, lr_end=1e-6 / 1.5e-5, warmup_epochs=5
    )


@register_recipe
def imagenet_e_spikeformer() -> Recipe:
    """Spike-driven Transformer V3, base, trained on integers in one step.

    *Command*: `spikedrive train imagenet_e_spikeformer --data FOLDER`.
    *Source*: `Train_Base.md` of BICLab/Spike-Driven-Transformer-V3 with the defaults of its `main_finetune.py`: 256
    images on each of eight GPUs, blr 6e-4.
    """
    return imagenet_meta_spikeformer().replace(
        model="e_spikeformer_5m",
        model_args={},
        batch_size=2048,
        lr=4.8e-3,
        lr_end=1e-6 / 4.8e-3,
        warmup_epochs=5,
    )


@register_recipe
def imagenet_e_spikeformer_pretraining() -> Recipe:
    """Spike-driven Transformer V3, large: masked pretraining, from which `imagenet_e_spikeformer_large` goes on.

    *Command*: `spikedrive train imagenet_e_spikeformer_pretraining --data FOLDER`; `model=e_spikeformer_171m` likewise.
    *Source*: `Train_Large.md` of BICLab/Spike-Driven-Transformer-V3 with the defaults of its `main_pretrain.py`: 256
    images on each of eight GPUs, blr 1.5e-4.
    *Where we differ*: the encoder has its gains (layer scale), which start at 1, and biases and norms are not decayed.
    """
    return _imagenet(
        model="e_spikeformer_83m", model_args={"layer_scale": 1.0, "drop_path": 0.0},
        task={"name": "masked", "ratio": 0.5, "width": 256, "depth": 4},
        epochs=200, batch_size=2048, lr=1.2e-3, lr_end=5e-6 / 1.2e-3, warmup_epochs=20, optimizer="adamw",
        optimizer_args={"betas": [0.9, 0.95], "eps": 1e-4}, weight_decay=0.05, label_smoothing=0.0,
        augment={"RandomResizedCrop": {"size": 224, "source": 320, "area": [0.2, 1.0]}, "RandomHorizontalFlip": {}},
    )  # fmt: skip


@register_recipe
def imagenet_e_spikeformer_large() -> Recipe:
    """Spike-driven Transformer V3, large: fine-tuning after masked pretraining, slower the farther from the head.

    *Command*: `spikedrive train imagenet_e_spikeformer_large --data FOLDER
    --weights runs/imagenet_e_spikeformer_pretraining`; `model=e_spikeformer_171m` likewise.
    *Source*: `Train_Large.md` of the same with the defaults of its `main_finetune.py`: 128 images on each of eight
    GPUs, blr 6e-4, a moving average of the weights. Its layer decay asks for an attribute that the model lacks; here
    the layers are those that its names mean (`training.make_optimizer`).
    """
    return imagenet_meta_spikeformer().replace(
        model="e_spikeformer_83m", model_args={"drop_path": 0.1}, epochs=150,
        optimizer_args={"layer_decay": 0.75}, ema=0.99996, mix={"Mixup": {"alpha": 0.8}, "CutMix": {"alpha": 1.0}},
    )  # fmt: skip


@register_recipe
def imagenet_e_spikeformer_large_distilled() -> Recipe:
    """Spike-driven Transformer V3, large: the fine-tuned model distilled.

    *Command*: `spikedrive train imagenet_e_spikeformer_large_distilled --data FOLDER
    --weights runs/imagenet_e_spikeformer_large teacher=TEACHER`, as `imagenet_meta_spikeformer_4_steps` takes one.
    *Source*: `Train_Large.md` of the same: 196 images on each of eight GPUs, blr 1e-3, hard distillation from
    CAFormer-B36 with half of the loss, all layers at one rate and no mixed images.
    """
    return imagenet_e_spikeformer_large().replace(
        epochs=100,
        batch_size=1568,
        lr=6.125e-3,
        lr_end=1e-6 / 6.125e-3,
        warmup_epochs=5,
        optimizer_args={},
        mix={},
    )


@register_recipe
def imagenet_qsd_transformer() -> Recipe:
    """QSD-Transformer with 4-bit weights, in one step.

    *Command*: `spikedrive train imagenet_qsd_transformer --data FOLDER`.
    *Source*: `classification/train.sh` of bollossom/QSD-Transformer with the defaults of its `main_finetune.py`: 196
    images on each of eight GPUs, blr 6e-4, a moving average of the weights. Its distillation was not released.
    """
    return imagenet_meta_spikeformer().replace(
        model="qsd_transformer_15m", model_args={}, epochs=300, batch_size=1568, lr=3.675e-3, lr_end=1e-6 / 3.675e-3,
        warmup_epochs=15, ema=0.99996,
    )  # fmt: skip


@register_recipe
def imagenet_spikformer() -> Recipe:
    """Spikformer, 8-384, T = 4.

    *Command*: `spikedrive train imagenet_spikformer --data FOLDER`.
    *Source*: `imagenet/imagenet.yml` of ZK-Zhou/spikformer: 24 images on each of eight GPUs, crops of the whole area.
    """
    return _imagenet(
        model="spikformer_8_384",
        epochs=300, batch_size=192, lr=5e-4, lr_end=0.02, warmup_epochs=20, optimizer="adamw", weight_decay=0.05,
        augment=_augment(9, area=(1.0, 1.0)) | {"RandomErase": {"probability": 0.25, "fill": _GRAY}},
        mix={"Mixup": {"alpha": 0.8}, "CutMix": {"alpha": 1.0}},
    )  # fmt: skip


@register_recipe
def imagenet_sew_resnet() -> Recipe:
    """SEW-ResNet-18 (ADD), T = 4.

    *Command*: `spikedrive train imagenet_sew_resnet --data FOLDER`.
    *Source*: `readme.md` of fangwei123456/Spike-Element-Wise-ResNet with the defaults of its `imagenet/train.py`: 32
    images on each of eight GPUs, SGD, half a cosine to 0 without a warm-up, crops and mirror images alone.
    """
    return _imagenet(
        model="sew_resnet18",
        epochs=320, batch_size=256, lr=0.1, lr_end=0.0, warmup_epochs=0, optimizer="sgd",
        optimizer_args={"momentum": 0.9}, weight_decay=0.0, label_smoothing=0.0,
        augment={"RandomResizedCrop": {"size": 224, "source": 320}, "RandomHorizontalFlip": {}},
    )  # fmt: skip


@register_recipe
def imagenet_ms_resnet() -> Recipe:
    """MS-ResNet-34, T = 6.

    *Command*: `spikedrive train imagenet_ms_resnet --data FOLDER`; `model=ms_resnet18` and `ms_resnet104` likewise.
    *Source*: the command of `README.md` of Ariande1/MS-ResNet (resnet34, 256 images over all GPUs) with its
    `train_amp.py`, `conf/global_settings.py` and `utils.py`: SGD, half a cosine to 0 without a warm-up, labels smoothed
    for all depths, AutoAugment and no mirror images. Its `README.md` corrects the paper's weight decay of 1e-4 to 1e-5
    for 18 and 34 layers; for 104 that sentence leaves 1e-4, and the script has 1e-5.
    *Where we differ*: the original decays biases and norms too.
    """
    return imagenet_sew_resnet().replace(
        model="ms_resnet34", epochs=125, weight_decay=1e-5, label_smoothing=0.1,
        augment={"RandomResizedCrop": {"size": 224, "source": 320}, "AutoAugment": {}},
    )  # fmt: skip


@register_recipe
def imagenet_spiking_vgg() -> Recipe:
    """Spiking VGG-16, T = 4; `model=spiking_vgg11` likewise.

    *Command*: `spikedrive train imagenet_spiking_vgg --data FOLDER`.
    *Source*: no settings were published for the spiking network. These are those of its twin with rectifiers: vgg16_bn
    of torchvision's reference scripts, which says for VGG with BatchNorm to take its defaults: 32 images on each of
    eight GPUs, SGD, weight decay, crops and mirror images alone.
    *Where we differ*: half a cosine to 0 for a learning rate that falls to a tenth each 30 epochs; biases and norms
    are not decayed.
    """
    return imagenet_sew_resnet().replace(model="spiking_vgg16", epochs=90, weight_decay=1e-4)


@register_recipe
def imagenet_spiking_mlp() -> Recipe:
    """Spiking MLP of width 78, T = 4.

    *Command*: `spikedrive train imagenet_spiking_mlp --data FOLDER`; the other sizes with `model=`, and T of 6 with
    `model_args.steps=6`.
    *Source*: the command of `README.md` of EMI-Group/mixer-snn with the defaults of its `train.py`: 64 images on each
    of eight GPUs, SGD, half a cosine to 0 without a warm-up, no weight decay.
    """
    return imagenet_sew_resnet().replace(
        model="spiking_mlp_spe_t", epochs=100, batch_size=512, label_smoothing=0.1, augment=_augment(9, noise=True),
        mix={"Mixup": {"alpha": 0.8}, "CutMix": {"alpha": 1.0}},
    )  # fmt: skip


@register_recipe
def imagenet_masked_spiking_transformer() -> Recipe:
    """Masked Spiking Transformer, trained on integers of 16 levels; it spikes without further training.

    *Command*: `spikedrive train imagenet_masked_spiking_transformer --data FOLDER`, with `model_args.mask_rate=0.75`
    for spikes of which three quarters are dropped. The spiking form of the trained weights is
    `neuron={"name": "QCFS", "spiking": True}, steps=128`.
    *Source*: the command of `readme.md` of bic-L/Masked-Spiking-Transformer with `configs/mst/MST.yaml`, the defaults
    of its `config.py` and the 16 levels of its `main.py`: 128 images on each of eight GPUs, gradients clipped at 5.
    """
    return _imagenet(
        model="masked_spiking_transformer_tiny",
        model_args={"drop_path": 0.2},
        epochs=300, batch_size=1024, lr=1e-4, lr_end=0.1, warmup_epochs=20, optimizer="adamw", weight_decay=0.05,
        clip=5.0, augment=_augment(9, noise=True), mix={"Mixup": {"alpha": 0.8}, "CutMix": {"alpha": 1.0}},
    )  # fmt: skip


def _imagenet(**fields: Any) -> Recipe:
    common = {"data": DATA, "image_size": 224, "val_fraction": 0.05, "label_smoothing": 0.1}
    return Recipe(**{**common, "precision": "bf16-mixed", **fields})


def _augment(
    magnitude: float, *, area: Sequence[float] = (0.08, 1.0), noise: bool = False
) -> dict[str, dict[str, Any]]:
    """timm's `rand-mM-mstd0.5`, between a crop with a mirror image and, with `noise`, an erased rectangle."""
    steps: dict[str, dict[str, Any]] = {
        "RandomResizedCrop": {"size": 224, "source": 320, "area": list(area)},
        "RandomHorizontalFlip": {},
        "RandAugment": {
            "count": 2, "magnitude": 3 * magnitude, "spread": 1.5, "probability": 0.5, "fill": _GRAY,
        },
    }  # fmt: skip
    return steps | ({"RandomErase": {"probability": 0.25, "fill": None}} if noise else {})

"""Published counts, published checkpoints, and the original code's outputs."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from families import tiny

import spikedrive as sd
from spikedrive.errors import CheckpointError, ConfigError, UnknownNameError
from spikedrive.models.metaformers import (
    e_spikeformer_large,
    meta_spikeformer,
    spike_driven_transformer,
    spikformer,
)

V1 = {"width": 32, "depth": 1, "heads": 4, "classes": 5, "steps": 2}
GOLDEN = {
    "sdt_v1_cifar_mlp1": (
        "spike_driven_transformer_cifar_2_512", spike_driven_transformer,
        {"width": 128, "depth": 1, "mlp_ratio": 1, "per_step": True},
    ),
    "sdt_v2_tiny_kd_T1": (
        "meta_spikeformer_15m", meta_spikeformer,
        {"widths": (8, 16, 32, 64, 80), "heads": 4, "classes": 20, "distilled": True, "steps": 1},
    ),
    "spikformer_cifar_tiny": ("spikformer_cifar_4_384", spikformer, {"width": 192, "depth": 1}),
    "sdt_v3_large_base83M_tiny": (
        "e_spikeformer_83m", e_spikeformer_large,
        {"widths": (8, 16, 32, 64), "depths": (1, 1, 2, 2), "classes": 20, "distilled": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_output_and_every_neuron_equal_the_original(name: str, golden) -> None:
    model_name, family, config = GOLDEN[name]
    folder = golden(name)
    model = sd.from_reference(model_name, torch.load(folder / "state_dict.pt"), **config).double().eval()
    seen: dict[str, torch.Tensor] = {}
    for path, neuron in model.neurons().items():
        neuron.register_forward_hook(lambda _m, _i, y, path=path: seen.__setitem__(path, y))
    x = torch.load(folder / "input.pt").double()
    with torch.no_grad():
        y = model(x)
        torch.testing.assert_close(y, torch.load(folder / "output.pt"), rtol=0, atol=1e-6)
        recorded = {
            _rename(family, key): value for key, value in torch.load(folder / "neuron_outputs.pt").items()
        }
        # spikformer_cifar_tiny holds the first six neurons only
        assert set(recorded) <= set(seen)
        assert len(recorded) >= min(len(seen), 6)
        for path, value in recorded.items():
            assert value.any(), path
            if value.dim() == 4 and family is spikformer:
                # its CIFAR model keeps tokens before channels
                value = value.transpose(2, 3)
            assert torch.equal(seen[path].reshape(value.shape), value.double()), path
        torch.testing.assert_close(sd.fuse(model, dense_separable=True)(x), y, rtol=0, atol=1e-9)


def test_v1_frames_equal_the_repeated_picture(golden) -> None:
    folder = golden("sdt_v1_cifar_mlp1")
    name, _, config = GOLDEN["sdt_v1_cifar_mlp1"]
    model = (
        sd.from_reference(name, torch.load(folder / "state_dict.pt"), input="frames", **config)
        .double()
        .eval()
    )
    x = torch.load(folder / "input.pt").double()
    torch.testing.assert_close(
        model(x.expand(4, *x.shape)), torch.load(folder / "output.pt"), rtol=0, atol=1e-6
    )


def test_counts_are_those_of_the_original_code() -> None:
    with torch.device("meta"):
        cifar100 = sd.create_model("spike_driven_transformer_cifar_2_512", classes=100, as_released=True)
        largest = sd.create_model("meta_spikeformer_55m", as_released=True)
        widest = sd.create_model("meta_spikeformer_55m", widths=(96, 192, 384, 768, 960))
        distilled = {
            n: sd.create_model(f"meta_spikeformer_{n}", distilled=True) for n in ("15m", "31m", "55m")
        }
    count = lambda model: sum(p.numel() for p in model.parameters())  # noqa: E731
    assert count(cifar100) == 10_279_716
    assert count(largest) == 55_350_248
    assert count(widest) == 123_741_160
    assert {n: count(m) for n, m in distilled.items()} == {
        "15m": 15_473_208,
        "31m": 31_814_864,
        "55m": 55_991_248,
    }


@pytest.mark.parametrize("nesting", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_nested_and_prefixed_checkpoints_load(nesting: str | None, prefix: str) -> None:
    checkpoint = {prefix + key: value for key, value in _published_v1().items()}
    checkpoint = checkpoint if nesting is None else {nesting: checkpoint, "epoch": 3, "args": None}
    model = sd.from_reference("spike_driven_transformer_cifar_2_256", checkpoint, **V1)
    assert torch.equal(
        model.state_dict()["blocks.0.attention.q.conv.weight"], torch.full((32, 32, 1, 1), 0.5)
    )


def test_dead_parameters_are_dropped_unless_asked_for() -> None:
    lean = sd.from_reference("spike_driven_transformer_cifar_2_256", _published_v1(), **V1)
    whole = sd.from_reference("spike_driven_transformer_cifar_2_256", _published_v1(), as_released=True, **V1)
    dead = set(whole.state_dict()) - set(lean.state_dict())
    assert dead == {"blocks.0.attention.talking_heads.weight"}


def test_learned_leaks_load_with_their_dead_neighbours() -> None:
    model = sd.create_model("spike_driven_transformer_cifar_2_256", neuron="PLIF", **V1)
    checkpoint = _published_v1()
    for key in (
        "patch_embed.proj_lif2",
        "patch_embed.rpe_lif",
        "block.0.attn.attn_lif",
        "block.0.attn.q_lif",
    ):
        checkpoint[f"{key}.w"] = torch.tensor(0.25)
    with pytest.raises(CheckpointError, match=r"missing: stem\.neurons\.0\.w"):
        sd.from_reference("spike_driven_transformer_cifar_2_256", checkpoint, neuron="PLIF", **V1)
    names = {spike_driven_transformer.rename(f"{key}.w") for key in _REFERENCE_NEURONS}
    assert names == {f"{path}.w" for path in model.neurons()}


def test_what_does_not_fit_is_named() -> None:
    name = "spike_driven_transformer_cifar_2_256"
    checkpoint = _published_v1()
    checkpoint.pop("head.weight")
    checkpoint["extra.weight"] = torch.zeros(1)
    checkpoint["head.bias"] = torch.zeros(7)
    with pytest.raises(
        CheckpointError, match=r"missing: head\.linear\.weight; left over: extra\.weight"
    ) as raised:
        sd.from_reference(name, checkpoint, **V1)
    assert "head.linear.bias is (7,), not (5,)" in str(raised.value)
    with pytest.raises(CheckpointError, match="holds no tensors"):
        sd.from_reference(name, {"epoch": 3})
    with pytest.raises(CheckpointError, match=r"is a str; a state_dict.*torch\.load"):
        sd.from_reference(name, "checkpoint.pth")  # pyright: ignore[reportArgumentType] - what many try first
    with pytest.raises(ConfigError, match="no published checkpoint layout"):
        sd.from_reference("meta_spikeformer_nano", checkpoint)
    with pytest.raises(UnknownNameError, match="The nearest"):
        sd.from_reference("spike_driven_transformer", checkpoint)


_REFERENCE_NEURONS = (
    "patch_embed.proj_lif", "patch_embed.proj_lif1", "patch_embed.proj_lif2", "patch_embed.proj_lif3",
    "block.0.attn.shortcut_lif", "block.0.attn.q_lif", "block.0.attn.k_lif", "block.0.attn.v_lif",
    "block.0.attn.talking_heads_lif", "block.0.mlp.fc1_lif", "block.0.mlp.fc2_lif", "head_lif",
)  # fmt: skip


def _rename(family: ModuleType, key: str) -> str:
    return family.rename(key)


def _published_v1() -> dict[str, torch.Tensor]:
    """A small checkpoint in the original's names, dead weights included."""
    tensors: dict[str, torch.Tensor] = {}

    def conv(name: str, *shape: int) -> None:
        tensors[f"{name}.weight"] = torch.full(shape, 0.5)

    def norm(name: str, width: int) -> None:
        for key in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{name}.{key}"] = torch.ones(width)
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(1)

    for i, (a, b) in enumerate([(3, 4), (4, 8), (8, 16), (16, 32)]):
        conv(f"patch_embed.proj_conv{i or ''}", b, a, 3, 3)
        norm(f"patch_embed.proj_bn{i or ''}", b)
    conv("patch_embed.rpe_conv", 32, 32, 3, 3)
    norm("patch_embed.rpe_bn", 32)
    for x in ("q", "k", "v", "proj"):
        conv(f"block.0.attn.{x}_conv", 32, 32, 1, 1)
        norm(f"block.0.attn.{x}_bn", 32)
    tensors["block.0.attn.proj_conv.bias"] = torch.zeros(32)
    conv("block.0.attn.talking_heads", 4, 4, 1)
    for name, a, b in (("fc1", 32, 128), ("fc2", 128, 32)):
        conv(f"block.0.mlp.{name}_conv", b, a, 1, 1)
        tensors[f"block.0.mlp.{name}_conv.bias"] = torch.zeros(b)
        norm(f"block.0.mlp.{name}_bn", b)
    conv("head", 5, 32)
    tensors["head.bias"] = torch.zeros(5)
    return tensors


def test_the_tiny_models_are_alive() -> None:
    model = tiny("v1")
    rates = []
    for neuron in model.neurons().values():
        neuron.register_forward_hook(lambda _m, _i, y: rates.append(float(y.mean())))
    with torch.no_grad():
        model(torch.randn(2, 3, 16, 16))
    assert min(rates) > 0.0

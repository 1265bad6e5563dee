"""Recorded activity equals what a tiny network does on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from spikedrive.errors import ConfigError, DataError, ShapeError
from spikedrive.neurons import IF, ILIF, LIF, NILIF, Neuron
from spikedrive.training.activity import BINS, firing_inputs, read_counts, record_activity


class Attention(nn.Module):
    """Three neurons on one input, and heads to split them by."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.variant, self.heads = variant, 2
        self.q_neuron, self.k_neuron, self.v_neuron = (ILIF(levels=2) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.q_neuron(x) + self.k_neuron(2 * x) + self.v_neuron(x - 1)


class Tiny(nn.Module):
    """x in 0..3 to an integer neuron, attention, and two classes."""

    def __init__(self, variant: str = "sdsa3") -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.neuron = ILIF(levels=2)
        self.attention = Attention(variant)

    def neurons(self) -> dict[str, Neuron]:
        return {path: module for path, module in self.named_modules() if isinstance(module, Neuron)}

    def forward(self, x: Tensor) -> Tensor:
        y = self.neuron(self.gain * x[None])
        y = y + 0 * self.attention(y)
        return torch.stack([y.sum((0, 2, 3, 4)), torch.full_like(y[0, :, 0, 0, 0], 4.5)], dim=-1)


# x / 255 / (1 / 255) gives the bytes themselves
AS_BYTES = {"mean": [0.0, 0.0], "std": [1 / 255, 1 / 255]}
IMAGES = torch.tensor([[0, 1, 3, 0], [1, 1, 0, 0], [3, 3, 3, 3]], dtype=torch.uint8).view(3, 2, 1, 2)
LABELS = torch.tensor([1, 1, 0])


@pytest.fixture
def recorded(tmp_path):
    model = Tiny()
    model.metadata = {"class_names": ["few", "many"]}
    record_activity(model, IMAGES, LABELS, tmp_path / "activity.npz", chosen=2, batch_size=2, **AS_BYTES)
    with np.load(tmp_path / "activity.npz") as file:
        yield dict(file)


def test_rates_count_every_integer_and_densities_every_non_zero(recorded):
    assert recorded["layers"].tolist() == [
        "neuron", "attention.q_neuron", "attention.k_neuron", "attention.v_neuron",
    ]  # fmt: skip
    # integers of the first neuron: [0 1 2 0], [1 1 0 0], [2 2 2 2]
    # q the same; k = min(2 s, 2): [0 2 2 0], [2 2 0 0], [2 2 2 2]; v = s - 1: [0 0 1 0], [0 0 0 0], [1 1 1 1]
    assert recorded["firing_rate"] == pytest.approx([13 / 12, 13 / 12, 16 / 12, 5 / 12])
    assert recorded["density"] == pytest.approx([8 / 12, 8 / 12, 8 / 12, 5 / 12])
    assert recorded["levels"].tolist() == [2] * 4 and recorded["steps"].tolist() == [1] * 4
    assert recorded["units"].tolist() == [4] * 4 and recorded["images_seen"] == 3


def test_chosen_images_go_round_the_classes_with_rasters_and_answers(recorded):
    assert recorded["image_indices"].tolist() == [2, 0]
    assert recorded["image_labels"].tolist() == [0, 1]
    # sums 8 and 3 against 4.5
    assert recorded["image_predictions"].tolist() == [0, 1]
    assert recorded["class_names"].tolist() == ["few", "many"]
    assert np.array_equal(recorded["images"], IMAGES[[2, 0]].numpy())
    assert recorded["raster_neuron"].tolist() == [[[2, 2, 2, 2], [0, 1, 2, 0]]]
    assert recorded["raster_attention.v_neuron"].tolist() == [[[1, 1, 1, 1], [0, 0, 1, 0]]]


def test_attention_map_counts_what_each_token_adds(recorded):
    assert recorded["attention_layers"].tolist() == ["attention"]
    # two heads of one channel, two tokens. Image 2: q sums 4 and 4, k 2, v 1 everywhere: 4 * 2 * 1 * 2 heads
    # Image 0: only token 0 of head 1 has v = 1, with k = 2 and a q sum of 2 + 0
    assert recorded["attention_attention"].tolist() == [[[16.0, 16.0]], [[4.0, 0.0]]]


def test_histograms_hold_every_input_once_with_its_firing_inputs(recorded):
    for layer in recorded["layers"]:
        counts, tails = recorded[f"membrane_hist_{layer}"], recorded[f"membrane_tails_{layer}"]
        edges, firing = recorded[f"membrane_edges_{layer}"], recorded[f"membrane_firing_{layer}"]
        assert counts.shape == (BINS,) and edges.shape == (BINS + 1,)
        assert counts.sum() + tails.sum() == 12
        # half to even: 0.5 rounds to 0 and 1.5 to 2
        assert firing == pytest.approx([0.5, 1.5], abs=1e-6) and firing[0] > 0.5
        assert edges[0] < 0 and edges[-1] > 1.5
    edges, counts = recorded["membrane_edges_neuron"], recorded["membrane_hist_neuron"]
    # the bytes 0, 1, 3 came 4, 3 and 5 times
    assert [int(counts[np.searchsorted(edges, value) - 1]) for value in (0, 1, 3)] == [4, 3, 5]


def test_inputs_beyond_the_first_batch_are_counted_in_the_tails(tmp_path):
    images = torch.zeros(2, 2, 1, 2, dtype=torch.uint8)
    images[1] = 200
    record_activity(Tiny(), images, [0, 1], tmp_path / "a.npz", chosen=1, batch_size=1, **AS_BYTES)
    with np.load(tmp_path / "a.npz") as file:
        assert file["membrane_tails_neuron"].tolist() == [0, 4]
        assert file["membrane_hist_neuron"].sum() == 4


def test_recording_leaves_no_trace_on_the_model(tmp_path):
    model = Tiny().train()
    record_activity(model, IMAGES, LABELS, tmp_path / "a.npz", chosen=1, **AS_BYTES)
    assert model.training and not any(module._forward_hooks for module in model.modules())


def test_read_counts_split_the_whole_output_of_sdsa3():
    generator = torch.Generator().manual_seed(1)
    q, k = torch.randint(0, 4, (2, 2, 3, 6, 2, 5), generator=generator)
    v = torch.randint(0, 4, (2, 3, 12, 2, 5), generator=generator)
    read = read_counts(q, k, v, heads=3, variant="sdsa3")

    def tokens(x):
        return x.flatten(3).unflatten(2, (3, -1)).transpose(-1, -2).double()

    by_hand = tokens(q) @ (tokens(k).transpose(-1, -2) @ tokens(v))
    assert torch.equal(read.sum((-2, -1)), by_hand.sum((2, 3, 4)))
    # token j alone: silence every other value
    alone = torch.zeros_like(v)
    alone[..., 1, 3] = v[..., 1, 3]
    only = tokens(q) @ (tokens(k).transpose(-1, -2) @ tokens(alone))
    assert torch.equal(read[..., 1, 3], only.sum((2, 3, 4)))


def test_read_counts_of_sdsa1_are_sdsa3_with_a_head_per_channel():
    generator = torch.Generator().manual_seed(2)
    q, k, v = torch.randint(0, 2, (3, 1, 2, 4, 3, 3), generator=generator)
    assert torch.equal(
        read_counts(q, k, v, heads=2, variant="sdsa1"), read_counts(q, k, v, heads=4, variant="sdsa3")
    )


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        (IF(threshold=0.75), [0.75]),
        # the input is halved on its way in
        (LIF(), [2.0]),
        (LIF(decay_input=False), [1.0]),
        # at rest an integer neuron needs no carry to be asked
        (ILIF(levels=3, threshold=2.0, scale=0.25), [1.0, 3.0, 5.0]),
        (LIF(decay=1.0), [math.nan]),
    ],
)
def test_firing_inputs_are_found_on_the_neuron_itself(neuron, expected):
    assert firing_inputs(neuron, torch.zeros(1)).tolist() == pytest.approx(expected, abs=1e-5, nan_ok=True)


def test_firing_inputs_grow_with_the_level():
    found = firing_inputs(NILIF(levels=2, inner_steps=2), torch.zeros(1, dtype=torch.float64))
    assert len(found) == 4 and bool((found.diff() > 0).all())


def test_steps_are_the_first_axis_of_a_raster(tmp_path):
    class Repeated(Tiny):
        def forward(self, x: Tensor) -> Tensor:
            return self.neuron(x.expand(3, *x.shape)).sum((0, 2, 3, 4))[:, None]

    model = Repeated()
    model.neuron, model.attention = IF(threshold=2.0), nn.Identity()
    record_activity(model, IMAGES, LABELS, tmp_path / "a.npz", chosen=1, **AS_BYTES)
    with np.load(tmp_path / "a.npz") as file:
        # every byte is 3: 3 fires and resets to zero, every step
        assert file["raster_neuron"].tolist() == [[[1, 1, 1, 1]]] * 3
        assert file["steps"].tolist() == [3] and len(file["attention_layers"]) == 0


def test_bad_input_is_refused(tmp_path):
    out = tmp_path / "a.npz"
    with pytest.raises(ShapeError, match=r"uint8 \(N, C, H, W\)"):
        record_activity(Tiny(), IMAGES.float(), LABELS, out, **AS_BYTES)
    with pytest.raises(DataError, match="one label for each"):
        record_activity(Tiny(), IMAGES, [0, 1], out, **AS_BYTES)
    with pytest.raises(ConfigError, match="chosen=0"):
        record_activity(Tiny(), IMAGES, LABELS, out, chosen=0, **AS_BYTES)
    with pytest.raises(ConfigError, match="'sdsa1' or 'sdsa3'"):
        read_counts(*torch.zeros(3, 1, 1, 2, 1, 1), heads=1, variant="softmax")
    silent = Tiny()
    silent.neurons = dict  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="without neurons that fire"):
        record_activity(silent, IMAGES, LABELS, out, **AS_BYTES)
    broken = Tiny()
    broken.gain.data.fill_(float("nan"))
    with pytest.raises(DataError, match="'neuron' received NaN"):
        record_activity(broken, IMAGES, LABELS, out, **AS_BYTES)
    assert not out.exists()

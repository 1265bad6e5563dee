"""Figures of activity hold the numbers of the file."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from spikedrive.errors import DataError
from spikedrive.reports.figures_activity import (
    attention_maps,
    firing_by_layer,
    membrane_histograms,
    spike_raster,
)
from spikedrive.reports.pictures import heat, photograph


@pytest.fixture
def written(tmp_path):
    """Two layers of which the second is silent, two steps, two images."""
    arrays = {
        "layers": ["a.neuron", "b.q_neuron"],
        "firing_rate": [0.75, 0.0],
        "density": [0.5, 0.0],
        "levels": [2, 2],
        "steps": [2, 2],
        "units": [4, 3],
        "images": np.zeros((2, 1, 2, 2), dtype=np.uint8),
        "image_labels": [0, 1],
        "image_predictions": [0, 0],
        "images_seen": 100,
        "class_names": ["<cat>", "dog"],
        "raster_a.neuron": np.arange(16).reshape(2, 2, 4) % 3,
        "raster_b.q_neuron": np.zeros((2, 2, 3), dtype=int),
        "attention_layers": ["b"],
        "attention_b": np.array([[[0, 2], [4, 8]], [[0, 0], [0, 0]]]),
    }
    for layer, far in (("a.neuron", 2.0), ("b.q_neuron", 50.0)):
        arrays[f"membrane_hist_{layer}"] = np.ones(60, dtype=int)
        arrays[f"membrane_edges_{layer}"] = np.linspace(-1, far, 61)
        arrays[f"membrane_tails_{layer}"] = np.array([1, 2])
        arrays[f"membrane_firing_{layer}"] = np.array([0.5, np.nan])
    path = tmp_path / "activity.npz"
    np.savez(path, **{key: np.array(value) for key, value in arrays.items()})
    return path


def test_rates_and_densities_by_layer(written):
    figure = firing_by_layer(written)
    stems, density, rate = figure.plot.data
    assert list(stems.x) == [0, 0.75, None, 0, 0, None]
    assert list(density.x) == [0.5, 0.0] and list(rate.x) == [0.75, 0.0]
    # 4 units at one half, 3 at zero, the same steps
    assert "Over 100 images, 28.6 % of all neuron outputs" in figure.says
    assert "Silent on every image: b.q_neuron." in figure.notes
    assert list(figure.plot.layout.yaxis.ticktext) == ["a", "b.q"]


def test_raster_shows_one_image_at_a_time_with_a_row_a_step(written):
    figure = spike_raster(written)
    assert [trace.visible for trace in figure.plot.data] == [True, False]
    # the second layer has three units; -1 stands for none
    assert figure.plot.data[0].z.tolist() == [[0, 1, 2, 0], [2, 0, 1, 2], [0, 0, 0, -1], [0, 0, 0, -1]]
    assert list(figure.plot.data[0].y) == [
        "a.neuron, step 1",
        "a.neuron, step 2",
        "b.q_neuron, step 1",
        "b.q_neuron, step 2",
    ]
    assert [choice.label for choice in figure.choices] == ["<cat>", "dog, taken for <cat>"]
    assert [choice.traces for choice in figure.choices] == [(0,), (1,)]


def test_ridges_part_at_the_first_firing_input(written):
    figure = membrane_histograms(written)
    silent, fires, marks = figure.plot.data
    # bins are 0.05 wide in the first layer; the bin centred above 0.5 fires
    first = silent.x[: silent.x.index(None)]
    assert max(first) == pytest.approx(0.5)
    assert min(x for x in fires.x if x is not None) == pytest.approx(0.5)
    # an input that nothing reaches has no mark
    assert list(marks.x) == [0.5, 0.5, None, 0.5, 0.5, None]
    assert any("4.76" in note for note in figure.notes)


def test_a_long_tail_does_not_squeeze_the_others(written):
    with np.load(written) as file:
        arrays = dict(file)
    layers = [f"l{i}" for i in range(20)]
    for key in ("firing_rate", "density", "levels", "steps", "units"):
        arrays[key] = np.ones(20, dtype=int)
    for i, layer in enumerate(layers):
        arrays[f"membrane_edges_{layer}"] = np.linspace(-1, 50 if i == 7 else 2, 61)
        for part in ("hist", "tails", "firing"):
            arrays[f"membrane_{part}_{layer}"] = arrays[f"membrane_{part}_a.neuron"]
    arrays["layers"] = np.array(layers)
    np.savez(written, **arrays)
    plot = membrane_histograms(written).plot
    assert plot.layout.xaxis.range[1] < 3
    assert [(note.text, note.y) for note in plot.layout.annotations] == [("to 50 →", 7)]


def test_attention_maps_stand_beside_their_images(written):
    grid = attention_maps(written)
    assert grid.layers == ("b",) and [row.maps[0][1] for row in grid.rows] == [8.0, 0.0]
    assert grid.rows[1].caption == "dog, taken for <cat>"


def test_pictures_hold_the_pixels():
    def pixels(uri):
        return np.asarray(
            Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
        )

    colour = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    assert np.array_equal(pixels(photograph(colour)), colour.transpose(1, 2, 0))
    assert np.array_equal(pixels(photograph(colour[:1])), colour[0])
    assert pixels(photograph(colour[:2])).tolist() == [[2, 3], [4, 5]]
    shown = pixels(heat(np.array([[0, 1], [2, 4]]))).astype(int).sum(-1)
    # lighter is more, and an empty map is dark all over
    assert shown[0, 0] < shown[0, 1] < shown[1, 0] < shown[1, 1]
    assert len(np.unique(pixels(heat(np.zeros((2, 2)))).reshape(-1, 3), axis=0)) == 1


def test_a_file_without_its_arrays_is_refused(written):
    with np.load(written) as file:
        arrays = dict(file)
    del arrays["raster_b.q_neuron"]
    np.savez(written, **arrays)
    with pytest.raises(DataError, match=r"activity\.npz has no 'raster_b\.q_neuron'"):
        spike_raster(written)


def test_recorded_activity_can_be_drawn(activity):
    figures = [firing_by_layer(activity), spike_raster(activity), membrane_histograms(activity)]
    assert all(figure.plot.data and figure.source == "activity.npz" for figure in figures)
    assert len(attention_maps(activity).rows) == 4

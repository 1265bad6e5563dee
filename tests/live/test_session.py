"""Live inputs: the network's own answers, whoever else is watching."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import spikedrive as sd
from event_training import SIDE, WINDOW, moving_bar
from spikedrive.auditing import audit
from spikedrive.blocks import SpikingModel
from spikedrive.data.events import Events, FrameReader, Slice, slice_by_time
from spikedrive.errors import CheckpointError, ConfigError
from spikedrive.live import Network, Session
from spikedrive.ops.domain import Integer


def slices_of(seed: int, windows: int = 9) -> list[Slice]:
    """Of even seeds with a tenth of the events."""
    clip = moving_bar(seed % 2 == 1, seed, windows=windows)
    clip = clip if seed % 2 else clip[::10]
    return list(slice_by_time(clip, WINDOW, start=0, include_incomplete=True))


def watched(session: Session, seed: int) -> np.ndarray:
    return np.stack([session.answer(part).scores for part in slices_of(seed)])


def test_the_answer_is_that_of_the_whole_clip(model: SpikingModel, network: Network) -> None:
    parts = slices_of(3)[:4]
    session = network.open()
    found = [session.answer(part) for part in parts][-1]
    clip = Events.joined([part.events for part in parts])
    frames = FrameReader(4, SIDE, SIDE, WINDOW)([clip])
    if network.program is None:
        with torch.no_grad():
            logits = model(frames)[0].double().numpy()
    else:
        logits = network.program.run(frames.numpy().astype(np.uint8)).logits[0]
    powers = np.exp(logits - logits.max())
    np.testing.assert_allclose(found.scores, powers / powers.sum(), atol=1e-6)
    assert (found.time, found.events) == (4 * WINDOW, 200)
    assert found.scores.std() > 1e-3


def test_an_answer_is_about_the_last_slices(network: Network) -> None:
    """The mean of the last ones' logits, which one slice at a time shows."""
    one, three = network.open(slices=1), network.open(slices=3)
    single, mean = watched(one, 5), watched(three, 5)
    logits = np.log(single)
    wanted = np.exp(np.stack([logits[max(0, i - 2) : i + 1].mean(0) for i in range(len(logits))]))
    np.testing.assert_allclose(mean, wanted / wanted.sum(1, keepdims=True), atol=1e-6)
    assert np.abs(single - mean).max() > 1e-4
    with pytest.raises(ConfigError, match="slices=0; it takes at least 1"):
        network.open(slices=0)


def test_two_live_inputs_on_one_network_are_each_as_if_alone(network: Network) -> None:
    alone = [watched(network.open(), seed) for seed in (3, 4)]
    sessions = network.open(), network.open()
    parts = slices_of(3), slices_of(4)
    taken: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for a, b in zip(*parts, strict=True):
        taken[0].append(sessions[0].answer(a).scores)
        taken[1].append(sessions[1].answer(b).scores)
    for one, other in zip(alone, taken, strict=True):
        np.testing.assert_array_equal(one, np.stack(other))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: watched(network.open(), seed), [3, 4] * 4))
    for i, each in enumerate(found):
        np.testing.assert_array_equal(each, alone[i % 2])
    assert np.abs(alone[0] - alone[1]).max() > 1e-4


def test_energy_and_rates_belong_to_the_slice(model: SpikingModel) -> None:
    counted, empty = [], Slice(slices_of(3)[0].events[:0], WINDOW, 2 * WINDOW)
    for engine in (False, True):
        network = Network(model, FrameReader(4, SIDE, SIDE, WINDOW), ("a", "b", "c"), engine=engine)
        assert network.open().answer(slices_of(3)[0]).joules is None
        network.price([part.events for part in slices_of(3)])
        session = network.open()
        first, silent = session.answer(slices_of(3)[0]), session.answer(empty)
        assert silent.joules is not None and silent.joules > 0
        # what the audit counts of these very slices, each from rest
        frames = torch.from_numpy(
            np.stack([network.reader.step(part.events) for part in slices_of(3)], axis=1)
        ).float()
        exact = audit(network.model, frames[:, :1], data=frames, inputs=[Integer(255)]).totals["joules"]
        each = [network.open().answer(part).joules or 0.0 for part in slices_of(3)]
        assert np.mean(each) == pytest.approx(exact, rel=1e-3 if not engine else 0.05)
        assert first.firing_rate is not None and 0 < first.firing_rate < 1
        counted.append(first)
        sessions = [network.open() for _ in range(4)]
        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda s, seed: s.answer(slices_of(seed)[0]).joules, sessions, [3, 4, 3, 4]))
        assert both[0] == both[2] == first.joules and both[1] == both[3]
    # integer weights round, and so do a few spikes
    assert counted[0].joules == pytest.approx(counted[1].joules, rel=0.1)


def test_networks_that_cannot_be_watched_are_refused(model: SpikingModel, tmp_path) -> None:
    with pytest.raises(ConfigError, match="whose steps have no fixed length"):
        Network(model, FrameReader(4, SIDE, SIDE), ("a", "b", "c"))
    with pytest.raises(ConfigError, match="model of images; one of frames is taken"):
        Network(sd.create_model("meta_spikeformer_nano"), FrameReader(4, SIDE, SIDE, WINDOW), ("a",) * 10)
    sd.save_model(model, tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="does not say how it reads events"):
        Network.load(tmp_path / "m.safetensors")
    with pytest.raises(ConfigError, match=r"Network\.price got no slices"):
        Network(model, FrameReader(4, SIDE, SIDE, WINDOW), ("a", "b", "c")).price([])

"""SpikeVideoFormer answers for every frame: shapes at any size, the audit, other forms, streams, and cost over T."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from families import liven
from torch.nn import functional as F

import spikedrive as sd
from spikedrive.blocks import PoseHead, PyramidDecoder, SegmentHead
from spikedrive.errors import ConfigError, ShapeError, UnknownNameError
from spikedrive.models import list_models

STEPS = 3
heads = pytest.mark.parametrize("task", ["segment", "pose"])


def small(task: str, **arguments: Any) -> sd.SpikingModel:
    torch.manual_seed(0)
    settings = {"widths": (8, 16, 16), "heads": 2, "classes": 5, "steps": STEPS, **arguments}
    model = sd.create_model("spike_video_former_nano", task=task, **settings)
    return liven(model, clips(4)).eval()


def clips(batch: int, steps: int = STEPS, size: tuple[int, int] = (16, 16)) -> torch.Tensor:
    return 2 * torch.rand(steps, batch, 1, *size, generator=torch.Generator().manual_seed(1)) - 1


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (9, 8), (5, 33)])
def test_every_frame_has_its_answer_at_any_size(size: tuple[int, int]) -> None:
    x = clips(2, 5, size)
    assert small("segment")(x).shape == (5, 2, 5, *size)
    assert small("pose")(x).shape == (5, 2, 5, 2)


@heads
def test_a_gradient_reaches_every_parameter(task: str) -> None:
    model = small(task).train()
    model(clips(2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.head.parameters())
    assert all(p.grad is not None for p in model.parameters())


@heads
def test_the_card_says_what_it_answers(task: str) -> None:
    model = small(task)
    assert model.card is not None
    assert (model.card.task, model.card.published) == (task, {})
    assert model.card.params == sum(p.numel() for p in model.parameters())
    plain = sd.create_model("spike_video_former_nano")
    assert plain.card is not None and plain.card.task == "classify"


@pytest.mark.parametrize("name", list_models("spike_video_former_*"))
def test_every_member_takes_the_heads(name: str) -> None:
    with torch.device("meta"):
        for task, classes in (("segment", 19), ("pose", 24)):
            model = sd.create_model(name, task=task, classes=classes)
            x = torch.zeros(2, 1, *model.card.input_size if model.card else ())
            shape = (2, 1, classes, *x.shape[-2:]) if task == "segment" else (2, 1, classes, 2)
            assert model.eval()(x).shape == shape


def test_a_checkpoint_keeps_its_head(tmp_path) -> None:
    model = small("segment")
    sd.save_model(model, tmp_path / "m.safetensors")
    again = sd.load_model(tmp_path / "m.safetensors").eval()
    assert torch.equal(again(clips(1)), model(clips(1)))


@heads
def test_the_fused_model_is_additive_and_says_the_same(task: str) -> None:
    model = small(task)
    fused = sd.fuse(model)
    torch.testing.assert_close(fused.double()(clips(2).double()), model.double()(clips(2).double()))
    found = sd.audit(fused.float(), clips(1))
    assert (found.verdict, len(found.analog)) == ("additive", 1)


@heads
def test_integers_equal_their_binary_steps(task: str) -> None:
    # attention by similarity compares spikes, so that integers are for the other stages
    model = small(task, transformer_stages=0, neuron={"name": "ILIF", "levels": 4})
    report = sd.verify_unrolled(sd.fuse(model), clips(2))
    assert report.equal


@heads
def test_frames_of_a_stream_are_those_of_the_clip(task: str) -> None:
    model = small(task, scope="past").double()
    x = clips(2).double()
    stream = sd.Stream(model)
    parts = torch.cat([stream(frame[None]) for frame in x])
    torch.testing.assert_close(parts, model(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scope", ["clip", "past"])
@pytest.mark.parametrize("task", ["classify", "segment", "pose"])
def test_the_cost_is_linear_in_the_number_of_frames(task: str, scope: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model, counts = small(task, scope=scope), []
    for steps in (4, 8, 16):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(clips(1, steps))
        counts.append(counter.get_total_flops())
    a_frame = (counts[1] - counts[0]) / 4
    assert counts[2] - counts[1] == 8 * a_frame
    # what a clip costs beside its frames is less than a frame
    assert 0 <= counts[0] - 4 * a_frame < a_frame


@pytest.mark.slow
def test_the_audit_counts_a_cost_linear_in_the_number_of_frames() -> None:
    model = sd.fuse(small("segment"))
    work = [sum(row.dense_macs for row in sd.audit(model, clips(1, steps)).layers) for steps in (2, 4, 8)]
    assert work[2] - work[1] == pytest.approx(2 * (work[1] - work[0]))
    assert work[0] == pytest.approx(work[1] - work[0], rel=0.01)


def test_the_decoder_repeats_and_adds() -> None:
    decoder = PyramidDecoder((2, 3), (2, 2), width=4, neuron="IF").double().eval()
    fine, coarse = (2 * torch.rand(2, 1, c, n, n, dtype=torch.float64) for c, n in ((2, 5), (3, 3)))
    got = decoder([fine, coarse])
    lateral = [
        torch.stack([layer(s_t) for s_t in neuron(x)])
        for layer, neuron, x in zip(decoder.laterals, decoder.neurons, (fine, coarse), strict=True)
    ]
    up = lateral[1].repeat_interleave(2, -1).repeat_interleave(2, -2)[..., :5, :5]
    sums = lateral[0] + up
    expected = sums + torch.stack([decoder.mix(s_t) for s_t in decoder.neuron(sums)])
    torch.testing.assert_close(got, expected)


def test_pixels_under_a_position_come_from_its_channels() -> None:
    head = SegmentHead((2,), (2,), 3, width=4, neuron="IF").eval()
    levels = [2 * torch.rand(1, 1, 2, 3, 3)]
    spikes = head.neuron(head.decoder(levels))
    expected = F.pixel_shuffle(head.classify(spikes[0]), 2)[..., :5, :6]
    torch.testing.assert_close(head(levels, (5, 6))[0], expected)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no task of a head named 'seg'"):
        sd.create_model("spike_video_former_nano", task="seg")
    with pytest.raises(ConfigError, match="got 2 widths and 1 strides"):
        PyramidDecoder((2, 3), (2,))
    with pytest.raises(ShapeError, match="got 1 levels; it takes 2, finest first"):
        PyramidDecoder((2, 3), (2, 2))([torch.zeros(1, 1, 2, 4, 4)])
    with pytest.raises(ConfigError, match="hidden"):
        PoseHead(4, 2, hidden=0)

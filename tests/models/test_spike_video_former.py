"""SpikeVideoFormer: counts, the published layout, what the audit says, the engine, and streams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from families import liven
from test_pyramid_layouts import BLOCKS, CONV_BLOCKS, PROJECTIONS, REP_CONV, SMALL, layers, names, norms

import spikedrive as sd
from engine.equality import equal_program
from spikedrive.errors import CheckpointError, LoweringError, StateError
from spikedrive.models import get_card
from spikedrive.models.metaformers import spike_video_former

STEPS = 3
# counted from the description of the network, for 400 and for 1000 classes
COUNTS = {
    "spike_video_former_15m": (14_900_120, 15_116_720), "spike_video_former_31m": (31_051_792, 31_340_392),
    "spike_video_former_55m": (54_974_352, 55_358_952), "spike_video_former_124m": (123_177_616, 123_754_216),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_those_of_the_description(name: str) -> None:
    with torch.device("meta"):
        models = [sd.create_model(name, classes=classes) for classes in (400, 1000)]
    assert tuple(sum(p.numel() for p in model.parameters()) for model in models) == COUNTS[name]
    assert get_card(name).params_derived


def test_similarity_by_dot_product_has_no_norm_behind_it() -> None:
    with torch.device("meta"):
        dot = sd.create_model("spike_video_former_15m", similarity="dot")
    blocks = 6 * 256 + 2 * 360
    assert COUNTS["spike_video_former_15m"][0] - sum(p.numel() for p in dot.parameters()) == 2 * blocks


def published() -> set[str]:
    """The names of the layout that the original's backbone has, and of its BatchNorm in front of the last neuron."""
    projections = [f"{b}.attn.{p}_conv" for b in BLOCKS for p in PROJECTIONS]
    weights = [
        *layers(),
        *((f"{b}.Conv.{n}", False) for b in CONV_BLOCKS for n in ("pwconv1", "dwconv", "pwconv2")),
        *((f"{p}.{layer}", False) for p in projections for layer in REP_CONV[0]),
    ]
    of_norms = [*norms(), *(f"{b}.Conv.bn{i}" for b in CONV_BLOCKS for i in (1, 2))]
    of_norms += [f"{p}.{norm}" for p in projections for norm in REP_CONV[1]]
    return names(weights, [*of_norms, *(f"{b}.attn.attn_bn" for b in BLOCKS)])


def test_the_published_layout_loads_and_names_what_is_missing() -> None:
    state = sd.create_model("spike_video_former_15m", **SMALL).state_dict()
    places = {key: spike_video_former.rename(key) for key in published()}
    assert sorted(places.values()) == sorted(state)
    weights = {key: torch.rand(state[place].shape) + 0.1 for key, place in places.items()}
    flat = {k: v.squeeze(-1) if ".mlp.fc1_conv.weight" in k else v for k, v in weights.items()}
    loaded = sd.from_reference("spike_video_former_15m", {"model": flat}, **SMALL).state_dict()
    assert all(
        torch.equal(loaded[place], weights[key].to(loaded[place].dtype)) for key, place in places.items()
    )
    del flat["block4.1.attn.attn_bn.bias"]
    with pytest.raises(CheckpointError, match=r"missing: stages\.4\.blocks\.1\.attention\.norm\.bn\.bias"):
        sd.from_reference("spike_video_former_15m", flat, **SMALL)


def small(scope: str = "clip") -> sd.SpikingModel:
    torch.manual_seed(0)
    model = sd.create_model(
        "spike_video_former_nano", widths=(8, 16, 16), heads=2, classes=5, steps=STEPS, scope=scope
    )
    return liven(model, clips(4)).eval()


def clips(batch: int) -> torch.Tensor:
    return 2 * torch.rand(STEPS, batch, 1, 16, 16, generator=torch.Generator().manual_seed(1)) - 1


# exporting takes seconds: the contracts of every model audit one of this family too
@pytest.mark.slow
def test_nano_needs_no_dense_convolution_to_be_additive() -> None:
    model = small()
    assert sd.audit(model, clips(1)).verdict == "hybrid"
    fused = sd.audit(sd.fuse(model), clips(1))
    assert (fused.verdict, len(fused.analog)) == ("additive", 1)


@pytest.mark.parametrize("scope", ["clip", pytest.param("frame", marks=pytest.mark.slow)])
def test_the_engine_gives_equal_integers(scope: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (STEPS, 6, 1, 16, 16), dtype=np.uint8)
    program, _ = equal_program(sd.fuse(small(scope)), clips(1), pixels)
    fires = program.run(pixels, neurons=True).neurons["stages.2.blocks.0.attention.out_neuron"]
    assert 0.02 < fires.mean() < 0.9
    if scope == "clip":
        with pytest.raises(StateError, match="a sum over all steps, at each of them"):
            program.stream()


@pytest.mark.slow
def test_the_engine_says_that_it_has_no_running_sum() -> None:
    with pytest.raises(LoweringError, match=r"aten\.cumsum\.default.*has no rule to lower it"):
        sd.compile(sd.fuse(small("past")), clips(1), mean=[0.5], std=[0.5])


def test_the_causal_one_streams_and_the_published_one_says_why_not() -> None:
    x = clips(2).double()
    causal = small("past").double()
    stream = sd.Stream(causal)
    for step in x[:-1]:
        stream(step[None])
    torch.testing.assert_close(stream(x[-1:]), causal(x), rtol=0, atol=1e-12)
    with pytest.raises(StateError, match="cannot stream: it sums over the whole clip"):
        sd.run(small().double(), x)


def test_a_clip_of_another_length_is_taken() -> None:
    model = small()
    y = model(torch.cat([clips(2)] * 3))
    assert y.shape == (2, 5) and not torch.equal(y, model(clips(2)))


def test_a_later_frame_changes_what_an_earlier_one_gives() -> None:
    x = clips(2)
    changed = torch.cat([x[:-1], -x[-1:]])
    for scope, same in (("clip", False), ("past", True), ("frame", True)):
        model = small(scope)
        first, second = (model.forward_features(clip)[-1][0] for clip in (x, changed))
        assert torch.equal(first, second) == same, scope

"""Networks of a stated density, their rivals, and the rows that a measurement gives."""

from __future__ import annotations

import os
from dataclasses import asdict, fields

import numpy as np
import pytest
import torch
from torch import Tensor

from spikedrive import native
from spikedrive.blocks import SpikingModel, fuse
from spikedrive.data.transforms import normalise
from spikedrive.engine.measure import RIVALS, Row, Subject, caps, measure, random_subject, to_dict
from spikedrive.engine.measure.ann import AnnTwin, int8
from spikedrive.engine.measure.comparison import is_exact
from spikedrive.engine.measure.density import calibrate, density_of
from spikedrive.engine.measure.rivals import forms, layouts, without_kernels
from spikedrive.errors import ConfigError, UnknownNameError
from spikedrive.models import create_model
from spikedrive.neurons import PSN
from spikedrive.ops import implementation

if native.run is None and os.environ.get("SPIKEDRIVE_STRICT") != "1":
    pytest.skip(f"the engine is missing: {native.run_missing}", allow_module_level=True)

MEAN, STD = [0.5], [0.25]
TINY = {"widths": [8, 16, 32], "depths": [0, 0, 1], "init": "released"}


def inputs() -> Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), dtype=np.uint8)
    return normalise(torch.from_numpy(pixels), MEAN, STD)


def tiny(**changes: object) -> SpikingModel:
    torch.manual_seed(0)
    model = create_model("meta_spikeformer_nano", **TINY, **changes).eval()
    # BatchNorms that change something
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
            assert module.running_mean is not None
            module.running_mean.uniform_(-0.3, 0.3)
    return model


@pytest.fixture(scope="module")
def subject() -> Subject:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "spikedrive.engine.measure.comparison.create_model", lambda _name, **changes: tiny(**changes)
        )
        return random_subject("meta_spikeformer_nano", 0.2, batch=3)


@pytest.mark.parametrize("neuron", ["LIF", "ILIF"])
@pytest.mark.parametrize("density", [0.05, 0.3])
def test_every_neuron_reaches_the_density_asked_for(neuron: str, density: float) -> None:
    model = fuse(tiny(neuron=neuron, steps=2))
    reached = calibrate(model, inputs(), density)
    assert list(reached) == list(model.neurons())
    for path, share in reached.items():
        # counts of coinciding spikes are few integers, of which many share a value
        least = 0 if path.endswith("attention.out_neuron") else density - 0.03
        assert least <= share <= density, path
    seen: dict[str, float] = {}
    for path, each in model.neurons().items():
        each.register_forward_hook(
            lambda _n, _x, y, path=path: seen.update({path: float((y != 0).double().mean())})
        )
    model(inputs())
    assert seen == pytest.approx(reached)


def test_a_density_that_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"share between 0 and 1, both excluded\. Use 0\.15"):
        calibrate(tiny(), inputs(), 1.5)
    with pytest.raises(ConfigError, match="is a PSN, which has no threshold that can be set"):
        calibrate(torch.nn.Sequential(PSN(steps=1)), inputs()[None], 0.1)


def test_the_density_of_a_program_counts_values_that_are_not_zero(subject: Subject) -> None:
    found = density_of(subject.program, subject.images, threads=1)
    integers = subject.program.run(subject.images, neurons=True, runtime="numpy").neurons.values()
    flat = np.concatenate([array.ravel() for array in integers])
    assert found.mean == pytest.approx((flat != 0).mean())
    assert found.rate == pytest.approx(flat.mean())
    assert found.low <= found.mean <= found.high
    # integers are not those of fp32, yet close
    assert abs(found.mean - 0.2) < 0.03


def test_every_form_and_layout_gives_the_same_answer(subject: Subject) -> None:
    assert subject.model is not None
    made = {name: model.double() for name, model in forms(subject.model).items()}
    answers = {name: work() for name, work in layouts(made, inputs().double()).items()}
    assert list(answers) == [f"{form}, {how}" for form in ("unfused", "folded", "fused")
                             for how in ("contiguous", "channels last")]  # fmt: skip
    first = answers["unfused, contiguous"]
    assert first.std() > 0
    for answer in answers.values():
        torch.testing.assert_close(answer, first, rtol=1e-5, atol=1e-5)


def test_the_dense_twin_has_the_same_layers_and_an_int8_form(subject: Subject) -> None:
    assert subject.model is not None
    fused = fuse(subject.model)
    twin = AnnTwin(fused).eval()
    assert sum(p.numel() for p in twin.parameters()) == sum(p.numel() for p in fused.parameters())
    with torch.no_grad():
        answer = twin(inputs())
        eight = int8(twin, inputs(), "x86")(inputs())
    assert answer.shape == eight.shape == (3, 10)
    # 8 bits a value: close, and not the same
    error = (answer - eight).norm() / answer.norm()
    assert 0 < error < 0.1
    separate = AnnTwin(fuse(tiny(joint_qkv=False)))
    assert separate(inputs()).shape == (3, 10)


def test_a_twin_of_another_family_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="dense twin was asked of a Linear; it is written for Meta-SpikeFormers"
    ):
        AnnTwin(torch.nn.Linear(2, 2))


def test_the_rivals_have_the_thresholds_of_the_program(subject: Subject) -> None:
    assert subject.verdict == "additive" and subject.batch == 3 and subject.first.shape == (1, 1, 28, 28)
    model = subject.model
    assert model is not None
    shares: dict[str, float] = {}
    for path, each in model.neurons().items():
        each.register_forward_hook(
            lambda _n, _x, y, path=path: shares.update({path: float((y != 0).double().mean())})
        )
    model(normalise(torch.from_numpy(subject.first), MEAN, STD))
    assert max(shares.values()) < 0.201 and sum(share > 0.17 for share in shares.values()) == 9


def test_a_row_says_what_was_measured(subject: Subject) -> None:
    said: list[str] = []
    rows = measure(subject, ["fp32", "numpy"], rounds=2, progress=lambda what, done, total: said.append(what))
    assert [row.against for row in rows] == ["fp32", "numpy"]
    for row in rows:
        assert row.exact and row.batch == 3 and row.threads == 1 and row.rounds == 2
        assert row.isa == native.engine_level() and row.verdict == "additive" and row.weight_bits == 7
        assert row.weights == "random" and row.asked_density == 0.2 and 0 < row.density < 1
        assert 0 < row.ours_low <= row.ours_ms <= row.ours_high
        assert row.ratio_low <= row.ratio <= row.ratio_high
    assert rows[0].ours_ms == rows[1].ours_ms
    assert rows[0].form.split(", ")[1] in ("contiguous", "channels last")
    document = to_dict(rows)
    assert set(document["machine"]) == {"cpu", "system", "torch", "spikedrive"}
    assert set(document["rows"][0]) == {field.name for field in fields(Row)}
    assert document["rows"][0] == asdict(rows[0])
    assert said.count("racing") == 6


def test_plain_rivals_run_without_kernels_and_leave_the_choice_alone(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SPIKEDRIVE_IMPL", raising=False)
    seen = without_kernels({"form": lambda: os.environ["SPIKEDRIVE_IMPL"]})["form"]
    assert seen() == "reference" and "SPIKEDRIVE_IMPL" not in os.environ
    monkeypatch.setenv("SPIKEDRIVE_IMPL", "native")
    assert seen() == "reference" and os.environ["SPIKEDRIVE_IMPL"] == "native"
    monkeypatch.delenv("SPIKEDRIVE_IMPL")
    chosen: list[str] = []
    choose = implementation.choose

    def told(x: Tensor, **options: bool) -> str:
        chosen.append(choose(x, **options))
        return chosen[-1]

    monkeypatch.setattr(implementation, "choose", told)
    for rival, expected in (("fp32", "native"), ("plain", "reference")):
        chosen.clear()
        measure(subject, [rival], rounds=1)
        assert set(chosen) == {expected}


def test_integers_that_differ_are_seen(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_exact(subject)
    run = subject.program.run

    def wrong(*args: object, runtime: str = "", **options: object):
        result = run(*args, runtime=runtime, **options)
        if runtime == "native":
            result.logits_int[0, 0] += 1
        return result

    monkeypatch.setattr(subject.program, "run", wrong)
    assert not is_exact(subject)


def test_a_rival_that_there_is_not_is_refused(subject: Subject) -> None:
    with pytest.raises(UnknownNameError, match=f"no rival named 'fp33'; {len(RIVALS)} are known"):
        measure(subject, ["fp33"], rounds=1)
    alone = Subject(name="m.sdx", weights="trained", program=subject.program, images=subject.images)
    with pytest.raises(
        ConfigError, match=r"rival fp32 needs the model, and m.sdx is a program.*numpy is accepted"
    ):
        measure(alone, ["fp32"], rounds=1)
    trained = Subject(
        name="run", weights="trained", program=subject.program, images=subject.images, model=subject.model
    )
    with pytest.raises(
        ConfigError, match="rival binary is the model of a name with random weights, and run is trained"
    ):
        measure(trained, ["binary"], rounds=1)


def test_both_sides_are_capped_alike() -> None:
    assert caps("avx2") == {
        "SPIKEDRIVE_ISA": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }  # fmt: skip
    assert caps("neon") == {"SPIKEDRIVE_ISA": "neon"}
    assert {caps(isa)["SPIKEDRIVE_ISA"] for isa in native.ISAS} == set(native.ISAS)

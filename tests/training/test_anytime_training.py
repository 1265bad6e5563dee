"""Early answers of a network: its steps one by one, the loss that makes them early, and the evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import spikedrive as sd
from spikedrive.cli.app import main
from spikedrive.data import load_images
from spikedrive.errors import ConfigError, DataError, StateError
from spikedrive.training import answers_by_step, evaluate_anytime
from spikedrive.training.losses import anytime_loss, drift, record_drift, spread
from tiny_training import tiny_recipe, write_pictures

SPIKING = {"widths": [4, 8], "depths": [1, 1], "strides": [2, 2], "heads": 2, "neuron": "LIF", "steps": 4}


def spiking(**config) -> sd.SpikingModel:
    return sd.create_model("meta_spikeformer_nano", **{**SPIKING, "classes": 4, **config}).eval()


def test_drift_and_spread_equal_the_golden_ones(golden) -> None:
    cases = torch.load(golden("aoi_cutoff") / "cases.pt")
    membranes = cases["mem"].requires_grad_()
    found = drift(cases["spikes"], membranes)
    torch.testing.assert_close(found, cases["rcs_snn"][0], rtol=0, atol=1e-9)
    (gradient,) = torch.autograd.grad(found.sum(), membranes)
    torch.testing.assert_close(gradient, cases["grad_mem"], rtol=0, atol=1e-9)
    potentials = cases["x_ann"].requires_grad_()
    torch.testing.assert_close(spread(potentials), cases["rcs_ann"][0], rtol=0, atol=1e-9)
    (gradient,) = torch.autograd.grad(spread(potentials).sum(), potentials)
    torch.testing.assert_close(gradient, cases["grad_x_ann"], rtol=0, atol=1e-9)
    assert anytime_loss([found], cases["logits"], cases["labels"]) == cases["rcs_snn_loss"]


def test_only_samples_that_are_right_to_the_end_count_and_the_worst_layer_of_each() -> None:
    drifts = [torch.tensor([1.0, 5.0, 2.0]), torch.tensor([3.0, 1.0, 9.0])]
    outputs = torch.tensor([[[1.0, 0], [1, 0], [0, 1]]] * 6)
    # six steps end with one
    outputs[-2, 1] = torch.tensor([0.0, 1.0])
    assert anytime_loss(drifts, outputs, torch.zeros(3, dtype=torch.long)) == pytest.approx((3 + 5) / 3)


def test_every_neuron_is_recorded_and_taught() -> None:
    model = spiking().train()
    x = torch.randn(4, 1, 8, 8) * 3
    with record_drift(model) as recorded:
        y = model(x)
    assert len(recorded.drifts) == len(model.neurons())
    assert recorded.outputs[0].shape == (4, 4, 4)
    torch.testing.assert_close(recorded.outputs[0].mean(0), y)
    # labels that it gives at the end
    recorded.loss(recorded.outputs[0][-1].argmax(-1)).backward()
    assert any(p.grad is not None and p.grad.any() for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"steps": 1}, "got a model of one step; it compares early steps with late ones"),
        (
            {"neuron": "ILIF"},
            "asked of a ILIF, whose state is not one membrane a neuron; that takes neurons with such",
        ),
    ],
)
def test_what_has_no_early_steps_is_refused(config: dict, message: str) -> None:
    model = spiking(**config)
    with pytest.raises(ConfigError, match=message), record_drift(model):
        model(torch.randn(2, 1, 8, 8))


def test_answers_by_step_are_those_of_fewer_steps() -> None:
    model = spiking()
    x = torch.randn(3, 1, 8, 8)
    answers = answers_by_step(model, x, steps=4)
    for t in (1, 3):
        torch.testing.assert_close(answers[t - 1], sd.run(model, x, steps=t)[0])
    frames = spiking(input="frames")
    frames.load_state_dict(model.state_dict())
    torch.testing.assert_close(answers_by_step(frames, x.expand(4, 3, 1, 8, 8)), answers)
    for each, steps in ((model, None), (frames, 4), (model, 0)):
        with pytest.raises(ConfigError, match=f"answers_by_step got steps={steps} for"):
            answers_by_step(each, x, steps=steps)
    clip = sd.create_model("spike_video_former_nano", widths=(8, 8, 8), heads=2).eval()
    with pytest.raises(StateError, match="cannot stream"):
        answers_by_step(clip, torch.randn(2, 1, 1, 16, 16))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pictures, and a run that learned to answer early."""
    folder = tmp_path_factory.mktemp("anytime")
    whole = np.load(write_pictures(folder / "whole.npz"))
    pictures = folder / "pictures.npz"
    np.savez(pictures, x_train=whole["x"], y_train=whole["y"], x_test=whole["x"][:8], y_test=whole["y"][:8])
    task = {"name": "classify", "anytime": 0.002}
    sd.train(tiny_recipe(pictures, model_args=SPIKING, task=task), folder / "run", progress=False)
    return pictures, folder / "run"


def test_the_loss_for_early_answers_changes_what_is_learned(trained, tmp_path: Path) -> None:
    pictures, folder = trained
    sd.train(tiny_recipe(pictures, model_args=SPIKING), tmp_path / "run", progress=False)
    first, second = (
        [json.loads(line) for line in (each / "log.jsonl").read_text().splitlines()]
        for each in (folder, tmp_path / "run")
    )
    losses = [[line["loss"] for line in log if line["kind"] == "epoch"] for log in (first, second)]
    assert losses[0][0] > losses[1][0]
    with pytest.raises(ConfigError, match=r"'classify' got 'early'; it takes anytime"):
        sd.train(tiny_recipe(pictures, task={"name": "classify", "early": 1}), tmp_path / "x", progress=False)


@pytest.mark.parametrize("rule", ["confidence", "gap"])
def test_eval_chooses_on_validation_and_judges_on_test(trained, rule: str, capsys) -> None:
    pictures, folder = trained
    words = ["eval", str(folder), "--data", str(pictures), "--task", "anytime", "--rule", rule]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["validation_images"], len(found["fixed"])) == (8, 8, 4)
    assert 1 <= found["steps"] <= 4 and 0 <= found["accuracy"] <= 1
    assert found["saved"] == pytest.approx(1 - found["steps"] / found["smallest_fixed"]["steps"])
    assert [point["steps"] for point in found["fixed"]] == [1, 2, 3, 4]
    best = found["oracle"][-1]
    assert all(point["accuracy"] <= best["accuracy"] for point in found["curve"])
    assert main([*words, "--steps", "6"]) == 0
    assert "fewer than the" in capsys.readouterr().out
    checkpoint = str(folder / "checkpoints" / "best.safetensors")
    assert main(["eval", checkpoint, *words[2:]]) == 2
    assert "has no validation split" in capsys.readouterr().err


def test_what_cannot_be_evaluated_is_named(trained) -> None:
    pictures, _ = trained
    images = load_images(pictures, "test", size=(8, 8), channels=1)
    model, known = spiking(), {"mean": [0.5], "std": [0.5]}
    with pytest.raises(DataError, match="got 0 images to choose on and 8 to judge on"):
        evaluate_anytime(model, images.subset(torch.tensor([], dtype=torch.long)), images, steps=4, **known)
    with pytest.raises(ConfigError, match="steps=1; stopping early takes at least 2"):
        evaluate_anytime(model, images, images, steps=1, **known)

"""SpikeGPT against the outputs of the original code."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import spikedrive as sd
from spikedrive.models.language.spikegpt import rename
from spikedrive.tasks import lm

CASES = {
    "binary_emb_vocab77": {"width": 32, "depth": 3},
    "ffnpre_vocab77": {"width": 32, "depth": 3, "first_mixes_channels": True},
}


def reference(golden: Any, name: str, **config: Any) -> tuple[dict[str, Any], torch.nn.Module]:
    """The recorded tensors, and our model with their weights in fp64."""
    file = torch.load(golden("spikegpt") / f"{name}.pt")
    model = sd.from_reference("spikegpt_6m", file["state_dict"], vocabulary=77, **config).double().eval()
    return file, model


@pytest.mark.parametrize("name", CASES)
def test_output_and_every_neuron_equal_the_original(name: str, golden) -> None:
    file, model = reference(golden, name, **CASES[name])
    seen: dict[str, torch.Tensor] = {}
    for path, neuron in model.neurons().items():
        neuron.register_forward_hook(lambda _m, _i, y, path=path: seen.__setitem__(path, y))
    ids = file["idx"].T
    logits = model(ids)
    torch.testing.assert_close(logits, file["taps"]["logits_BTV"].transpose(0, 1).double(), rtol=0, atol=1e-5)
    recorded = {
        rename(key.removesuffix(".spikes_TBC")): value
        for key, value in file["taps"].items()
        if key.endswith("spikes_TBC")
    }
    assert len(recorded) == 6
    for path, spikes in recorded.items():
        assert spikes.any() and torch.equal(seen[path], spikes.double()), path
    assert torch.equal(seen["embedding.neuron"].view_as(logits[..., :32]), file["emb_spikes"].transpose(0, 1))
    loss = lm.loss(logits, file["targets"].T, wrap=1e-4)
    assert math.isclose(loss.item(), file["loss"], abs_tol=1e-5)
    loss.backward()
    theirs = {rename(key): value for key, value in file["grads_eval_mode"].items()}
    ours = dict(model.named_parameters())
    assert theirs.keys() == ours.keys()
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key].grad, value.double().view_as(ours[key]), rtol=0, atol=1e-5)


def test_token_by_token_equals_the_recorded_recurrent_form(golden) -> None:
    file, model = reference(golden, "binary_emb_vocab77", width=32, depth=3)
    stream = sd.Stream(model, along="tokens")
    with torch.no_grad():
        logits = torch.cat([stream(token[None]) for token in file["idx"].T])
    recorded = file["recurrent"]["logits_BTV"].transpose(0, 1).double()
    torch.testing.assert_close(logits, recorded, rtol=0, atol=1e-5)


def test_the_released_rescaling_is_reproduced_and_off_by_default(golden) -> None:
    name, config = "deep8_rescale_mismatch", {"width": 16, "depth": 8}
    for as_released, key in ((False, "logits_parallel"), (True, "logits_recurrent_reference_with_rescale")):
        file, model = reference(golden, name, as_released=as_released, **config)
        with torch.no_grad():
            logits = model(file["idx"].T)
        torch.testing.assert_close(logits, file[key].transpose(0, 1).double(), rtol=0, atol=1e-5)
    assert (file["logits_parallel"] - file[key]).abs().max() > 6


def test_the_released_demo_feeds_real_rows_for_other_vocabularies() -> None:
    ids = torch.arange(4)[:, None]
    models = [sd.create_model("spikegpt_6m", width=16, depth=1, as_released=flag) for flag in (False, True)]
    models[1].load_state_dict(models[0].state_dict())
    plain, released = (model.eval()(ids) for model in models)
    assert not torch.allclose(plain, released)
    # while training, both learn from spikes
    models[1].train()
    models[1].blocks.eval()
    assert torch.equal(models[1](ids), plain)

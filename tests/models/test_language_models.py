"""What every language model must hold, on tiny configurations."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

import spikedrive as sd
from spikedrive.blocks.mixers import SEQUENCE_MIXERS
from spikedrive.engine.runtime import RUNTIMES
from spikedrive.engine.twin import Twin
from spikedrive.errors import ConfigError, DtypeError, ShapeError, UnknownNameError, ValueRangeError
from spikedrive.models import MODELS

NAMES = [name for name in sd.list_models() if MODELS[name].card.task == "lm"]
CRD = {"rope": "crd_ntk", "trained": 4}
TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "spikegpt": ("spikegpt_6m", {"depth": 3}),
    "gpt": ("gpt_dense_6m", {"depth": 2, "context": 32}),
    "hybrid": ("spiking_lm", {"depth": 2, "exact_layers": (1,)}),
    "hybrid_crd": (
        "spiking_lm",
        {
            "depth": 2,
            "exact_layers": [1],
            "exact_mixer": {"name": "attention", **CRD},
        },
    ),
    "few_segments": (
        "spiking_lm",
        {
            "depth": 2,
            "mixer": {
                "name": "select_merge",
                "segment": 2,
                "top": 1,
                "region": 2,
                "rope": "crd_ntk",
                "trained": 4,
            },
        },
    ),
    "egru_lm": ("egru_6m", {"widths": (24, 32), "mean_threshold": 0.2}),
    "spikelm": ("spikelm_causal_6m", {"depth": 2, "context": 32}),
    **{mixer: ("spiking_lm", {"depth": 2, "mixer": mixer}) for mixer in SEQUENCE_MIXERS},
}
families = pytest.mark.parametrize("family", TINY)


def tiny(family: str, **config: Any) -> Any:
    """A small model whose branches are alive, in eval mode."""
    return copy.deepcopy(_lively(family, tuple(sorted(config.items()))))


@cache
def _lively(family: str, config: tuple[tuple[str, Any], ...]) -> Any:
    name, own = TINY[family]
    torch.manual_seed(0)
    model = sd.create_model(name, **{"width": 32, "vocabulary": 11, **own, **dict(config)})
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.5)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm1d)]
    for momentum in (1.0, 0.1):
        for norm in norms:
            norm.momentum = momentum
        with torch.no_grad():
            model.train()(texts(32))
    return model.eval()


def texts(tokens: int = 9, batch: int = 2) -> torch.Tensor:
    return torch.randint(0, 11, (tokens, batch), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_card_says_what_is_built(name: str) -> None:
    card = MODELS[name].card
    with torch.device("meta"):
        model, released = sd.create_model(name), sd.create_model(name, as_released=True)
    assert sum(p.numel() for p in model.parameters()) == card.params
    if card.params_released is not None:
        assert sum(p.numel() for p in released.parameters()) == card.params_released
    assert (model.vocabulary, card.input, card.modality, card.task) == (card.classes, "tokens", "text", "lm")
    assert card.paper and card.licence


@families
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_token_by_token_and_chunks_equal_the_whole(family: str, dtype: torch.dtype, tolerance: float) -> None:
    model, ids = tiny(family).to(dtype), texts()
    with torch.no_grad():
        whole = model(ids)
        for sizes in ([1] * 9, [4, 5]):
            stream = sd.Stream(model, along="tokens")
            parts = torch.cat([stream(part) for part in ids.split(sizes)])
            torch.testing.assert_close(parts, whole, rtol=0, atol=tolerance)


@families
def test_causal_batched_and_taught(family: str) -> None:
    model, ids = tiny(family), texts()
    changed = ids.clone()
    changed[5:] = (changed[5:] + 1) % 11
    y, z = model(ids), model(changed)
    assert y.shape == (9, 2, 11)
    assert torch.equal(y[:5], z[:5]) and not torch.equal(y[5:], z[5:])
    torch.testing.assert_close(model(ids.flip(1)), y.flip(1))
    model(texts(16, 8)).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@families
def test_save_and_load(family: str, tmp_path) -> None:
    model = tiny(family)
    sd.save_model(model, tmp_path / "m.safetensors")
    assert torch.equal(sd.load_model(tmp_path / "m.safetensors")(texts()), model(texts()))


@pytest.mark.slow
def test_every_layer_of_the_released_form_multiplies() -> None:
    released = sd.audit(tiny("spikegpt", depth=1), texts(1, 1))
    assert released.verdict == MODELS["spikegpt_6m"].card.verdict_released == "hybrid"
    found = {row.module.rpartition(".")[2] for row in released.exceptions if row.op == "aten.linear.default"}
    assert found >= {"key", "value", "gate", "output", "head"}


@pytest.mark.parametrize("mixer", SEQUENCE_MIXERS)
def test_the_card_says_of_each_mixer_what_the_audit_proves(mixer: str) -> None:
    card = MODELS["spiking_lm"].card
    assert card.verdict_released is card.verdict_repaired is None
    assert set(card.verdicts) == {f"mixer={name}" for name in SEQUENCE_MIXERS}
    model = tiny(mixer, depth=1)
    found = [sd.audit(form, texts(1, 1)).verdict for form in (model, sd.fuse(model))]
    assert found == [card.verdicts[f"mixer={mixer}"]] * 2


def test_the_additive_form_needs_additions_only() -> None:
    card, model = MODELS["spikegpt_additive_6m"].card, tiny("spike_memory")
    assert sd.audit(model, texts(1, 1)).verdict == card.verdict_released == "additive"
    assert sd.audit(sd.fuse(model), texts(1, 1)).verdict == card.verdict_repaired == "additive"


def test_the_additive_form_compiles_and_streams_what_the_float_model_answers() -> None:
    model, ids = tiny("spike_memory"), texts(12, 3)
    program = sd.compile(model, ids[:1, :1])
    streams = [program.stream(runtime=runtime) for runtime in RUNTIMES]
    # the float model with the program's numbers
    twin = sd.Stream(Twin(program, model).model, along="tokens")
    answers = []
    for token in ids:
        first, *others = (stream(token.numpy()).logits_int for stream in streams)
        assert all(np.array_equal(first, other) for other in others)
        assert np.array_equal(first, twin(token[None])[0].numpy() / program.output.scale)
        answers.append(first)
    assert not np.array_equal(answers[0], answers[-1])


def test_a_stream_gives_the_integers_inside_of_a_step() -> None:
    model, ids = tiny("spike_memory"), texts(5, 3)
    program = sd.compile(model, ids[:1, :1])
    whole = Twin(program, model).model
    streams = [program.stream(runtime=runtime) for runtime in RUNTIMES]
    names = list(program.neurons.values())
    neurons = [whole.get_submodule(path) for path in program.neurons]
    fired: list[torch.Tensor] = []
    hooks = [n.register_forward_hook(lambda _module, _given, y: fired.append(y)) for n in neurons]
    twin = sd.Stream(whole, along="tokens")
    for token in ids:
        fired.clear()
        twin(token[None])
        for stream in streams:
            found = stream(token.numpy(), tensors=names).tensors
            assert list(found) == names
            for integers, wanted in zip(found.values(), fired, strict=True):
                assert np.array_equal(integers, wanted[0].detach().numpy())
    assert any(y.any() for y in fired)
    for hook in hooks:
        hook.remove()
    with pytest.raises(UnknownNameError, match="There is no operation named 'headd'"):
        streams[0](ids[0].numpy(), tensors=["headd"])


@pytest.mark.parametrize(
    ("family", "ids", "error", "message"),
    [
        ("spikegpt", torch.zeros(0, 1).long(), ShapeError, r"got ids of shape \(0, 1\); it takes \(L, B\)"),
        ("spikegpt", torch.zeros(3).long(), ShapeError, r"it takes \(L, B\).*write ids\[:, None\]"),
        ("spikegpt", torch.zeros(3, 1), DtypeError, "ids of dtype torch.float32; it takes integers. Encode"),
        ("spikegpt", torch.full((1, 1), 11), ValueRangeError, "the token 11; it takes 0 to 10. Encode with"),
        ("gpt", torch.zeros(33, 1).long(), ShapeError, "got 33 tokens; it takes at most 32. Shorten"),
    ],
)
def test_other_ids_are_refused(family: str, ids: torch.Tensor, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        tiny(family)(ids)


def test_a_stream_beyond_the_positions_is_refused() -> None:
    stream = sd.Stream(tiny("gpt"), along="tokens")
    stream(torch.zeros(32, 1).long())
    with pytest.raises(ShapeError, match="text of 33 tokens came to a model of 32 positions; it takes"):
        stream(torch.zeros(1, 1).long())


@pytest.mark.parametrize(
    ("mixer", "error", "message"),
    [
        ("spike_memry", UnknownNameError, "spike_memory"),
        ({"heads": 2}, ConfigError, "has no name; it takes a key 'name'"),
        ({"name": "attention", "head": 2}, ConfigError, "attention got .*'head': 2.* does not take"),
        ({"name": "attention", "heads": 3}, ConfigError, "got 3 heads for 32 channels; it takes"),
        (
            {"name": "spike_memory", "thresholds": [1.0] * 3},
            ConfigError,
            "3 thresholds for 32 channels; it takes",
        ),
    ],
)
def test_other_mixers_are_refused(mixer: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        sd.create_model("spiking_lm", mixer=mixer, width=32, depth=1)


def test_an_exact_layer_that_there_is_not_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"exact_layers=2; it takes a number at least 0 and at most 1\. Change"
    ):
        sd.create_model("spiking_lm", exact_layers=[0, 2], width=32, depth=2)


@pytest.mark.parametrize("family", ["hybrid", "hybrid_crd", "few_segments"])
def test_exact_products_are_named_by_the_audit(family: str) -> None:
    assert sd.audit(tiny(family), texts(9, 1)).verdict == "hybrid"


def test_an_error_inside_of_a_mixer_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(width: int, *, layer: int, layers: int) -> torch.nn.Module:
        raise TypeError("a mistake of its own")

    monkeypatch.setitem(SEQUENCE_MIXERS._items, "broken", broken)
    with pytest.raises(TypeError, match="a mistake of its own"):
        sd.create_model("spiking_lm", mixer="broken", width=32, depth=1)
    with pytest.raises(ConfigError, match=r"broken got {'heads': 2}, which it does not take \(.*'heads'\)"):
        sd.create_model("spiking_lm", mixer={"name": "broken", "heads": 2}, width=32, depth=1)

"""SpikeLM: the original's numbers, the layouts that it reads, and what every classifier of texts must hold."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import spikedrive as sd
from spikedrive.blocks.language import ElasticLinear
from spikedrive.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    ShapeError,
    UnknownNameError,
    ValueRangeError,
)
from spikedrive.models import MODELS, from_reference
from spikedrive.models.language.spikelm import bert_arguments, load_bert, remap
from spikedrive.neurons import ElasticBiSpike, calibrate_amplitudes

SHAPE: dict[str, Any] = {
    "width": 16,
    "depth": 2,
    "heads": 4,
    "hidden": 32,
    "vocabulary": 30,
    "context": 12,
    "classes": 5,
}
NAMES = [name for name in sd.list_models() if MODELS[name].card.task == "text_classification"]
names = pytest.mark.parametrize("name", NAMES)


def texts(tokens: int = 9, batch: int = 3) -> Tensor:
    return torch.randint(1, 30, (tokens, batch), generator=torch.Generator().manual_seed(1))


def tiny(name: str, **config: Any) -> Any:
    """A small model with calibrated neurons, in fp64 and eval mode."""
    return copy.deepcopy(_tiny(name, tuple(sorted(config.items()))))


@cache
def _tiny(name: str, config: tuple[tuple[str, Any], ...]) -> Any:
    torch.manual_seed(0)
    model: Any = sd.create_model(name, **{**SHAPE, **dict(config)}).double().eval()
    for part in model.modules():
        if isinstance(part, torch.nn.Linear):
            # at the 0.02 of its start a tiny network says the same of every text
            torch.nn.init.normal_(part.weight, std=0.3)
            torch.nn.init.normal_(part.bias, std=0.1)
    if model.config["neuron"] is not None:
        calibrate_amplitudes(model, texts())
    return model


def test_a_linear_layer_of_four_steps_equals_the_original_in_double_precision(golden) -> None:
    entry = torch.load(golden("spikelm") / "spike_linear_T4.pt")
    saved = entry["state_dict_after_first_call"]
    out_features, in_features = saved["weight"].shape
    layer: Any = ElasticLinear(in_features, out_features, steps=4, neuron="ElasticBiSpike").double()
    layer.linear.load_state_dict({"weight": saved["weight"].double(), "bias": saved["bias"].double()})
    x = entry["x_T_B_L_C"].double().requires_grad_()
    assert calibrate_amplitudes(layer, x.detach()) == 1
    y = layer(x)
    y.backward(entry["grad_out"].double())
    for found, expected in (
        (layer.neuron.amplitude, torch.tensor(entry["alphas"])),
        (y, entry["y"]),
        (x.grad, entry["grad_x"]),
        (layer.linear.weight.grad, entry["grad_weight"]),
        (layer.linear.bias.grad, entry["grad_bias"]),
    ):
        torch.testing.assert_close(found.double(), expected.double(), rtol=0, atol=1e-5)


def test_the_amplitudes_of_the_original_come_in_by_their_names(golden) -> None:
    saved = torch.load(golden("spikelm") / "spike_linear_T4.pt")["state_dict_after_first_call"]
    ours = remap({f"bert.encoder.layer.0.attention.self.query.{key}": v for key, v in saved.items()})
    prefix = "layers.0.attention.query."
    assert set(ours) == {prefix + "linear.weight", prefix + "linear.bias", prefix + "neuron.amplitude"}
    amplitudes = torch.stack([saved[f"act_clip_val.{t}"].reshape(()) for t in range(4)])
    assert torch.equal(ours[prefix + "neuron.amplitude"], amplitudes)


@names
def test_card_says_what_is_built(name: str) -> None:
    card = MODELS[name].card
    with torch.device("meta"):
        model = sd.create_model(name)
    assert sum(p.numel() for p in model.parameters()) == card.params
    assert (model.classes, model.steps, model.input) == (card.classes, card.steps, card.input)
    assert (card.input, card.modality) == ("tokens", "text") and card.paper and card.licence


@names
def test_forward_is_pure_and_batched_and_every_parameter_is_taught(name: str) -> None:
    model, ids = tiny(name), texts()
    y = model(ids)
    assert y.shape == (3, 5) and y.isfinite().all() and not torch.allclose(y[0], y[1])
    assert torch.equal(model(ids), y)
    torch.testing.assert_close(model(ids[:, [2, 0, 1]]), y[[2, 0, 1]], rtol=0, atol=1e-12)
    y.square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    dropped = model.train()(ids)
    assert not torch.allclose(dropped, y)


@names
def test_padding_changes_nothing(name: str) -> None:
    model, ids = tiny(name), texts()
    padded = torch.cat((ids, torch.zeros(3, 3).long()))
    torch.testing.assert_close(model(padded), model(ids), rtol=0, atol=1e-12)


@names
def test_save_and_load(name: str, tmp_path: Path) -> None:
    model = tiny(name)
    sd.save_model(model, tmp_path / "m.safetensors")
    assert torch.equal(sd.load_model(tmp_path / "m.safetensors")(texts()), model(texts()))


def test_an_exported_encoder_has_a_free_batch() -> None:
    model, batch = tiny("spikelm_23m", depth=1, steps=2), torch.export.Dim("batch")
    with torch.no_grad():
        program = torch.export.export(model, (texts(),), dynamic_shapes=({1: batch},))
        torch.testing.assert_close(program.module()(texts(9, 4)), model(texts(9, 4)), rtol=1e-9, atol=1e-9)
    nodes = [n for n in program.graph.nodes if "elastic_scan" in str(n.target)]
    assert len(nodes) == sum(isinstance(m, ElasticBiSpike) for m in model.modules()) == 8


@names
def test_the_card_says_what_the_audit_proves(name: str) -> None:
    model, card = tiny(name, depth=1).float(), MODELS[name].card
    repaired = sd.make_additive(model, example=texts(4, 2), batch_axis=1)
    assert (
        (repaired.before, repaired.after)
        == (card.verdict_released, card.verdict_repaired)
        == ("hybrid", "hybrid")
    )


def test_the_causal_form_is_hybrid_too() -> None:
    card = MODELS["spikelm_causal_6m"].card
    model = sd.create_model("spikelm_causal_6m", width=16, depth=1, heads=2, vocabulary=11, steps=2).eval()
    repaired = sd.make_additive(model, example=torch.ones(3, 1).long(), batch_axis=1)
    assert (repaired.before, repaired.after) == (card.verdict_released, card.verdict_repaired)


def test_neurons_between_steps_share_an_amplitude_where_asked_and_learn_it() -> None:
    shared = {"name": "ElasticBiSpike", "steps": None, "learn_amplitude": True, "spread": 1.0}
    model: Any = sd.create_model("spikelm_23m", **SHAPE, neuron=shared)
    neurons = [m for m in model.modules() if isinstance(m, ElasticBiSpike)]
    assert all(n.amplitude.shape == () and n.spread == 1.0 for n in neurons)
    calibrate_amplitudes(model, texts())
    model(texts()).square().sum().backward()
    assert all(n.amplitude.grad is not None and n.amplitude.grad.any() for n in neurons)
    kept = [n.decay for n in model.layers[0].attention.modules() if isinstance(n, ElasticBiSpike)]
    assert sorted(kept) == [0.0, 0.0, 0.25, 0.25, 0.25, 0.25]


def test_a_larger_spread_fires_more_seldom() -> None:
    rates = []
    for spread in (1.0, 2.0, 4.0):
        neuron = {"name": "ElasticBiSpike", "spread": spread}
        model: Any = sd.create_model("spikelm_23m", **SHAPE, neuron=neuron).double().eval()
        model.load_state_dict(tiny("spikelm_23m").state_dict())
        calibrate_amplitudes(model, texts())
        neuron, fired = model.layers[0].attention.query.neuron, []
        neuron.register_forward_hook(lambda _m, _x, y, fired=fired: fired.append(y))
        model(texts())
        rates.append(float(fired[0].count_nonzero()) / fired[0].numel())
    assert rates == sorted(rates, reverse=True) and rates[0] > 2 * rates[2] > 0


def _hugging_face(model: Any, prefix: str = "") -> dict[str, Tensor]:
    """The weights of a tiny encoder of ours under the names of a BERT."""
    names = [
        ("embedding.words.", "embeddings.word_embeddings."), ("embedding.places.", "embeddings.position_embeddings."),
        ("embedding.kinds", "embeddings.token_type_embeddings.weight"), ("embedding.norm.", "embeddings.LayerNorm."),
        ("layers.", "encoder.layer."), (".attention.output.linear.", ".attention.output.dense."),
        (".attention_norm.", ".attention.output.LayerNorm."), (".expand.linear.", ".intermediate.dense."),
        (".reduce.linear.", ".output.dense."), (".norm.", ".output.LayerNorm."), ("pooler.", "pooler.dense."),
        *((f".attention.{part}.linear.", f".attention.self.{part}.") for part in ("query", "key", "value")),
    ]  # fmt: skip
    found = {}
    for key, value in model.state_dict().items():
        if "amplitude" in key or key.startswith("head"):
            continue
        for ours, theirs in names:
            if ours == ".norm." and key.startswith("embedding"):
                continue
            key = key.replace(ours, theirs)
        found[prefix + key] = value
    return found


def write_bert(folder: Path, **changes: Any) -> tuple[Path, dict[str, Tensor]]:
    """A folder of Hugging Face's layout with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 32, "vocab_size": 30, "max_position_embeddings": 12,
        "type_vocab_size": 2, "pad_token_id": 0, "layer_norm_eps": 1e-12, **changes,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    tensors = {k: v.float().contiguous() for k, v in _hugging_face(tiny("spikelm_110m")).items()}
    save_file(tensors, folder / "model.safetensors")
    return folder, tensors


def test_the_dense_form_of_a_folder_is_the_bert_in_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder, _ = write_bert(tmp_path / "bert")
    model: Any = sd.create_model("spikelm_110m", **SHAPE, steps=1, neuron=None).eval()
    done = load_bert(model, folder)
    assert done.missing == ("head.linear.bias", "head.linear.weight") and done.surplus == ()
    theirs = transformers.BertModel.from_pretrained(folder, local_files_only=True).eval()
    ids = texts()
    ids[6:, 1] = 0
    with torch.no_grad():
        answer = theirs(input_ids=ids.T, attention_mask=(ids.T != 0).long())
    tokens = model.forward_features(ids)[0]
    seen = (ids.T != 0)[..., None]
    torch.testing.assert_close(tokens * seen, answer.last_hidden_state * seen, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.embed(ids), answer.pooler_output, rtol=0, atol=1e-5)


def test_a_folder_fills_the_encoder_and_names_what_is_missing_and_left_over(tmp_path: Path) -> None:
    folder, tensors = write_bert(tmp_path / "bert")
    assert bert_arguments(folder) == {
        **{k: v for k, v in SHAPE.items() if k != "classes"},
        "kinds": 2,
        "padding": 0,
    }
    model: Any = sd.create_model("spikelm_23m", **SHAPE)
    done = load_bert(model, folder)
    assert done.surplus == ("pooler.bias", "pooler.weight")
    assert {"head.linear.weight", "layers.0.attention.key_neuron.amplitude"} <= set(done.missing)
    assert all(key.startswith("head") or key.endswith("amplitude") for key in done.missing)
    assert torch.equal(model.embedding.words.weight, tensors["embeddings.word_embeddings.weight"])


def test_other_folders_are_refused(tmp_path: Path) -> None:
    model: Any = sd.create_model("spikelm_23m", **SHAPE)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(
        DataError, match=r"config.json cannot be read as a BERT's .*is accepted. Check the folder"
    ):
        load_bert(model, tmp_path)
    folder, tensors = write_bert(tmp_path / "gpt", model_type="gpt2")
    with pytest.raises(DataError, match=r"it is a gpt2 with gelu.*Check the folder"):
        load_bert(model, folder)
    folder, _ = write_bert(tmp_path / "bert")
    del tensors["encoder.layer.1.output.dense.bias"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"missing: layers.1.reduce.linear.bias \(1\). Build the model with"
    ):
        load_bert(model, folder)
    wide: Any = sd.create_model("spikelm_23m", **{**SHAPE, "hidden": 64})
    write_bert(tmp_path / "bert")
    with pytest.raises(
        CheckpointError, match=r"reduce.linear.weight is \(16, 32\), not \(16, 64\)|expand.*\(32, 16\)"
    ):
        load_bert(wide, folder)
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(
        DataError, match=r"model.safetensors cannot be read .*weights in safetensors are accepted"
    ):
        load_bert(model, folder)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_published_classifier_loads_with_its_amplitudes() -> None:
    model = tiny("spikelm_110m")
    published = _hugging_face(model, "bert.")
    for key, value in model.state_dict().items():
        if "amplitude" in key:
            place = key.replace("layers.", "bert.encoder.layer.")
            for ours, theirs in (
                ("attention.key_neuron.amplitude", "attention.self.clip_key"),
                ("attention.value_neuron.amplitude", "attention.self.clip_value"),
                ("attention.output.neuron.amplitude", "attention.output.dense.act_clip_val"),
                ("expand.neuron.amplitude", "intermediate.dense.act_clip_val"),
                ("reduce.neuron.amplitude", "output.dense.act_clip_val"),
                ("attention.query.neuron.amplitude", "attention.self.query.act_clip_val"),
                ("attention.key.neuron.amplitude", "attention.self.key.act_clip_val"),
                ("attention.value.neuron.amplitude", "attention.self.value.act_clip_val"),
            ):  # fmt: skip
                place = place.replace(ours, theirs)
            published |= {f"{place}.{t}": alpha for t, alpha in enumerate(value)}
            published[place.rsplit(".", 1)[0] + ".weight_clip_val"] = torch.ones(1)
    published |= {"classifier.weight": model.head.linear.weight, "classifier.bias": model.head.linear.bias}
    published["bert.embeddings.position_ids"] = torch.arange(12)[None]
    loaded = from_reference("spikelm_110m", published, **SHAPE).eval().double()
    loaded.load_state_dict({k: v.double() for k, v in loaded.state_dict().items()})
    torch.testing.assert_close(loaded(texts()), model(texts()), rtol=0, atol=1e-5)
    del published["bert.encoder.layer.0.attention.self.clip_key.3"]
    with pytest.raises(CheckpointError, match=r"key_neuron.amplitude is \(3,\), not \(4,\)"):
        from_reference("spikelm_110m", published, **SHAPE)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (torch.zeros(3).long(), ShapeError, r"it takes \(L, B\).*write ids\[:, None\]"),
        (torch.ones(13, 1).long(), ShapeError, "got 13 tokens; it takes at most 12. Shorten"),
        (torch.full((1, 1), 30), ValueRangeError, "the token 30; it takes 0 to 29. Encode with"),
        (
            torch.tensor([[1, 0], [2, 0]]),
            ValueRangeError,
            r"padding \(token 0\) alone; it takes at least one",
        ),
    ],
)
def test_other_ids_are_refused(ids: Tensor, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        tiny("spikelm_23m")(ids)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"heads": 3}, ConfigError, "got 3 heads for 16 channels; it takes a number that divides"),
        ({"pooling": "last"}, UnknownNameError, "no pooling named 'last'"),
        ({"steps": 0}, ConfigError, "steps=0; it takes a number at least 1"),
        ({"dropout": 2.0}, ConfigError, "rate=2.0; it takes a number at least 0 and at most 1"),
        ({"depth": 0}, ConfigError, "depth=0; it takes a number at least 1"),
    ],
)
def test_other_arguments_are_refused(config: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        sd.create_model("spikelm_23m", **{**SHAPE, **config})


def test_amplitudes_of_a_model_without_any_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"a SpikeLM without ElasticBiSpike; it sets their amplitudes. Build"
    ):
        calibrate_amplitudes(tiny("bert_dense_23m"), texts())

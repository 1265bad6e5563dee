"""Folders of Hugging Face's layout: loaded, converted layer by layer, and loaded again."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from spikedrive.errors import DataError, MissingExtraError, StorageError
from spikedrive.interop.huggingface import (
    convert_folder,
    load_converted,
    load_language_model,
    save_dequantised,
)
from spikedrive.training.spikellm import Format, SpikingLinear, average_bits, convert_language_model, observe

FORM = Format(4, 8, "gptq", weight_spikes=2, activation_spikes=2, group=16)


@pytest.fixture(scope="module")
def transformers(request):
    require = request.getfixturevalue("require")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import transformers
    except ImportError:
        require(False, "the package transformers")
        raise
    return transformers


@pytest.fixture(params=["llama", "gpt2"])
def folder(request, transformers, tmp_path) -> Path:
    """A folder of three small random layers, as transformers itself writes it."""
    torch.manual_seed(0)
    if request.param == "llama":
        config = transformers.LlamaConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=61, max_position_embeddings=64,
        )  # fmt: skip
        model = transformers.LlamaForCausalLM(config)
    else:
        config = transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, vocab_size=61, n_positions=64)
        model = transformers.GPT2LMHeadModel(config)
    for parameter in model.parameters():
        # weights that matter more than a fresh network's
        torch.nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.2)
    model.save_pretrained(tmp_path / "source")
    return tmp_path / "source"


def tokens() -> list[torch.Tensor]:
    return list(torch.randint(61, (3, 2, 16), generator=torch.Generator().manual_seed(1)))


@torch.no_grad()
def test_layer_by_layer_is_the_whole_model_at_once(folder, tmp_path) -> None:
    whole = load_language_model(folder)
    before = whole(tokens()[0]).logits
    bits = convert_language_model(whole, observe(whole, tokens()), FORM)
    done = []
    found = convert_folder(folder, tmp_path / "target", tokens(), FORM, progress=lambda *n: done.append(n))
    assert done == [(1, 3), (2, 3), (3, 3)]
    loaded = load_converted(tmp_path / "target")
    assert found == bits == average_bits(loaded)
    linears = [part for part in loaded.modules() if isinstance(part, SpikingLinear)]
    assert len(linears) == 3 * (7 if "llama" in type(loaded).__name__.lower() else 4)
    logits = loaded(tokens()[0]).logits
    torch.testing.assert_close(logits, whole(tokens()[0]).logits, rtol=1e-3, atol=1e-3)
    # and it is the model that it was, give or take four bits
    assert float((logits - before).square().mean() / before.square().mean()) < 0.2


def test_a_converted_folder_generates(folder, tmp_path) -> None:
    convert_folder(folder, tmp_path / "target", tokens(), FORM)
    model = load_converted(tmp_path / "target")
    steps = model.generate(
        tokens()[0][:, :4], max_new_tokens=3, do_sample=False, use_cache=True, pad_token_id=0
    )
    # with the keys and values of earlier tokens kept, the answer is that of the whole sequence
    assert torch.equal(model(steps[:, :-1]).logits[:, -1].argmax(-1), steps[:, -1])


def test_shards_are_read_as_one_file_is(folder, tmp_path) -> None:
    tensors = load_file(folder / "model.safetensors")
    parts = {f"part-{i}.safetensors": dict(list(tensors.items())[i::2]) for i in range(2)}
    (folder / "model.safetensors").unlink()
    for name, part in parts.items():
        save_file(part, folder / name)
    index = {"weight_map": {key: name for name, part in parts.items() for key in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    bits = convert_folder(folder, tmp_path / "target", tokens(), Format(4, 4), layers=2)
    assert bits.weights > 0
    assert load_converted(tmp_path / "target").config.num_hidden_layers == 2


def test_a_dequantised_model_is_saved_without_its_quantisation(folder, tmp_path) -> None:
    model = load_language_model(folder)
    model.config.quantization_config = {"quant_method": "gguf"}
    save_dequantised(model, tmp_path / "plain")
    assert "quantization_config" not in json.loads((tmp_path / "plain" / "config.json").read_text())
    again = load_language_model(tmp_path / "plain")
    assert torch.equal(again(tokens()[0]).logits, model(tokens()[0]).logits)


def test_what_is_no_such_folder_is_refused(folder, tmp_path, monkeypatch) -> None:
    with pytest.raises(DataError, match=r"none does not exist; .* Check the path"):
        load_language_model(tmp_path / "none")
    with pytest.raises(DataError, match=r"holds no a.gguf; its .gguf files: none"):
        load_language_model(folder, gguf="a.gguf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"cannot be read as a causal language model"):
        load_language_model(tmp_path / "empty")
    with pytest.raises(DataError, match=r"holds neither model.safetensors nor model.safetensors.index.json"):
        convert_folder(tmp_path / "empty", tmp_path / "t", tokens(), FORM)
    with pytest.raises(StorageError, match=r"as source and target; .* Name a folder"):
        convert_folder(folder, folder, tokens(), FORM)
    with pytest.raises(DataError, match=r"holds no spikellm.json; .* Convert the folder again"):
        load_converted(folder)
    tensors = load_file(folder / "model.safetensors")
    lost = next(key for key in tensors if ".1." in key)
    save_file({k: t for k, t in tensors.items() if k != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        DataError, match=rf"holds no {lost.partition('.1.')[2]} of layer 1; .* Check that all"
    ):
        convert_folder(folder, tmp_path / "t", tokens(), FORM)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'spikedrive\[language\]'"):
        load_language_model(folder)

"""The weights that come with the package do what their cards say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import spikedrive as sd
from spikedrive.blocks import SpikingModel
from spikedrive.cli.target import example_input, normalised_images
from spikedrive.data import load_images
from spikedrive.engine.lower import compile
from spikedrive.engine.verify import verify
from spikedrive.errors import CheckpointError, ConfigError, UnknownNameError
from spikedrive.models import _pretrained, find_pretrained, get_card, list_pretrained
from spikedrive.training import evaluate

NAMES = list_pretrained("accuracy")
SMALL = "sew_resnet_nano"
# the audit and the engine of one family always, of the others where there is time
FAMILIES = [pytest.param(n, marks=[] if n.startswith(SMALL) else [pytest.mark.slow]) for n in NAMES]

# what the shipped files are to reach on the test images
BAR, BEST_BAR = 0.91, 0.925


def card_of(name: str) -> dict[str, Any]:
    model, tag = name.split(".")
    return dict(get_card(model).weights[tag])


def model_of(name: str) -> SpikingModel:
    model, tag = name.split(".")
    return sd.create_model(model, pretrained=tag).eval()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_images_give_the_cards_accuracy(name: str) -> None:
    model, card = model_of(name), card_of(name)
    assert sum(p.numel() for p in model.parameters()) == card["params"]
    images, known = load_images("fashion_mnist_mini", "test"), model.metadata
    found = evaluate(model, images, mean=known["mean"], std=known["std"])["accuracy"]
    assert abs(found - card["accuracy_bundled"]) <= 0.002


@pytest.mark.parametrize("name", NAMES)
def test_a_card_agrees_with_itself_and_keeps_to_its_budget(name: str) -> None:
    card = card_of(name)
    shipped = next(run for run in card["runs"] if run["seed"] == card["seed"])
    assert shipped["accuracy"] == card["accuracy"]
    # the bundled images are a fifth of the test images
    assert abs(card["accuracy"] - card["accuracy_bundled"]) < 0.02
    assert all(run["cpu_hours"] <= 0.75 for run in card["runs"])
    assert f"model={card['model']} " in card["command"] + " "
    assert card["audit"]["verdict"] == get_card(card["model"]).verdict_repaired
    assert card["engine"]["equal"]


@pytest.mark.parametrize("name", NAMES)
def test_the_accuracy_reaches_its_bar(name: str) -> None:
    assert card_of(name)["accuracy"] >= BAR


def test_one_v2_or_v3_member_reaches_the_higher_bar_in_one_step() -> None:
    members = [n for n in NAMES if n.startswith(("meta_spikeformer_nano", "e_spikeformer_nano"))]
    assert all(get_card(n.split(".")[0]).steps == 1 for n in members)
    assert max(card_of(n)["accuracy"] for n in members) >= BEST_BAR


@pytest.mark.parametrize("name", NAMES)
def test_a_card_says_whether_the_bar_is_met(name: str) -> None:
    card = card_of(name)
    assert card["bar"] == {"accuracy": BAR, "met": card["accuracy"] >= BAR}


def test_every_file_has_a_card() -> None:
    files = {path.name.removesuffix(".safetensors") for path in _pretrained.FOLDER.glob("*.safetensors")}
    assert files == set(list_pretrained())


def test_the_files_are_small() -> None:
    sizes = [find_pretrained(*name.split(".")).stat().st_size for name in NAMES]
    assert max(sizes) <= 2e6
    assert sum(sizes) <= 12e6
    assert sizes == [card_of(name)["bytes"] for name in NAMES]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_audit_says_what_the_card_says(name: str) -> None:
    model, card = model_of(name), card_of(name)["audit"]
    seen = normalised_images(model, "fashion_mnist_mini", "train", 16)
    proof = sd.audit(sd.fuse(model), example_input(model), data=seen)
    assert (proof.verdict, list(proof.analog)) == (card["verdict"], card["analog"])
    assert proof.totals["additions"] == pytest.approx(card["additions"], rel=0.1)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_engine_gives_the_models_integers(name: str) -> None:
    model = model_of(name)
    program = compile(model, example_input(model), mean=model.metadata["mean"], std=model.metadata["std"])
    images = load_images("fashion_mnist_mini", "test")
    found = verify(program, model, images.images[::200], images.labels[::200])
    assert found.equal
    assert found.integers > 0


def test_other_classes_start_with_a_head_of_their_own() -> None:
    own, other = (sd.create_model(SMALL, pretrained="fashion", classes=n) for n in (10, 3))
    assert other.head.linear.weight.shape[0] == 3
    kept = [
        torch.equal(value, other.state_dict()[key])
        for key, value in own.state_dict().items()
        if "head" not in key
    ]
    assert all(kept)
    assert own.metadata["class_names"][1] == "Trouser"
    # three new classes have neither the names nor the scores of ten others
    assert other.metadata["mean"] == own.metadata["mean"]
    assert not {"class_names", "val_accuracy", "val_loss"} & set(other.metadata)


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"{SMALL}.fashion.safetensors").write_bytes(b"other weights")
    monkeypatch.setattr(_pretrained, "FOLDER", tmp_path)
    with pytest.raises(
        CheckpointError, match=r"has the SHA-256 .*; its card says .* Install spikedrive again"
    ):
        sd.create_model(SMALL, pretrained="fashion")
    (tmp_path / f"{SMALL}.fashion.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"There is no .*\.safetensors, which the card .* is about"):
        sd.create_model(SMALL, pretrained="fashion")


def test_unknown_weights_name_the_known() -> None:
    with pytest.raises(UnknownNameError, match="The nearest: fashion"):
        find_pretrained(SMALL, "fashon")
    with pytest.raises(
        UnknownNameError, match=r"There is no tag of weights for \w+ named 'True'.* fashion\."
    ):
        # as other libraries have it
        sd.create_model(SMALL, pretrained=True)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=rf"meta_spikeformer_55m has no weights .*{SMALL}\.fashion"):
        sd.create_model("meta_spikeformer_55m", pretrained="fashion")


def test_dead_parameters_and_shipped_weights_exclude_each_other() -> None:
    with pytest.raises(
        ConfigError, match=r"as_released=True and pretrained='fashion' for qsd_transformer_nano"
    ):
        sd.create_model("qsd_transformer_nano", pretrained="fashion", as_released=True)

"""What every model must hold, over the registry, on tiny configurations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from families import FAMILIES, INTEGER, OF_FRAMES, STEP_BY_STEP, TINY, inputs, tiny
from torch import nn

import spikedrive as sd
from spikedrive.blocks import SEWShortcut
from spikedrive.models import MODELS
from spikedrive.neurons import Neuron
from spikedrive.recipes import get_recipe, list_recipes
from spikedrive.state import plain_path
from spikedrive.transforms import make_additive

# those of tokens hold the contracts in test_language_models.py and test_spikelm.py, of flow in test_flow_models.py
IMAGES = [
    name
    for name in sd.list_models()
    if MODELS[name].card.input != "tokens" and MODELS[name].card.task != "flow"
]

# encoders of a model that takes points
CODES = ("coding.local_code", "coding.centre_code")

families = pytest.mark.parametrize("family", FAMILIES)
integer_families = pytest.mark.parametrize("family", INTEGER)
step_by_step = pytest.mark.parametrize("family", STEP_BY_STEP)
of_frames = pytest.mark.parametrize("family", OF_FRAMES)


def test_every_registered_model_has_a_tiny_configuration() -> None:
    for name in IMAGES:
        assert any(Path(name).match(pattern) for pattern, _, _ in TINY), name
    assert {MODELS[name].model for name in IMAGES} == {MODELS[n].model for n, _ in FAMILIES.values()}


@pytest.mark.parametrize("name", IMAGES)
def test_card_says_what_is_built(name: str) -> None:
    card = MODELS[name].card
    with torch.device("meta"):
        model, released = sd.create_model(name), sd.create_model(name, as_released=True)
    assert sum(p.numel() for p in model.parameters()) == card.params
    if card.params_released is not None:
        assert sum(p.numel() for p in released.parameters()) == card.params_released
    assert (model.classes, model.steps, model.input) == (card.classes, card.steps, card.input)
    assert model.in_channels == card.input_size[0]
    # one of real numbers has no neurons
    assert max((n.domain.levels for n in model.neurons().values()), default=1) == card.levels
    assert card.paper
    assert card.licence


@pytest.mark.parametrize("name", sd.list_models())
def test_card_has_a_published_accuracy_or_says_why_not(name: str) -> None:
    card = MODELS[name].card
    accuracies = [v for key, v in card.published.items() if "_top1" in key or key == "glue_average"]
    of_text = [
        value for key, value in card.published.items() if key.endswith(("_perplexity", "_bits_per_character"))
    ]
    assert bool(of_text if card.task == "lm" else accuracies) != bool(card.unpublished)
    assert all(isinstance(value, float) and 50 < value < 100 for value in accuracies)
    assert bool(card.published) == ("source" in card.published)


@pytest.mark.parametrize("name", sd.list_models())
def test_card_names_the_recipe_of_its_family(name: str) -> None:
    card = MODELS[name].card
    trained = {MODELS[get_recipe(recipe).model].card.family for recipe in list_recipes("imagenet_*")}
    if card.recipe is None:
        assert card.family not in trained or card.modality == "events"
    elif card.recipe.startswith("fashion_mnist"):
        assert card.recipe in list_recipes() and card.input_size[1:] == (28, 28)
    else:
        recipe = get_recipe(card.recipe)
        assert (MODELS[recipe.model].card.family, recipe.image_size) == (card.family, card.input_size[1])


@families
def test_forward_gives_logits(family: str) -> None:
    model = tiny(family)
    y = model(inputs(family, model))
    assert y.shape == (2, 5)
    assert y.isfinite().all()
    assert not torch.equal(y[0], y[1])


@families
def test_a_gradient_reaches_every_parameter(family: str) -> None:
    model = tiny(family)
    x = inputs(family, model, batch=4)
    # in eval mode: while training, BatchNorm takes the gradient of a bias in front of it away
    model(x).square().sum().backward()
    # what ranks feature maps by importance is never trained
    ranks = re.compile(r"\.attention\.(fc|alpha|beta)")
    taught = {name: p for name, p in model.named_parameters() if not ranks.search(name)}
    silent = [name for name, p in taught.items() if p.grad is None or not p.grad.any()]
    assert silent == []
    model.train().zero_grad(set_to_none=True)
    y = model(x)
    (sum(y) if isinstance(y, tuple) else y).square().sum().backward()
    assert [name for name, p in taught.items() if p.grad is None or not p.grad.isfinite().all()] == []


@families
def test_forward_is_pure(family: str) -> None:
    model = tiny(family)
    x = inputs(family, model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert torch.equal(model(x), model(x))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@step_by_step
def test_chunks_equal_the_whole(family: str) -> None:
    model = tiny(family).double()
    x = inputs(family, model, steps=5)
    if model.input != "frames":
        whole, _ = sd.run(model, x, steps=5)
        _, state = sd.run(model, x, steps=2)
        last, _ = sd.run(model, x, state, steps=3)
    else:
        whole = model(x)
        _, state = sd.run(model, x[:2])
        last, _ = sd.run(model, x[2:], state)
    torch.testing.assert_close(last, whole, rtol=0, atol=1e-12)


@of_frames
def test_no_step_sees_a_later_one(family: str) -> None:
    model = tiny(family, input="frames")
    x = inputs(family, model, steps=4)
    changed = torch.cat([x[:2], x[2:] + 1.0])
    for before, after in zip(model.forward_features(x), model.forward_features(changed), strict=True):
        assert torch.equal(before[:2], after[:2])
        assert not torch.equal(before[2:], after[2:])


@families
def test_permuting_the_batch_permutes_the_answer(family: str) -> None:
    model = tiny(family).double()
    x = inputs(family, model, batch=3)
    order = torch.tensor([2, 0, 1])
    permuted = x[:, order] if model.input == "frames" else x[order]
    torch.testing.assert_close(model(permuted), model(x)[order], rtol=0, atol=1e-12)


@of_frames
def test_one_step_is_a_sequence_of_one(family: str) -> None:
    model = tiny(family, input="frames").double()
    x = inputs(family, model, steps=1)
    static = tiny(family, input="image", steps=1).double()
    static.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(x), static(x[0]), rtol=0, atol=1e-12)


@families
def test_levels_are_the_pyramid(family: str) -> None:
    model = tiny(family)
    x = inputs(family, model)
    every = model.forward_features(x)
    sizes = [f.shape[-1] for f in every]
    assert sizes == sorted(sizes, reverse=True)
    assert all(f.dim() == 5 for f in every)
    (last,) = model.forward_features(x, levels=[len(every) - 1])
    assert torch.equal(last, every[-1])
    assert torch.equal(model.head(last), model(x))


@families
@pytest.mark.parametrize("dense_separable", [None, False, True])
def test_save_and_load_give_the_same_model(family: str, dense_separable: bool | None, tmp_path: Path) -> None:
    model = tiny(family)
    if dense_separable is not None:
        model = sd.fuse(model, dense_separable=dense_separable)
    sd.save_model(model, tmp_path / "m.safetensors", metadata={"class_names": ["a", "b", "c", "d", "e"]})
    loaded = sd.load_model(tmp_path / "m.safetensors")
    x = inputs(family, model)
    assert torch.equal(loaded(x), model(x))
    assert loaded.metadata["class_names"] == ["a", "b", "c", "d", "e"]
    assert loaded.fused == model.fused
    assert loaded.card == model.card


# tracing takes seconds; the others are made of the same parts
@pytest.mark.parametrize(
    "family",
    [f if f in ("v1_frames", "nano") else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES],
)
def test_export_has_a_free_batch(family: str) -> None:
    model = tiny(family)
    x = inputs(family, model, batch=2)
    batch = torch.export.Dim("batch")
    axis = 1 if model.input == "frames" else 0
    with torch.no_grad():
        program = torch.export.export(model, (x,), dynamic_shapes=({axis: batch},))
    other = inputs(family, model, batch=3)
    torch.testing.assert_close(program.module()(other), model(other), rtol=1e-5, atol=1e-5)
    nodes = [n for n in program.graph.nodes if "_scan" in str(n.target)]
    assert len(nodes) == len(model.neurons())


@families
@pytest.mark.parametrize("dense_separable", [False, True])
def test_fusing_is_exact_and_leaves_neurons_where_they_are(family: str, dense_separable: bool) -> None:
    model = tiny(family).double()
    fused = sd.fuse(model, dense_separable=dense_separable)
    x = inputs(family, model)
    torch.testing.assert_close(fused(x), model(x), rtol=0, atol=1e-9)
    inner, outer = fused.forward_features(x), model.forward_features(x)
    for a, b in zip(inner, outer, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
    assert list(fused.neurons()) == list(model.neurons())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def layers_of(model: nn.Module) -> list[nn.Module]:
    """Its convolutions and linear layers, but for the signs that join an attention's counts into one membrane."""
    return [
        module
        for path, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and ".attention.norm.terms." not in path
    ]


@integer_families
def test_one_layer_stands_between_two_neurons_of_a_fused_model(family: str) -> None:
    model = sd.fuse(tiny(family), dense_separable=True)
    order: list[str] = []
    read: list[int] = [0]

    def note(given: torch.Tensor) -> None:
        # q, k and v, or a branch and its shortcut, are layers on one neuron's output: as one
        if read[0] != given.data_ptr():
            order.append("layer")
        read[0] = given.data_ptr()

    for module in layers_of(model):
        module.register_forward_hook(lambda _m, given, _y: note(given[0]))
    for neuron in model.neurons().values():
        neuron.register_forward_hook(lambda *_: order.append("neuron"))
    model(inputs(family, model))
    runs = "".join("L" if o == "layer" else "N" for o in order)
    assert "LL" not in runs
    assert "NLN" in runs


@integer_families
def test_every_layer_but_the_first_meets_integers_and_is_its_virtual_steps(family: str) -> None:
    model = sd.fuse(tiny(family).double(), dense_separable=True)
    x = inputs(family, model)
    domains = {n.domain for n in model.neurons().values()}
    # a shortcut that adds spikes lets the integers grow; the stem's is one more
    joins = sum(isinstance(m, SEWShortcut) for m in model.modules())
    most = 2 + joins if joins else 1
    # a head without a neuron behind the mean over positions meets that mean
    positions = model.forward_features(x)[-1][0, 0, 0].numel()
    spiking = isinstance(getattr(model.head, "neuron", None), Neuron) and not getattr(
        model.head, "pool_spikes", False
    )
    head = None if spiking else [m for m in model.head.modules() if isinstance(m, nn.Linear)][-1]
    met: list[bool] = []
    inner = lambda layer, s: type(layer).forward(layer, s)  # without the hook  # noqa: E731

    def check(layer: nn.Conv2d | nn.Linear, given: tuple[torch.Tensor], y: torch.Tensor) -> None:
        count = positions if layer is head else 1
        fitting = []
        for domain in domains:
            s, unit = given[0] * count / domain.scale, domain.scale / count
            if torch.allclose(s, s.round()) and s.min() >= 0 and s.max() <= domain.high * most * count:
                fitting.append((s.round(), unit))
        met.append(bool(fitting))
        if fitting:
            # an integer s is that many binary steps, bit d of which is 1 where d < s; the bias comes once
            s, unit = fitting[0]
            bits = torch.stack([(s > d).to(s) * unit for d in range(max(1, int(s.max())))])
            silent = inner(layer, torch.zeros_like(s))
            virtual = sum(inner(layer, bit) - silent for bit in bits) + silent
            torch.testing.assert_close(virtual, y, rtol=0, atol=1e-9)

    for module in layers_of(model):
        module.register_forward_hook(check)
    model(x)
    assert met[0] is False
    assert all(met[1:])
    assert len(met) > 8


@step_by_step
def test_state_paths_are_those_of_the_neurons(family: str) -> None:
    model = tiny(family)
    _, state = sd.run(model, inputs(family, model))
    neurons = model.neurons()
    assert list(neurons) == [plain_path(p) for p in neurons]
    # what attention over the past keeps, beside neurons and readouts
    sums = {
        path for path, _ in model.named_modules() if path.endswith((".attention.pairs", ".attention.values"))
    }
    assert set(state) <= {*neurons, *sums, "head.readout", "head.teacher_readout", "encoder", *CODES}
    assert "head.readout" in state


@pytest.mark.parametrize("block", ["stages.2.blocks.0"])
def test_switching_the_attention_off_changes_the_logits(block: str) -> None:
    model = tiny("nano")
    x = inputs("nano", model, batch=4)
    y = model(x)
    assert model.get_submodule(block).attention is not None

    class Silent(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    model.get_submodule(block).attention = Silent()
    assert not torch.allclose(model(x), y)


def test_nano_is_small_and_holds_every_part() -> None:
    from spikedrive.blocks import MLP, MembraneShortcut, RepConv, SepConv, SpikeAttention

    card = MODELS["meta_spikeformer_nano"].card
    assert card.params <= 600_000
    assert (card.steps, card.levels, card.input_size) == (1, 4, (1, 28, 28))
    kinds = {type(m) for m in sd.create_model("meta_spikeformer_nano").modules()}
    assert {MLP, MembraneShortcut, RepConv, SepConv, SpikeAttention} <= kinds


def test_per_step_answers_at_every_step() -> None:
    model, whole = tiny("v1", per_step=True).double(), tiny("v1").double()
    whole.load_state_dict(model.state_dict())
    x = inputs("v1", model)
    assert model(x).shape == (2, 2, 5)
    torch.testing.assert_close(model(x).mean(0), whole(x), rtol=0, atol=1e-12)


def test_a_distilled_model_answers_twice_while_training() -> None:
    model = tiny("v2_distilled")
    x = inputs("v2_distilled", model)
    label, teacher = model.train()(x)
    assert label.shape == teacher.shape == (2, 5)
    (label, _), state = sd.run(model, x)
    assert {"head.readout", "head.teacher_readout"} <= set(state)


def test_drop_path_acts_in_training_only() -> None:
    model = tiny("nano", drop_path=0.9, depths=(1, 1, 2))
    x = inputs("nano", model)
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))


# exporting takes seconds: `make test` audits one model of each line, `make test-all` every family in every form
QUICK = {("nano", "repaired"), ("v1", "released")}
VERDICTS = [
    pytest.param(family, form, marks=[] if (family, form) in QUICK else [pytest.mark.slow])
    for family in FAMILIES
    for form in ("released", "repaired", "made additive")
]


@pytest.mark.parametrize(("family", "form"), VERDICTS)
def test_the_audit_says_what_the_card_says(family: str, form: str) -> None:
    model, card = tiny(family), MODELS[FAMILIES[family][0]].card
    if form == "repaired":
        audit = sd.audit(sd.fuse(model, dense_separable=True), inputs(family, model))
        assert audit.verdict == card.verdict_repaired
    elif form == "made additive":
        made = make_additive(model, example=inputs(family, model))
        assert (made.before, made.after) == (card.verdict_released, card.verdict_repaired)
        return
    else:
        audit = sd.audit(model, inputs(family, model))
        assert audit.verdict == card.verdict_released
    # points become spikes before the first layer
    assert len(audit.analog) == (0 if model.input == "points" else 1)
    assert all(layer.startswith(("stem.", "stages.0.")) for layer in audit.analog)


@pytest.mark.slow
def test_a_spiking_model_is_additive_without_dense_convolutions() -> None:
    model = tiny("v2_spiking")
    assert sd.audit(sd.fuse(model), inputs("v2_spiking", model)).verdict == "additive"
    model = tiny("v2")
    assert sd.audit(sd.fuse(model), inputs("v2", model)).verdict == "hybrid"
